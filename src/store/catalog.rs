//! What a reader finds in a store: the snapshots, and the file of every segment.
//!
//! Both layouts of the lineage are read (docs/format.md, "Files"): everything in one directory, or `snapshots/`, `segments*/` and
//! `meta/`. Files that belong to neither are left alone and not mentioned here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::inventory::pinned_snapshot;
use super::segment_reader::{SegmentReader, open_regular};
use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;

/// Largest descriptor or sums file that is read, in bytes: room for six million segments.
const SMALL_FILE_BYTES_MAX: u64 = 512 << 20;

/// The contents of a store's directories at one moment.
#[derive(Debug)]
pub struct Catalog {
    root: PathBuf,
    segments: HashMap<SegmentId, PathBuf>,
    descriptors: BTreeMap<SnapshotName, PathBuf>,
    meta_files: HashMap<SnapshotName, PathBuf>,
    pinned: HashSet<SnapshotName>,
}

impl Catalog {
    /// Lists the store in `root`.
    pub fn open(root: &Path) -> Result<Self> {
        let shown = root.display();
        match fs::metadata(root) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => bail!("{shown} is not a directory, so it is no store"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!(
                    "there is no store {shown}: the first backup makes it, or its disk is not mounted"
                )
            }
            Err(error) => return Err(error).with_context(|| format!("cannot open {shown}")),
        }
        let mut catalog = Self {
            root: root.to_owned(),
            segments: HashMap::new(),
            descriptors: BTreeMap::new(),
            meta_files: HashMap::new(),
            pinned: HashSet::new(),
        };
        let changed_lately = is_changed_lately(root);
        catalog.list(Self::add)?;
        if changed_lately {
            // A backup may be under way. A list that is made meanwhile may have its descriptor, which came last, and lack a segment that
            // came before; in a second list every segment of the descriptors of the first one is to be found.
            catalog.list(|catalog, name, path| {
                if split_segment_file(name).is_some() {
                    catalog.add(name, path);
                }
            })?;
        }
        Ok(catalog)
    }

    /// Hands every name in the store's directories over to `take`.
    fn list(&mut self, take: impl Fn(&mut Self, &str, &Path)) -> Result<()> {
        let root = self.root.clone();
        let is_of_store = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_str().unwrap_or_default();
            let is_below = entry.depth() > 0 && entry.file_type().is_dir();
            !is_below || entry.depth() == 1 && is_split_directory(name)
        };
        for entry in WalkDir::new(&root)
            .max_depth(2)
            .into_iter()
            .filter_entry(is_of_store)
        {
            let entry = entry.map_err(|error| cannot_list(&root, error))?;
            if let Some(name) = entry.file_name().to_str().filter(|_| entry.depth() > 0) {
                take(self, name, entry.path());
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, path: &Path) {
        let relative = path
            .strip_prefix(&self.root)
            .expect("the walk stays below its root");
        if let Some((id, extension)) = split_segment_file(name) {
            // Checksums and copies may lie beside a segment: `….tar.bz2.sha256` must not hide `….tar.bz2`.
            let known = self.segments.get(&id).and_then(|known| extension_of(known));
            if known.is_none_or(|known| preference(extension) < preference(known)) {
                self.segments.insert(id, relative.to_owned());
            }
        } else if let Some(snapshot) = descriptor_snapshot(name) {
            self.descriptors.insert(snapshot, relative.to_owned());
        } else if let Some((snapshot, _)) = split_meta_file(name) {
            self.meta_files.insert(snapshot, relative.to_owned());
        } else if let Some(snapshot) = pinned_snapshot(name) {
            self.pinned.insert(snapshot);
        }
    }

    /// Tells whether a snapshot is pinned.
    #[must_use]
    pub fn is_pinned(&self, snapshot: &SnapshotName) -> bool {
        self.pinned.contains(snapshot)
    }

    /// Returns all snapshots, oldest name first.
    #[must_use]
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &SnapshotName> {
        self.descriptors.keys()
    }

    /// Tells whether a snapshot is listed here.
    #[must_use]
    pub fn has_snapshot(&self, snapshot: &SnapshotName) -> bool {
        self.descriptors.contains_key(snapshot)
    }

    /// Tells whether a snapshot that somebody has seen in the store is gone from it by now, as when a prune is under way.
    #[must_use]
    pub fn has_gone(&self, snapshot: &SnapshotName) -> bool {
        let file = self.descriptors.get(snapshot);
        let found = file.map(|file| fs::symlink_metadata(self.root.join(file)));
        found.is_none_or(|found| found.is_err_and(|error| error.kind() == ErrorKind::NotFound))
    }

    /// Reads and parses the descriptor of a snapshot that is listed here.
    pub fn descriptor(&self, snapshot: &SnapshotName) -> Result<Descriptor> {
        self.descriptor_and_text(snapshot)
            .map(|(descriptor, _)| descriptor)
    }

    /// Reads a descriptor once and returns it with its bytes, for a signature to be checked against exactly what is used.
    ///
    /// Scheme and (from pileus) time have to be those of the file's name: under another name an old snapshot, signed and all,
    /// could pass for the latest.
    pub fn descriptor_and_text(&self, snapshot: &SnapshotName) -> Result<(Descriptor, Vec<u8>)> {
        let file = self.descriptor_file(snapshot)?;
        let text = self.read_file(file)?;
        let damaged = || format!("{} is damaged", file.display());
        let descriptor = Descriptor::parse(&text).with_context(damaged)?;
        ensure_not_renamed(snapshot, &descriptor, file)?;
        Ok((descriptor, text))
    }

    fn descriptor_file(&self, snapshot: &SnapshotName) -> Result<&Path> {
        let file = self.descriptors.get(snapshot);
        file.map(PathBuf::as_path)
            .with_context(|| format!("there is no snapshot {snapshot} in {}", self.root.display()))
    }

    /// Reads a small file by its path relative to the store.
    pub fn read_file(&self, relative: &Path) -> Result<Vec<u8>> {
        let path = self.root.join(relative);
        let mut bytes = Vec::new();
        let file =
            open_regular(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let read = file.take(SMALL_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {}", path.display()))?;
        if bytes.len() as u64 > SMALL_FILE_BYTES_MAX {
            bail!(
                "{} is larger than {SMALL_FILE_BYTES_MAX} bytes",
                path.display()
            );
        }
        Ok(bytes)
    }

    /// Returns the `meta/` file of a snapshot of version 0.11, relative to the store, and what follows `.meta` in its name.
    #[must_use]
    pub fn meta_file(&self, snapshot: &SnapshotName) -> Option<(&Path, &str)> {
        let file = self.meta_files.get(snapshot)?;
        split_meta_file(file.file_name()?.to_str()?)
            .map(|(_, extension)| (file.as_path(), extension))
    }

    /// Returns the store's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the file of a segment, relative to the store.
    #[must_use]
    pub fn segment_file(&self, id: SegmentId) -> Option<&Path> {
        self.segments.get(&id).map(PathBuf::as_path)
    }

    /// Returns the first of some segments that is not there.
    #[must_use]
    pub fn first_missing<'i>(&self, segments: &'i [SegmentId]) -> Option<&'i SegmentId> {
        let is_there = |id: &&SegmentId| self.segments.contains_key(*id);
        segments.iter().find(|id| !is_there(id))
    }

    /// Returns when a segment's file was last written to, if it is there.
    #[must_use]
    pub fn segment_written(&self, id: SegmentId) -> Option<SystemTime> {
        let file = self.root.join(self.segment_file(id)?);
        fs::metadata(file).ok()?.modified().ok()
    }

    /// Makes sure that there is a way to read any of `segments` at all; else says what to type. Of some that cannot be read, each
    /// is told when it is needed.
    pub fn ensure_readable(&self, segments: &[SegmentId], unfilter: Option<&str>) -> Result<()> {
        let extensions = || {
            segments
                .iter()
                .filter_map(|id| extension_of(self.segment_file(*id)?))
        };
        if unfilter.is_some() || extensions().any(|extension| !preference(extension).0) {
            return Ok(());
        }
        match extensions().next() {
            Some(unknown) => bail!(
                "its segments, \"{unknown}\", cannot be read by themselves: say how with --unfilter=COMMAND, such as --unfilter=\"gpg -d\""
            ),
            None => Ok(()),
        }
    }

    /// Whether a segment is read through the program that undoes its filter.
    #[must_use]
    pub fn needs_program(&self, id: SegmentId) -> bool {
        let extension = self.segment_file(id).and_then(extension_of);
        extension.is_some_and(|extension| preference(extension).0)
    }

    /// Opens a segment for reading; errors name its file.
    pub fn open_segment(&self, id: SegmentId, unfilter: Option<&str>) -> Result<SegmentReader> {
        let relative = self
            .segment_file(id)
            .with_context(|| format!("segment {id} is missing from the store"))?;
        let name = relative
            .file_name()
            .and_then(|n| n.to_str())
            .expect("names in the catalog are UTF-8");
        let (_, extension) =
            split_segment_file(name).expect("names in the catalog are those of segments");
        let path = self.root.join(relative);
        SegmentReader::open(id, &path, extension, unfilter)
            .with_context(|| format!("segment {}", relative.display()))
    }
}

