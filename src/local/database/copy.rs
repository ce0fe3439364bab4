//! A copy of a local database, made while no run writes to it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};

use super::{FILE_NAME, explain};

/// What a copy is called until it is complete.
pub(in crate::local) const PART_SUFFIX: &str = "~part";

/// Copies the database of one directory to another. It appears there whole, or not at all.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let (source, target) = (from.join(FILE_NAME), to.join(FILE_NAME));
    let part = to.join(format!("{FILE_NAME}{PART_SUFFIX}"));
    let shown = source.display().to_string();
    let sql = |error| explain(error, &shown);
    drop(fs::remove_file(&part));
    // Private from the start; SQLite takes an empty file for none.
    let file = crate::local::open_private(&part)
        .map_err(|error| crate::local::cannot_open(error, &part))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&source, flags).map_err(sql)?;
    let path = part.to_str().context("its path is no text")?;
    connection.execute("VACUUM INTO ?1", [path]).map_err(sql)?;
    let placed = file.sync_all().and_then(|()| fs::rename(&part, &target));
    placed.with_context(|| format!("cannot write {}", target.display()))
}
