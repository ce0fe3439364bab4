//! What a run that knows no snapshot says of the store that it finds: local state may be lost, or the directory may be the wrong one.
//!
//! Both are allowed, and cost room or tidiness only; but cron would keep them to itself for ever, so they are warnings.

use std::ffi::OsStr;
use std::path::Path;

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
        warn_of_other_files(store, monitor);
        return;
    }
    let rebuild = format!(
        "pileus rebuild --dest={} --localdb={}",
        shell_word(store),
        shell_word(local)
    );
    let is_own = snapshots.any(|name| name.scheme() == scheme && !name.is_checkpoint());
    if is_own {
        monitor.warn(&format!(
            "there is no local state yet in {}, though {} has snapshots of this scheme: all is read and stored again; if it is elsewhere, \
             name it with --localdb; {rebuild} would make it from them",
            local.display(),
            store.display()
        ));
    } else {
        monitor.note(&format!(
            "there is no local state yet: all is read and stored; to share what other snapshots have, {rebuild} comes first"
        ));
    }
}

/// Whoever mistypes --dest, or takes it for the source, finds segments among other files.
fn warn_of_other_files(store: &Path, monitor: &Counter<'_>) {
    let entries = std::fs::read_dir(store).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let others: Vec<_> = names
        .filter(|name| !is_of_disk(name) && !super::is_own(name.as_encoded_bytes()))
        .collect();
    let Some(first) = others.iter().min() else {
        return;
    };
    monitor.warn(&format!(
        "{} has {} that no store has, such as {}, and gets those of a store beside them; such as --dest={} would keep them apart",
        store.display(),
        count(others.len() as u64, "file"),
        first.display(),
        shell_word(store.join("store"))
    ));
}

fn is_of_disk(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || OF_DISKS.iter().any(|known| name == *known)
}
