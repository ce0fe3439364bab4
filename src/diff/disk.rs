//! The files on the disk as entries in path order: the newer side of a comparison.
//!
//! No symbolic link is followed below the root. Each directory of the present path is open, and everything is reached through it, so that
//! the length of a path does not matter; memory holds the names of these directories. What cannot be looked at is lost, like a part of a
//! damaged log.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};

use super::sources::Sources;
use crate::chosen::{Chosen, Relation};
use crate::format::checksum::{Checksum, Hasher};
use crate::format::entry::{DeviceNumber, Entry, EntryKind, FileContents, FileTime, Owner, Xattr};
use crate::format::path::EntryPath;
use crate::metadata_log::{EntryStream, LogError};
use crate::monitor::{Event, Monitor};
use crate::pattern::Pattern;
use crate::wording::count;

/// A walk over the disk.
pub(super) struct Disk<'r> {
    root: PathBuf,
    sources: Sources,
    chosen: Chosen,
    excluded: &'r [Pattern],
    monitor: &'r dyn Monitor,
    /// The directories of the present path, the root first; none before the walk.
    open: Vec<Level>,
    begun: bool,
    error: Option<LogError>,
}

/// A directory of which some names are still to come.
struct Level {
    path: EntryPath,
    directory: File,
    names: IntoIter<OsString>,
}

impl<'r> Disk<'r> {
    pub(super) fn new(
        root: &Path,
        sources: Sources,
        chosen: Chosen,
        excluded: &'r [Pattern],
        monitor: &'r dyn Monitor,
    ) -> Self {
        Self {
            root: root.to_owned(),
            sources,
            chosen,
            excluded,
            monitor,
            open: Vec::new(),
            begun: false,
            error: None,
        }
    }

    /// Returns the next entry, going into it if it is a directory; nothing for what is not looked at.
    fn visit(&mut self, path: EntryPath, at: &Path) -> Option<Result<Entry, LogError>> {
        let stat = match fs::symlink_metadata(at) {
            Ok(stat) => stat,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return Some(Err(lost(&path, "cannot look at it", &error))),
        };
        if self
            .excluded
            .iter()
            .any(|p| p.matches(&path, stat.is_dir()))
        {
            return None;
        }
        let mut entry = match entry(path, at, &stat) {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        entry.partial = self.sources.is_above(&entry.path);
        if stat.is_dir()
            && let Err(error) = self.enter(&entry.path, at)
        {
            self.error = Some(lost(&entry.path, "cannot list it", &error));
        }
        Some(Ok(entry))
    }

    fn enter(&mut self, path: &EntryPath, at: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut flags = OFlag::O_DIRECTORY;
        if !path.is_scan_root() {
            flags |= OFlag::O_NOFOLLOW;
        }
        let directory = options.read(true).custom_flags(flags.bits()).open(at)?;
        let mut names = Vec::new();
        let mut beside = 0_u64;
        for found in fs::read_dir(through(&directory, OsStr::new(".")))? {
            let name = found?.file_name();
            if self.chosen.relate(&path.join(name.as_bytes())) == Relation::Outside {
                continue;
            }
            if self.sources.has(path, name.as_bytes()) {
                names.push(name);
            } else if !path.is_scan_root() {
                beside += 1;
            }
        }
        if beside > 0 {
            let note = format!(
                "{path}: {} left out, since the snapshot has only a part of it; --only={path} compares all",
                count(beside, "name")
            );
            self.monitor.event(&Event::Note(&note));
        }
        names.sort_unstable();
        // Some file systems that are made of several list a name once for each.
        names.dedup();
        self.open.push(Level {
            path: path.clone(),
            directory,
            names: names.into_iter(),
        });
        Ok(())
    }
}

impl Iterator for Disk<'_> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.begun {
            self.begun = true;
            let root = self.root.join(".");
            if let Some(item) = self.visit(EntryPath::scan_root(), &root) {
                return Some(item);
            }
        }
        loop {
            if let Some(error) = self.error.take() {
                return Some(Err(error));
            }
            let level = self.open.last_mut()?;
            let Some(name) = level.names.next() else {
                self.open.pop();
                continue;
            };
            let path = level.path.join(name.as_bytes());
            let at = through(&level.directory, &name);
            if let Some(item) = self.visit(path, &at) {
                return Some(item);
            }
        }
    }
}