/// Makes sure that what a descriptor says of itself is what its file name says.
pub fn ensure_not_renamed(
    snapshot: &SnapshotName,
    descriptor: &Descriptor,
    file: &Path,
) -> Result<()> {
    let other_scheme = !descriptor.scheme.is_empty() && descriptor.scheme != snapshot.scheme();
    let other_time =
        descriptor.producer.starts_with("pileus ") && descriptor.date != snapshot.instant();
    if other_scheme || other_time {
        let (scheme, date) = (&descriptor.scheme, descriptor.date);
        bail!(
            "cannot use {}: inside it says scheme \"{scheme}\" and time {date}, so it was renamed",
            file.display()
        );
    }
    Ok(())
}

/// Tells whether names in a directory may be changing now. The clock of a file server may be a minute off.
fn is_changed_lately(directory: &Path) -> bool {
    let changed = fs::metadata(directory).and_then(|found| found.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed));
    // A time to come is no reason to trust the list.
    !age.is_ok_and(|age| age.is_ok_and(|age| age.as_secs() > 60))
}

/// Names the directory that cannot be listed, and the reason once.
fn cannot_list(root: &Path, error: walkdir::Error) -> anyhow::Error {
    let shown = error.path().unwrap_or(root).display().to_string();
    let reason = error.into_io_error().map_or_else(
        || anyhow::anyhow!("it is a loop of links"),
        anyhow::Error::new,
    );
    reason.context(format!("cannot list {shown}"))
}

