//! Sources that lost most of what they held: a disk that is not mounted, a directory that was emptied, a permission that is gone.
//!
//! Nobody notices that in a night that is otherwise silent, and prune would remove the snapshots that still have it, one by one. So each
//! source is compared, at any size, with what it held when it was last whole. Every run warns, and its descriptor names the last snapshot
//! before the loss, which prune keeps; until the source is whole again, `--accept-loss` says that the loss is meant, or a snapshot with it
//! is a month old.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;
use nix::sys::stat::SFlag;

use super::BackupOptions;
use super::look_ahead::Found;
use super::run::Run;
use super::scan::file_type;
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::{KnownSource, SnapshotSize};
use crate::size;
use crate::wording::count;

/// How old a snapshot with a loss has to be, before the loss is taken as meant.
const ACCEPTED_AFTER_SECONDS: i64 = 30 * 24 * 3600;

/// What was found in each source.
pub(super) struct Held {
    /// The sources that were named, and what is in them.
    named: Vec<(EntryPath, SnapshotSize)>,
    /// What is in those that come from lists, all together, if there are any.
    listed: Option<SnapshotSize>,
    /// The source that the last path was in.
    current: usize,
}

/// What became of the sources.
#[derive(Default)]
pub(super) struct Losses {
    /// What is to be remembered; the name of the new snapshot is not known yet.
    whole: Vec<(Vec<u8>, SnapshotSize)>,
    /// What lost most, as it was before.
    lost: Vec<KnownSource>,
    /// Whether a loss that earlier runs warned of is none any more.
    pub(super) settled: bool,
}

impl Held {
    pub(super) fn new(options: &BackupOptions) -> Self {
        let none = SnapshotSize {
            entries: 0,
            source_bytes: 0,
        };
        let sources = &options.sources.paths;
        let named = sources.iter().filter(|source| !source.listed);
        Self {
            named: named.map(|source| (source.path.clone(), none)).collect(),
            listed: sources.iter().any(|source| source.listed).then_some(none),
            current: 0,
        }
    }

    /// Counts what a path has added. A directory that is a source itself is there even if nothing is mounted on it.
    pub(super) fn add(&mut self, found: &Found<'_>, entries: u64, bytes: u64) {
        let path = found.path;
        let is_directory = file_type(&found.stat) == SFlag::S_IFDIR;
        let is_in = |(source, _): &(EntryPath, SnapshotSize)| path.is_within(source);
        if !self.named.get(self.current).is_some_and(is_in) {
            self.current = self.named.iter().position(is_in).unwrap_or(usize::MAX);
        }
        let size = match self.named.get_mut(self.current) {
            Some((source, _)) if is_directory && source == path => return,
            Some((_, size)) => Some(size),
            None => self.listed.as_mut().filter(|_| !found.partial),
        };
        if let Some(size) = size {
            size.entries += entries;
            size.source_bytes += bytes;
        }
    }

    fn all(&self) -> impl Iterator<Item = (&[u8], SnapshotSize)> {
        let named = self
            .named
            .iter()
            .map(|(path, size)| (path.as_bytes(), *size));
        named.chain(self.listed.map(|size| (&[][..], size)))
    }
}

impl Losses {
    /// Returns the last snapshots before a loss.
    pub(super) fn before(&self) -> Vec<SnapshotName> {
        let names: BTreeSet<_> = self.lost.iter().map(|source| &source.snapshot).collect();
        names.into_iter().cloned().collect()
    }
}

impl Run<'_> {
    /// Compares every source with what it held when it was last whole, and warns of those that lost most of it.
    pub(super) fn losses(&self) -> Result<Losses> {
        let known = self.sink.database().sources(&self.options.scheme)?;
        let now = self.outside.began();
        let mut losses = Losses::default();
        for (path, size) in self.held.all() {
            let before = known.iter().find(|source| source.path == path);
            match before.filter(|before| is_loss(before.size, size)) {
                Some(before) if !self.is_accepted(before, now) => {
                    let lost = before.lost.unwrap_or(now.as_second());
                    self.warn_of_loss(before, size);
                    losses.lost.push(KnownSource {
                        lost: Some(lost),
                        ..before.clone()
                    });
                }
                _ => {
                    losses.settled |= before.is_some_and(|before| before.lost.is_some());
                    losses.whole.push((path.to_owned(), size));
                }
            }
        }
        Ok(losses)
    }

    fn is_accepted(&self, before: &KnownSource, now: Timestamp) -> bool {
        let is_old = |lost| now.as_second() - lost >= ACCEPTED_AFTER_SECONDS;
        self.options.accept_loss || before.lost.is_some_and(is_old)
    }

    fn warn_of_loss(&self, before: &KnownSource, size: SnapshotSize) {
        let source = if before.path.is_empty() {
            "what the lists name".to_owned()
        } else {
            crate::format::escape(&before.path)
        };
        self.outside.monitor.warn(&format!(
            "{source} has lost most of what it had in snapshot {}: {} with {} are left of {} with {}: see that it is mounted and can be \
             read; --accept-loss in the next backup says that this is meant; until then, and for a month at most, prune keeps that snapshot",
            before.snapshot,
            count(size.entries, "entry"),
            size::show(size.source_bytes),
            count(before.size.entries, "entry"),
            size::show(before.size.source_bytes),
        ));
    }

    /// Remembers the sources as a snapshot has them.
    pub(super) fn remember_sources(&self, snapshot: &SnapshotName, losses: &Losses) -> Result<()> {
        let (database, scheme) = (self.sink.database(), &self.options.scheme);
        for (path, size) in &losses.whole {
            let source = KnownSource {
                path: path.clone(),
                size: *size,
                snapshot: snapshot.clone(),
                lost: None,
            };
            database.set_source(scheme, &source)?;
        }
        let mut lost = losses.lost.iter();
        lost.try_for_each(|source| database.set_source(scheme, source))
    }
}

/// Whether more than half of the entries or of the bytes is gone.
fn is_loss(before: SnapshotSize, now: SnapshotSize) -> bool {
    let is_most = |before: u64, now: u64| now < before.saturating_sub(now);
    is_most(before.entries, now.entries) || is_most(before.source_bytes, now.source_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_is_more_than_half_of_the_entries_or_the_bytes_at_any_size() {
        let size = |entries, source_bytes| SnapshotSize {
            entries,
            source_bytes,
        };
        for (before, now, is) in [
            ((3, 30), (0, 0), true),
            ((1, 0), (0, 0), true),
            ((3, 30), (1, 30), true),
            ((3, 30), (3, 14), true),
            ((3, 30), (2, 15), false),
            ((2, 30), (1, 15), false),
            ((0, 0), (0, 0), false),
            ((3, 30), (9, 90), false),
        ] {
            let found = is_loss(size(before.0, before.1), size(now.0, now.1));
            assert_eq!(found, is, "{before:?} {now:?}");
        }
    }
}
