//! Marks poorly used segments as expired: the conductor of `pileus clean`.
//!
//! It touches local state alone. The store is neither read nor changed: the next backup writes what is live of the marked segments
//! again, and once the snapshots that still need them are pruned, so are they. [`crate::local::utilization`] says what is marked;
//! [`lost`] marks what is damaged.

pub mod lost;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::local::database::{self, Database};
use crate::local::lock::{Lock, Waiting};
use crate::local::utilization::{self, Expiring};
use crate::store::dir::is_there;

/// What a cleaning does.
#[derive(Clone, Debug)]
pub struct CleanOptions {
    /// The directory of local state.
    pub local: PathBuf,
    /// Segments that are used less than this, as a part of 1, are marked.
    pub below: f64,
    /// Whether nothing is marked.
    pub dry_run: bool,
}

/// Returns the segments that were marked, those first that are most worth it; in a dry run those that would be.
pub fn run(options: &CleanOptions, now: Timestamp, waiting: &Waiting<'_>) -> Result<Vec<Expiring>> {
    let (lock, database) = open(&options.local, now, waiting)?;
    let now = lock.since().as_second();
    let expiring = utilization::poorly_used(&database, options.below, now)?;
    if !options.dry_run {
        utilization::mark(&database, &expiring)?;
    }
    // In this order: whoever gets the lock finds the database free.
    drop(database);
    drop(lock);
    Ok(expiring)
}

/// Opens local state that is there, under its lock.
fn open(directory: &Path, now: Timestamp, waiting: &Waiting<'_>) -> Result<(Lock, Database)> {
    if !has_local_state(directory)? {
        bail!(
            "there is no local state in {}: name the directory of the backups' --localdb, or the store if they have none",
            directory.display()
        );
    }
    let lock = Lock::take(directory, now, waiting)?;
    let database = Database::open(directory)?;
    Ok((lock, database))
}

/// Tells whether there is anything to clean yet. What cannot be looked at is not taken for missing.
pub fn has_local_state(directory: &Path) -> Result<bool> {
    is_there(&directory.join(database::FILE_NAME))
}
