//! Local state that moves out of the store: a run that names a new directory for it begins with what the store's directory has.
//!
//! The first backups are often made without `--localdb`, and the nightly ones with it. Without the copy, everything would be stored again. The
//! old files stay where they are; like any other copy that grows old, they harm nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::database::{self, FILE_NAME};
use super::lock::Lock;
use super::stat_cache;

/// Copies local state from one directory to another, which has none. Returns whether there was anything to copy.
///
/// The database comes last: without it, a copied stat cache is not believed.
pub fn adopt(from: &Path, to: &Path, now: Timestamp) -> Result<bool> {
    if !from.join(FILE_NAME).is_file() || to.join(FILE_NAME).exists() {
        return Ok(false);
    }
    let lock = Lock::try_take_silently(from, now)?;
    let copying = || format!("cannot copy local state from {}", from.display());
    for entry in fs::read_dir(from).with_context(copying)? {
        let name = entry.with_context(copying)?.file_name();
        let is_whole = |name: &str| stat_cache::is_stat_cache(name) && !name.contains('~');
        if name.to_str().is_some_and(is_whole) {
            copy_private(&from.join(&name), &to.join(&name)).with_context(copying)?;
        }
    }
    database::copy(from, to)?;
    drop(lock);
    Ok(true)
}

fn copy_private(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = super::open_existing(from)?;
    let mut target = super::open_private(to)?;
    target.set_len(0)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}
