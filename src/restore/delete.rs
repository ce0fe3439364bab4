//! Removes from the target what the snapshot does not have: `--delete`.
//!
//! Entries come in path order, as do the names of a directory of the target, so one pass over both tells what is superfluous. In memory
//! are the names of the directories on the way to the present entry. What is superfluous goes before anything is written below it: it
//! makes room, and a directory may stand where a file belongs.
//!
//! Deleting is where a restore could do harm, so all of this holds:
//!
//! - Nothing is deleted before the whole log was read once and found whole, complete and in order ([`doubt`]): a damaged log
//!   looks like an empty directory. Nor if a segment is missing. After a part that cannot be read all the same, nothing more is.
//! - Only from a complete snapshot by pileus whose run had no problem: a file that could not be read is not in it, and what stands in
//!   its place may be the only copy.
//! - Only in directories that the PATHs mean and of which the snapshot has everything: one above a source is marked as partial, and
//!   so is one on which a file system was mounted that was not entered ([`Entry::partial`]).
//! - Nothing in a directory, and below it, from where on an entry is met that has another name there: its file system folds names, and what
//!   looks superfluous may be that entry. What was deleted before comes before it in path order and was no entry met till then.
//! - What a rule leaves out stays, and the directories above it with it.
//! - Nothing on another file system than that of its tree, mounted over it or a Btrfs subvolume; nothing of the store itself.
//! - No link is followed; see [`super::target`] and [`tree`].

mod tree;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use nix::sys::stat::{FileStat, SFlag};

use super::RestoreOptions;
use super::collision::gives_way;
use super::target::{self, DirCursor, Target};
use crate::chosen::{Chosen, Relation};
use crate::format::descriptor::Descriptor;
use crate::format::entry::{Entry, EntryKind};
use crate::format::path::EntryPath;
use crate::metadata_log::{LogError, MetadataLogReader};
use crate::monitor::Counter;
use crate::mount::Mount;
use crate::rules::{RuleId, RuleStack, Verdict};
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;
use tree::Opened;

/// Makes sure that what a snapshot does not have is no accident, as far as that can be known before the log is read.
pub(super) fn ensure_complete(options: &RestoreOptions, descriptor: &Descriptor) -> Result<()> {
    let snapshot = &options.snapshot;
    if snapshot.is_checkpoint() {
        bail!(
            "snapshot {snapshot} is a checkpoint, which lacks what its run had not come to: restore without --delete, or choose a complete one"
        );
    }
    if !descriptor.is_by_pileus() {
        bail!(
            "snapshot {snapshot} was not made by pileus and does not say in which directories it has everything: restore without --delete, and remove by hand what `pileus diff` shows"
        );
    }
    let found = match descriptor.problems {
        Some(0) => return Ok(()),
        Some(1) => "had a problem".to_owned(),
        Some(problems) => format!("had {problems} problems"),
        None => "does not say how many problems it had".to_owned(),
    };
    bail!(
        "the backup that made snapshot {snapshot} {found}: what could not be read is not in it, and --delete might remove the only copy; choose another snapshot, or restore without --delete and remove by hand what `pileus diff` shows"
    );
}

/// Reads a log to its end, and says why what it does not have may belong to the snapshot all the same, if it may.
fn doubt(log: MetadataLogReader<'_, '_>, stop: &AtomicBool) -> Result<Option<String>> {
    let mut last: Option<EntryPath> = None;
    for item in log {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                error.ensure_lost()?;
                return Ok(Some("not all metadata can be read".to_owned()));
            }
        };
        if last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Ok(Some(format!("{} is not in path order", entry.path)));
        }
        last = Some(entry.path);
    }
    Ok(None)
}

/// Compares the target with a snapshot, and deletes.
pub(super) struct Deleter<'r> {
    options: &'r RestoreOptions,
    monitor: &'r Counter<'r>,
    /// None if there is no target, or nothing is to be deleted any more.
    cursor: Option<DirCursor<'r>>,
    chosen: Chosen,
    rules: RuleStack,
    /// The directory of the store, as device and inode number.
    store: Option<(u64, u64)>,
    /// The chosen directories above the present entry, and it itself if it is one.
    levels: Vec<Level>,
    /// Number of entries that were deleted, or would have been.
    deleted: u64,
}

