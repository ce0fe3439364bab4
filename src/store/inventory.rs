//! Every file of a store with its size and age: what is needed to tell which of them nothing refers to.
//!
//! [`super::catalog`] finds for a reader the one file to use; this finds all that are there, since what is overlooked would never be
//! removed. It only lists: a file's name alone decides what it is. What it does not know by name is *foreign*, and nobody's to
//! remove.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::catalog::{
    descriptor_snapshot, is_split_directory, is_store_file, split_meta_file, split_segment_file,
};
use super::dir::PART_SUFFIX;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;

/// Ending of the file that pins a snapshot.
pub const PIN_SUFFIX: &str = ".pinned";

/// A file of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path relative to the store.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, in seconds since 1970.
    pub modified: i64,
}

/// The files of one snapshot name.
#[derive(Clone, Debug, Default)]
pub struct SnapshotFiles {
    /// Its descriptor; more than one if both layouts have it.
    pub descriptors: Vec<StoredFile>,
    /// Its sums file or `meta/` file.
    pub sums: Vec<StoredFile>,
    /// What pins it.
    pub pins: Vec<StoredFile>,
}

/// All files of a store at one moment.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Every segment with its files: more than one if somebody laid a copy beside it.
    pub segments: BTreeMap<SegmentId, Vec<StoredFile>>,
    /// Every name of a snapshot that a file has, also without a descriptor.
    pub snapshots: BTreeMap<SnapshotName, SnapshotFiles>,
    /// Files that were being written.
    pub parts: Vec<StoredFile>,
    /// What is none of the store's, relative to it.
    pub foreign: Vec<PathBuf>,
}

impl Inventory {
    /// Lists the store in `root`, both layouts.
    pub fn take(root: &Path) -> Result<Self> {
        let mut inventory = Self::default();
        for below in inventory.list(root, Path::new(""))? {
            for deeper in inventory.list(root, &below)? {
                inventory.foreign.push(deeper);
            }
        }
        Ok(inventory)
    }

    /// Takes stock of one directory and returns those below it that are the store's.
    fn list(&mut self, root: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
        let shown = root.join(directory);
        let cannot = || format!("cannot list {}", shown.display());
        let mut below = Vec::new();
        for entry in fs::read_dir(&shown).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let (name, path) = (entry.file_name(), directory.join(entry.file_name()));
            let metadata = match entry.metadata() {
                // Another run has just removed or renamed it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata
                    .with_context(|| format!("cannot look at {}", root.join(&path).display()))?,
            };
            let name = name.to_str().unwrap_or_default();
            if metadata.is_dir() {
                if is_split_directory(name) {
                    below.push(path);
                } else {
                    self.foreign.push(path);
                }
                continue;
            }
            let file = StoredFile {
                path,
                bytes: metadata.len(),
                modified: metadata.mtime(),
            };
            self.add(name, file);
        }
        Ok(below)
    }

    fn add(&mut self, name: &str, file: StoredFile) {
        if let Some((id, _)) = split_segment_file(name) {
            self.segments.entry(id).or_default().push(file);
        } else if let Some(snapshot) = descriptor_snapshot(name) {
            self.of(snapshot).descriptors.push(file);
        } else if let Some(snapshot) = sums_snapshot(name) {
            self.of(snapshot).sums.push(file);
        } else if let Some(snapshot) = pinned_snapshot(name) {
            self.of(snapshot).pins.push(file);
        } else if is_part(name) {
            self.parts.push(file);
        } else {
            self.foreign.push(file.path);
        }
    }

    fn of(&mut self, snapshot: SnapshotName) -> &mut SnapshotFiles {
        self.snapshots.entry(snapshot).or_default()
    }
}

/// Returns the name of the file that pins a snapshot.
#[must_use]
pub fn pin_file(snapshot: &SnapshotName) -> String {
    format!("{}{PIN_SUFFIX}", snapshot.stem())
}

fn sums_snapshot(name: &str) -> Option<SnapshotName> {
    match name.strip_suffix(".sha1sums") {
        Some(stem) => SnapshotName::parse(stem.strip_prefix("snapshot-")?),
        None => split_meta_file(name).map(|(snapshot, _)| snapshot),
    }
}

pub(super) fn pinned_snapshot(name: &str) -> Option<SnapshotName> {
    let stem = name.strip_suffix(PIN_SUFFIX)?;
    SnapshotName::parse(stem.strip_prefix("snapshot-")?)
}

/// Part files of the store's own names, and what syncing a directory that may not be read leaves behind when it is killed.
fn is_part(name: &str) -> bool {
    let Some(stem) = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(PART_SUFFIX))
    else {
        return false;
    };
    let is_sync = stem
        .strip_prefix("sync-")
        .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
    is_sync || is_store_file(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "90b3367e-c348-47df-8e3c-4f2b64714d8c";

    #[test]
    fn every_file_is_found_and_what_is_foreign_is_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let segment = format!("{UUID}.tar.bz2");
        let copy = format!("segments1/{UUID}.tar");
        let part = format!(".{UUID}.tar.part");
        for directory in ["snapshots", "segments1", "meta", "photos"] {
            fs::create_dir(dir.path().join(directory)).expect("is made");
        }
        fs::create_dir(dir.path().join(format!("{UUID}.tar.zst"))).expect("is made");
        let files = [
            &segment,
            &copy,
            &part,
            "snapshots/snapshot-a-20261121T191822.cumulus",
            "meta/snapshot-a-20261121T191822.meta.bz2",
            "snapshot-a-20261121T191822.pinned",
            "snapshot-20261121T191822.lbs",
            "snapshot-20261121T191822.sha1sums",
            ".sync-4711.part",
            ".other.part",
            "notes.txt",
            "photos/cat.jpg",
            "snapshots/notes.txt",
        ];
        for file in files {
            fs::write(dir.path().join(file), "12345").expect("is written");
        }
        let inventory = Inventory::take(dir.path()).expect("is listed");
        let of = |name: &str| {
            let name = SnapshotName::parse(name).expect("a name");
            let files = &inventory.snapshots[&name];
            (files.descriptors.len(), files.sums.len(), files.pins.len())
        };
        assert_eq!(of("a-20261121T191822"), (1, 1, 1));
        assert_eq!(of("20261121T191822"), (1, 1, 0));
        assert_eq!(inventory.segments.len(), 1);
        let segments: Vec<_> = inventory.segments.into_values().flatten().collect();
        assert_eq!(segments.len(), 2);
        assert!(
            segments
                .iter()
                .all(|file| file.bytes == 5 && file.modified > 0)
        );
        assert_eq!(inventory.parts.len(), 2);
        let mut foreign = inventory.foreign;
        foreign.sort();
        let directory = format!("{UUID}.tar.zst");
        let expected = [
            ".other.part",
            &directory,
            "notes.txt",
            "photos",
            "snapshots/notes.txt",
        ];
        assert_eq!(foreign, expected.map(PathBuf::from));
    }
}
