//! Turns what the kernel says about a file into an entry.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;

use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, SFlag, major, minor};
use nix::unistd::{Gid, Group, Uid, User};

use super::look_ahead::Found;
use super::scan::file_type;
use crate::format::entry::{DeviceNumber, Entry, EntryKind, FileContents, FileTime, Owner};
use crate::format::inode::InodeName;
use crate::format::path::EntryPath;
use crate::local::stat_cache::{Given, StatKey};

/// Names of users and groups, looked up once each.
#[derive(Default)]
pub(super) struct OwnerNames {
    users: HashMap<u32, Option<Vec<u8>>>,
    groups: HashMap<u32, Option<Vec<u8>>>,
}

impl OwnerNames {
    fn user(&mut self, id: u32) -> Owner {
        let look_up = || {
            User::from_uid(Uid::from_raw(id))
                .ok()
                .flatten()
                .map(|user| user.name.into_bytes())
        };
        Owner {
            id,
            name: self.users.entry(id).or_insert_with(look_up).clone(),
        }
    }

    fn group(&mut self, id: u32) -> Owner {
        let look_up = || {
            Group::from_gid(Gid::from_raw(id))
                .ok()
                .flatten()
                .map(|group| group.name.into_bytes())
        };
        Owner {
            id,
            name: self.groups.entry(id).or_insert_with(look_up).clone(),
        }
    }
}

/// Makes the entry of anything but a regular file, without extended attributes; the error says why it cannot be backed up.
pub(super) fn special(found: &Found<'_>, owners: &mut OwnerNames) -> Result<Entry, String> {
    let stat = &found.stat;
    let device = || DeviceNumber {
        major: number(major(stat.st_rdev)),
        minor: number(minor(stat.st_rdev)),
    };
    let kind = match file_type(stat) {
        SFlag::S_IFDIR => EntryKind::Directory,
        SFlag::S_IFLNK => {
            let target = readlinkat(found.parent, found.name)
                .map_err(|errno| format!("cannot read the link: {}", errno.desc()))?;
            EntryKind::Symlink {
                target: target.into_vec(),
            }
        }
        SFlag::S_IFIFO => EntryKind::Fifo,
        SFlag::S_IFSOCK => EntryKind::Socket,
        SFlag::S_IFCHR => EntryKind::CharDevice(device()),
        SFlag::S_IFBLK => EntryKind::BlockDevice(device()),
        _ => return Err("is of a type that cannot be backed up".to_owned()),
    };
    let mut entry = with_stat(found.path.clone(), kind, stat, owners);
    entry.partial = found.partial;
    Ok(entry)
}

/// Makes the entry of a regular file, without extended attributes.
pub(super) fn regular(
    path: &EntryPath,
    stat: &FileStat,
    contents: FileContents,
    owners: &mut OwnerNames,
) -> Entry {
    let mut entry = with_stat(path.clone(), EntryKind::File(contents), stat, owners);
    // Only regular files have contents that a later run may recognize by these; elsewhere they would only make logs longer.
    entry.ctime = Some(time(stat.st_ctime, stat.st_ctime_nsec));
    entry.inode = Some(inode(stat));
    entry
}

/// Makes the entry of what came through a pipe: its stat is made up, and tells no later run anything.
pub(super) fn piped(
    path: &EntryPath,
    stat: &FileStat,
    contents: FileContents,
    owners: &mut OwnerNames,
) -> Entry {
    with_stat(path.clone(), EntryKind::File(contents), stat, owners)
}

fn with_stat(path: EntryPath, kind: EntryKind, stat: &FileStat, owners: &mut OwnerNames) -> Entry {
    let directory = matches!(kind, EntryKind::Directory);
    // A directory's link count is that of its subdirectories; nothing can be linked to it.
    let links = if directory { 1 } else { stat.st_nlink };
    Entry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        user: owners.user(stat.st_uid),
        group: owners.group(stat.st_gid),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: None,
        inode: (links > 1).then(|| inode(stat)),
        links,
        volatile: false,
        partial: false,
        incomplete: false,
        xattrs: Vec::new(),
    }
}

/// Returns a kernel's time; its nanoseconds always count forward, also before 1970.
pub(super) fn time(seconds: i64, nanoseconds: i64) -> FileTime {
    FileTime {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    }
}

/// Returns the device of a file of which other paths may be hard links.
pub(super) fn link_device(stat: &FileStat) -> Option<u64> {
    let is_directory = file_type(stat) == SFlag::S_IFDIR;
    (stat.st_nlink > 1 && !is_directory).then_some(stat.st_dev)
}

/// Returns what of a stat tells whether a file changed.
pub(super) fn stat_key(stat: &FileStat) -> StatKey {
    // The size of anything but a file says nothing that its times do not say, and is not in the log, from which a key can be made too.
    let is_file = file_type(stat) == SFlag::S_IFREG;
    let size = if is_file { stat.st_size } else { 0 };
    StatKey {
        kind: u8::try_from((stat.st_mode >> 12) & 0xf).expect("4 bits"),
        size: u64::try_from(size).unwrap_or(0),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        inode: stat.st_ino,
        given: Some(given(stat)),
    }
}

/// Returns what else a stat gives.
fn given(stat: &FileStat) -> Given {
    let is_directory = file_type(stat) == SFlag::S_IFDIR;
    let is_device = matches!(file_type(stat), SFlag::S_IFCHR | SFlag::S_IFBLK);
    Given {
        mode: stat.st_mode & 0o7777,
        user: stat.st_uid,
        group: stat.st_gid,
        links: if is_directory { 1 } else { stat.st_nlink },
        device: if is_device { stat.st_rdev } else { 0 },
    }
}

fn inode(stat: &FileStat) -> Vec<u8> {
    let name = InodeName {
        major: number(major(stat.st_dev)),
        minor: number(minor(stat.st_dev)),
        inode: stat.st_ino,
    };
    name.to_string().into_bytes()
}

fn number(part: u64) -> u32 {
    u32::try_from(part).expect("Linux device numbers have 32-bit parts")
}
