//! Level *sums*: files of the store against the checksums that a descriptor vouches for.
//!
//! A segment that is opened anyway is compared at that moment, so that the disk is read once; the others are read for it alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

use super::sample::Drawn;
use crate::format::checksum::{Checksum, Hasher};
use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::expected::{self, Expected, segment_of_file};
use crate::store::segment_reader::{SegmentReader, open_regular};

/// What the sums of all snapshots say, and what was found so far.
pub(super) struct Sums<'c> {
    catalog: &'c Catalog,
    others: BTreeSet<Expected>,
    segments: BTreeMap<SegmentId, BTreeSet<Expected>>,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    /// Segments that need not be looked at again.
    compared: HashSet<SegmentId>,
    /// What is wrong with the files of a segment.
    wrong: BTreeMap<SegmentId, String>,
}

impl<'c> Sums<'c> {
    pub(super) fn new(catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            others: BTreeSet::new(),
            segments: BTreeMap::new(),
            outcome: Mutex::default(),
        }
    }

    /// Takes in what the sums of a snapshot say; what is wrong with them is told.
    pub(super) fn gather(
        &mut self,
        name: &SnapshotName,
        descriptor: &Descriptor,
        monitor: &Counter<'_>,
    ) {
        let expected = match expected::files(self.catalog, name, descriptor) {
            Ok(expected) => expected,
            // A prune removes them behind the descriptor.
            Err(_) if self.catalog.has_gone(name) => return,
            Err(error) => {
                let reason = format_args!(
                    "its sums cannot be used, so no segment is compared with them (a restore does without; to have it back, copy it from another copy of the store): {error:#}"
                );
                monitor.problem(name.to_string().as_bytes(), reason);
                return;
            }
        };
        tell_unnamed_segments(name, descriptor, &expected, monitor);
        for expected in expected {
            match segment_of_file(&expected.0) {
                Some(id) => self.segments.entry(id).or_default().insert(expected),
                None => self.others.insert(expected),
            };
        }
    }

    /// Leaves out the segments that were not drawn.
    pub(super) fn keep(&mut self, drawn: &Drawn) {
        self.segments.retain(|id, _| drawn.has(*id));
    }

    /// Compares the files of a segment, that which was opened without opening it again. Called from several threads.
    pub(super) fn compare_opened(&self, id: SegmentId, reader: &SegmentReader) {
        let is_new = self.lock().compared.insert(id);
        if let Some(expected) = self.segments.get(&id).filter(|_| is_new) {
            self.compare_segment(id, expected, Some(reader));
        }
    }

    /// Compares everything that was not compared yet; returns how many files there were in all.
    pub(super) fn compare_rest(&self, monitor: &Counter<'_>) -> u64 {
        let rest: Vec<_> = {
            let outcome = self.lock();
            let waiting = |id: &SegmentId| !outcome.compared.contains(id);
            self.segments.iter().filter(|(id, _)| waiting(id)).collect()
        };
        for (done, (id, expected)) in (0..).zip(&rest) {
            monitor.progress(done, rest.len() as u64, "files of the store");
            self.compare_segment(**id, expected, None);
        }
        for (file, wanted) in &self.others {
            if let Err(error) = compare(self.catalog, file, wanted) {
                let reason = format_args!("{error:#}");
                monitor.problem(file.as_os_str().as_encoded_bytes(), reason);
            }
        }
        let files = self.segments.values().map(BTreeSet::len).sum::<usize>();
        (self.others.len() + files) as u64
    }

    /// Whether the checksum of a segment's file is known.
    pub(super) fn knows(&self, id: SegmentId) -> bool {
        self.segments.contains_key(&id)
    }

    /// Returns what is wrong with the files of segments.
    pub(super) fn wrong(&self) -> BTreeMap<SegmentId, String> {
        self.lock().wrong.clone()
    }

    fn compare_segment(
        &self,
        id: SegmentId,
        expected: &BTreeSet<Expected>,
        reader: Option<&SegmentReader>,
    ) {
        let opened = self.catalog.segment_file(id);
        for (file, wanted) in expected {
            let found = match reader.filter(|_| opened == Some(file.as_path())) {
                Some(reader) => reader
                    .checksum(wanted.algorithm())
                    .context("cannot read it")
                    .and_then(|found| differs(&found, wanted)),
                None => compare(self.catalog, file, wanted),
            };
            let Err(error) = found else { continue };
            // Only a file that is not the one in use has to be named.
            let text = match opened {
                Some(used) if used != file.as_path() => format!("{}: {error:#}", file.display()),
                _ => format!("{error:#}"),
            };
            let mut outcome = self.lock();
            let wrong = outcome.wrong.entry(id).or_default();
            if !wrong.is_empty() {
                wrong.push_str("; ");
            }
            wrong.push_str(&text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment that the snapshot needs but whose checksum nobody knows could be replaced unnoticed.
fn tell_unnamed_segments(
    name: &SnapshotName,
    descriptor: &Descriptor,
    expected: &[Expected],
    monitor: &Counter<'_>,
) {
    let named: HashSet<SegmentId> = expected
        .iter()
        .filter_map(|(file, _)| segment_of_file(file))
        .collect();
    // The reverse is what a descriptor looks like that lost its end.
    for segment in named
        .iter()
        .filter(|id| descriptor.segments.binary_search(id).is_err())
    {
        let reason =
            format_args!("its sums name segment {segment}, which its descriptor does not list");
        monitor.problem(name.to_string().as_bytes(), reason);
    }
    for segment in descriptor.segments.iter().filter(|id| !named.contains(id)) {
        monitor.problem(
            name.to_string().as_bytes(),
            format_args!("needs segment {segment}, which its sums do not name"),
        );
    }
}

fn compare(catalog: &Catalog, file: &Path, wanted: &Checksum) -> Result<()> {
    let opened = open_regular(&catalog.root().join(file));
    let mut opened = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("is missing"),
        opened => opened.context("cannot open it")?,
    };
    let mut hasher = Hasher::new(wanted.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match opened.read(&mut buffer).context("cannot read it")? {
            0 => return differs(&hasher.finish(), wanted),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn differs(found: &Checksum, wanted: &Checksum) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(anyhow!("is damaged: checksum {found}, wanted {wanted}"))
    }
}
