//! Objects by reference, in any order: for metadata logs, whose pieces lie in many segments, and for reading single files.
//!
//! A segment is unfiltered once into an unlinked temporary file, and its objects are read from there. Keeping them in memory
//! would cost tens of megabytes for each segment; the temporary files are bounded by [`SPOOL_BYTES_MAX`] and the least recently
//! used ones go first.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, bail};

use super::catalog::Catalog;
use super::segment_reader::SegmentReader;
use crate::format::checksum::Checksum;
use crate::format::object_ref::{ObjectRef, SegmentId};

/// Most bytes of unfiltered segments on disk at once; one segment may exceed it alone.
const SPOOL_BYTES_MAX: u64 = 512 << 20;
/// Most segments at once: each holds a file descriptor.
const SPOOLS_MAX: usize = 64;

/// What is called with a segment that was opened and not read yet.
pub type AtOpening<'w> = dyn Fn(SegmentId, &SegmentReader) + 'w;

/// Reads objects of a store, each segment unfiltered once as long as it is kept.
pub struct ObjectCache<'c> {
    catalog: &'c Catalog,
    unfilter: Option<String>,
    spools: HashMap<SegmentId, Spool>,
    clock: u64,
    /// Every segment that was ever opened, and whether it was read to its end.
    opened: HashMap<SegmentId, bool>,
    /// Why a temporary file could not be written, if so.
    full: Option<String>,
    at_opening: Option<&'c AtOpening<'c>>,
}

struct Spool {
    /// Why the segment could not be read to its end, if so.
    damage: Option<String>,
    file: File,
    bytes: u64,
    objects: HashMap<u32, Placed>,
    last_used: u64,
}

struct Placed {
    offset: u64,
    length: usize,
    verified: Option<Checksum>,
}

impl<'c> ObjectCache<'c> {
    /// Makes an empty cache over a store; `unfilter` is the command for extensions that no codec knows. Fails if there can be no
    /// temporary files: later that would look like damage of the store.
    pub fn new(catalog: &'c Catalog, unfilter: Option<&str>) -> Result<Self> {
        drop(temporary_file()?);
        let unfilter = unfilter.map(ToOwned::to_owned);
        Ok(Self {
            catalog,
            unfilter,
            spools: HashMap::new(),
            clock: 0,
            opened: HashMap::new(),
            full: None,
            at_opening: None,
        })
    }

    /// Calls `at_opening` with every segment that is opened, before it is read.
    #[must_use]
    pub fn watch(self, at_opening: &'c AtOpening<'c>) -> Self {
        Self {
            at_opening: Some(at_opening),
            ..self
        }
    }

    /// Returns the bytes that `reference` means, its checksum verified.
    pub fn get(&mut self, reference: &ObjectRef) -> Result<Vec<u8>> {
        let id = reference.object.segment;
        if !self.spools.contains_key(&id) {
            self.make_room();
            let spool = self.unfilter_segment(id);
            let whole = matches!(&spool, Ok(Spool { damage: None, .. }));
            self.opened.insert(id, whole);
            let spool = spool?;
            self.spools.insert(id, spool);
        }
        self.clock += 1;
        let spool = self.spools.get_mut(&id).expect("is there now");
        spool.last_used = self.clock;
        spool
            .get(reference)
            .with_context(|| format!("object {}", reference.object))
    }

    /// Tells whether a segment was opened and could be read to its end.
    #[must_use]
    pub fn has_read_whole(&self, segment: SegmentId) -> bool {
        self.opened.get(&segment).copied().unwrap_or(false)
    }

    /// Fails if a temporary file could not be written: then what seemed lost proves no damage of the store. Who tells damage, or
    /// takes what is lost for lost, asks this before.
    pub fn ensure_had_room(&self) -> Result<()> {
        match &self.full {
            Some(reason) => bail!("{reason}: nothing is known of what could not be read"),
            None => Ok(()),
        }
    }

    fn unfilter_segment(&mut self, id: SegmentId) -> Result<Spool> {
        let mut file = temporary_file()?;
        let mut objects = HashMap::new();
        let mut offset = 0;
        // A full temporary directory must not be taken for a damaged store.
        let mut spool_error = None;
        let reader = self.catalog.open_segment(id, self.unfilter.as_deref())?;
        if let Some(watch) = self.at_opening {
            watch(id, &reader);
        }
        let read = reader.read(
            |_| true,
            |sequence, data| {
                if let Err(error) = file.write_all(data) {
                    spool_error = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
                objects.entry(sequence).or_insert(Placed {
                    offset,
                    length: data.len(),
                    verified: None,
                });
                offset += data.len() as u64;
                Ok(ControlFlow::Continue(()))
            },
        );
        if let Some(error) = spool_error {
            let directory = std::env::temp_dir();
            let reason = format!(
                "cannot write a temporary file in {} (TMPDIR says where): {error}",
                directory.display()
            );
            self.full = Some(reason.clone());
            bail!(reason);
        }
        // Objects in front of the damage are still good: each use is checked by itself.
        let damage = read.err().map(|error| format!("{error:#}"));
        Ok(Spool {
            file,
            bytes: offset,
            objects,
            damage,
            last_used: 0,
        })
    }

    fn make_room(&mut self) {
        let total = |spools: &HashMap<_, Spool>| spools.values().map(|s| s.bytes).sum::<u64>();
        while self.spools.len() >= SPOOLS_MAX || total(&self.spools) > SPOOL_BYTES_MAX {
            let oldest = self
                .spools
                .iter()
                .min_by_key(|(_, spool)| spool.last_used)
                .map(|(id, _)| *id);
            self.spools.remove(&oldest.expect("the cache is not empty"));
        }
    }
}

fn temporary_file() -> Result<File> {
    let directory = std::env::temp_dir();
    tempfile::tempfile().with_context(|| {
        format!(
            "cannot make a temporary file in {} (TMPDIR says where)",
            directory.display()
        )
    })
}

impl Spool {
    fn get(&mut self, reference: &ObjectRef) -> Result<Vec<u8>> {
        let placed = self
            .objects
            .get_mut(&reference.object.sequence)
            .ok_or_else(|| match &self.damage {
                Some(damage) => {
                    let reason = damage.strip_prefix("cannot read: ").unwrap_or(damage);
                    anyhow!("cannot be reached in its segment: {reason}")
                }
                None => anyhow!("is missing from its segment"),
            })?;
        let length = u64::try_from(placed.length).expect("usize fits 64 bits");
        let range = reference.range(length)?;
        let must_verify = reference
            .checksum
            .filter(|wanted| placed.verified != Some(*wanted));
        let (start, end) = if must_verify.is_some() {
            (0, length)
        } else {
            (range.start, range.end)
        };
        let mut data = vec![0; usize::try_from(end - start).expect("objects are small")];
        self.file
            .read_exact_at(&mut data, placed.offset + start)
            .context("cannot read a temporary file")?;
        let Some(wanted) = must_verify else {
            return Ok(data);
        };
        wanted.verify(&data)?;
        placed.verified = Some(wanted);
        let part = usize::try_from(range.start).expect("objects are small")
            ..usize::try_from(range.end).expect("objects are small");
        Ok(data[part].to_vec())
    }
}
