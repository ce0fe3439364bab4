//! Gives a restored file its attributes: owner, then extended attributes, then mode, then times.
//!
//! The order is forced. A change of owner clears the set-id bits and the capabilities, so it comes first; a mode may take away
//! the write permission that setting an attribute needs, so it comes after; everything touches the times. An access control
//! list and the mode describe the same bits, and a mode set after the list it was read with leaves the list as it was.
//!
//! The set-user-id and set-group-id bits are set only for the owner they were stored with: on a file that stayed somebody
//! else's they would hand out that one's rights. Where they are left out, nothing is reported, as with `tar`.
//!
//! A file without an open descriptor is pinned (`O_PATH`) and reached through `/proc/self/fd`: a device or named pipe is never
//! opened, and a name that is swapped in between does not send one file's attributes to another. Whatever is reached has to be
//! of the entry's type. Numbers of users and groups inside access control lists are never translated by name.

mod acl;
mod names;
mod subject;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::stat::{FileStat, SFlag};

use self::names::NameCache;
pub(super) use self::subject::Subject;
use super::abilities::{Abilities, FileSystems, Granule, Lost};
use super::target;
use crate::format::entry::{Entry, EntryKind, FileTime};
use crate::format::escape;

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;

/// Prefix of the extended attributes that hold access control lists.
const ACL_PREFIX: &[u8] = b"system.posix_acl_";

/// Extended attribute that holds the capabilities of a program.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// Who owns what is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerPolicy {
    /// Whoever restores; no set-id bit survives.
    Keep,
    /// The stored numbers.
    Numbers,
    /// The numbers that the stored names have on this machine; the stored number where a name is unknown here.
    Names,
}

/// What is restored beside contents, mode and times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttributePolicy {
    pub(crate) owner: OwnerPolicy,
    pub(crate) xattrs: bool,
    /// Whether owners, and the attributes which only root may set, are worth trying.
    pub(crate) privileged: bool,
}

/// Sets attributes according to one policy; shared by all threads.
pub(crate) struct Attributes {
    policy: AttributePolicy,
    users: NameCache,
    groups: NameCache,
    skipped_xattrs: AtomicU64,
    file_systems: FileSystems,
}

impl Attributes {
    pub(crate) fn new(policy: AttributePolicy) -> Self {
        Self {
            policy,
            users: NameCache::of_users(),
            groups: NameCache::of_groups(),
            skipped_xattrs: AtomicU64::new(0),
            file_systems: FileSystems::default(),
        }
    }

    /// Returns how exactly the file system of a file in `parent` keeps times.
    pub(crate) fn granule(&self, parent: BorrowedFd<'_>, there: &FileStat) -> Granule {
        self.file_systems.abilities(parent, there.st_dev).granule
    }

    /// Returns where what is not kept is counted.
    pub(crate) fn file_systems(&self) -> &FileSystems {
        &self.file_systems
    }

    /// Sets everything that can be set and returns a sentence for each thing that could not, none if all is well.
    ///
    /// Works on `file` if there is one (a descriptor that is open for reading or writing), else on `name` in `parent`.
    pub(crate) fn apply(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        file: Option<BorrowedFd<'_>>,
        entry: &Entry,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let outcome = match file {
            Some(fd) => self.apply_to(parent, &Subject::open(fd), entry, &mut problems),
            None => target::pin(parent, name).and_then(|fd| {
                self.apply_to(parent, &Subject::pinned(fd.as_fd()), entry, &mut problems)
            }),
        };
        if let Err(e) = outcome {
            problems.push(format!("cannot reach it to set its attributes: {e}"));
        }
        problems
    }

    /// Returns the number of extended attributes that were left out because only root may set them.
    pub(crate) fn skipped_xattrs(&self) -> u64 {
        self.skipped_xattrs.load(Ordering::Relaxed)
    }

    fn apply_to(
        &self,
        parent: BorrowedFd<'_>,
        subject: &Subject<'_>,
        entry: &Entry,
        problems: &mut Vec<String>,
    ) -> io::Result<()> {
        let found = subject.stat()?;
        if target::file_type(&found) != file_type(&entry.kind) {
            problems.push(
                "something of another type is in its place, so its attributes are not set".into(),
            );
            return Ok(());
        }
        // A directory above may be one that keeps its times; this one gets its own in a moment.
        let place = match entry.kind {
            EntryKind::Directory => subject.fd(),
            _ => parent,
        };
        let abilities = self.file_systems.abilities(place, found.st_dev);
        let (found_mode, accessed) = (found.st_mode, accessed(&found));
        let allowed = self.set_owner(subject, found, entry, abilities, problems)?;
        let has_list = self.policy.xattrs
            && self.set_xattrs(subject, entry, allowed & SET_USER_ID != 0, problems);
        let mode = allowed & acl::mode(entry, has_list);
        // Linux has no mode of symbolic links.
        if matches!(entry.kind, EntryKind::Symlink { .. }) {
        } else if !abilities.modes {
            if found_mode & 0o777 != mode & 0o777 {
                self.file_systems.lose(Lost::Mode);
            }
        } else if let Err(e) = subject.set_mode(mode) {
            problems.push(format!("cannot set mode {mode:04o}: {e}"));
        }
        if abilities.granule.kept(entry.mtime) != entry.mtime {
            self.file_systems.lose(Lost::Fraction);
        }
        let accessed = (!abilities.mtime_alone).then_some(accessed);
        set_mtime(subject, entry.mtime, accessed, problems)
    }

