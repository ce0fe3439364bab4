//! Objects by reference, in any order: for metadata logs, whose pieces lie in many segments, and for reading single files.
//!
//! A segment is unfiltered once into an unlinked temporary file, and its objects are read from there. Keeping them in memory
//! would cost tens of megabytes for each segment; the temporary files are bounded by [`SPOOL_BYTES_MAX`] and the least recently
//! used ones go first.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::catalog::Catalog;
use super::segment_reader::SegmentReader;
use crate::format::known_checksums::KnownChecksums;
use crate::format::object_ref::{ObjectRef, SegmentId};

/// Most bytes of unfiltered segments on disk at once; one segment may exceed it alone.
const SPOOL_BYTES_MAX: u64 = 512 << 20;
/// Most segments at once: each holds a file descriptor.
const SPOOLS_MAX: usize = 64;

/// Most bytes of segments that are unfiltered once more for each byte that was asked for, and those that are free. Pages of 4 KiB of which
/// each comes from another segment of 16 MiB make 4096; single bytes of segments as large as a store likes make millions.
const AGAIN_BYTES_PER_BYTE: u64 = 1 << 16;
const AGAIN_BYTES_FREE: u64 = 64 << 30;

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
    work: Work,
    /// Why a temporary file could not be written, if so.
    full: Option<String>,
    at_opening: Option<&'c AtOpening<'c>>,
}

/// What a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of the objects of all segments that were opened, each segment counted once.
    pub opened_bytes: u64,
    /// Bytes of segments that were opened when they had been before.
    pub opened_again_bytes: u64,
    /// Bytes that were given out: more than were opened, if the same ones are asked for again and again.
    pub given_bytes: u64,
}

impl Work {
    /// Fails where segments were opened again so often, for so few bytes, that a store must have been made for it: a file of single bytes
    /// from more segments than are kept, in turns.
    fn ensure_worth_it(&self, segment: SegmentId) -> Result<()> {
        let most = self.given_bytes.saturating_mul(AGAIN_BYTES_PER_BYTE);
        ensure!(
            self.opened_again_bytes <= most.saturating_add(AGAIN_BYTES_FREE),
            "segment {segment} is not unpacked once more: for {} bytes that were asked for, segments of {} bytes were unpacked again \
             already",
            self.given_bytes,
            self.opened_again_bytes
        );
        Ok(())
    }
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
    /// Apart, since most objects are asked for without a checksum.
    known: Option<Box<KnownChecksums>>,
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
            work: Work::default(),
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
        let spool = self.spool(reference.object.segment)?;
        let bytes = spool
            .get(reference)
            .with_context(|| format!("object {}", reference.object))?;
        self.work.given_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    /// Returns how many bytes `reference` means, without reading them.
    pub fn length(&mut self, reference: &ObjectRef) -> Result<u64> {
        let spool = self.spool(reference.object.segment)?;
        spool
            .length(reference)
            .with_context(|| format!("object {}", reference.object))
    }

    /// Returns what was done so far.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
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

    fn spool(&mut self, id: SegmentId) -> Result<&mut Spool> {
        if !self.spools.contains_key(&id) {
            if self.opened.contains_key(&id) {
                self.work.ensure_worth_it(id)?;
            }
            self.make_room();
            let spool = self.unfilter_segment(id);
            let whole = matches!(&spool, Ok(Spool { damage: None, .. }));
            let is_first = self.opened.insert(id, whole).is_none();
            let spool = spool?;
            if is_first {
                self.work.opened_bytes += spool.bytes;
            } else {
                self.work.opened_again_bytes += spool.bytes;
            }
            self.spools.insert(id, spool);
        }
        self.clock += 1;
        let spool = self.spools.get_mut(&id).expect("is there now");
        spool.last_used = self.clock;
        Ok(spool)
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
                    known: None,
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
    fn length(&mut self, reference: &ObjectRef) -> Result<u64> {
        let placed = self.objects.get(&reference.object.sequence);
        let placed = placed.ok_or_else(|| absent(self.damage.as_deref()))?;
        let range = reference.range(placed.length as u64)?;
        Ok(range.end - range.start)
    }

    /// Reads what a reference means; all of the object only for a checksum of it that is not known yet.
    fn get(&mut self, reference: &ObjectRef) -> Result<Vec<u8>> {
        let placed = self.objects.get_mut(&reference.object.sequence);
        let placed = placed.ok_or_else(|| absent(self.damage.as_deref()))?;
        let range = reference.range(placed.length as u64)?;
        let Some(wanted) = &reference.checksum else {
            return read(&self.file, placed.offset, &range);
        };
        let known = placed.known.get_or_insert_default();
        if known.has(wanted.algorithm()) {
            known.verify(wanted, &[])?;
            return read(&self.file, placed.offset, &range);
        }
        let mut data = read(&self.file, placed.offset, &(0..placed.length as u64))?;
        known.verify(wanted, &data)?;
        data.truncate(usize::try_from(range.end)?);
        data.drain(..usize::try_from(range.start)?);
        Ok(data)
    }
}

/// Says why an object is not there.
fn absent(damage: Option<&str>) -> anyhow::Error {
    match damage {
        Some(damage) => {
            let reason = damage.strip_prefix("cannot read: ").unwrap_or(damage);
            anyhow!("cannot be reached in its segment: {reason}")
        }
        None => anyhow!("is missing from its segment"),
    }
}

/// Reads a part of an object that begins at `offset`.
fn read(file: &File, offset: u64, range: &Range<u64>) -> Result<Vec<u8>> {
    let length = usize::try_from(range.end - range.start).expect("objects are small");
    let mut data = vec![0; length];
    file.read_exact_at(&mut data, offset + range.start)
        .context("cannot read a temporary file")?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_opened_again_for_pages_but_not_without_end_for_bytes() {
        let segment = SegmentId::from_bytes([7; 16]);
        let after = |count: u64, bytes: u64| Work {
            opened_bytes: 1 << 30,
            opened_again_bytes: count * (16 << 20),
            given_bytes: count * bytes,
        };
        // A file of 40 GB in pages, each from another segment.
        assert!(after(10_000_000, 4 << 10).ensure_worth_it(segment).is_ok());
        assert!(after(1000, 1).ensure_worth_it(segment).is_ok());
        let refused = after(10_000, 1).ensure_worth_it(segment);
        let told = format!("{:#}", refused.expect_err("is too much"));
        assert!(
            told.contains("07070707-") && told.contains("10000 bytes"),
            "{told}"
        );
    }
}
