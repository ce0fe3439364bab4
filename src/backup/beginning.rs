//! What a run that knows no snapshot makes of the store that it finds.
//!
//! Local state may be lost: that costs room only, but cron would keep it to itself for ever, so it is a warning. Or the directory is the wrong
//! one, as it is full of other things or its disk is not mounted: that is refused, unless the run was told to begin a new store.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use super::BackupOptions;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::Database;
use crate::local::places::{self, Mount};
use crate::monitor::Counter;
use crate::wording::{count, future, shell_word};

/// What file systems, desktops and those who look after disks keep at the top of one, besides `.Trash` and `.Trash-1000`.
const OF_DISKS: [&str; 16] = [
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    "RECYCLER",
    "aquota.user",
    "aquota.group",
    ".DS_Store",
    ".Spotlight-V100",
    ".fseventsd",
    ".TemporaryItems",
    ".apdisk",
    ".directory",
    ".snapshot",
    ".snapshots",
    ".zfs",
    ".stfolder",
];

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
        monitor.warn(&format!(
            "there is no local state yet in {}, though {} has snapshots of other schemes: what they have is stored again; to share it, {rebuild} --deep \
             comes first",
            local.display(),
            store.display()
        ));
    }
}

/// Warns of snapshots of the scheme that are later than now: the clock was wrong once, or is wrong in this run, whose snapshot then has a
/// wrong name.
pub(super) fn warn_of_clock(
    database: &Database,
    options: &BackupOptions,
    now: Timestamp,
    monitor: &Counter<'_>,
) -> Result<()> {
    let names = database.snapshots()?;
    let of_scheme = names
        .iter()
        .filter(|name| name.scheme() == options.scheme && !name.is_checkpoint());
    let (later, past): (Vec<_>, Vec<_>) = of_scheme.partition(|name| name.instant() > now);
    let scheme = Some(options.scheme.as_str());
    let told = future::sentence(&later, !past.is_empty(), scheme, &options.store, now);
    if let Some(told) = told {
        monitor.warn(&told);
    }
    Ok(())
}

/// A directory for a store is full of other things: somebody mistyped it, or took it for the source.
#[derive(Debug)]
pub struct NotAStore {
    /// The directory.
    pub store: PathBuf,
    /// How many other things it has.
    pub others: u64,
    /// The name of one of them.
    pub such_as: OsString,
}

impl fmt::Display for NotAStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = count(self.others, "file");
        write!(
            f,
            "{} is no store: it has {others} that no store has, such as {}",
            self.store.display(),
            self.such_as.display()
        )
    }
}

impl std::error::Error for NotAStore {}

/// A store was on a file system that is not mounted now, and what is in its place is no store.
#[derive(Debug)]
pub struct Unmounted {
    /// The store's directory.
    pub store: PathBuf,
    /// What it was on.
    pub mount: Mount,
}

impl fmt::Display for Unmounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mount {
            point,
            kind,
            source,
        } = &self.mount;
        write!(
            f,
            "{} was a store on {source} ({kind}), which is not mounted on {} now",
            self.store.display(),
            point.display()
        )
    }
}

impl std::error::Error for Unmounted {}

/// Refuses a directory that would become a store by mistake, before anything is made in it.
pub(super) fn ensure_store(
    options: &BackupOptions,
    has_snapshots: impl FnOnce() -> bool,
) -> Result<()> {
    if options.new_store {
        return Ok(());
    }
    let store = &options.store;
    let others = match std::fs::read_dir(store) {
        Ok(entries) => match others(entries.flatten().map(|entry| entry.file_name())) {
            Some(others) => others,
            None => return Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        // A machine that may only add files cannot look.
        Err(_) => return Ok(()),
    };
    // Other programs keep theirs in a directory of its own.
    if has_snapshots() {
        return Ok(());
    }
    let mount = options.places.as_deref();
    let mount = mount.and_then(|file| places::remembered(file, store));
    if let Some(mount) = mount.filter(|mount| mount.is_gone(Mount::of(store).as_ref())) {
        let store = store.clone();
        return Err(Unmounted { store, mount }.into());
    }
    match others.iter().min() {
        Some(such_as) => Err(NotAStore {
            store: store.clone(),
            others: others.len() as u64,
            such_as: such_as.clone(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Returns what a directory has that no store has; none if it has files of a store or of local state.
fn others(names: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut others = Vec::new();
    for name in names {
        if super::is_own(name.as_encoded_bytes()) {
            return None;
        }
        if !is_of_disk(&name) {
            others.push(name);
        }
    }
    Some(others)
}

fn is_of_disk(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".Trash") || OF_DISKS.iter().any(|known| name == *known)
}
