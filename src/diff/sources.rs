//! What of the disk a snapshot is about.
//!
//! A snapshot does not say which trees it is of: the directories above them are recorded like others, only without the rest of what is in
//! them. Everything beside a source would pass for new. So a directory that everything comes through (from the top, as long as the only
//! thing in it is one directory) is taken for one above a source, and what stands beside that one thing is left alone, with a note.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::entry::EntryKind;
use crate::format::path::EntryPath;
use crate::metadata_log::MetadataLogReader;

/// Directories in which only some names are looked at.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The names at the top; all if there is nothing.
    top: Option<BTreeSet<Vec<u8>>>,
    /// Directories above sources, each with the one name in it.
    above: BTreeMap<EntryPath, Vec<u8>>,
}

impl Sources {
    /// Reads a log to see what it is about; `guess` tells whether directories above sources are looked for at all.
    pub(super) fn of_log(log: MetadataLogReader<'_, '_>, guess: bool) -> Self {
        let mut sources = Self::default();
        if !guess {
            return sources;
        }
        let mut top = BTreeSet::new();
        // Directories from the top of which no second child was seen.
        let mut single: BTreeMap<EntryPath, Option<Vec<u8>>> = BTreeMap::new();
        for entry in log.flatten() {
            if entry.path.is_scan_root() {
                return sources;
            }
            let (parent, name) = entry.path.split();
            let is_directory = matches!(entry.kind, EntryKind::Directory);
            if parent == b"." {
                top.insert(name.to_vec());
            } else {
                let Ok(parent) = EntryPath::new(parent) else {
                    continue;
                };
                let Some(child) = single.get_mut(&parent) else {
                    continue;
                };
                if child.is_some() || !is_directory {
                    single.retain(|directory, _| !directory.is_within(&parent));
                    continue;
                }
                *child = Some(name.to_vec());
            }
            if is_directory {
                single.insert(entry.path, None);
            }
        }
        sources.top = Some(top);
        let only_child =
            |(directory, child): (EntryPath, Option<Vec<u8>>)| Some((directory, child?));
        sources.above = single.into_iter().filter_map(only_child).collect();
        sources
    }

    /// Tells whether a name in a directory belongs to what the snapshot is about.
    pub(super) fn has(&self, directory: &EntryPath, name: &[u8]) -> bool {
        if directory.is_scan_root() {
            return self.top.as_ref().is_none_or(|top| top.contains(name));
        }
        self.above.get(directory).is_none_or(|only| only == name)
    }
}