impl EntryStream for Disk<'_> {}

/// Returns a short path to a name in an open directory.
fn through(directory: &File, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(name);
    path
}

fn lost(path: &EntryPath, what: &str, error: &io::Error) -> LogError {
    LogError {
        subject: path.as_bytes().to_vec(),
        object: None,
        reason: format!("{what} on the disk: {error}"),
        no_room: None,
        is_repeated: false,
    }
}

fn entry(path: EntryPath, at: &Path, stat: &Metadata) -> Result<Entry, LogError> {
    let kind = match kind(at, stat) {
        Ok(kind) => kind,
        Err(error) => return Err(lost(&path, "cannot read the link", &error)),
    };
    let xattrs = match xattrs(at) {
        Ok(xattrs) => xattrs,
        Err(error) => return Err(lost(&path, "cannot read its extended attributes", &error)),
    };
    let owner = |id| Owner { id, name: None };
    let mtime = FileTime {
        seconds: stat.mtime(),
        nanoseconds: u32::try_from(stat.mtime_nsec()).unwrap_or(0),
    };
    Ok(Entry {
        path,
        kind,
        mode: stat.mode() & 0o7777,
        user: owner(stat.uid()),
        group: owner(stat.gid()),
        mtime,
        ctime: None,
        inode: None,
        links: if stat.is_dir() { 1 } else { stat.nlink() },
        volatile: false,
        partial: false,
        incomplete: false,
        xattrs,
    })
}

fn kind(at: &Path, stat: &Metadata) -> io::Result<EntryKind> {
    let number = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    let device = DeviceNumber {
        major: number(major(stat.rdev())),
        minor: number(minor(stat.rdev())),
    };
    let file_type = stat.file_type();
    Ok(if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_symlink() {
        EntryKind::Symlink {
            target: fs::read_link(at)?.into_os_string().into_vec(),
        }
    } else if file_type.is_fifo() {
        EntryKind::Fifo
    } else if file_type.is_socket() {
        EntryKind::Socket
    } else if file_type.is_char_device() {
        EntryKind::CharDevice(device)
    } else if file_type.is_block_device() {
        EntryKind::BlockDevice(device)
    } else {
        EntryKind::File(FileContents {
            size: stat.len(),
            checksum: None,
            data: Vec::new(),
        })
    })
}

fn xattrs(at: &Path) -> io::Result<Vec<Xattr>> {
    let names = match xattr::list(at) {
        Ok(names) => names,
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut xattrs = Vec::new();
    for name in names {
        if let Some(value) = xattr::get(at, &name)? {
            xattrs.push((name.into_vec(), value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Opens a regular file below `root` for reading; no component of `path` may be a symbolic link.
pub(super) fn open(root: &Path, path: &EntryPath) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    let mut directory = options.custom_flags(OFlag::O_DIRECTORY.bits()).open(root)?;
    let (above, name) = path.split();
    options.custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits());
    for component in above.split(|&b| b == b'/').filter(|name| *name != b".") {
        directory = options.open(through(&directory, OsStr::from_bytes(component)))?;
    }
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = options.open(through(&directory, OsStr::from_bytes(name)))?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no longer a regular file"))
    }
}

/// Tells whether a file has so many bytes and no more: the sizes of files that the kernel or a program makes up say nothing.
pub(super) fn ends_at(file: &File, bytes: u64) -> io::Result<bool> {
    let has_byte = |at| file.read_at(&mut [0], at).map(|count| count > 0);
    Ok((bytes == 0 || has_byte(bytes - 1)?) && !has_byte(bytes)?)
}

/// Tells whether a file has so many bytes with this checksum. No more than these are read, and what shows that there are more.
pub(super) fn has_contents(file: &mut File, bytes: u64, wanted: &Checksum) -> io::Result<bool> {
    let mut hasher = Hasher::new(wanted.algorithm());
    let mut buffer = vec![0; 256 << 10];
    let mut left = bytes;
    loop {
        let count = match file.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            return Ok(left == 0 && hasher.finish() == *wanted);
        }
        hasher.update(&buffer[..count]);
        match left.checked_sub(count as u64) {
            Some(rest) => left = rest,
            None => return Ok(false),
        }
    }
}
