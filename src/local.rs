//! Local state: what this machine remembers of a store, so that backups need not read it.
//!
//! One directory (by default the store's own) with the local database ([`database`]), a stat cache for each scheme
//! ([`stat_cache`]) and a lock ([`lock`]). It is only a cache: losing it loses no snapshot and no file, the next backup merely
//! stores again what it no longer recognizes.
//! docs/local-state.md describes the files.

pub mod adopt;
pub mod database;
pub mod lock;
pub mod places;
pub mod signature;
pub mod stat_cache;
pub mod utilization;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a file of local state, making it readable for its owner alone: which blocks somebody has is nobody else's business. A
/// symbolic link of that name is refused: whoever may write to the directory could have any file overwritten with it.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)
}

/// Says why a file of local state cannot be opened, and what to do where it cannot be written.
fn cannot_open(error: io::Error, path: &Path) -> anyhow::Error {
    let kind = error.kind();
    let error = anyhow::Error::new(error).context(format!("cannot open {}", path.display()));
    let is_closed = matches!(
        kind,
        io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            // The directory is there: it takes no files, like /proc.
            | io::ErrorKind::NotFound
    );
    match path.parent().filter(|_| is_closed) {
        Some(directory) => error.context(format!(
            "no local state can be kept in {}: name another directory for it with --localdb",
            directory.display()
        )),
        None => error,
    }
}

/// Opens a file of local state for reading, if it is there. Whatever else stands in its place is neither followed nor waited for.
fn open_existing(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("is not a regular file"))
    }
}

/// Tells whether a file name is one of local state.
#[must_use]
pub fn is_local_file(name: &str) -> bool {
    name == lock::FILE_NAME
        || stat_cache::is_stat_cache(name)
        || name.strip_prefix(database::FILE_NAME).is_some_and(|rest| {
            matches!(
                rest,
                "" | "-wal" | "-shm" | "-journal" | database::PART_SUFFIX
            )
        })
}