    /// Sets the owner as far as the policy wants and allows it, and returns the mode bits that may be set now.
    fn set_owner(
        &self,
        subject: &Subject<'_>,
        mut found: FileStat,
        entry: &Entry,
        abilities: Abilities,
        problems: &mut Vec<String>,
    ) -> io::Result<u32> {
        let (user, group) = match self.policy.owner {
            OwnerPolicy::Keep => return Ok(!(SET_USER_ID | SET_GROUP_ID)),
            OwnerPolicy::Numbers => (entry.user.id, entry.group.id),
            OwnerPolicy::Names => (
                self.users.resolve(&entry.user),
                self.groups.resolve(&entry.group),
            ),
        };
        if self.policy.privileged && (found.st_uid, found.st_gid) != (user, group) {
            if !abilities.owners {
                self.file_systems.lose(Lost::Owner);
            } else if let Err(e) = subject.set_owner(user, group) {
                problems.push(format!("cannot set owner {user}:{group}: {e}"));
            } else {
                found = subject.stat()?;
                // A file system may ignore the call, and the kernel takes the largest number for "leave as it is".
                if (found.st_uid, found.st_gid) != (user, group) {
                    let (user_now, group_now) = (found.st_uid, found.st_gid);
                    problems.push(format!(
                        "cannot set owner {user}:{group}: it is still {user_now}:{group_now}"
                    ));
                }
            }
        }
        let mut allowed = !0;
        if found.st_uid != user {
            allowed &= !SET_USER_ID;
        }
        if found.st_gid != group {
            allowed &= !SET_GROUP_ID;
        }
        Ok(allowed)
    }

    /// Returns whether the access control list is set. Capabilities are rights like the set-id bits, so they too are for the stored
    /// owner (`owned`) alone.
    fn set_xattrs(
        &self,
        subject: &Subject<'_>,
        entry: &Entry,
        owned: bool,
        problems: &mut Vec<String>,
    ) -> bool {
        let (mut has_list, mut lost) = (false, false);
        self.remove_foreign(subject, entry, problems);
        for (name, value) in &entry.xattrs {
            let is_plain = name.starts_with(b"user.") || name.starts_with(ACL_PREFIX);
            if !is_plain && !self.policy.privileged || name == CAPABILITY && !owned {
                self.skipped_xattrs.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match subject.set_xattr(name, value) {
                Ok(()) => has_list |= name == acl::ACCESS,
                Err(e) if is_sound(name, value) && e.kind() == io::ErrorKind::Unsupported => {
                    lost = true;
                }
                Err(e) => {
                    let shown = escape(name);
                    problems.push(format!("cannot set extended attribute \"{shown}\": {e}"));
                }
            }
        }
        if lost {
            self.file_systems.lose(Lost::Xattr);
        }
        has_list
    }

    /// Removes attributes that the stored file did not have: those of a directory that was there, and access control lists, which the
    /// kernel copies from the default list of the directory above: they would let in others. What a system labels files with stays.
    fn remove_foreign(&self, subject: &Subject<'_>, entry: &Entry, problems: &mut Vec<String>) {
        // Where attributes cannot be listed there are none either.
        let Ok(present) = subject.xattr_names() else {
            return;
        };
        let is_foreign = |name: &[u8]| {
            let is_root_only = name.starts_with(b"trusted.") || name == CAPABILITY;
            name.starts_with(ACL_PREFIX)
                || name.starts_with(b"user.")
                || self.policy.privileged && is_root_only
        };
        for name in present.map(OsStringExt::into_vec) {
            if is_foreign(&name)
                && !entry.xattrs.iter().any(|(stored, _)| *stored == name)
                && let Err(e) = subject.remove_xattr(&name)
            {
                let shown = escape(&name);
                problems.push(format!("cannot remove extended attribute \"{shown}\": {e}"));
            }
        }
    }
}

/// Tells whether an attribute is one that only a file system refuses which has none of its kind.
fn is_sound(name: &[u8], value: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(ACL_PREFIX) && acl::is_list(value)
}

/// Sets the mode of a directory, without following a link.
pub(super) fn set_mode(parent: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    let pinned = target::pin(parent, name)?;
    let subject = Subject::pinned(pinned.as_fd());
    if target::file_type(&subject.stat()?) != SFlag::S_IFDIR {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    subject.set_mode(mode)
}

fn accessed(found: &FileStat) -> FileTime {
    FileTime {
        seconds: found.st_atime,
        nanoseconds: u32::try_from(found.st_atime_nsec).unwrap_or(0),
    }
}

fn set_mtime(
    subject: &Subject<'_>,
    mtime: FileTime,
    accessed: Option<FileTime>,
    problems: &mut Vec<String>,
) -> io::Result<()> {
    if let Err(e) = subject.set_mtime(mtime, accessed) {
        problems.push(format!("cannot set modification time: {e}"));
    } else if i32::try_from(mtime.seconds).is_err() || mtime.seconds < 0 {
        // The kernel silently takes the nearest time that the file system can hold; 1970 to 2038 is safe on all but FAT.
        let held = subject.stat()?.st_mtime;
        if held != mtime.seconds {
            let wanted = mtime.seconds;
            problems.push(format!(
                "modification time {wanted} s is out of the file system's range, it is now {held} s"
            ));
        }
    }
    Ok(())
}

fn file_type(kind: &EntryKind) -> SFlag {
    match kind {
        EntryKind::File(_) => SFlag::S_IFREG,
        EntryKind::Directory => SFlag::S_IFDIR,
        EntryKind::Symlink { .. } => SFlag::S_IFLNK,
        EntryKind::Fifo => SFlag::S_IFIFO,
        EntryKind::Socket => SFlag::S_IFSOCK,
        EntryKind::CharDevice(_) => SFlag::S_IFCHR,
        EntryKind::BlockDevice(_) => SFlag::S_IFBLK,
    }
}

#[cfg(test)]
mod tests;
