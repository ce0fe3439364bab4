//! What of the disk a snapshot is about.
//!
//! The directories above the sources are recorded like others, only without the rest of what is in them: everything beside a source would
//! pass for new. pileus marks them in the log, so that in them only what the snapshot has is looked at. Logs of other programs have no
//! mark: there, a directory that everything comes through (from the top, as long as the only thing in it is one directory) is taken for one
//! above a source, and what stands beside that one thing is left alone, with a note.
//!
//! Where the stanza of a directory is lost, it is looked at for what is known to be in it, and no further.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::format::entry::EntryKind;
use crate::format::escape;
use crate::format::path::EntryPath;
use crate::metadata_log::MetadataLogReader;

type Names = BTreeSet<Vec<u8>>;

/// Directories in which only some names are looked at.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The names at the top; all if there is nothing.
    top: Option<Names>,
    /// Directories above sources, each with the names in it that the snapshot has.
    above: BTreeMap<EntryPath, Names>,
}

impl Sources {
    /// Reads a log to see what it is about. `marked` tells whether its directories above sources are marked, `all` that not even the names
    /// at the top are to be left out.
    pub(super) fn of_log(log: MetadataLogReader<'_, '_>, marked: bool, all: bool) -> Self {
        let mut sources = Self::default();
        if all {
            return sources;
        }
        let mut seen = Seen::default();
        for entry in log.flatten() {
            if entry.path.is_scan_root() {
                return sources;
            }
            let is_directory = matches!(entry.kind, EntryKind::Directory);
            seen.lead_to(&entry.path);
            if !marked {
                seen.guess(&entry.path, is_directory);
            }
            if is_directory {
                seen.enter(entry.path, entry.partial);
            }
        }
        sources.top = Some(seen.top);
        sources.above = seen.above;
        for (directory, child) in seen.single {
            sources
                .above
                .extend(child.map(|child| (directory, Names::from([child]))));
        }
        sources
    }

    /// Makes sure that something of what is compared is in `root`: a backup of relative paths began somewhere else, and everything would
    /// pass for removed.
    pub(super) fn ensure_any_in(
        &self,
        root: &Path,
        only: &[EntryPath],
        log: MetadataLogReader<'_, '_>,
    ) -> Result<()> {
        let mut names: Vec<_> = only.iter().map(top).collect();
        if let Some(top) = &self.top {
            names.extend(top.iter().cloned());
        } else if names.is_empty() {
            let mut paths = log.flatten().map(|entry| entry.path);
            names.extend(paths.find(|path| !path.is_scan_root()).as_ref().map(top));
        }
        let is_there = |name: &Vec<u8>| {
            let found = fs::symlink_metadata(root.join(OsStr::from_bytes(name)));
            !found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let Some(first) = names.first().filter(|_| !names.iter().any(is_there)) else {
            return Ok(());
        };
        bail!(
            "{} is not in {}: if it was backed up by a relative path, say where that begins with --root=DIR (--root={1} if it is gone)",
            escape(first),
            root.display()
        );
    }

    /// Tells whether only some names of a directory are looked at.
    pub(super) fn is_above(&self, directory: &EntryPath) -> bool {
        self.above.contains_key(directory)
    }

    /// Tells whether a name in a directory belongs to what the snapshot is about.
    pub(super) fn has(&self, directory: &EntryPath, name: &[u8]) -> bool {
        let names = if directory.is_scan_root() {
            self.top.as_ref()
        } else {
            self.above.get(directory)
        };
        names.is_none_or(|names| names.contains(name))
    }
}

/// Returns the first name of a path.
fn top(path: &EntryPath) -> Vec<u8> {
    path.components().next().unwrap_or(b".").to_vec()
}

/// What was seen of a log so far, which is in path order.
#[derive(Debug, Default)]
struct Seen {
    top: Names,
    above: BTreeMap<EntryPath, Names>,
    /// The directories of the present path whose stanzas are there.
    chain: Vec<EntryPath>,
    /// Directories from the top of which no second child was seen.
    single: BTreeMap<EntryPath, Option<Vec<u8>>>,
}

impl Seen {
    /// Remembers the way to a path: through each directory above it whose stanza is lost, and in the first one whose stanza is there.
    fn lead_to(&mut self, path: &EntryPath) {
        while self.chain.pop_if(|last| !path.is_within(last)).is_some() {}
        let mut at = path.clone();
        loop {
            let (parent, name) = at.split();
            let name = name.to_vec();
            // A path has a parent that is one too, up to the top.
            let Some(parent) = EntryPath::new(parent)
                .ok()
                .filter(|parent| !parent.is_scan_root())
            else {
                self.top.insert(name);
                return;
            };
            if self.chain.last() == Some(&parent) {
                if let Some(names) = self.above.get_mut(&parent) {
                    names.insert(name);
                }
                return;
            }
            self.above.entry(parent.clone()).or_default().insert(name);
            at = parent;
        }
    }

    fn enter(&mut self, directory: EntryPath, is_above: bool) {
        if is_above {
            self.above.entry(directory.clone()).or_default();
        }
        self.chain.push(directory);
    }

    /// Looks whether everything still comes through the directories that it came through.
    fn guess(&mut self, path: &EntryPath, is_directory: bool) {
        let (parent, name) = path.split();
        let parent = EntryPath::new(parent)
            .ok()
            .filter(|parent| !parent.is_scan_root());
        if let Some(parent) = parent {
            let Some(child) = self.single.get_mut(&parent) else {
                return;
            };
            if child.is_some() || !is_directory {
                self.single
                    .retain(|directory, _| !directory.is_within(&parent));
                return;
            }
            *child = Some(name.to_vec());
        }
        if is_directory {
            self.single.insert(path.clone(), None);
        }
    }
}
