//! What changed most from one snapshot to another, by directory.
//!
//! Two logs are read in step, and pieces that both share are not read, so the cost is what changed. A file that is new or has other contents
//! counts with those of its bytes that lie in segments which no snapshot up to the older one needed: of a log file that grew, only its end.
//! A block that two files share counts for each of them.
//!
//! Sums go up the tree as the walk leaves a directory, until they are worth a row of their own. So the rows do not overlap: a row has what is
//! below its directory, less the rows further down. Memory holds one sum for each directory above the present path, and a bounded number of
//! rows.

use anyhow::{Context, Result};

use super::Log;
use crate::changes::{self, Recorded, Sameness};
use crate::file_reader;
use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::DataRef;
use crate::format::path;
use crate::format::snapshot_name::SnapshotName;
use crate::growth::{Segments, SnapshotStats};
use crate::metadata_log::{EntryStream, Merged, MetadataLogReader, Side, Step};
use crate::monitor::Counter;
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// Most rows that are told.
const ROWS: usize = 15;

/// Most rows that are kept until all are known.
const ROWS_KEPT: usize = 1024;

/// A directory is worth a row from this part of all new bytes on.
const WORTH_A_ROW: u64 = 40;

/// By how much smaller rows are kept at first, since it is only known behind the walk how many bytes are new.
const FINER: u64 = 16;

/// What changed between two snapshots of a series.
#[derive(Debug)]
pub(super) struct Changed {
    /// The older one; without it, everything is new.
    pub(super) old: Option<SnapshotName>,
    pub(super) new: SnapshotName,
    /// Number of snapshots of the series behind the older one.
    pub(super) spanned: u64,
    /// The directories with most new bytes.
    pub(super) rows: Vec<Row>,
    /// What is in no row.
    pub(super) rest: Sums,
    pub(super) total: Sums,
    /// Number of places at which a log could not be read.
    pub(super) lost: u64,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) directory: Vec<u8>,
    pub(super) sums: Sums,
}

/// What changed below a directory. Directories themselves are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) new_bytes: u64,
    pub(super) added: u64,
    pub(super) changed: u64,
    pub(super) removed: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.new_bytes = self.new_bytes.saturating_add(other.new_bytes);
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
    }
}

/// What comparisons share: three caches of objects, one for each log and one for lists of references.
pub(super) struct Comparing<'c> {
    catalog: &'c Catalog,
    segments: &'c Segments,
    unfilter: Option<&'c str>,
    monitor: &'c Counter<'c>,
    caches: [ObjectCache<'c>; 2],
    lists: ObjectCache<'c>,
}

impl<'c> Comparing<'c> {
    pub(super) fn new(
        catalog: &'c Catalog,
        segments: &'c Segments,
        unfilter: Option<&'c str>,
        monitor: &'c Counter<'c>,
    ) -> Result<Self> {
        let cache = || ObjectCache::new(catalog, unfilter);
        Ok(Self {
            catalog,
            segments,
            unfilter,
            monitor,
            caches: [cache()?, cache()?],
            lists: cache()?,
        })
    }

    /// Compares two snapshots by their places. An error means that one of them cannot be read at all.
    pub(super) fn compare(
        &mut self,
        snapshots: &[SnapshotStats],
        old: Option<usize>,
        new: usize,
        expected_bytes: u64,
    ) -> Result<Changed> {
        let new_log = self.open(&snapshots[new].name)?;
        let old_log = old.map(|at| self.open(&snapshots[at].name)).transpose()?;
        let recorded = old_log
            .as_ref()
            .map_or(new_log.recorded, |old| old.recorded.and(new_log.recorded));
        let mut walk = Walk {
            tree: Tree::new(expected_bytes / WORTH_A_ROW / FINER),
            segments: self.segments,
            behind: old,
            recorded,
            lists: &mut self.lists,
            monitor: self.monitor,
            subject: snapshots[new].name.to_string(),
            lost: 0,
        };
        let [of_old, of_new] = &mut self.caches;
        let newer = MetadataLogReader::new(of_new, new_log.root);
        match old_log {
            Some(old) if old.root == new_log.root => {}
            Some(old) => {
                let older = MetadataLogReader::new(of_old, old.root);
                walk.all(Merged::of_logs(older, newer))?;
            }
            None => walk.all(Merged::new(std::iter::empty(), newer))?,
        }
        let lost = walk.lost;
        let (rows, rest, total) = walk.tree.coarser().finish(ROWS);
        Ok(Changed {
            old: old.map(|at| snapshots[at].name.clone()),
            new: snapshots[new].name.clone(),
            spanned: 0,
            rows,
            rest,
            total,
            lost,
        })
    }

