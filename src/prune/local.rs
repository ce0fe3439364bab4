//! The local state of a store that is pruned. It is told what goes before the files of segments do: a segment that it names and the store
//! lacks is the worse mistake.
//!
//! Unless it has no room for that: then the files go first, since this makes room where local state lies in the store, and local state is
//! told once more at the end. If that fails too, it names segments that are gone. A backup looks for each segment before it refers to
//! it, and the next prune tells local state the rest.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::PruneOptions;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::{self, Database, NoRoom, OtherStore, look};
use crate::local::lock::{self, Lock, Waiting};
use crate::monitor::Counter;
use crate::store::dir::{StoreDir, is_there};
use crate::store::inventory::Inventory;
use crate::store::lengths::Lengths;
use crate::wording::shell_word;

/// Local state in use: its lock, and the database, if there is one.
pub(super) struct Local {
    /// Above the lock, so that it is closed first.
    database: Option<Database>,
    lock: Lock,
    directory: PathBuf,
    /// Why the database is closed though it is there: it has no room.
    behind: Option<anyhow::Error>,
    /// Whether it made a snapshot that was in the store when the run began.
    made_some: bool,
    /// What it was told, or would have been.
    gone: Vec<SnapshotName>,
    lost: Vec<SegmentId>,
}

impl Local {
    /// Opens what there is of local state. A dry run goes without what it may not write to.
    pub(super) fn open(
        options: &PruneOptions,
        now: Timestamp,
        waiting: &Waiting<'_>,
        monitor: &Counter<'_>,
    ) -> Result<Option<Self>> {
        let directory = options.local.as_deref().unwrap_or(&options.store);
        // An error here ends the run: without a lock that is there, it would go ahead beside a backup.
        let has = |name: &str| is_there(&directory.join(name));
        let has_database = has(database::FILE_NAME)?;
        if options.local.is_some() && !has_database {
            bail!(
                "there is no local state in {}: name the directory of the backups' --localdb, or leave it out to change the store alone",
                directory.display()
            );
        }
        if !has_database && !has(lock::FILE_NAME)? {
            return Ok(None);
        }
        let open = || {
            let mut local = Self {
                lock: Lock::take(directory, now, waiting)?,
                database: None,
                directory: directory.to_owned(),
                behind: None,
                made_some: false,
                gone: Vec::new(),
                lost: Vec::new(),
            };
            // Asked again: the run that was waited for may have made it.
            if has(database::FILE_NAME)? {
                match Database::open(directory) {
                    Err(error) if error.is::<NoRoom>() => local.behind = Some(error),
                    opened => local.database = Some(opened?),
                }
            }
            Ok(local)
        };
        match open() {
            Err(error) if options.dry_run && is_refused(&error) => {
                monitor.note(&format!("planned without local state: {error:#}"));
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Returns when the lock was taken.
    pub(super) fn since(&self) -> Timestamp {
        self.lock.since()
    }

    /// Returns the snapshots that it made, in the order in which they were published.
    pub(super) fn sequence(&self) -> Result<Vec<SnapshotName>> {
        match &self.database {
            Some(database) => {
                let mut sequence = database.snapshots()?;
                sequence.reverse();
                Ok(sequence)
            }
            // What cannot be opened for want of room may be readable. The order only refines what the names say.
            None => Ok(look::snapshots(&self.directory).unwrap_or_default()),
        }
    }

    /// Refuses a store that is not the one of this local state; `sequence` is what it made. That local state in the store itself belongs to
    /// it is not doubted.
    pub(super) fn ensure_made_in(
        &mut self,
        inventory: &Inventory,
        sequence: &[SnapshotName],
        options: &PruneOptions,
    ) -> Result<()> {
        let is_there = |name: &SnapshotName| inventory.snapshots.contains_key(name);
        self.made_some = sequence.iter().any(is_there);
        if options.local.is_none() || self.made_some {
            return Ok(());
        }
        if let Some(database) = &self.database {
            return database.ensure_made_in(&options.store, |name| Ok(is_there(name)));
        }
        let mut files = look::segment_files(&self.directory).into_iter().flatten();
        let latest = sequence.iter().rfind(|name| !name.is_checkpoint());
        match latest.filter(|_| !files.any(|file| options.store.join(file).exists())) {
            Some(latest) => Err(OtherStore::new(&options.store, &self.directory, latest).into()),
            None => Ok(()),
        }
    }

    /// Returns its id.
    pub(super) fn state_id(&self) -> Result<Option<String>> {
        let id = self.database.as_ref().map(Database::state_id);
        Ok(id.transpose()?.flatten())
    }

    /// Returns the lengths of segments that it knows.
    pub(super) fn lengths(&self) -> Result<Lengths> {
        let mut lengths = Lengths::default();
        if let Some(database) = &self.database {
            for (segment, bytes) in database.lengths()? {
                lengths.learn(segment, bytes);
            }
        }
        Ok(lengths)
    }

    /// Returns the segments that these snapshots use and no others do, as far as it knows.
    pub(super) fn segments_only_of(&self, gone: &[SnapshotName]) -> Result<HashSet<SegmentId>> {
        match &self.database {
            Some(database) if !gone.is_empty() => {
                Ok(database.segments_only_of(gone)?.into_iter().collect())
            }
            _ => Ok(HashSet::new()),
        }
    }

    /// Forgets snapshots whose descriptors are gone.
    pub(super) fn forget_snapshots(
        &mut self,
        names: Vec<SnapshotName>,
        monitor: &Counter<'_>,
    ) -> Result<()> {
        if self.tell(|database| forget(database, &names))? && !names.is_empty() {
            monitor.note("the local state has forgotten what was removed");
        }
        self.gone = names;
        Ok(())
    }

    /// Forgets segments whose files are about to go.
    pub(super) fn forget_segments(
        &mut self,
        ids: Vec<SegmentId>,
        monitor: &Counter<'_>,
    ) -> Result<()> {
        if !ids.is_empty() && self.tell(|database| database.forget_segments(&ids))? {
            let told = format!("segments that the local state has forgotten: {}", ids.len());
            monitor.note(&told);
        }
        self.lost = ids;
        Ok(())
    }

    /// Changes the database, if it is open, and returns whether it was changed. Once it has no room, it is closed.
    fn tell(&mut self, change: impl FnOnce(&Database) -> Result<()>) -> Result<bool> {
        let Some(database) = &self.database else {
            return Ok(false);
        };
        match change(database) {
            Err(error) if error.is::<NoRoom>() => {
                self.database = None;
                self.behind = Some(error);
                Ok(false)
            }
            changed => changed.map(|()| true),
        }
    }

    /// Tells the database what it had no room for, now that there may be some.
    pub(super) fn catch_up(&mut self, store: &StoreDir, monitor: &Counter<'_>) -> Result<()> {
        let Some(reason) = self.behind.take() else {
            return Ok(());
        };
        let told = Database::open(&self.directory).and_then(|database| {
            forget(&database, &self.gone)?;
            database.forget_segments(&self.lost)
        });
        let subject = database::FILE_NAME.as_bytes();
        match told {
            Ok(()) => {
                monitor.note(
                    "the local state, which had no room at first, has forgotten what was removed",
                );
            }
            Err(error) if !error.is::<NoRoom>() => return Err(error),
            Err(_) if !self.made_some || self.is_of_use(store)? => monitor.problem_of_state(
                subject,
                format_args!("does not know what was removed: {reason:#}; the next prune tells it"),
            ),
            Err(_) => {
                database::remove(&self.directory)?;
                monitor.problem_of_state(subject, format_args!(
                    "was removed: nothing that it knew is in the store now, and there was no room to tell it ({reason:#}); the next backup \
                     stores everything again, unless pileus rebuild --dest={} --localdb={} comes first",
                    shell_word(store.path()),
                    shell_word(&self.directory)
                ));
            }
        }
        Ok(())
    }

    /// Whether anything that the database knows is in the store. What cannot be read may be of use.
    fn is_of_use(&self, store: &StoreDir) -> Result<bool> {
        let known = match Database::open(&self.directory) {
            Ok(database) => database
                .snapshots()
                .and_then(|names| Ok((names, database.has_segment_in(store.path())?))),
            Err(_) => look::snapshots(&self.directory).and_then(|names| {
                let files = look::segment_files(&self.directory)?;
                let is_there = |file: &String| store.has(file).unwrap_or(true);
                Ok((names, files.iter().any(is_there)))
            }),
        };
        let Ok((names, false)) = known else {
            return Ok(true);
        };
        for name in names {
            if store.has_snapshot(&name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn forget(database: &Database, names: &[SnapshotName]) -> Result<()> {
    for name in names {
        database.remove_snapshot(name)?;
    }
    database.commit()
}

fn is_refused(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| matches!(e.kind(), PermissionDenied | ReadOnlyFilesystem))
}
