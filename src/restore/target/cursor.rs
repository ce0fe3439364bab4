//! Walks to the directories of a target, one component at a time, and remembers the way.
//!
//! One `openat2` with `RESOLVE_NO_SYMLINKS` would do for a short path; but paths may be longer than the 4,096 bytes that the
//! kernel takes, old kernels and some containers refuse the call, and most directories are next to the last one anyway.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{Mode, SFlag};

use super::{DIRECTORY, Target, component, file_type, stat};
use crate::format::escape;

/// Opens directories of the target one after the other; cheap when the next is the last one, below it, or near it.
///
/// One for each thread, and two where two directories are needed at once (hard links).
pub(crate) struct DirCursor<'t> {
    target: &'t Target,
    /// The directory opened last, as its path; empty for the target itself.
    path: Vec<u8>,
    /// The innermost directories of `path`, outermost first; the last one is `path` itself.
    open: Vec<OpenDirectory>,
}

struct OpenDirectory {
    /// Length of its path, which is a prefix of the cursor's.
    path_bytes: usize,
    fd: OwnedFd,
}

impl<'t> DirCursor<'t> {
    /// Most descriptors that a cursor keeps open. Leaving a directory that is deeper walks again from the target once in so
    /// many levels; with this number a chain of 2,000 directories is climbed with 60 opens a level.
    const KEPT: usize = 16;

    pub(crate) fn new(target: &'t Target) -> Self {
        Self {
            target,
            path: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Opens the directory `path`, of any length and depth, as `EntryPath` spells it; `.` is the target.
    ///
    /// Fails with the path of the component that is missing, is not a directory (a symbolic link to one neither) or may not be
    /// searched. Whether the last one may be searched shows only when it is used.
    pub(crate) fn enter(&mut self, path: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if path == b"." {
            return Ok(self.target.root.as_fd());
        }
        self.leave_towards(path);
        let rest = match self.path.len() {
            0 => path,
            entered if entered == path.len() => return Ok(self.current()),
            entered => &path[entered + 1..],
        };
        for name in rest.split(|&b| b == b'/') {
            self.descend(name)?;
        }
        Ok(self.current())
    }

    /// Closes directories up to the innermost open one that is `path` or above it.
    fn leave_towards(&mut self, path: &[u8]) {
        let common = self.path.iter().zip(path).take_while(|(a, b)| a == b);
        let common_bytes = common.count();
        let leads_to_path = |directory: &OpenDirectory| {
            let end = directory.path_bytes;
            end <= common_bytes && path.get(end).is_none_or(|&b| b == b'/')
        };
        while self.open.last().is_some_and(|d| !leads_to_path(d)) {
            self.open.pop();
        }
        let entered = self.open.last().map_or(0, |d| d.path_bytes);
        self.path.truncate(entered);
    }

    fn descend(&mut self, name: &[u8]) -> io::Result<()> {
        let flags = DIRECTORY | OFlag::O_NOFOLLOW;
        let fd = fcntl::openat(self.current(), component(name), flags, Mode::empty())
            .map_err(|errno| self.refusal(name, errno))?;
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        if self.open.len() == Self::KEPT {
            self.open.remove(0);
        }
        self.open.push(OpenDirectory {
            path_bytes: self.path.len(),
            fd,
        });
        Ok(())
    }

    fn current(&self) -> BorrowedFd<'_> {
        let innermost = self.open.last().map_or(&self.target.root, |d| &d.fd);
        innermost.as_fd()
    }

    /// Says why `name` in the current directory could not be opened.
    fn refusal(&self, name: &[u8], errno: Errno) -> io::Error {
        let shown = if self.path.is_empty() {
            escape(name)
        } else {
            format!("{}/{}", escape(&self.path), escape(name))
        };
        let cause = io::Error::from(errno);
        let text = match errno {
            // With O_PATH the kernel answers ENOTDIR for a link to a directory, too.
            Errno::ENOTDIR | Errno::ELOOP => match stat(self.current(), name) {
                Ok(Some(found)) if file_type(&found) == SFlag::S_IFLNK => {
                    format!("\"{shown}\" is a symbolic link, which a restore does not follow")
                }
                _ => format!("\"{shown}\" is not a directory"),
            },
            Errno::ENOENT => format!("directory \"{shown}\" does not exist"),
            // Opening with O_PATH asks nothing of the directory itself, only of the one that holds it.
            Errno::EACCES if self.path.is_empty() => {
                format!("target directory may not be searched: {cause}")
            }
            Errno::EACCES => {
                let holder = escape(&self.path);
                format!("directory \"{holder}\" may not be searched: {cause}")
            }
            _ => format!("cannot open directory \"{shown}\": {cause}"),
        };
        io::Error::new(cause.kind(), text)
    }
}

#[cfg(test)]
mod tests;
