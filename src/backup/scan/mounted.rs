//! What is mounted below a source, for `--one-file-system`: another file system, or a part of the same one in a second place.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use super::Scanner;
use crate::format::path::EntryPath;
use crate::mount::{self, Mount};

impl Scanner<'_> {
    /// Tells whether something that cannot be looked at is another mount, and these are left out.
    pub(super) fn is_mount_to_leave_out(&self, directory: &OwnedFd, name: &[u8]) -> bool {
        let of_name = || {
            let name = CString::new(name).ok()?;
            mount::mount_of_name(directory.as_fd(), &name).ok()
        };
        let around = || mount::mount(directory.as_fd()).ok();
        self.selection.one_file_system
            && matches!((of_name(), around()), (Some(here), Some(around)) if here != around)
    }

    pub(super) fn note_mount(&self, path: &EntryPath) {
        self.monitor.note(&format!(
            "{path}: what is in it is left out: it is another file system, or one that is mounted here too"
        ));
    }
}

/// Tells whether an open directory is in another mount than what is around it, if that is known.
pub(super) fn is_other(directory: &OwnedFd, around: Option<Mount>) -> bool {
    let here = around.and_then(|_| mount::mount(directory.as_fd()).ok());
    here.is_some() && here != around
}
