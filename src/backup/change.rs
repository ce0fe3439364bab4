//! What of an entry is other than in the last snapshot, for people.

use super::run::Run;
use crate::changes::{self, Sameness};
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::local::stat_cache::{Attributes, StatKey};
use crate::metadata_log::OldEntry;
use crate::monitor::PathStatus;

/// The type of directories, in a stat key.
const DIRECTORY: u8 = 4;

/// How an entry differs from what the last snapshot has under its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has nothing there.
    Added,
    /// Something of another type, or with other contents.
    Contents,
    /// Mode, owner, times, hard links or extended attributes.
    Metadata,
    /// Nothing that could be restored.
    None,
}

impl Change {
    /// Returns what is told of an entry whose contents became what `status` says.
    pub(super) fn status(self, status: PathStatus) -> PathStatus {
        match (self, status) {
            (Self::Metadata, PathStatus::Old) => PathStatus::Metadata,
            _ => status,
        }
    }
}

impl Run<'_> {
    /// Compares an entry with what the last snapshot has under its path.
    pub(super) fn change(
        &self,
        entry: &Entry,
        key: &StatKey,
        attributes: &Attributes,
        status: PathStatus,
    ) -> Change {
        let Some(old) = &self.old else {
            return Change::Added;
        };
        let is_as_told = matches!(status, PathStatus::Old | PathStatus::Repack);
        let is_same = match &entry.kind {
            EntryKind::File(contents) => self.has_old_contents(contents).unwrap_or(is_as_told),
            _ => is_as_told,
        };
        // The times of what comes through a pipe, and of a directory in which other things come and go, are not its own.
        let mut now = *key;
        if entry.partial || self.options.piped.is_some() {
            now.mtime = old.key.mtime;
        }
        if !is_same {
            Change::Contents
        } else if old.key.looks_like(&now) && has_attributes(old, attributes) {
            Change::None
        } else {
            Change::Metadata
        }
    }

    /// Tells whether the last snapshot has these contents under the present path, if that can be told.
    pub(super) fn has_old_contents(&self, contents: &FileContents) -> Option<bool> {
        self.old?;
        let Some(old) = self.log.remembered().and_then(|old| old.contents) else {
            return Some(false);
        };
        match changes::contents(&old, contents) {
            Sameness::Same => Some(true),
            Sameness::Different => Some(false),
            Sameness::Unknown => None,
        }
    }
}

/// Tells whether an old entry has these extended attributes, as far as it says.
pub(super) fn has_attributes(old: &OldEntry, now: &Attributes) -> bool {
    old.key.given.is_none() || old.attributes.digest == now.digest
}

/// Tells of anything but a regular file whether it is the same, whatever became of its metadata. A link that was replaced has another
/// inode, and one that was changed has another time.
pub(super) fn is_same_special(old: &StatKey, now: &StatKey) -> bool {
    if old.kind != now.kind || old.kind == DIRECTORY {
        return old.kind == now.kind;
    }
    let is_rebuilt = old.ctime == StatKey::UNKNOWN_CTIME;
    let given = old.given.zip(now.given);
    let is_device_same = given.is_none_or(|(old, now)| old.device == now.device);
    let as_before = StatKey {
        given: old.given,
        ..*now
    };
    is_device_same && (is_rebuilt || old.inode == now.inode) && old.looks_like(&as_before)
}
