//! The directory that a restore writes into, and everything that is done in it by name.
//!
//! Neither the store nor the target is trusted: a hostile store may hold two entries of one path, or a symbolic link where the
//! next entry expects a directory, and whoever else may write to the target can swap any name at any moment. So no call here
//! gives the kernel more than one component, each is relative to the descriptor of its directory, and none follows a symbolic
//! link or creates over what exists. A descriptor goes on meaning the directory it was opened as, wherever that is moved to.
//!
//! The one path that is resolved as usual, links and all, is the target itself: it comes from the user.
//!
//! Directories are held as `O_PATH` descriptors, which need no read permission and serve every `*at` call, but neither
//! `fchmod` nor `fsync` nor reading the names. Errors of single calls come back as the kernel's, for the caller to say what was
//! tried; errors that need more than that say it in their text.

mod cursor;

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{self as sys_stat, FileStat, Mode, SFlag};
use nix::unistd::{self, UnlinkatFlags};

pub(crate) use self::cursor::DirCursor;
use crate::format::entry::{DeviceNumber, EntryKind};
use crate::format::escape;

/// How every directory is opened.
const DIRECTORY: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Permissions while a restore is under way: nobody else sees contents before the attributes are set.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The directory that everything of a restore is created below.
pub(crate) struct Target {
    root: OwnedFd,
    made: Made,
}

impl Target {
    /// Opens the directory `path` if it is there; fails if it could not be made either.
    pub(crate) fn open_existing(path: &Path) -> anyhow::Result<Option<Self>> {
        let above = path.parent().filter(|above| *above != Path::new(""));
        match std::fs::symlink_metadata(path) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && above.is_none_or(Path::is_dir) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context(format!(
                "cannot look at target \"{}\"",
                escape(path.as_os_str().as_bytes())
            )),
            Ok(_) => Self::open(path).map(Some),
        }
    }

    /// Opens the directory `path`; creates it, for the user alone, if only its last component is missing.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = escape(path.as_os_str().as_bytes());
        let (root, made) = match fcntl::open(path, DIRECTORY, Mode::empty()) {
            Ok(root) => (root, Made::Existed),
            Err(Errno::ENOENT) => (create_root(path, &shown)?, Made::Created),
            Err(Errno::ENOTDIR) => {
                bail!("target \"{shown}\" is not a directory; name a directory to restore into")
            }
            Err(errno) => {
                return Err(io::Error::from(errno))
                    .context(format!("cannot open target directory \"{shown}\""));
            }
        };
        Ok(Self { root, made })
    }

    /// Tells whether the directory is new.
    pub(crate) fn made(&self) -> Made {
        self.made
    }

    /// Removes the directory if it was created as `path`, is there still, and has nothing in it.
    pub(crate) fn remove_if_made_for_nothing(self, path: &Path) {
        let is_it = |found: std::fs::Metadata| {
            sys_stat::fstat(&self.root)
                .is_ok_and(|own| (own.st_dev, own.st_ino) == (found.dev(), found.ino()))
        };
        if self.made == Made::Created && std::fs::symlink_metadata(path).is_ok_and(is_it) {
            // Whoever put something into it meanwhile keeps it: the kernel removes no directory that has anything in it.
            drop(std::fs::remove_dir(path));
        }
    }
}

fn create_root(path: &Path, shown: &str) -> anyhow::Result<OwnedFd> {
    match unistd::mkdir(path, Mode::S_IRWXU) {
        Ok(()) => {}
        Err(Errno::ENOENT) if path.parent().is_some_and(Path::is_dir) => bail!(
            "target \"{shown}\" cannot be made: the file system there takes no new directories; name another place"
        ),
        Err(Errno::ENOENT) => bail!(
            "target \"{shown}\" does not exist, nor does the directory that would hold it; create that one first (mkdir -p)"
        ),
        Err(Errno::EEXIST) => bail!(
            "target \"{shown}\" is a symbolic link that leads nowhere; remove it or name another directory"
        ),
        Err(errno) => {
            return Err(io::Error::from(errno))
                .context(format!("cannot create target directory \"{shown}\""));
        }
    }
    fcntl::open(path, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
        .map_err(io::Error::from)
        .context(format!("cannot open target directory \"{shown}\""))
}

/// Whether a directory is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It was created, for the user alone.
    Created,
    /// It was there, with whatever it holds.
    Existed,
}

