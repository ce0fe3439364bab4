//! Walks the sources in path order and hands over every path with its stat.
//!
//! Everything is looked up relative to the descriptor of its directory: no path is too long, and no directory that is swapped for
//! a symbolic link in mid-walk leads elsewhere. Only the top and the lowest [`OPEN_DIRECTORIES_MAX`] directories of the current path
//! stay open; another one is opened again through `..`, or from the top, and must then still be the same directory.
//!
//! What cannot be listed or looked at is a problem of its own path; the walk goes on.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::selection::Selection;
use super::source::Sources;
use crate::format::path::EntryPath;
use crate::monitor::Counter;

/// Directories of the current path that are kept open at once.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// A path that exists, as the scan found it.
pub(super) struct Found<'s> {
    /// Its path as stored.
    pub path: &'s EntryPath,
    /// The directory it is in.
    pub parent: BorrowedFd<'s>,
    /// Its name in that directory.
    pub name: &'s [u8],
    /// What `fstatat` said, symbolic links not followed (except for directories above a source).
    pub stat: FileStat,
}

/// A directory whose own files are left out of every backup: the store, and local state.
pub(super) struct OwnDirectory {
    /// Device and inode number.
    pub identity: (u64, u64),
    /// Tells the own files by name.
    pub is_own: fn(&[u8]) -> bool,
}

/// What a scan has to know.
pub(super) struct Scanner<'r> {
    /// What is left out.
    pub selection: &'r Selection,
    /// Where own files are.
    pub own_directories: &'r [OwnDirectory],
    /// Takes problems and notes.
    pub monitor: &'r Counter<'r>,
}

/// A directory that is being walked.
struct Level {
    path: EntryPath,
    /// `None` while too many deeper directories are open.
    directory: Option<OwnedFd>,
    identity: (u64, u64),
    names: Names,
    next: usize,
}

impl Scanner<'_> {
    /// Visits the directories above each source, the source, and all below it, in path order. A visitor's error ends the scan.
    pub(super) fn scan(
        &self,
        sources: &Sources,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut previous: Option<&EntryPath> = None;
        for source in &sources.paths {
            let base = File::open(&sources.base)
                .with_context(|| format!("cannot open {}", sources.base.display()))?;
            if source.is_root() {
                let stat = fstat(&base).context("cannot look at the source")?;
                visit(&Found {
                    path: source,
                    parent: base.as_fd(),
                    name: b".",
                    stat,
                })?;
                self.walk(source.clone(), base.into(), &stat, visit)?;
            } else {
                self.scan_source(base.into(), source, previous, visit)?;
            }
            previous = Some(source);
        }
        Ok(())
    }

    /// Visits one source, and before it those directories above it that the previous source did not already have.
    fn scan_source(
        &self,
        base: OwnedFd,
        source: &EntryPath,
        previous: Option<&EntryPath>,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let components: Vec<_> = source.components().collect();
        let (name, above) = components
            .split_last()
            .expect("a source that is not the root has a name");
        let mut directory = base;
        let mut path = EntryPath::root();
        for component in above {
            path = path.join(component);
            // Links above a source are followed: they are part of how the user named it. What is recorded is the directory.
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let opened = openat(&directory, *component, flags, Mode::empty());
            let inner = opened.with_context(|| format!("cannot open {path}"))?;
            if !previous.is_some_and(|p| p.is_within(&path)) {
                let stat = fstat(&inner).with_context(|| format!("cannot look at {path}"))?;
                visit(&Found {
                    path: &path,
                    parent: directory.as_fd(),
                    name: component,
                    stat,
                })?;
            }
            directory = inner;
        }
        if let Some(stat) = self.visit_name(&directory, name, source, visit)?
            && let Some(inner) = self.open_directory(directory.as_fd(), name, source, &stat)
        {
            self.walk(source.clone(), inner, &stat, visit)?;
        }
        Ok(())
    }

    /// Walks everything below an open directory.
    fn walk(
        &self,
        path: EntryPath,
        directory: OwnedFd,
        stat: &FileStat,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut levels = vec![self.list(path, directory, stat)];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.get(level.next) else {
                self.ascend(&mut levels);
                continue;
            };
            level.next += 1;
            let path = level.path.join(name);
            let directory = level
                .directory
                .as_ref()
                .expect("the lowest directory is open");
            let Some(stat) = self.visit_name(directory, name, &path, visit)? else {
                continue;
            };
            if let Some(inner) = self.open_directory(directory.as_fd(), name, &path, &stat) {
                levels.push(self.list(path, inner, &stat));
                if let Some(high @ 1..) = levels.len().checked_sub(OPEN_DIRECTORIES_MAX) {
                    levels[high].directory = None;
                }
            }
        }
        Ok(())
    }

    /// Looks at one name and visits it, unless it is left out; returns the stat of a directory to walk into.
    fn visit_name(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        path: &EntryPath,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<Option<FileStat>> {
        let stat = match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => {
                self.monitor
                    .problem(path.as_bytes(), "vanished while it was being backed up");
                return Ok(None);
            }
            Err(errno) => {
                self.monitor.problem(
                    path.as_bytes(),
                    format_args!("cannot look at it: {}", errno.desc()),
                );
                return Ok(None);
            }
        };
        let is_directory = file_type(&stat) == SFlag::S_IFDIR;
        if self.selection.excludes(path, is_directory) {
            return Ok(None);
        }
        visit(&Found {
            path,
            parent: directory.as_fd(),
            name,
            stat,
        })?;
        Ok(is_directory.then_some(stat))
    }

    /// Opens a directory for listing; `None` after telling the problem.
    fn open_directory(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &EntryPath,
        stat: &FileStat,
    ) -> Option<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(parent, name, flags | OFlag::O_NOATIME, Mode::empty());
        // Only the owner may leave the access time alone.
        let opened = if matches!(opened, Err(Errno::EPERM)) {
            openat(parent, name, flags, Mode::empty())
        } else {
            opened
        };
        let checked = opened.and_then(|directory| Ok((fstat(&directory)?, directory)));
        match checked {
            Ok((now, directory)) if identity(&now) == identity(stat) => return Some(directory),
            Ok(_) | Err(Errno::ELOOP | Errno::ENOTDIR | Errno::ENOENT) => {
                self.monitor.problem(
                    path.as_bytes(),
                    "was replaced while it was being backed up; its contents are left out",
                );
            }
            Err(errno) => {
                self.monitor.problem(
                    path.as_bytes(),
                    format_args!("cannot list the directory: {}", errno.desc()),
                );
            }
        }
        None
    }

    fn list(&self, path: EntryPath, directory: OwnedFd, stat: &FileStat) -> Level {
        let identity = identity(stat);
        let own = self
            .own_directories
            .iter()
            .find(|own| own.identity == identity);
        let names = Names::read(directory.as_fd(), |name| {
            own.is_some_and(|own| (own.is_own)(name))
        });
        let names = names.unwrap_or_else(|errno| {
            self.monitor.problem(
                path.as_bytes(),
                format_args!("cannot list the directory: {}", errno.desc()),
            );
            Names::default()
        });
        if names.left_out > 0 {
            self.monitor.note(&format!(
                "{path}: left out {} files of the store itself",
                names.left_out
            ));
        }
        Level {
            path,
            directory: Some(directory),
            identity,
            names,
            next: 0,
        }
    }

    /// Leaves the lowest directory; opens the one above it again if it was closed.
    fn ascend(&self, levels: &mut Vec<Level>) {
        let mut lower = levels.pop().and_then(|left| left.directory);
        while let Some(level) = levels.last().filter(|level| level.directory.is_none()) {
            let through_parent = lower
                .take()
                .and_then(|lower| open_same(&lower, b"..", level.identity));
            if let Some(directory) = through_parent.or_else(|| open_from_top(levels)) {
                levels.last_mut().expect("is there").directory = Some(directory);
            } else {
                self.monitor.problem(
                    level.path.as_bytes(),
                    "was moved while it was being backed up; the rest of it is left out",
                );
                levels.pop();
            }
        }
    }
}

