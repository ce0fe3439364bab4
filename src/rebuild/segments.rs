//! The segments of the snapshots: where their files are, how large, and with what checksum.
//!
//! A checksum comes from the sums that a descriptor vouches for, not from the file: a damaged file must not be taken for what was
//! written. Cumulus 0.11 wrote SHA-224 where later sums files need SHA-1; its segments are read for that, and compared.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Subject;
use crate::format::checksum::{Algorithm, Checksum, Hasher};
use crate::format::object_ref::SegmentId;
use crate::format::segment_group::SegmentGroup;
use crate::local::database::Database;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::expected::{self, segment_of_file};
use crate::store::lengths::Lengths;
use crate::store::segment_reader::open_regular;

/// Adds each segment to the database with the first snapshot that needs it; remembers 16 bytes for each.
pub(super) struct Segments<'r> {
    catalog: &'r Catalog,
    monitor: &'r Counter<'r>,
    seen: HashSet<SegmentId>,
    lengths: &'r Lengths,
}

impl<'r> Segments<'r> {
    pub(super) fn new(
        catalog: &'r Catalog,
        lengths: &'r Lengths,
        monitor: &'r Counter<'r>,
    ) -> Self {
        Self {
            catalog,
            monitor,
            seen: HashSet::new(),
            lengths,
        }
    }

    /// Adds the segments of a snapshot that were not added before; returns how many. One that is missing, or whose checksum is not
    /// known, is a problem, and no backup will refer to it.
    pub(super) fn add(&mut self, database: &mut Database, subject: &Subject<'_>) -> Result<u64> {
        let needed = &subject.descriptor.segments;
        let new: Vec<_> = needed.iter().filter(|id| self.seen.insert(**id)).collect();
        if new.is_empty() {
            return Ok(0);
        }
        let sums = self.sums(subject);
        let mut count = 0;
        for id in new {
            match self.look_at(*id, sums.get(id)) {
                Ok(segment) => {
                    let stored = subject.descriptor.date.as_second();
                    database.add_segment(*id, &segment.file, SegmentGroup::Data, stored)?;
                    database.complete_segment(*id, &segment.checksum, 0, segment.disk_bytes)?;
                    count += 1;
                }
                Err(error) => {
                    let reason = format_args!("of snapshot {}: {error:#}", subject.name);
                    self.monitor.problem(id.to_string().as_bytes(), reason);
                }
            }
        }
        Ok(count)
    }

    fn sums(&self, subject: &Subject<'_>) -> HashMap<SegmentId, Checksum> {
        match expected::files(self.catalog, subject.name, &subject.descriptor) {
            Ok(files) => files
                .into_iter()
                .filter_map(|(file, checksum)| Some((segment_of_file(&file)?, checksum)))
                .collect(),
            Err(error) => {
                let name = subject.name.to_string();
                let reason = format_args!("its sums cannot be used: {error:#}");
                self.monitor.problem(name.as_bytes(), reason);
                HashMap::new()
            }
        }
    }

    fn look_at(&self, id: SegmentId, wanted: Option<&Checksum>) -> Result<Found> {
        let file = self
            .catalog
            .segment_file(id)
            .context("the segment is missing from the store")?;
        if let Some(fault) = self.lengths.look(self.catalog, id) {
            bail!("its file {fault}; what is in it is stored again when it is needed");
        }
        let wanted = wanted.context("no sums file that is good says what the segment must be")?;
        let path = self.catalog.root().join(file);
        let checksum = match wanted.algorithm() {
            Algorithm::Sha1 => *wanted,
            _ => sha1_of(&path, wanted)?,
        };
        let metadata = fs::symlink_metadata(&path)
            .with_context(|| format!("cannot look at {}", path.display()))?;
        let file = file.to_str().context("its file has an odd name")?;
        Ok(Found {
            file: file.to_owned(),
            checksum,
            disk_bytes: metadata.len(),
        })
    }
}

/// What is known of a segment's file.
struct Found {
    file: String,
    checksum: Checksum,
    disk_bytes: u64,
}

/// Computes the SHA-1 of a file that has the checksum `wanted`.
fn sha1_of(path: &Path, wanted: &Checksum) -> Result<Checksum> {
    let shown = path.display();
    let mut file = open_regular(path).with_context(|| format!("cannot open {shown}"))?;
    let mut both = [Algorithm::Sha1, wanted.algorithm()].map(Hasher::new);
    std::io::copy(&mut file, &mut Both(&mut both))
        .with_context(|| format!("cannot read {shown}"))?;
    let [sha1, found] = both.map(Hasher::finish);
    ensure!(
        found == *wanted,
        "{shown} is damaged: checksum {found}, wanted {wanted}"
    );
    Ok(sha1)
}

/// Feeds what is read to two checksums.
struct Both<'h>(&'h mut [Hasher; 2]);

impl std::io::Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.iter_mut().for_each(|hasher| hasher.update(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