/// Creates a directory unless there is one; fails with `AlreadyExists` if the name is taken by anything else.
pub(crate) fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Made> {
    match sys_stat::mkdirat(parent, component(name), Mode::S_IRWXU) {
        Ok(()) => Ok(Made::Created),
        Err(Errno::EEXIST) => match stat(parent, name)? {
            Some(found) if file_type(&found) == SFlag::S_IFDIR => Ok(Made::Existed),
            _ => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is not a directory is there",
            )),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// Creates an empty file to write to; fails with `AlreadyExists` if the name is taken, be it by a dangling link.
pub(crate) fn create_file(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags =
        OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let fd = fcntl::openat(parent, component(name), flags, PRIVATE)?;
    Ok(File::from(fd))
}

/// Creates an empty file without a name, where the file system can.
pub(crate) fn create_nameless(directory: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let fd = fcntl::openat(directory, ".", flags, PRIVATE)?;
    Ok(File::from(fd))
}

/// Opens a regular file that this restore created earlier, to go on writing; fails with `InvalidInput` if it is anything else.
pub(crate) fn open_file(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file any more");
    let is_file = |found: &FileStat| file_type(found) == SFlag::S_IFREG;
    // Before opening, because opening a device can act on it (a tape rewinds); after it, because the name may have been swapped.
    if stat(parent, name)?.is_some_and(|found| !is_file(&found)) {
        return Err(no_file());
    }
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fd = fcntl::openat(parent, component(name), flags, Mode::empty())?;
    if !is_file(&sys_stat::fstat(&fd)?) {
        return Err(no_file());
    }
    Ok(File::from(fd))
}

/// Opens a regular file of the target to read it.
pub(crate) fn open_to_read(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    if stat(parent, name)?.is_none_or(|found| file_type(&found) != SFlag::S_IFREG) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fd = fcntl::openat(parent, component(name), flags, Mode::empty())?;
    Ok(File::from(fd))
}

/// Creates a symbolic link, named pipe, socket or device.
pub(crate) fn make_special(
    parent: BorrowedFd<'_>,
    name: &[u8],
    kind: &EntryKind,
) -> io::Result<()> {
    let (kind, number) = match kind {
        EntryKind::Symlink { target } => {
            return Ok(unistd::symlinkat(
                target.as_slice(),
                parent,
                component(name),
            )?);
        }
        EntryKind::Fifo => (SFlag::S_IFIFO, 0),
        EntryKind::Socket => (SFlag::S_IFSOCK, 0),
        EntryKind::CharDevice(number) => (SFlag::S_IFCHR, device(*number)?),
        EntryKind::BlockDevice(number) => (SFlag::S_IFBLK, device(*number)?),
        EntryKind::File(_) | EntryKind::Directory => {
            let text = "files and directories are not created as special files";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    };
    let made = sys_stat::mknodat(parent, component(name), kind, PRIVATE, number);
    if made.is_err_and(|errno| errno != Errno::EEXIST) {
        remove_stillborn(parent, name);
    }
    Ok(made?)
}

/// Removes the empty file that some file systems leave under the name of what they could not make (exfat-fuse).
fn remove_stillborn(parent: BorrowedFd<'_>, name: &[u8]) {
    if let Ok(Some(there)) = stat(parent, name)
        && file_type(&there) == SFlag::S_IFREG
        && there.st_size == 0
    {
        drop(remove(parent, name));
    }
}

/// Checks the range first: Linux has 12 bits of major and 20 of minor number, and some C libraries cut off what is above.
fn device(number: DeviceNumber) -> io::Result<u64> {
    let DeviceNumber { major, minor } = number;
    if major >= 1 << 12 || minor >= 1 << 20 {
        let text = format!("device number {major}/{minor} is out of range");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(sys_stat::makedev(major.into(), minor.into()))
}

/// Gives a file, or a symbolic link itself, a second name.
pub(crate) fn hard_link(
    from_parent: BorrowedFd<'_>,
    from_name: &[u8],
    to_parent: BorrowedFd<'_>,
    to_name: &[u8],
) -> io::Result<()> {
    let (from, to) = (component(from_name), component(to_name));
    Ok(unistd::linkat(
        from_parent,
        from,
        to_parent,
        to,
        AtFlags::empty(),
    )?)
}

/// Makes something under `name` with `make`; where it is to replace something, under a temporary name first, so that what was
/// there is gone only when the new thing exists.
pub(crate) fn place(
    parent: BorrowedFd<'_>,
    name: &[u8],
    replace: bool,
    make: impl FnOnce(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if !replace {
        return make(name);
    }
    let temporary = format!(".pileus-{}.part", std::process::id()).into_bytes();
    make(&temporary)?;
    rename(parent, &temporary, name, true)
        .map_err(|error| clear_away(error, &temporary, &remove(parent, &temporary)))
}

/// Adds to an error that a temporary file is left over, if it could not be removed: a directory may allow nothing but new names.
pub(crate) fn clear_away(error: io::Error, name: &[u8], removed: &io::Result<()>) -> io::Error {
    match removed {
        Ok(()) => error,
        Err(_) => io::Error::new(
            error.kind(),
            format!(
                "{error}, and \"{}\" beside it cannot be removed",
                escape(name)
            ),
        ),
    }
}

/// Renames within a directory; without `replace` it fails with `AlreadyExists` if the new name is taken.
pub(crate) fn rename(
    parent: BorrowedFd<'_>,
    from: &[u8],
    to: &[u8],
    replace: bool,
) -> io::Result<()> {
    let (from, to) = (component(from), component(to));
    if replace {
        return Ok(fcntl::renameat(parent, from, parent, to)?);
    }
    match fcntl::renameat2(parent, from, parent, to, RenameFlags::RENAME_NOREPLACE) {
        // Some file systems cannot; a second link, which never replaces, comes to the same.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
            match hard_link(parent, from, parent, to) {
                Ok(()) => remove(parent, from),
                // Nor can they link, as exFAT: then a look has to do.
                Err(error) if cannot_link(&error) => match stat(parent, to)? {
                    Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    None => Ok(fcntl::renameat(parent, from, parent, to)?),
                },
                Err(error) => Err(error),
            }
        }
        renamed => Ok(renamed?),
    }
}

/// Tells whether a hard link failed since there cannot be one: a file system without links, another file system, too many links.
pub(crate) fn cannot_link(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EPERM | Errno::EXDEV | Errno::EMLINK | Errno::EOPNOTSUPP | Errno::ENOSYS)
    )
}

/// Removes anything but a directory.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(unistd::unlinkat(
        parent,
        component(name),
        UnlinkatFlags::NoRemoveDir,
    )?)
}

/// Removes an empty directory.
pub(crate) fn remove_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(unistd::unlinkat(
        parent,
        component(name),
        UnlinkatFlags::RemoveDir,
    )?)
}

/// Opens a directory that is held already once more, to read its names.
pub(crate) fn open_to_list(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(fcntl::openat(directory, ".", flags, Mode::empty())?)
}

/// Returns what is known of a name, of a symbolic link itself; `None` if there is no such name.
pub(crate) fn stat(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<FileStat>> {
    match sys_stat::fstatat(parent, component(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Holds on to whatever `name` is at this moment, without opening it: no device notices, and no later swap of the name matters.
///
/// `.` is the directory itself.
pub(crate) fn pin(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let name = if name == b"." { name } else { component(name) };
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(fcntl::openat(parent, name, flags, Mode::empty())?)
}

/// Returns the type bits of a mode.
pub(crate) fn file_type(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits())
}

/// Passes on a name which `EntryPath` has checked already.
fn component(name: &[u8]) -> &[u8] {
    debug_assert!(
        !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/'),
        "\"{}\" is not one component",
        escape(name)
    );
    name
}

#[cfg(test)]
pub(super) mod tests;
