//! Entries of which the backup could not read all extended attributes: what the target has of them stays, since nobody knows that it should
//! not be there.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use super::attributes::{CAPABILITY, Subject};
use super::target;
use crate::format::entry::{Entry, Xattr};
use crate::monitor::Counter;
use crate::wording::count;

/// Returns what the file that an incomplete entry replaces, or the directory that it is restored to, has beyond it. Capabilities are not among
/// that: they are rights of a program, and the contents may be another one.
pub(super) fn living(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Vec<Xattr> {
    if !entry.incomplete {
        return Vec::new();
    }
    // What cannot be read here is not known of either: the restore goes on without.
    let Ok(pinned) = target::pin(parent, name) else {
        return Vec::new();
    };
    let there = Subject::pinned(pinned.as_fd());
    let Ok(names) = there.xattr_names() else {
        return Vec::new();
    };
    let names = names.map(OsStringExt::into_vec).filter(|name| {
        let mut stored = entry.xattrs.iter();
        name != CAPABILITY && !stored.any(|(stored, _)| stored == name)
    });
    let values = names.map(|name| {
        let value = there.xattr(&name).ok().flatten();
        (name, value)
    });
    values
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Says of how many entries the snapshot may lack extended attributes.
pub(super) fn tell(entries: u64, monitor: &Counter<'_>) {
    if entries > 0 {
        monitor.note(&format!(
            "{} without extended attributes that the backup could not read; such as were in the target stay there",
            count(entries, "entry")
        ));
    }
}
