//! What a run that knows no snapshot says of the store that it finds: local state may be lost, or the directory may be the wrong one.
//!
//! The one costs room only, but cron would keep it to itself for ever, so it is a warning. The other is refused: among files that a store
//! does not have, nobody finds its own again.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Result, bail};

use crate::format::snapshot_name::SnapshotName;
use crate::monitor::Counter;
use crate::wording::{count, shell_word};

/// What file systems and those who look after them keep at the top of a disk, besides names that begin with a dot.
const OF_DISKS: [&str; 3] = ["lost+found", "System Volume Information", "$RECYCLE.BIN"];

/// Looks at the store in which a run begins with nothing, and at the names of what was published there.
pub(super) fn look<'n>(
    store: &Path,
    snapshots: impl Iterator<Item = &'n SnapshotName>,
    local: &Path,
    scheme: &str,
    monitor: &Counter<'_>,
) {
    let mut snapshots = snapshots.peekable();
    if snapshots.peek().is_none() {
        return;
    }
    let is_own = snapshots.any(|name| name.scheme() == scheme && !name.is_checkpoint());
    if is_own {
        monitor.warn(&format!(
            "there is no local state yet in {}, though {} has snapshots of this scheme: all is read and stored again; if it is elsewhere, \
             name it with --localdb; pileus rebuild --dest={} --localdb={} would make it from them",
            local.display(),
            store.display(),
            shell_word(store),
            shell_word(local)
        ));
    } else {
        monitor.note("there is no local state yet: all is read and stored; to share what other snapshots have, pileus rebuild comes first");
    }
}

/// Refuses a directory that has files, but none of a store: whoever mistypes --dest, or takes it for the source, would find segments among
/// them. Whoever may only add files cannot list them, and backs up all the same.
pub(super) fn ensure_place_for_a_store(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut others = Vec::new();
    for name in entries.map(|entry| entry.file_name()) {
        if super::is_own(name.as_encoded_bytes()) {
            return Ok(());
        }
        if !is_of_disk(&name) {
            others.push(name);
        }
    }
    let Some(first) = others.iter().min() else {
        return Ok(());
    };
    bail!(
        "{} is no store, and has {} of its own, such as {}: choose an empty or a new directory, such as --dest={}",
        directory.display(),
        count(others.len() as u64, "file"),
        first.display(),
        shell_word(directory.join("store"))
    )
}

fn is_of_disk(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || OF_DISKS.iter().any(|known| name == *known)
}
