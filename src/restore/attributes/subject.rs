//! The calls that give a file one attribute each, for an open file and for one that is only pinned (`O_PATH`).
//!
//! The kernel refuses most calls on a pinned descriptor (`EBADF`), so such a file is reached as `/proc/self/fd/N`. Resolving that
//! ends at the pinned file, a symbolic link included: it is not a link that is followed by its text.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{self as sys_stat, FchmodatFlags, FileStat, Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};
use xattr::FileExt as _;

use crate::format::entry::FileTime;

/// What attributes are given to.
pub(in crate::restore) struct Subject<'f> {
    fd: BorrowedFd<'f>,
    /// For a pinned file, on which the calls that take a descriptor fail: a name that the kernel resolves to exactly this
    /// file, without going on to where a symbolic link points.
    proc_path: Option<PathBuf>,
}

impl<'f> Subject<'f> {
    /// Makes a subject of a descriptor that is open for reading or writing.
    pub(super) fn open(fd: BorrowedFd<'f>) -> Self {
        let proc_path = None;
        Self { fd, proc_path }
    }

    /// Makes a subject of a descriptor that only pins a file.
    pub(in crate::restore) fn pinned(fd: BorrowedFd<'f>) -> Self {
        let proc_path = Some(format!("/proc/self/fd/{}", fd.as_raw_fd()).into());
        Self { fd, proc_path }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'f> {
        self.fd
    }

    pub(super) fn stat(&self) -> io::Result<FileStat> {
        Ok(sys_stat::fstat(self.fd)?)
    }

    pub(super) fn set_owner(&self, user: u32, group: u32) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        let itself = AtFlags::AT_EMPTY_PATH;
        Ok(fchownat(self.fd, "", Some(user), Some(group), itself)?)
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_bits_truncate(mode);
        let follow = FchmodatFlags::FollowSymlink;
        match &self.proc_path {
            Some(path) => through_proc(sys_stat::fchmodat(AT_FDCWD, path, mode, follow)),
            None => Ok(sys_stat::fchmod(self.fd, mode)?),
        }
    }

    /// Leaves the time of the last access alone, unless one is given: snapshots do not hold it, and nobody has read the file since it
    /// was made.
    pub(super) fn set_mtime(&self, mtime: FileTime, accessed: Option<FileTime>) -> io::Result<()> {
        let spec = |time: FileTime| TimeSpec::new(time.seconds, time.nanoseconds.into());
        let mtime = spec(mtime);
        let atime = accessed.map_or(TimeSpec::UTIME_OMIT, spec);
        let follow = UtimensatFlags::FollowSymlink;
        match &self.proc_path {
            Some(path) => through_proc(sys_stat::utimensat(AT_FDCWD, path, &atime, &mtime, follow)),
            None => Ok(sys_stat::futimens(self.fd, &atime, &mtime)?),
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        match &self.proc_path {
            Some(path) => through_proc(xattr::set_deref(path, name, value)),
            None => Open(self.fd).set_xattr(name, value),
        }
    }

    pub(super) fn remove_xattr(&self, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        match &self.proc_path {
            Some(path) => through_proc(xattr::remove_deref(path, name)),
            None => Open(self.fd).remove_xattr(name),
        }
    }

    pub(in crate::restore) fn xattr(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let name = OsStr::from_bytes(name);
        match &self.proc_path {
            Some(path) => xattr::get_deref(path, name),
            None => Open(self.fd).get_xattr(name),
        }
    }

    pub(in crate::restore) fn xattr_names(&self) -> io::Result<xattr::XAttrs> {
        match &self.proc_path {
            Some(path) => xattr::list_deref(path),
            None => Open(self.fd).list_xattr(),
        }
    }
}

/// Tells what is really missing: an open descriptor is always found in `/proc`, if that is there.
fn through_proc<E: Into<io::Error>>(result: Result<(), E>) -> io::Result<()> {
    result.map_err(Into::into).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(e.kind(), "this needs /proc to be mounted"),
        _ => e,
    })
}

/// Lends a descriptor to the crate `xattr`, which knows only `File`.
struct Open<'f>(BorrowedFd<'f>);

impl AsRawFd for Open<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl xattr::FileExt for Open<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn without_proc_the_error_says_so() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(dir.path()).expect("opens");
        let subject = Subject {
            fd: directory.as_fd(),
            proc_path: Some(dir.path().join("proc/self/fd/3")),
        };
        let time = FileTime {
            seconds: 0,
            nanoseconds: 0,
        };
        for result in [
            subject.set_mode(0o700),
            subject.set_mtime(time, None),
            subject.set_xattr(b"user.u", b""),
            subject.remove_xattr(b"user.u"),
        ] {
            let error = result.expect_err("nothing is there");
            assert_eq!(error.to_string(), "this needs /proc to be mounted");
        }
    }
}
