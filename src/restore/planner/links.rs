//! Which entries are names of one file, and which of the names is made first.

use anyhow::Result;

use super::super::spool::{Place, Work};
use super::Planner;
use crate::format::checksum::Checksum;
use crate::format::entry::{Entry, EntryKind};

/// Entries with equal keys are hard links of one another. The inode alone is not enough: device numbers change between runs, and
/// entries that were recorded on different days may then collide.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    inode: Vec<u8>,
    letter: char,
    size: u64,
    checksum: Option<Checksum>,
    /// The target of a symbolic link, or the number of a device.
    other: Vec<u8>,
}

/// The name of a file that the others are made links of.
pub(super) struct First {
    pub(super) place: Place,
    /// Whether it was there and stays.
    pub(super) is_kept: bool,
}

impl Planner<'_, '_> {
    /// Lets an existing file, which looks like its entry, stand for it, also for hard links of it: for those that follow, and for a first
    /// name that was missing.
    pub(super) fn leave(&mut self, entry: &Entry) -> Result<()> {
        let Some(key) = link_key(entry) else {
            return Ok(());
        };
        let is_file = matches!(entry.kind, EntryKind::File(_));
        let first = self.linked.get(&key);
        if first.is_some_and(|first| first.is_kept || !is_file) {
            return Ok(());
        }
        let Ok(parent) = self.cursor.enter(entry.path.split().0) else {
            return Ok(());
        };
        self.restorer.remember_link(parent, entry);
        let place = self.spool.add(entry, Work::none(false))?;
        let first = First {
            place,
            is_kept: true,
        };
        if let Some(restored) = self.linked.insert(key, first) {
            self.rejoined.insert(restored.place, place);
        }
        Ok(())
    }
}

/// Returns what tells a file with several hard links from others; none of a file that has none.
pub(crate) fn link_key(entry: &Entry) -> Option<LinkKey> {
    let inode = entry.inode.as_ref().filter(|_| entry.may_be_hard_link())?;
    let (mut size, mut checksum, mut other) = (0, None, Vec::new());
    match &entry.kind {
        EntryKind::File(contents) => (size, checksum) = (contents.size, contents.checksum),
        EntryKind::Symlink { target } => other.clone_from(target),
        EntryKind::CharDevice(d) | EntryKind::BlockDevice(d) => {
            other = format!("{}/{}", d.major, d.minor).into_bytes();
        }
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
    Some(LinkKey {
        inode: inode.clone(),
        letter: entry.kind.letter(),
        size,
        checksum,
        other,
    })
}
