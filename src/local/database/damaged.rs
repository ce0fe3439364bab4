//! A database that SQLite cannot make sense of: how that is told, and how it is put out of the way of a new one.
//!
//! It is never deleted: what is in it may help whoever finds out why. (What [`remove`] deletes is whole, and of no use any more.)

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::FILE_NAME;
use crate::wording::shell_word;

/// What is added to the name of a database that was set aside.
pub const SUFFIX: &str = ".damaged";

/// The error that says so.
#[derive(Debug)]
pub struct Damaged {
    path: String,
    reason: String,
    /// The store that the state is of, where it is known.
    store: Option<PathBuf>,
}

impl Damaged {
    pub(super) fn new(path: &str, reason: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
            store: None,
        }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            reason,
            store,
        } = self;
        let local = Path::new(path).parent().unwrap_or(Path::new(""));
        let local = shell_word(local);
        let (dest, which) = match store {
            Some(store) => (shell_word(store), ""),
            None => ("DIR".to_owned(), ", DIR being the store"),
        };
        // SQLite says the same of a disk that cannot read it.
        write!(
            f,
            "{path} is damaged, or the disk cannot read it ({reason}): pileus rebuild --dest={dest} --localdb={local} makes a new \
             one{which}; or move it away, then the next backup stores everything again"
        )
    }
}

impl std::error::Error for Damaged {}

/// Names the store in an error of a damaged database, so that its advice can be typed as it is; another error is left as it is.
pub(crate) fn with_store(error: anyhow::Error, store: &Path) -> anyhow::Error {
    match error.downcast::<Damaged>() {
        Ok(damaged) => {
            let store = Some(store.to_owned());
            Damaged { store, ..damaged }.into()
        }
        Err(other) => other,
    }
}

/// Removes the database in `directory`, which needs no room; nobody may have it open.
pub fn remove(directory: &Path) -> Result<()> {
    for companion in ["-wal", "-shm", ""] {
        let path = directory.join(format!("{FILE_NAME}{companion}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Renames the database in `directory`, in place of one that was set aside before; nobody may have it open.
pub fn set_aside(directory: &Path) -> Result<()> {
    // The log first: a new database must never find the one of an old one.
    for companion in ["-wal", "-shm", ""] {
        let name = format!("{FILE_NAME}{companion}");
        let path = directory.join(&name);
        let aside = directory.join(format!("{FILE_NAME}{SUFFIX}{companion}"));
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot rename {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
