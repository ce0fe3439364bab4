//! Which mount something is in. The same file system may be mounted in several places, so its device alone does not tell.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatxFlags};

/// A mount, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    device: (u32, u32),
    /// Tells a directory that is mounted in a second place from what is around it; kernels before 5.8 do not say.
    id: Option<u64>,
}

/// Returns the mount that an open file is in.
pub(crate) fn mount(file: BorrowedFd<'_>) -> io::Result<Mount> {
    mount_at(file, c"", AtFlags::EMPTY_PATH)
}

/// Returns the mount that a name leads to, no link followed; also that of a user who does not let anybody look at it.
pub(crate) fn mount_of_name(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Mount> {
    mount_at(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn mount_at(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<Mount> {
    // Of what nobody may look at, the kernel tells nothing if it is asked for anything; these two it tells unasked.
    let told = rustix::fs::statx(directory, name, flags, StatxFlags::empty())?;
    let has_id = told.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Ok(Mount {
        device: (told.stx_dev_major, told.stx_dev_minor),
        id: has_id.then_some(told.stx_mnt_id),
    })
}