fn extension_of(segment: &Path) -> Option<&str> {
    split_segment_file(segment.file_name()?.to_str()?).map(|(_, extension)| extension)
}

/// Orders the extensions that a segment may be found with: those that a built-in codec reads first, then the shortest.
fn preference(extension: &str) -> (bool, usize, &str) {
    let built_in = matches!(extension, "" | ".bz2" | ".gz" | ".zst");
    (!built_in, extension.len(), extension)
}

/// Splits `<uuid>.tar<extension>`; `None` for any other name, unfinished files included.
#[must_use]
pub fn split_segment_file(name: &str) -> Option<(SegmentId, &str)> {
    let (uuid, rest) = name.split_at_checked(SegmentId::TEXT_BYTES)?;
    let extension = rest
        .strip_prefix(".tar")
        .filter(|e| e.is_empty() || e.starts_with('.'))?;
    SegmentId::parse(uuid.as_bytes())
        .ok()
        .map(|id| (id, extension))
}

/// Tells whether pileus or its lineage gives files such a name in a store (unfinished files included).
#[must_use]
pub fn is_store_file(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let finished = name
        .strip_prefix('.')
        .and_then(|n| n.strip_suffix(super::dir::PART_SUFFIX))
        .unwrap_or(name);
    let stem = finished
        .strip_prefix("snapshot-")
        .and_then(|n| n.rsplit_once('.'));
    split_segment_file(finished).is_some()
        || stem.is_some_and(|(snapshot, ending)| {
            SnapshotName::parse(snapshot).is_some()
                && matches!(ending, "lbs" | "cumulus" | "sha1sums" | "pinned")
        })
}

pub(super) fn descriptor_snapshot(name: &str) -> Option<SnapshotName> {
    let stem = name
        .strip_suffix(".lbs")
        .or_else(|| name.strip_suffix(".cumulus"))?;
    SnapshotName::parse(stem.strip_prefix("snapshot-")?)
}

/// Splits `snapshot-<name>.meta<extension>`.
pub(super) fn split_meta_file(name: &str) -> Option<(SnapshotName, &str)> {
    let (stem, extension) = name.strip_prefix("snapshot-")?.split_once(".meta")?;
    SnapshotName::parse(stem).map(|snapshot| (snapshot, extension))
}

/// Tells whether a directory of this name in a store is one of the split layout.
pub(super) fn is_split_directory(name: &str) -> bool {
    matches!(name, "snapshots" | "meta") || name.starts_with("segments")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "90b3367e-c348-47df-8e3c-4f2b64714d8c";

    #[test]
    fn names_of_segments() {
        assert_eq!(
            split_segment_file(&format!("{UUID}.tar.bz2")).map(|(_, e)| e),
            Some(".bz2")
        );
        assert_eq!(
            split_segment_file(&format!("{UUID}.tar")).map(|(_, e)| e),
            Some("")
        );
        for other in [
            format!(".{UUID}.tar.part"),
            format!("{UUID}.tarx"),
            format!("{UUID}.zip"),
            UUID.to_owned(),
            "é".repeat(30),
        ] {
            assert_eq!(split_segment_file(&other), None, "{other}");
        }
    }

    #[test]
    fn names_that_are_the_stores_own() {
        for own in [
            &format!("{UUID}.tar.gpg"),
            &format!(".{UUID}.tar.zst.part"),
            "snapshot-20261121T191822.lbs",
            "snapshot-a-20261121T191822.sha1sums",
            "snapshot-a-20261121T191822.checkpoint.lbs",
            "snapshot-a-20261121T191822.pinned",
            ".snapshot-20261121T191822.lbs.part",
        ] {
            assert!(is_store_file(own.as_bytes()), "{own}");
        }
        for foreign in [
            "notes.txt",
            "snapshot-of-my-desk.png",
            "snapshot-20261121T191822.png",
            ".profile",
            "localdb.txt",
        ] {
            assert!(!is_store_file(foreign.as_bytes()), "{foreign}");
        }
    }
}