    fn open(&self, name: &SnapshotName) -> Result<Log> {
        let descriptor = snapshot::open(self.catalog, name, None)?;
        let readable = self
            .catalog
            .ensure_readable(&descriptor.segments, self.unfilter);
        readable.with_context(|| name.to_string())?;
        Ok(Log {
            root: descriptor.root,
            recorded: Recorded::by(&descriptor.producer),
        })
    }
}

/// A comparison under way.
struct Walk<'w, 'c> {
    tree: Tree,
    segments: &'w Segments,
    /// The place of the older snapshot.
    behind: Option<usize>,
    recorded: Recorded,
    lists: &'w mut ObjectCache<'c>,
    monitor: &'w Counter<'c>,
    subject: String,
    lost: u64,
}

impl Walk<'_, '_> {
    fn all<O: EntryStream, N: EntryStream>(&mut self, merged: Merged<O, N>) -> Result<()> {
        for step in merged {
            match step {
                Step::Lost(_, error) => {
                    self.lost += 1;
                    if error.is_news()? {
                        let reason = format_args!(
                            "in snapshot {} or the one before: {}",
                            self.subject, error.reason
                        );
                        self.monitor.problem(&error.subject, reason);
                    }
                }
                Step::One(_, _, false) => {}
                Step::One(Side::Old, entry, true) => {
                    self.count(&entry, |sums| &mut sums.removed, false);
                }
                Step::One(Side::New, entry, true) => {
                    self.count(&entry, |sums| &mut sums.added, true);
                }
                Step::Both(both) => {
                    if differ(&both.0, &both.1, self.recorded) {
                        self.count(&both.1, |sums| &mut sums.changed, true);
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, entry: &Entry, of: fn(&mut Sums) -> &mut u64, is_there: bool) {
        if matches!(entry.kind, EntryKind::Directory) {
            return;
        }
        let mut sums = Sums::default();
        *of(&mut sums) = 1;
        if is_there {
            sums.new_bytes = self.new_bytes(entry);
        }
        self.tree.add(entry.path.split().0, sums);
    }

    /// Returns how many bytes of a file lie in segments that no snapshot needed before; all, if it does not say.
    fn new_bytes(&mut self, entry: &Entry) -> u64 {
        let EntryKind::File(contents) = &entry.kind else {
            return 0;
        };
        let (segments, behind) = (&self.segments, self.behind.map(|at| at as u64));
        let is_new = |first: Option<u32>| {
            behind.is_none_or(|behind| first.is_some_and(|first| u64::from(first) > behind))
        };
        let mut bytes = 0_u64;
        let walked = file_reader::for_each(contents.into(), self.lists, &mut |reference, _| {
            if let DataRef::Object(object) = reference
                && is_new(segments.first(object.object.segment))
            {
                bytes = bytes.saturating_add(object.length().unwrap_or(contents.size));
            }
            Ok(())
        });
        if let Err(error) = walked {
            self.lost += 1;
            self.monitor
                .problem(entry.path.as_bytes(), format_args!("{error:#}"));
            return contents.size;
        }
        bytes.min(contents.size)
    }
}

fn differ(old: &Entry, new: &Entry, recorded: Recorded) -> bool {
    match (&old.kind, &new.kind) {
        (EntryKind::File(of_old), EntryKind::File(of_new)) => {
            match changes::contents(of_old, of_new) {
                Sameness::Same => false,
                Sameness::Different => true,
                // Checksums do not tell; whoever wants to be certain asks diff.
                Sameness::Unknown => !recorded.same_time(old.mtime, new.mtime),
            }
        }
        (EntryKind::Symlink { target: old }, EntryKind::Symlink { target: new }) => old != new,
        (old, new) => old.letter() != new.letter(),
    }
}

/// Sums on their way up the tree.
struct Tree {
    /// The directory that the walk is in, without a `/` before or behind.
    path: Vec<u8>,
    /// For it and each directory above, the length of its path and what is not in a row yet; the top first.
    levels: Vec<(usize, Sums)>,
    threshold_bytes: u64,
    rows: Vec<Row>,
    rest: Sums,
    total: Sums,
}

impl Tree {
    fn new(threshold_bytes: u64) -> Self {
        Self {
            path: Vec::new(),
            levels: vec![(0, Sums::default())],
            threshold_bytes: threshold_bytes.max(1),
            rows: Vec::new(),
            rest: Sums::default(),
            total: Sums::default(),
        }
    }

    /// Counts something in `directory`; directories come in path order.
    fn add(&mut self, directory: &[u8], sums: Sums) {
        let directory = if directory == b"." { b"" } else { directory };
        while !is_above(&self.path, directory) {
            self.leave();
        }
        while self.path.len() < directory.len() {
            let from = self.path.len() + usize::from(!self.path.is_empty());
            let length = directory[from..].iter().position(|&b| b == b'/');
            let end = length.map_or(directory.len(), |length| from + length);
            self.path
                .extend_from_slice(&directory[self.path.len()..end]);
            self.levels.push((end, Sums::default()));
        }
        let (_, present) = self.levels.last_mut().expect("the top is never left");
        present.add(sums);
        self.total.add(sums);
    }

    /// Goes up by one; what has come together becomes a row if it is worth one.
    fn leave(&mut self) {
        let (_, sums) = self.levels.pop().expect("there is something above it");
        if sums.new_bytes >= self.threshold_bytes {
            self.rows.push(Row {
                directory: self.path.clone(),
                sums,
            });
            if self.rows.len() > ROWS_KEPT {
                self.shorten(ROWS_KEPT / 2);
            }
        } else if let Some((_, above)) = self.levels.last_mut() {
            above.add(sums);
        }
        let length = self.levels.last().map_or(0, |(length, _)| *length);
        self.path.truncate(length);
    }

    fn shorten(&mut self, count: usize) {
        self.rows.sort_by(|a, b| {
            let by_bytes = b.sums.new_bytes.cmp(&a.sums.new_bytes);
            by_bytes.then_with(|| a.directory.cmp(&b.directory))
        });
        for row in self.rows.drain(count.min(self.rows.len())..) {
            self.rest.add(row.sums);
        }
    }

    /// Walks through the rows once more, now that the total is known: those that turn out too small go further up.
    fn coarser(self) -> Self {
        let mut coarser = Self::new(self.total.new_bytes / WORTH_A_ROW);
        let (mut rows, rest, _) = self.finish(ROWS_KEPT);
        coarser.add(b"", rest);
        rows.sort_by(|a, b| path::compare(&a.directory, &b.directory));
        for row in rows {
            coarser.add(&row.directory, row.sums);
        }
        coarser
    }

    /// Returns the largest rows, what is in none of them, and the total.
    fn finish(mut self, most: usize) -> (Vec<Row>, Sums, Sums) {
        while self.levels.len() > 1 {
            self.leave();
        }
        self.shorten(most);
        self.rest.add(self.levels[0].1);
        (self.rows, self.rest, self.total)
    }
}

/// Tells whether a directory is `below` or one above it; the top is the empty path.
fn is_above(directory: &[u8], below: &[u8]) -> bool {
    let rest = below.strip_prefix(directory);
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests;
