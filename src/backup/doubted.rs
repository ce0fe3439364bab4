//! Extended attributes that may be other than an entry says though its stat is the same: those that could not be read, and those of a file
//! system whose change times say nothing of them.

use nix::sys::stat::FileStat;

use super::look_ahead::Found;
use super::run::Run;
use super::xattrs::{self, ReadXattrs};
use crate::local::stat_cache::StatKey;
use crate::metadata_log::OldEntry;

impl Run<'_> {
    /// Reads the attributes of a path with an unchanged stat, if its entry may not have them all.
    pub(super) fn look_at_doubted(
        &mut self,
        old: &OldEntry,
        found: &Found<'_>,
    ) -> Option<ReadXattrs> {
        let (known, stat) = (&old.attributes, &found.stat);
        let is_doubted = known.incomplete
            || known.hidden && xattrs::sees_all()
            || known.unsupported && self.devices.may_have_xattrs(stat)
            || self.devices.hides_changes(stat) && self.devices.may_have_xattrs(stat);
        is_doubted.then(|| {
            let mut read = xattrs::of_name(found.parent, found.name);
            self.complete(&mut read, stat, &old.key);
            read
        })
    }

    /// Takes note of what the file system of a file can do. If it had attributes of this file and says now that it has none, they are
    /// missing.
    pub(super) fn complete(&mut self, read: &mut ReadXattrs, stat: &FileStat, key: &StatKey) {
        self.devices.has_xattrs(stat, !read.unsupported);
        let same = self.old.filter(|old| old.key.inode == key.inode);
        let had_some =
            same.is_some_and(|old| old.attributes.digest != 0 || old.attributes.incomplete);
        if read.unsupported && had_some && read.problem.is_none() {
            let reason = "its extended attributes are left out: the file system says that it has none, and the last snapshot has some";
            read.problem = Some(reason.to_owned());
        }
    }
}
