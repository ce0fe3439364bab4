//! Walks the sources in path order and hands over every path with its stat.
//!
//! Everything is looked up relative to the descriptor of its directory: no path is too long, and no directory that is swapped for
//! a symbolic link in mid-walk leads elsewhere. Only the top and the lowest [`OPEN_DIRECTORIES_MAX`] directories of the current path
//! stay open; another one is opened again through `..`, or from the top, and must then still be the same directory.
//!
//! What cannot be listed or looked at is a problem of its own path; the walk goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::names::Names;
use super::selection::Selection;
use super::source::Sources;
use crate::format::path::EntryPath;
use crate::monitor::Counter;

/// Directories of the current path that are kept open at once.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// A path that exists, as the scan found it.
pub(super) struct Seen<'s> {
    /// Its path as stored.
    pub path: &'s EntryPath,
    /// The directory it is in.
    pub parent: &'s Arc<OwnedFd>,
    /// How to name it there.
    pub called: Called,
    /// What `fstatat` said, symbolic links not followed (except for directories above a source).
    pub stat: FileStat,
}

/// How a path is named relative to the directory that it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// By the last component of its path.
    ByItsName,
    /// `.`: it is that directory, whose name in the directory above may be that of a link.
    Itself,
}

/// A directory whose own files are left out of every backup: the store, and local state.
pub(super) struct OwnDirectory {
    /// Device and inode number.
    pub identity: (u64, u64),
    /// Tells the own files by name.
    pub is_own: fn(&[u8]) -> bool,
}

/// Takes every path that was found.
pub(super) type Visit<'v> = dyn FnMut(&Seen<'_>) -> Result<()> + 'v;

/// Walks sources.
pub(super) struct Scanner<'r> {
    sources: &'r Sources,
    selection: &'r Selection,
    own_directories: &'r [OwnDirectory],
    monitor: &'r Counter<'r>,
    /// Sources that were not met yet, and whether a link of that name is to be followed.
    awaited: RefCell<BTreeMap<EntryPath, bool>>,
}

/// A directory that is being walked.
struct Level {
    path: EntryPath,
    /// `None` while too many deeper directories are open.
    directory: Option<Arc<OwnedFd>>,
    identity: (u64, u64),
    names: Names,
    next: usize,
}

impl<'r> Scanner<'r> {
    /// Prepares a scan of `sources` without what `selection` leaves out and without the own files of `own_directories`.
    pub(super) fn new(
        sources: &'r Sources,
        selection: &'r Selection,
        own_directories: &'r [OwnDirectory],
        monitor: &'r Counter<'r>,
    ) -> Self {
        let awaited = sources
            .paths
            .iter()
            .map(|source| (source.path.clone(), source.follow))
            .collect();
        Self {
            sources,
            selection,
            own_directories,
            monitor,
            awaited: RefCell::new(awaited),
        }
    }

    /// Visits the directories above each source, the source, and all below it, in path order. A visitor's error ends the scan.
    /// A source that is left out, or lies behind a link inside another source, is a problem.
    pub(super) fn scan(&self, visit: &mut Visit<'_>) -> Result<()> {
        let mut previous: Option<&EntryPath> = None;
        for source in self.sources.paths.iter().map(|source| &source.path) {
            // One inside another was met on the way, or cannot be: its place in the order has passed.
            if previous.is_some_and(|previous| source.is_within(previous)) {
                continue;
            }
            let base = self.open_base(source)?;
            if source.is_scan_root() {
                self.awaited.borrow_mut().remove(source);
                let stat = fstat(&base).context("cannot look at the source")?;
                let base = Arc::new(OwnedFd::from(base));
                visit(&Seen {
                    path: source,
                    parent: &base,
                    called: Called::Itself,
                    stat,
                })?;
                self.walk(source.clone(), base, &stat, visit)?;
            } else {
                let base = Arc::new(OwnedFd::from(base));
                self.scan_source(base, source, previous, visit)?;
            }
            previous = Some(source);
        }
        for source in self.awaited.take().into_keys() {
            let reason = "was left out: a pattern excludes what it is in, or it lies behind a symbolic link in another PATH";
            self.monitor.problem(source.as_bytes(), reason);
        }
        Ok(())
    }

    /// Opens what the sources are relative to; for reading only if that is to be backed up itself.
    fn open_base(&self, source: &EntryPath) -> Result<File> {
        let access = if source.is_scan_root() {
            OFlag::O_RDONLY
        } else {
            OFlag::O_PATH
        };
        let flags = access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = open(&self.sources.base, flags, Mode::empty()).map_err(std::io::Error::from);
        opened
            .map(File::from)
            .with_context(|| format!("cannot open {}", self.sources.base.display()))
    }

