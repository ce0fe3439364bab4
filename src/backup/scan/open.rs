//! Opening directories so that each is the one that was meant, and asking for the kind of file system that one is on.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::sys::statfs::fstatfs;

use super::identity;
use crate::backup::source::Source;
use crate::format::path::EntryPath;

/// File systems that show what the kernel knows, by the number that `statfs` gives their type. Nothing in them was written by
/// anybody; reading some of it has effects or no end. A tmpfs is not among them: what is in it is somebody's files.
const PSEUDO: &[(u32, &str)] = &[
    (0x0000_9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0000_1cd1, "devpts"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6265_6570, "configfs"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0xcafe_4a11, "bpf"),
    (0x6573_5543, "fusectl"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x1980_0202, "mqueue"),
    (0x9584_58f6, "hugetlbfs"),
    (0x6e73_6673, "nsfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0x0765_5821, "resctrl"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
];

/// Returns the name of the pseudo file system that a directory is on, if it is on one.
pub(in crate::backup) fn pseudo_file_system(directory: impl AsFd) -> Option<&'static str> {
    let kind = fstatfs(directory).ok()?.filesystem_type().0;
    // The kernel's numbers have 32 bits; the type of the field differs between architectures and may have a sign.
    let kind = i128::from(kind) & 0xffff_ffff;
    let known = PSEUDO
        .iter()
        .find(|(number, _)| i128::from(*number) == kind);
    known.map(|(_, name)| *name)
}

/// Why a directory cannot be walked.
pub(super) enum Closed {
    /// It is no longer the one that was looked at.
    Replaced,
    /// The kernel does not open it.
    Failed(Errno),
}

/// Opens for listing the directory that a stat is of.
pub(super) fn open_seen(
    parent: impl AsFd,
    name: &[u8],
    stat: &FileStat,
) -> Result<OwnedFd, Closed> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = openat(&parent, name, flags | OFlag::O_NOATIME, Mode::empty());
    // Only the owner may leave the access time alone.
    let opened = if matches!(opened, Err(Errno::EPERM)) {
        openat(&parent, name, flags, Mode::empty())
    } else {
        opened
    };
    match opened.and_then(|directory| Ok((fstat(&directory)?, directory))) {
        Ok((now, directory)) if identity(&now) == identity(stat) => Ok(directory),
        Ok(_) | Err(Errno::ELOOP | Errno::ENOTDIR | Errno::ENOENT) => Err(Closed::Replaced),
        Err(errno) => Err(Closed::Failed(errno)),
    }
}

/// Opens a source that is recorded under another name; only a directory can be named by itself.
pub(super) fn open_renamed(base: impl AsFd, source: &EntryPath, follow: bool) -> Result<OwnedFd> {
    let mut flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if !follow {
        flags |= OFlag::O_NOFOLLOW;
    }
    openat(base, source.as_bytes(), flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOTDIR | Errno::ELOOP => {
            anyhow!("{source} is no directory, and --as-path renames only directories")
        }
        _ => anyhow!("cannot open {source}: {}", errno.desc()),
    })
}

/// Opens a directory and makes sure that it is the one seen before.
pub(super) fn open_same(parent: &OwnedFd, name: &[u8], expected: (u64, u64)) -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty()).ok()?;
    (identity(&fstat(&directory).ok()?) == expected).then_some(directory)
}

/// Opens a regular file of a directory for reading, without following a link or waiting for anybody.
pub(super) fn open_file(directory: impl AsFd, name: &[u8]) -> std::io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::other("is not a regular file"))
    }
}

/// Tells whether a source is a directory, or leads to one where links are followed.
pub(in crate::backup) fn is_directory(base: &Path, source: &Source) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = base.join(std::ffi::OsStr::from_bytes(source.place().as_bytes()));
    let found = if source.follow {
        std::fs::metadata(path)
    } else {
        std::fs::symlink_metadata(path)
    };
    found.is_ok_and(|found| found.is_dir())
}

/// Tells, for a good error before anything else happens, whether a source is there.
pub(in crate::backup) fn exists(base: &Path, source: &EntryPath) -> std::io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let path = base.join(std::ffi::OsStr::from_bytes(source.as_bytes()));
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(e) => Err(e),
    }
}