/// A directory of the snapshot.
struct Level {
    path: EntryPath,
    /// The rule that leaves it out, if one does.
    left_out_by: Option<RuleId>,
    /// Whether the snapshot does not have all of it.
    is_partial: bool,
    /// The directory in the target, with the names that are still to come; none if nothing is to be deleted in it.
    opened: Option<Opened>,
}

impl<'r> Deleter<'r> {
    /// Reads the whole log first. None if nothing is to be deleted; if it was to be and may not, that is a problem.
    pub(super) fn begin(
        options: &'r RestoreOptions,
        descriptor: &Descriptor,
        target: Option<&'r Target>,
        catalog: &Catalog,
        objects: &mut ObjectCache<'_>,
        stop: &AtomicBool,
        monitor: &'r Counter<'r>,
    ) -> Result<Option<Self>> {
        if !options.delete {
            return Ok(None);
        }
        let log = MetadataLogReader::new(objects, descriptor.root);
        let missing = catalog.first_missing(&descriptor.segments);
        let missing = missing.map(|id| format!("segment {id} is missing from the store"));
        let reason = missing.map_or_else(|| doubt(log, stop), |missing| Ok(Some(missing)))?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some(reason) = reason {
            let reason = format_args!("nothing is deleted: {reason}");
            monitor.problem(b"--delete", reason);
            return Ok(None);
        }
        Ok(Some(Self::new(options, target, monitor)))
    }

    fn new(
        options: &'r RestoreOptions,
        target: Option<&'r Target>,
        monitor: &'r Counter<'r>,
    ) -> Self {
        use std::os::unix::fs::MetadataExt;
        let store = std::fs::metadata(&options.store);
        Self {
            options,
            monitor,
            cursor: target.map(DirCursor::new),
            chosen: Chosen::new(&options.paths),
            rules: RuleStack::new(options.rules.clone()),
            store: store.ok().map(|store| (store.dev(), store.ino())),
            levels: Vec::new(),
            deleted: 0,
        }
    }

    /// Takes the next item of the log, before it is restored, and deletes what stands before it or in its place. Returns whether its
    /// place is free because of that.
    pub(super) fn meet(&mut self, item: &Result<Entry, LogError>) -> bool {
        let Ok(entry) = item else {
            if self.cursor.take().is_some() {
                let reason = "nothing more is deleted: not all metadata can be read";
                self.monitor.problem(b"--delete", reason);
            }
            return false;
        };
        if self.cursor.is_none() {
            return false;
        }
        while let Some(level) = self.levels.last()
            && !entry.path.is_within(&level.path)
        {
            self.leave();
        }
        self.pass_names_before(&entry.path);
        if self.chosen.relate(&entry.path) != Relation::Within {
            return false;
        }
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        let verdict = self
            .rules
            .decide(&entry.path, is_directory, self.rule_above(&entry.path));
        if is_directory {
            self.enter(entry, verdict);
            return false;
        }
        verdict.left_out_by().is_none() && self.clear(entry)
    }

    /// Deletes what is left to do behind the last entry, unless the reading was broken off there: what it did not come to is not to be
    /// deleted. Returns how many entries were deleted.
    pub(super) fn end(mut self, is_broken_off: bool) -> u64 {
        while !is_broken_off && !self.levels.is_empty() {
            self.leave();
        }
        self.deleted
    }

    /// Returns the rule that leaves out the directory of a path, if that was met.
    fn rule_above(&self, path: &EntryPath) -> Option<RuleId> {
        let above = self.levels.last()?;
        (above.path.as_bytes() == path.split().0)
            .then_some(above.left_out_by)
            .flatten()
    }

    /// Deletes the names in the present directory that come before an entry, which may lie deeper in it.
    fn pass_names_before(&mut self, path: &EntryPath) {
        while let Some(level) = self.levels.last_mut() {
            let below = path
                .components()
                .nth(level.path.components().count())
                .unwrap_or_default();
            let Some(opened) = &mut level.opened else {
                return;
            };
            match opened.names.get(opened.next) {
                Some(name) if name < below => {
                    let superfluous = level.path.join(name);
                    opened.next += 1;
                    self.delete(&superfluous);
                }
                Some(name) if name == below => {
                    opened.next += 1;
                    return;
                }
                _ => break,
            }
        }
        self.look_for_folding(path);
    }

