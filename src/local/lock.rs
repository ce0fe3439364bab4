//! One run at a time for each local state: a lock that the kernel releases when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::format::date::format_date;

/// Name of the lock file; its text tells who holds the lock, but only the kernel's lock on it counts.
pub const FILE_NAME: &str = "localdb.lock";

/// Another run holds the lock. Distinguished because the exit code differs (docs/manual.md, "Exit codes").
#[derive(Debug)]
pub struct Locked {
    /// What the holder wrote: process number and time.
    holder: String,
    directory: String,
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the local state in {} is in use by {}; try again when that run has ended",
            self.directory, self.holder
        )
    }
}

impl std::error::Error for Locked {}

/// The held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `directory` or fails at once with [`Locked`].
    pub fn take(directory: &Path, now: Timestamp) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        let shown = path.display();
        let opened = super::open_private(&path);
        let mut file = opened.map_err(|error| super::cannot_open(error, &path))?;
        hold(&file, directory)?;
        let text = format!(
            "process {} since {}\n",
            std::process::id(),
            format_date(now)
        );
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {shown}"))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock without leaving a trace, for a run that changes nothing; none if there is no lock to take.
    pub fn take_silently(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let file = match super::open_existing(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        hold(&file, directory)?;
        Ok(Some(Self { _file: file }))
    }
}

fn hold(file: &File, directory: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The text is a courtesy: without it the message is only less helpful.
            let told =
                { file }.take(200).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if told {
                holder.trim().to_owned()
            } else {
                "another process".to_owned()
            };
            Err(Locked {
                holder,
                directory: directory.display().to_string(),
            }
            .into())
        }
        Err(TryLockError::Error(error)) => {
            let path = directory.join(FILE_NAME);
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let now = Timestamp::new(1_795_288_702, 0).expect("in range");
        let held = Lock::take(dir.path(), now).expect("is free");
        let error = Lock::take(dir.path(), now).expect_err("is held");
        assert!(error.downcast_ref::<Locked>().is_some());
        assert!(
            error
                .to_string()
                .contains(&format!("process {} since 2026-11-21", std::process::id())),
            "{error}"
        );
        drop(held);
        Lock::take(dir.path(), now).expect("is free again");
    }
}