/// Opens a directory and makes sure that it is the one seen before.
fn open_same(parent: &OwnedFd, name: &[u8], expected: (u64, u64)) -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty()).ok()?;
    (identity(&fstat(&directory).ok()?) == expected).then_some(directory)
}

/// Opens the lowest directory again by its names from the top one, which is always open.
fn open_from_top(levels: &[Level]) -> Option<OwnedFd> {
    let (top, below) = levels.split_first()?;
    let mut directory = top.directory.as_ref()?.try_clone().ok()?;
    for level in below {
        directory = open_same(&directory, level.path.split().1, level.identity)?;
    }
    Some(directory)
}

/// The sorted names of a directory, packed: a directory of a million files costs its names and 4 bytes each.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    /// Where each name begins in `bytes`, in path order; a name ends at a NUL.
    starts: Vec<u32>,
    left_out: u64,
}

impl Names {
    fn read(directory: BorrowedFd<'_>, leave_out: impl Fn(&[u8]) -> bool) -> Result<Self, Errno> {
        let mut names = Self::default();
        let mut stream = Dir::from_fd(
            directory
                .try_clone_to_owned()
                .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?,
        )?;
        for entry in stream.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if leave_out(name.to_bytes()) {
                names.left_out += 1;
                continue;
            }
            // Four billion bytes of names in one directory are beyond every file system.
            names
                .starts
                .push(u32::try_from(names.bytes.len()).map_err(|_| Errno::EOVERFLOW)?);
            names.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
        let bytes = &names.bytes;
        names
            .starts
            .sort_unstable_by_key(|&start| name_at(bytes, start));
        Ok(names)
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        self.starts
            .get(index)
            .map(|&start| name_at(&self.bytes, start))
    }
}

fn name_at(bytes: &[u8], start: u32) -> &[u8] {
    let rest = &bytes[start as usize..];
    let end = rest
        .iter()
        .position(|&b| b == 0)
        .expect("names are stored with their NUL");
    &rest[..end]
}

/// Returns what kind of file a stat is of.
pub(super) fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Returns what identifies a file while it is open: device and inode number.
pub(super) fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Tells, for a good error before anything else happens, whether a source is there.
pub(super) fn exists(base: &Path, source: &EntryPath) -> std::io::Result<bool> {
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
