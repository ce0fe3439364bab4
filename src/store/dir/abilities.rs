//! What a store's file system can do: one table, filled by trying.
//!
//! Each form of a step is tried in the order of what it promises. One that the file system refuses is not tried again. What a refusal looks
//! like differs: `rclone mount` answers `link` with EIO, others say EINVAL, ENOSYS, EPERM or EOPNOTSUPP. So any error that a weaker form
//! could avoid leads to that form, and the error of the last one is reported. No form replaces a file.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};
use nix::unistd::{close, syncfs};

/// The table of one file system; shared by the workers that publish segments.
#[derive(Debug, Default)]
pub(super) struct Abilities(Mutex<Table>);

#[derive(Clone, Copy, Debug, Default)]
struct Table {
    naming: Naming,
    closes_first: bool,
    /// Of bytes, then of names.
    files: Syncing,
    directories: Syncing,
}

/// How a file gets its name without replacing another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Naming {
    /// A rename that refuses to replace.
    #[default]
    NoReplace,
    /// A second link, which never replaces; then the first one goes. For NFS and some file systems in user space.
    Link,
    /// A look, then a plain rename: names are random or a second apart. Where there are no hard links at all.
    Look,
}

/// How names and bytes become durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Syncing {
    /// One by one.
    #[default]
    Each,
    /// With the whole file system.
    FileSystem,
    /// Not that anybody could tell.
    Nothing,
}

impl Abilities {
    fn table(&self) -> Table {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Renames `from`, which is open as `file`, to a name beside it; an error of kind `AlreadyExists` if that is taken. Closes the file.
    pub(super) fn rename_no_replace(
        &self,
        directory: &File,
        file: File,
        from: &Path,
        to: &Path,
    ) -> io::Result<()> {
        let mut file = Some(file);
        loop {
            let Table {
                naming,
                closes_first,
                ..
            } = self.table();
            if closes_first && let Some(file) = file.take() {
                // Some report only now that a byte was not written.
                close(file)?;
            }
            let Err(error) = naming.rename(directory, from, to) else {
                return Ok(());
            };
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            // First closed, then renamed in a weaker way.
            let weaker = naming
                .weaker()
                .filter(|_| errno != Errno::EBUSY || closes_first);
            if is_final(errno) || weaker.is_none() && closes_first {
                return Err(error);
            }
            self.change(|table| match weaker {
                Some(weaker) => table.naming = weaker,
                None => table.closes_first = true,
            });
        }
    }

    /// Makes the bytes of a file durable.
    pub(super) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.sync(file, |table| &mut table.files)
    }

    /// Makes the names in an open directory durable.
    pub(super) fn sync_directory(&self, directory: &File) -> io::Result<()> {
        self.sync(directory, |table| &mut table.directories)
    }

    fn sync(&self, file: &File, of: fn(&mut Table) -> &mut Syncing) -> io::Result<()> {
        let mut table = self.table();
        loop {
            let syncing = of(&mut table);
            match syncing.sync(file) {
                Err(error) if is_refusal(&error) => *syncing = syncing.weaker(),
                synced => {
                    let found = *syncing;
                    self.change(|table| *of(table) = found);
                    return synced;
                }
            }
        }
    }

    /// Says what the file system cannot do, as the rest of a sentence about it; none if it can do all.
    pub(super) fn shortcomings(&self) -> Option<String> {
        let table = self.table();
        let mut lacks = Vec::new();
        match table.files.max(table.directories) {
            Syncing::Each => {}
            Syncing::FileSystem => {
                lacks.push("cannot make names durable one by one: all of it is synced instead");
            }
            Syncing::Nothing => {
                lacks.push("cannot be synced: a power failure may take away what was just written");
            }
        }
        if table.naming == Naming::Look {
            lacks.push(
                "has no rename that never replaces: each name is looked for before it is given",
            );
        }
        if table.closes_first {
            lacks.push("renames no open file: each is closed first");
        }
        (!lacks.is_empty()).then(|| lacks.join("; it "))
    }
}

impl Syncing {
    fn weaker(self) -> Self {
        match self {
            Self::Each => Self::FileSystem,
            Self::FileSystem | Self::Nothing => Self::Nothing,
        }
    }

    fn sync(self, file: &File) -> io::Result<()> {
        match self {
            Self::Each => file.sync_all(),
            Self::FileSystem => sync_file_system(file),
            Self::Nothing => Ok(()),
        }
    }
}

impl Naming {
    fn weaker(self) -> Option<Self> {
        match self {
            Self::NoReplace => Some(Self::Link),
            Self::Link => Some(Self::Look),
            Self::Look => None,
        }
    }

    fn rename(self, directory: &File, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::NoReplace => {
                let (from, to) = (file_name(from), file_name(to));
                let flags = RenameFlags::RENAME_NOREPLACE;
                renameat2(directory, from, directory, to, flags).map_err(io::Error::from)
            }
            Self::Link => {
                fs::hard_link(from, to)?;
                // The file has its name. A second one that cannot be taken away is a leftover like any other part file.
                drop(fs::remove_file(from));
                Ok(())
            }
            Self::Look => match fs::symlink_metadata(to) {
                Ok(_) => Err(io::Error::from(Errno::EEXIST)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
                Err(e) => Err(e),
            },
        }
    }
}

/// Whether no other way to give a name would help.
fn is_final(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EEXIST | Errno::ENOENT | Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS
    )
}

/// Whether a file system says that it does not sync what it was asked to. What may be lost is not said that way.
fn is_refusal(error: &io::Error) -> bool {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    matches!(
        errno,
        Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EBADF | Errno::EISDIR
    )
}

/// Makes everything durable of the file system that a file is in.
pub(super) fn sync_file_system(file: &File) -> io::Result<()> {
    syncfs(file).map_err(io::Error::from)
}

/// Makes the name of a new directory durable: without it, a snapshot in it would be lost with the power, however well its files were
/// synced.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    // Seen from inside, so that `.` and `/` have a directory above them too.
    match File::open(path.join("..")) {
        Ok(above) => Abilities::default().sync_directory(&above),
        // One that may not be read can be synced with its file system, which is that of the new directory.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            sync_file_system(&File::open(path)?)
        }
        Err(e) => Err(e),
    }
}

fn file_name(path: &Path) -> &std::ffi::OsStr {
    path.file_name()
        .expect("paths in a store end in a file name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_to_give_a_name_replaces_a_file_and_each_gives_a_free_one() {
        for naming in [Naming::NoReplace, Naming::Link, Naming::Look] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let path = |name: &str| dir.path().join(name);
            let directory = File::open(dir.path()).expect("opens");
            for (name, renamed) in [("taken", false), ("free", true)] {
                fs::write(path("taken"), "old").expect("writes");
                fs::write(path("part"), "new").expect("writes");
                let abilities = Abilities::default();
                abilities.change(|table| table.naming = naming);
                let file = File::open(path("part")).expect("opens");
                let done =
                    abilities.rename_no_replace(&directory, file, &path("part"), &path(name));
                let kind = done.map_err(|error| error.kind());
                let wanted = if renamed {
                    Ok(())
                } else {
                    Err(io::ErrorKind::AlreadyExists)
                };
                assert_eq!(kind, wanted, "{naming:?}");
                assert_eq!(
                    fs::read(path("taken")).expect("reads"),
                    b"old",
                    "{naming:?}"
                );
                assert_eq!(path("part").exists(), !renamed, "{naming:?}");
            }
            assert_eq!(fs::read(path("free")).expect("reads"), b"new", "{naming:?}");
        }
    }
}
