//! A source that is a symbolic link and was not named with a `/` at its end: the link is stored, which may be less than was meant.
//!
//! Where it leads to a directory, a first snapshot with nothing in it is not to wait for the day of the restore, so it is a warning. Whoever
//! wants just the link is told that once, and not every night.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};

use super::{Scanner, file_type};
use crate::format::path::EntryPath;

impl Scanner<'_> {
    /// Says that a source is a link and what to write for what is behind it.
    pub(super) fn tell_of_link(&self, directory: &OwnedFd, path: &EntryPath) {
        let is_absolute = self.sources.base == Path::new("/");
        let typed = format!("{}{path}", if is_absolute { "/" } else { "" });
        let target = fstatat(directory.as_fd(), path.split().1, AtFlags::empty());
        let is_tree = target.is_ok_and(|stat| file_type(&stat) == SFlag::S_IFDIR);
        if is_tree && self.is_first {
            self.monitor.warn(&format!(
                "{typed} is a symbolic link, and nothing of the directory behind it is in the snapshot: write {typed}/ for that"
            ));
        } else {
            self.monitor.note(&format!(
                "{typed} is a symbolic link and stored as one: write {typed}/ for what is behind it"
            ));
        }
    }
}