    /// Visits one source, and before it those directories above it that the previous source did not already have.
    fn scan_source(
        &self,
        base: Arc<OwnedFd>,
        source: &EntryPath,
        previous: Option<&EntryPath>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let components: Vec<_> = source.components().collect();
        let (name, above) = components
            .split_last()
            .expect("a source that is not the scan root has a name");
        let mut directory = base;
        let mut path = EntryPath::scan_root();
        for component in above {
            path = path.join(component);
            // Links above a source are followed: they are part of how the user named it. What is recorded is the directory.
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let opened = openat(&directory, *component, flags, Mode::empty());
            let looked = opened.and_then(|inner| Ok((fstat(&inner)?, Arc::new(inner))));
            let (stat, inner) = match looked {
                Ok(found) => found,
                Err(errno) => {
                    self.awaited.borrow_mut().remove(source);
                    let reason = format_args!("cannot open {path} above it: {}", errno.desc());
                    self.monitor.problem(source.as_bytes(), reason);
                    return Ok(());
                }
            };
            if !previous.is_some_and(|previous| previous.is_within(&path)) {
                // Named by itself: its name above may be that of a link.
                visit(&Seen {
                    path: &path,
                    parent: &inner,
                    called: Called::Itself,
                    stat,
                })?;
            }
            directory = inner;
        }
        match self.visit_name(&directory, name, source, visit)? {
            Some((stat, inner)) => self.walk(source.clone(), inner, &stat, visit),
            None => Ok(()),
        }
    }

    /// Walks everything below an open directory.
    fn walk(
        &self,
        path: EntryPath,
        directory: Arc<OwnedFd>,
        stat: &FileStat,
        visit: &mut Visit<'_>,
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
            if let Some((stat, inner)) = self.visit_name(directory, name, &path, visit)? {
                levels.push(self.list(path, inner, &stat));
                if let Some(high @ 1..) = levels.len().checked_sub(OPEN_DIRECTORIES_MAX) {
                    levels[high].directory = None;
                }
            }
        }
        Ok(())
    }

    /// Looks at one name and visits it, unless it is left out; returns a directory to walk into, opened.
    fn visit_name(
        &self,
        directory: &Arc<OwnedFd>,
        name: &[u8],
        path: &EntryPath,
        visit: &mut Visit<'_>,
    ) -> Result<Option<(FileStat, Arc<OwnedFd>)>> {
        let awaited = self.awaited.borrow_mut().remove(path);
        if awaited.is_some() && self.is_own(directory, name) {
            self.monitor
                .note(&format!("{path} is left out: it is the store's own"));
            return Ok(None);
        }
        if awaited == Some(true) {
            return self.visit_behind(directory, name, path, visit);
        }
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
            if awaited.is_some() {
                self.monitor
                    .problem(path.as_bytes(), "was left out: a pattern excludes it");
            }
            return Ok(None);
        }
        if awaited.is_some() && file_type(&stat) == SFlag::S_IFLNK {
            self.monitor.note(&format!(
                "{path} is a symbolic link and stored as one: write {path}/ for what is behind it"
            ));
        }
        visit(&Seen {
            path,
            parent: directory,
            called: Called::ByItsName,
            stat,
        })?;
        Ok(if is_directory {
            self.open_directory(directory.as_fd(), name, path, &stat)
                .map(|inner| (stat, Arc::new(inner)))
        } else {
            None
        })
    }

    /// Visits the directory that a source named with a `/` at its end leads to.
    fn visit_behind(
        &self,
        directory: &Arc<OwnedFd>,
        name: &[u8],
        path: &EntryPath,
        visit: &mut Visit<'_>,
    ) -> Result<Option<(FileStat, Arc<OwnedFd>)>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = openat(directory, name, flags, Mode::empty());
        match opened.and_then(|inner| Ok((fstat(&inner)?, inner))) {
            Ok(_) if self.selection.excludes(path, true) => {
                self.monitor
                    .problem(path.as_bytes(), "was left out: a pattern excludes it");
                Ok(None)
            }
            Ok((stat, inner)) => {
                let inner = Arc::new(inner);
                visit(&Seen {
                    path,
                    parent: &inner,
                    called: Called::Itself,
                    stat,
                })?;
                Ok(Some((stat, inner)))
            }
            Err(errno) => {
                self.monitor.problem(
                    path.as_bytes(),
                    format_args!("cannot list the directory: {}", errno.desc()),
                );
                Ok(None)
            }
        }
    }

    /// Tells whether a source is one of the store's own files.
    fn is_own(&self, directory: &OwnedFd, name: &[u8]) -> bool {
        let identity = fstat(directory).map(|stat| identity(&stat));
        self.own_directories
            .iter()
            .any(|own| Ok(own.identity) == identity && (own.is_own)(name))
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

    fn list(&self, path: EntryPath, directory: Arc<OwnedFd>, stat: &FileStat) -> Level {
        let identity = identity(stat);
        let own = self
            .own_directories
            .iter()
            .find(|own| own.identity == identity);
        let leave_out = |name: &[u8]| own.is_some_and(|own| (own.is_own)(name));
        let (names, failed) = Names::read(directory.as_fd(), leave_out);
        if let Some(errno) = failed {
            let reason = format_args!("cannot list all of the directory: {}", errno.desc());
            self.monitor.problem(path.as_bytes(), reason);
        }
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
                levels.last_mut().expect("is there").directory = Some(Arc::new(directory));
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
    let mut directory = top.directory.as_ref()?.as_fd().try_clone_to_owned().ok()?;
    for level in below {
        directory = open_same(&directory, level.path.split().1, level.identity)?;
    }
    Some(directory)
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
