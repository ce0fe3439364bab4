//! Whether anything is new since the last snapshot of the scheme: `--skip-if-unchanged`.
//!
//! An entry is the same if it was kept, or if it had to be looked at anew (because it had changed just before the last snapshot, or with
//! `--reread`) and has the same stat, extended attributes and contents. An entry of the last snapshot that has no place in this one is a change too.

use anyhow::Result;

use super::change::has_attributes;
use super::run::Run;
use crate::format::entry::{Entry, EntryKind};
use crate::format::snapshot_name::SnapshotName;
use crate::local::stat_cache::{Attributes, StatKey};

impl Run<'_> {
    /// Takes note of an entry that is recorded anew: is it what the last snapshot has?
    pub(super) fn compare_with_last(
        &mut self,
        entry: &Entry,
        key: &StatKey,
        attributes: &Attributes,
    ) {
        if self.changed || !self.options.skip_if_unchanged {
            return;
        }
        // What comes through a pipe has no stat of its own, only the time of the run.
        let same_stat =
            self.options.piped.is_some() || self.old.is_some_and(|old| old.key.agrees_with(key));
        let same_contents = match &entry.kind {
            EntryKind::File(contents) => {
                let old = self.log.remembered().and_then(|old| old.contents);
                old.is_some_and(|old| {
                    (old.size, old.checksum) == (contents.size, contents.checksum)
                })
            }
            _ => true,
        };
        let same_attributes = self.old.is_some_and(|old| has_attributes(&old, attributes));
        self.changed = !(same_stat && same_contents && same_attributes);
    }

    /// Returns the last snapshot of the scheme if it is in the store and has all that this run found, and nothing else. Where a loss is
    /// `settled`, the next descriptor has to say so.
    pub(super) fn same_as_last(&mut self, settled: bool) -> Result<Option<SnapshotName>> {
        let may_be_same = self.options.skip_if_unchanged && !self.options.full_metadata && !settled;
        if !may_be_same || self.changed || self.sink.stored_bytes() > 0 || self.log.lacks_old()? {
            return Ok(None);
        }
        let snapshots = self.sink.database().snapshots()?;
        let of_scheme: Vec<_> = snapshots
            .into_iter()
            .filter(|name| name.scheme() == self.options.scheme)
            .collect();
        let now = self.outside.clock.now();
        let complete = of_scheme.iter().filter(|name| !name.is_checkpoint());
        let latest = complete.filter(|name| name.instant() <= now).max().cloned();
        // After a checkpoint, the stat cache knows what no complete snapshot has.
        let last = of_scheme.into_iter().next();
        // A clock that was wrong has made it another than the one that `latest` means: then there must be a new one.
        let last = last.filter(|last| Some(last) == latest.as_ref());
        match last {
            // One that needs what has expired is to be followed by one that does not: the segment may be damaged.
            Some(last)
                if self.store.has_snapshot(&last)?
                    && !self.sink.database().needs_expired(&last)? =>
            {
                Ok(Some(last))
            }
            _ => Ok(None),
        }
    }
}
