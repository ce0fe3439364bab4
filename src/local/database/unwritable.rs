//! A copy of a database that cannot be written where it lies, such as in a read-only store: for a dry run, which has to change it to find
//! out what the run itself would do.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Database, FILE_NAME, NoRoom, Sharing};

/// The directory of a copy; dropped, it is removed.
pub(super) struct Copy(#[allow(dead_code, reason = "it is there to be dropped")] TempDir);

impl Database {
    /// Opens the database in `directory` for a run that commits nothing: a temporary copy of it, if it cannot be written.
    pub fn open_for_dry_run(directory: &Path) -> Result<Self> {
        match Self::open(directory) {
            Err(error) if is_closed(&error) => Self::open_copy(directory),
            opened => opened,
        }
    }

    fn open_copy(directory: &Path) -> Result<Self> {
        let copy = tempfile::tempdir().context("cannot make a directory for temporary files")?;
        // The log may have what the file has not yet.
        for companion in ["", "-wal"] {
            let name = format!("{FILE_NAME}{companion}");
            let path = directory.join(&name);
            match fs::copy(&path, copy.path().join(&name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => {
                    copied.with_context(|| {
                        format!(
                            "cannot copy {} to {}, since it cannot be written where it is",
                            path.display(),
                            copy.path().display()
                        )
                    })?;
                }
            }
        }
        let shown = directory.join(FILE_NAME).display().to_string();
        let connection = Connection::open(copy.path().join(FILE_NAME));
        let mut database = Self::begin(connection, shown, Sharing::No)?;
        database.copy = Some(Copy(copy));
        Ok(database)
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(PermissionDenied | ReadOnlyFilesystem)) || error.is::<NoRoom>()
}
