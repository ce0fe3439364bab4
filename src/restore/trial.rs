//! What a restore would do, without doing it: `--dry-run`.
//!
//! Entries are decided about as in a restore, by what is in the target now and by what the restore would have made before. Contents are
//! not read, so damage of the store's data does not show.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use nix::sys::stat::{FileStat, SFlag};

use super::abilities::Granule;
use super::blocked::Blocked;
use super::collision::{self, Decision, Kept, decide, gives_way, no_directory};
use super::delete::Deleter;
use super::found::check_found;
use super::planner::{LinkKey, link_key};
use super::target::{self, DirCursor, Target};
use super::{RestoreOptions, RestoreReport};
use crate::chosen::{Relation, Wanted};
use crate::format::descriptor::Descriptor;
use crate::format::entry::{Entry, EntryKind};
use crate::format::path::EntryPath;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Counter, PathStatus};
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

struct Trial<'r> {
    options: &'r RestoreOptions,
    monitor: &'r Counter<'r>,
    /// None if there is no target.
    cursor: Option<DirCursor<'r>>,
    /// The directories above the present entry that would be made.
    created: Vec<EntryPath>,
    /// Directories above the PATHs that were met, but nothing that is wanted below them yet.
    leading: Vec<Entry>,
    blocked: Blocked,
    linked: HashSet<LinkKey>,
    kept: Kept,
    entries: u64,
    bytes: u64,
}

/// Tells what a restore would do.
pub(super) fn run(
    options: &RestoreOptions,
    catalog: &Catalog,
    descriptor: &Descriptor,
    stop: &AtomicBool,
    monitor: &Counter<'_>,
) -> Result<RestoreReport> {
    let target = Target::open_existing(&options.target)?;
    let mut trial = Trial {
        options,
        monitor,
        cursor: target.as_ref().map(DirCursor::new),
        created: Vec::new(),
        leading: Vec::new(),
        blocked: Blocked::default(),
        linked: HashSet::new(),
        kept: Kept::default(),
        entries: 0,
        bytes: 0,
    };
    let mut wanted = Wanted::new(&options.paths, options.rules.clone());
    let (mut found, mut lost) = (0, 0);
    let mut objects = ObjectCache::new(catalog, options.unfilter.as_deref())?;
    let mut deletion = Deleter::begin(
        options,
        descriptor,
        target.as_ref(),
        catalog,
        &mut objects,
        stop,
        monitor,
    )?;
    for item in MetadataLogReader::new(&mut objects, descriptor.root) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let is_cleared = deletion
            .as_mut()
            .is_some_and(|deletion| deletion.meet(&item));
        match item {
            Ok(entry) => {
                found += 1;
                trial.add(&entry, &mut wanted, is_cleared);
            }
            Err(error) => {
                lost += 1;
                if error.is_news()? {
                    monitor.problem(&error.subject, error.reason);
                }
            }
        }
    }
    trial.blocked.tell(monitor);
    trial.kept.tell(monitor);
    let interrupted = stop.load(Ordering::Relaxed);
    if !interrupted {
        check_found(options, &wanted, (found, lost), monitor)?;
    }
    let deleted = deletion.map_or(0, |deletion| deletion.end(interrupted));
    Ok(RestoreReport {
        expected: None,
        snapshot: options.snapshot.clone(),
        entries: trial.entries,
        bytes: trial.bytes,
        deleted,
        problems: monitor.problems(),
        interrupted,
    })
}

impl Trial<'_> {
    /// Takes an entry; `is_cleared` says that what is in its place would have been deleted.
    fn add(&mut self, entry: &Entry, wanted: &mut Wanted, is_cleared: bool) {
        let path = &entry.path;
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        let relation = wanted.relate(path, is_directory);
        if path.is_scan_root() {
            if is_directory && relation == Relation::Within && self.cursor.is_none() {
                self.restored(path, 0);
            }
            return;
        }
        self.created.retain(|above| path.is_within(above));
        if relation == Relation::Above && is_directory {
            self.leading.retain(|above| path.is_within(&above.path));
            self.leading.push(entry.clone());
        }
        if relation != Relation::Within {
            return;
        }
        for above in std::mem::take(&mut self.leading) {
            if path.is_within(&above.path) {
                self.add_directory(&above, Relation::Above);
            }
        }
        if is_directory {
            self.add_directory(entry, Relation::Within);
        } else {
            self.add_other(entry, is_cleared);
        }
    }

    fn add_directory(&mut self, entry: &Entry, relation: Relation) {
        let path = &entry.path;
        if self.blocked.leaves_out(path, self.monitor) {
            return;
        }
        let is_directory = |there: &FileStat| target::file_type(there) == SFlag::S_IFDIR;
        match self.there(path) {
            Ok(Some(there)) if is_directory(&there) => {
                if !collision::keeps_attributes(self.options.overwrite, relation) {
                    self.restored(path, 0);
                } else if relation == Relation::Within {
                    self.kept.directories += 1;
                }
            }
            Ok(Some(there)) if !gives_way(self.options.overwrite, &there, entry) => {
                self.blocked
                    .begin(path, no_directory(self.options.overwrite));
            }
            Ok(_) => {
                self.created.push(path.clone());
                self.restored(path, 0);
            }
            Err(error) => self.blocked.begin(path, error),
        }
    }

    fn add_other(&mut self, entry: &Entry, is_cleared: bool) {
        if self.blocked.leaves_out(&entry.path, self.monitor) {
            return;
        }
        let there = if is_cleared {
            Ok(None)
        } else {
            self.there(&entry.path)
        };
        let decision = there.map(|there| {
            let granule = there.as_ref().map_or(Granule::EXACT, |there| {
                collision::granule(there, entry, || Granule::of_time(there))
            });
            decide(self.options, there.as_ref(), entry, granule)
        });
        match decision {
            Ok(Decision::Create | Decision::Replace) => {
                // The contents of hard links are written once.
                let is_link = link_key(entry).is_some_and(|key| !self.linked.insert(key));
                let bytes = match &entry.kind {
                    EntryKind::File(contents) if !is_link => contents.size,
                    _ => 0,
                };
                self.restored(&entry.path, bytes);
            }
            Ok(Decision::Leave | Decision::LeaveNewer) => {}
            Ok(Decision::RefuseSame) => self.kept.add_same(&entry.path, self.monitor),
            Ok(Decision::Refuse(reason)) => self.monitor.problem(entry.path.as_bytes(), reason),
            Err(error) => self.monitor.problem(entry.path.as_bytes(), error),
        }
    }

    /// Looks at what is in an entry's place; nothing, if its directory would have been made.
    fn there(&mut self, path: &EntryPath) -> io::Result<Option<FileStat>> {
        let (parent, name) = path.split();
        match self.parent(parent) {
            Ok(Some(directory)) => target::stat(directory, name),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parent(&mut self, parent: &[u8]) -> io::Result<Option<BorrowedFd<'_>>> {
        if !self.created.is_empty() {
            return Ok(None);
        }
        let cursor = self.cursor.as_mut();
        cursor.map(|cursor| cursor.enter(parent)).transpose()
    }

    fn restored(&mut self, path: &EntryPath, bytes: u64) {
        self.entries += 1;
        // Nobody has looked yet whether a file can be as large as its entry says.
        self.bytes = self.bytes.saturating_add(bytes);
        self.monitor.path(PathStatus::Restored, path, None);
    }
}