    /// Deletes nothing more in the present directory if an entry that is to come in it goes there by another name.
    fn look_for_folding(&mut self, path: &EntryPath) {
        let (Some(level), Some(cursor)) = (self.levels.last_mut(), &mut self.cursor) else {
            return;
        };
        let depth = level.path.components().count();
        let (Some(opened), Some(name)) = (&level.opened, path.components().nth(depth)) else {
            return;
        };
        if opened.names.has(name) {
            return;
        }
        let directory = cursor.enter(level.path.as_bytes());
        if let Ok(None) = directory.and_then(|directory| target::stat(directory, name)) {
            return;
        }
        self.monitor.note(&format!(
            "{}: nothing more in it is deleted: {path} is there by another name, since this file system takes different names for the same",
            level.path
        ));
        level.opened = None;
    }

    /// Goes into a directory of the snapshot.
    fn enter(&mut self, entry: &Entry, verdict: Verdict) {
        let path = &entry.path;
        let left_out_by = verdict.left_out_by();
        let may_take = left_out_by.is_none_or(|rule| self.rules.may_include_below(path, rule));
        let above = self.levels.last();
        let begins_tree =
            above.is_none_or(|above| above.is_partial) || self.options.paths.contains(path);
        // Whatever is above has been judged: its mount counts here, or nothing is deleted in it.
        let above = above.and_then(|above| above.opened.as_ref());
        let opened = match above.map(|above| above.mount) {
            _ if !may_take || entry.partial => None,
            _ if begins_tree => self.open(path, None),
            None => None,
            mount => self.open(path, mount),
        };
        self.levels.push(Level {
            path: path.clone(),
            left_out_by,
            is_partial: entry.partial,
            opened,
        });
    }

    /// Opens a directory in which names are to be deleted, and says so if that cannot be.
    fn open(&mut self, path: &EntryPath, mount: Option<Mount>) -> Option<Opened> {
        let cursor = self.cursor.as_mut()?;
        match Opened::open(cursor, path, mount, self.store) {
            Ok(opened) => Some(opened),
            Err(refused) => {
                refused.tell(path, self.monitor);
                None
            }
        }
    }

    /// Leaves the innermost directory: what is left of its names is not in the snapshot.
    fn leave(&mut self) {
        while let Some(level) = self.levels.last_mut()
            && let Some(opened) = &mut level.opened
            && let Some(name) = opened.names.get(opened.next)
        {
            let superfluous = level.path.join(name);
            opened.next += 1;
            self.delete(&superfluous);
        }
        self.levels.pop();
    }

    /// Removes a directory that stands where something else belongs, if it may be replaced.
    fn clear(&mut self, entry: &Entry) -> bool {
        let path = &entry.path;
        let (parent, name) = path.split();
        let is_open = |level: &Level| level.opened.is_some() && level.path.as_bytes() == parent;
        let (true, Some(cursor)) = (self.levels.last().is_some_and(is_open), &mut self.cursor)
        else {
            return false;
        };
        let there = cursor
            .enter(parent)
            .and_then(|parent| target::stat(parent, name));
        let Ok(Some(there)) = there else {
            return false;
        };
        if !is_directory(&there) || !gives_way(self.options.overwrite, &there, entry) {
            return false;
        }
        self.delete(path)
    }

    /// Deletes what is under a name in the innermost directory, with all below it, but for what the rules leave out. Returns whether
    /// the name is free.
    fn delete(&mut self, path: &EntryPath) -> bool {
        let left_out_by = self.rule_above(path);
        let level = self.levels.last();
        let (Some(cursor), Some(opened)) = (
            self.cursor.as_mut(),
            level.and_then(|level| level.opened.as_ref()),
        ) else {
            return false;
        };
        let (rules, store, dry_run) = (&self.rules, self.store, self.options.dry_run);
        let mut removal = tree::Removal {
            cursor,
            rules,
            store,
            dry_run,
            monitor: self.monitor,
            deleted: 0,
        };
        let is_gone = removal.remove(path, opened, left_out_by);
        self.deleted += removal.deleted;
        is_gone
    }
}

fn is_directory(there: &FileStat) -> bool {
    target::file_type(there) == SFlag::S_IFDIR
}
