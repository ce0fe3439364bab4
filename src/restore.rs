//! Brings a snapshot back: the conductor of `pileus restore`.
//!
//! 1. The metadata log is read once, in path order ([`planner`]): directories, links and special files are made; of files with
//!    contents only their entries and references are kept, on disk ([`spool`], [`tasks`]).
//! 2. The references, sorted by segment, are worked off by several workers ([`worker`]); each segment is read once.
//! 3. What needs everything else comes last: hard links, then the attributes of directories, deepest first.
//!
//! Only the store is read, never local state. Nothing is trusted: everything below the target is reached through directory
//! descriptors without following links ([`target`]), and contents are compared with their checksums: before a file gets its name
//! if it is written in several steps, before it is made at all if it has one part.
//! Whatever cannot be restored is a problem of its own entry; everything else is.

mod abilities;
pub(crate) mod attributes;
mod blocked;
mod collision;
mod contents;
mod delete;
mod finishing;
mod folding;
mod found;
mod incomplete;
mod layout;
mod linking;
mod planner;
mod rest;
mod sequential;
mod spool;
pub(crate) mod target;
mod tasks;
mod trial;
mod unfinished;
mod worker;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::unistd::geteuid;

use crate::chosen::Wanted;
use crate::format::descriptor::{Descriptor, Totals};
use crate::format::entry::Entry;
use crate::format::object_ref::SegmentId;
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Bytes, Counter, Monitor, PathStatus, Progress};
use crate::rules::Rule;
use crate::snapshot;
use crate::sorter::Sorted;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

pub use attributes::OwnerPolicy;
pub use collision::Overwrite;

use attributes::{AttributePolicy, Attributes};
use contents::{LEFT_OUT, Opened, name_taken};
use delete::Deleter;
use found::check_found;
use planner::{Plan, Planner};
use rest::{Failed, Rest};
use spool::Place;
use target::{DirCursor, Target};
use tasks::Task;
use unfinished::Unfinished;
use worker::{Batch, Worker};

/// What a restore does.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The store.
    pub store: PathBuf,
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// Where to; made if only its last component is missing.
    pub target: PathBuf,
    /// Entries to restore, with all below them; everything if there are none.
    pub paths: Vec<EntryPath>,
    /// Which of these entries are left out, in the order in which the rules are asked.
    pub rules: Vec<Rule>,
    /// Whether what the snapshot does not have is deleted.
    pub delete: bool,
    /// Whether only to tell what would be restored.
    pub dry_run: bool,
    /// What happens to existing files.
    pub overwrite: Overwrite,
    /// Who owns what is restored.
    pub owner: OwnerPolicy,
    /// Whether extended attributes are restored.
    pub xattrs: bool,
    /// Whether long runs of zeros become holes.
    pub sparse: bool,
    /// Number of workers that read segments.
    pub jobs: usize,
    /// Shell command that has to accept the descriptor's signature.
    pub verify_signature: Option<String>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

impl RestoreOptions {
    fn wants_all(&self) -> bool {
        self.paths.is_empty() && self.rules.is_empty()
    }
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The snapshot that was restored.
    pub snapshot: SnapshotName,
    /// Number of entries brought back.
    pub entries: u64,
    /// Number of entries that the snapshot has, if all were asked for and it says so.
    pub expected: Option<u64>,
    /// Bytes of their contents, holes included.
    pub bytes: u64,
    /// Number of entries of the target that were deleted, since the snapshot does not have them.
    pub deleted: u64,
    /// Number of problems told on the way.
    pub problems: u64,
    /// Whether `stop` ended it early; what there is then is whole.
    pub interrupted: bool,
}

/// Restores a snapshot, or as much of it as was done when `stop` is set. An error means that the restore did not go through; problems of
/// single entries are counted in the report.
pub fn run(
    options: &RestoreOptions,
    stop: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let catalog = Catalog::open(&options.store)?;
    let descriptor = snapshot::open_chosen(
        &catalog,
        &options.snapshot,
        options.verify_signature.as_deref(),
    )?;
    catalog.ensure_readable(&descriptor.segments, options.unfilter.as_deref())?;
    let monitor = Counter::new(monitor);
    if options.delete {
        delete::ensure_complete(options, &descriptor)?;
    }
    if options.dry_run {
        return trial::run(options, &catalog, &descriptor, stop, &monitor);
    }
    let target = Target::open(&options.target)?;
    let outcome = restore_into(&target, options, &catalog, &descriptor, stop, &monitor);
    if outcome.as_ref().map_or(true, |report| report.entries == 0) {
        target.remove_if_made_for_nothing(&options.target);
    }
    outcome
}

fn restore_into(
    target: &Target,
    options: &RestoreOptions,
    catalog: &Catalog,
    descriptor: &Descriptor,
    stop: &AtomicBool,
    monitor: &Counter<'_>,
) -> Result<RestoreReport> {
    let mut objects = ObjectCache::new(catalog, options.unfilter.as_deref())?;
    let mut deletion = Deleter::begin(
        options,
        descriptor,
        Some(target),
        catalog,
        &mut objects,
        stop,
        monitor,
    )?;
    let expected = descriptor.totals.filter(|_| options.wants_all());
    let restorer = Restorer::new(options, target, Rest::new(stop), monitor, expected);

    let mut planner = Planner::new(&restorer, &options.target)?;
    let mut wanted = Wanted::new(&options.paths, options.rules.clone());
    let (mut found, mut lost) = (0_u64, 0_u64);
    let (log_objects, data_objects) = (
        &mut objects,
        &mut ObjectCache::new(catalog, options.unfilter.as_deref())?,
    );
    for item in MetadataLogReader::new(log_objects, descriptor.root) {
        if restorer.rest.is_stopped() {
            break;
        }
        found += u64::from(item.is_ok());
        lost += u64::from(item.is_err());
        if let Some(deletion) = &mut deletion {
            deletion.meet(&item);
        }
        planner.add(item, &mut wanted, data_objects)?;
    }
    let is_stopped = restorer.rest.is_stopped();
    if !is_stopped {
        check_found(options, &wanted, (found, lost), monitor)?;
        found::tell_lost(&options.store, descriptor, (found, lost), monitor);
    }
    let deleted = deletion.map_or(0, |deletion| deletion.end(is_stopped));

    let mut plan = planner.finish()?;
    restorer.write_contents(&mut plan, catalog)?;
    for &place in &plan.sequential {
        if restorer.rest.is_stopped() {
            break;
        }
        sequential::restore(&restorer, &plan.spool, place, &mut objects)?;
    }
    if !restorer.rest.is_stopped() {
        restorer.make_links(&plan, &mut objects)?;
    }
    restorer.finish_directories(&plan)?;
    if let Some(reason) = restorer.rest.told() {
        restorer.problem(options.target.as_os_str().as_encoded_bytes(), reason);
    }
    restorer.note_skipped();
    restorer.attributes.file_systems().tell(monitor);
    Ok(RestoreReport {
        snapshot: options.snapshot.clone(),
        entries: restorer.entries.load(Ordering::Relaxed),
        expected: expected.map(|totals| totals.entries),
        bytes: restorer.bytes.load(Ordering::Relaxed),
        deleted,
        problems: monitor.problems(),
        interrupted: restorer.rest.is_stopped(),
    })
}

/// What all parts of a restore share.
pub(crate) struct Restorer<'t> {
    options: &'t RestoreOptions,
    target: &'t Target,
    monitor: &'t Counter<'t>,
    attributes: Attributes,
    entries: AtomicU64,
    bytes: AtomicU64,
    /// Bytes that came out of segments, also of files that are not complete.
    moved_bytes: AtomicU64,
    /// What there is to restore, if that is known before.
    expected: Option<Totals>,
    /// Inodes of restored entries that may have further links.
    linked_inodes: Mutex<HashMap<EntryPath, (u64, u64)>>,
    /// Files whose names the target refused.
    unnamed: Mutex<HashSet<Place>>,
    rest: Rest<'t>,
}

impl<'t> Restorer<'t> {
    fn new(
        options: &'t RestoreOptions,
        target: &'t Target,
        rest: Rest<'t>,
        monitor: &'t Counter<'t>,
        expected: Option<Totals>,
    ) -> Self {
        let policy = AttributePolicy {
            owner: options.owner,
            xattrs: options.xattrs,
            privileged: geteuid().is_root(),
        };
        let (entries, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            options,
            target,
            monitor,
            attributes: Attributes::new(policy),
            entries,
            bytes,
            moved_bytes: AtomicU64::new(0),
            expected,
            linked_inodes: Mutex::default(),
            unnamed: Mutex::default(),
            rest,
        }
    }

    fn problem(&self, subject: &[u8], reason: impl std::fmt::Display) {
        self.monitor.problem(subject, reason);
    }

    /// Reports an entry that could not be made; those that did not fit are counted, after the first.
    fn fail(&self, path: &EntryPath, failed: &Failed) {
        let Failed { reason, no_room } = failed;
        if !no_room {
            self.problem(path.as_bytes(), reason);
        } else if self.rest.leave_out() {
            self.problem(path.as_bytes(), format_args!("{reason}; {LEFT_OUT}"));
        }
    }

    /// Remembers that a file could not be given its name, as opposed to its contents.
    fn cannot_have_name(&self, place: Place) {
        let unnamed = self.unnamed.lock();
        unnamed
            .expect("nobody panics while it is held")
            .insert(place);
    }

    /// Counts an entry that is back in its place.
    fn restored(&self, path: &EntryPath, bytes: u64) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.monitor.path(PathStatus::Restored, path, None);
        self.tell_progress(path);
    }

    /// Counts bytes that came out of a segment for a file.
    fn moved(&self, path: &EntryPath, bytes: u64) {
        self.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell_progress(path);
    }

    /// Tells how far the restore has come, if anybody wants to know.
    fn tell_progress(&self, path: &EntryPath) {
        if !self.monitor.wants_progress() {
            return;
        }
        let moved = self.moved_bytes.load(Ordering::Relaxed);
        // Zeros come out of no segment, and files that are not complete are not among the bytes restored.
        let done = self.bytes.load(Ordering::Relaxed).max(moved);
        self.monitor.tell_progress(Progress {
            done: self.entries.load(Ordering::Relaxed),
            total: self.expected.map(|totals| totals.entries),
            unit: "entries",
            bytes: Some(Bytes {
                done,
                total: self.expected.map(|totals| totals.source_bytes),
                moved,
            }),
            path: Some(path),
            ..Progress::default()
        });
    }

    fn give_attributes(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        file: Option<BorrowedFd<'_>>,
        entry: &Entry,
    ) {
        for reason in self.attributes.apply(parent, name, file, entry) {
            self.problem(entry.path.as_bytes(), reason);
        }
    }

    /// Checks a file that has all its contents and gives it its attributes.
    fn complete(&self, cursor: &mut DirCursor<'_>, opened: &Opened, entry: &Entry) {
        let verified =
            worker::checksum(entry).map_or(Ok(()), |wanted| opened.verify(&wanted, &self.rest));
        match verified {
            Ok(()) => self.complete_verified(cursor, opened, entry),
            Err(reason) => self.give_up(cursor, opened, &reason),
        }
    }

    /// Takes a file that could not be completed out of its place, and tells why, unless that is told for all. Of a full target, what was
    /// written of the file is worth less than the room it takes.
    fn give_up(&self, cursor: &mut DirCursor<'_>, opened: &Opened, reason: &str) {
        let left = if self.rest.is_over() {
            match opened.discard(cursor) {
                Ok(()) if self.rest.is_stopped() => return,
                Ok(()) => LEFT_OUT.to_owned(),
                Err(left) => left,
            }
        } else {
            opened.set_aside(cursor)
        };
        self.problem(opened.path.as_bytes(), format_args!("{reason}; {left}"));
    }

    /// Gives a file whose contents have been compared its attributes and its name.
    fn complete_verified(&self, cursor: &mut DirCursor<'_>, opened: &Opened, entry: &Entry) {
        let (parent, name) = entry.path.split();
        let attributed = cursor.enter(parent).map(|parent| {
            self.give_attributes(parent, name, Some(opened.file.as_fd()), entry);
        });
        match attributed.and_then(|()| opened.put_in_place(cursor)) {
            Ok(()) => {
                if let Ok(parent) = cursor.enter(parent) {
                    self.remember_link(parent, entry);
                }
                self.restored(&entry.path, opened.work.size);
            }
            Err(error) => {
                self.cannot_have_name(opened.place());
                let reason = format!("cannot be given its name: {}", name_taken(&error));
                self.fail(&entry.path, &Failed::new(&error, reason));
            }
        }
    }

    /// Remembers which inode stands for an entry that others may be links of.
    fn remember_link(&self, parent: BorrowedFd<'_>, entry: &Entry) {
        if entry.may_be_hard_link()
            && let Ok(Some(there)) = target::stat(parent, entry.path.split().1)
        {
            let mut inodes = self
                .linked_inodes
                .lock()
                .expect("no worker panics while it holds the lock");
            inodes.insert(entry.path.clone(), (there.st_dev, there.st_ino));
        }
    }

    /// Works off the tasks with several workers.
    fn write_contents(&self, plan: &mut Plan, catalog: &Catalog) -> Result<()> {
        let unfinished = Unfinished::default();
        let (sender, receiver) = sync_channel::<Batch>(1);
        let receiver = Mutex::new(receiver);
        let Plan {
            spool,
            tasks,
            segments,
            ..
        } = plan;
        let spool = &*spool;
        thread::scope(|scope| {
            let run = || {
                let mut worker = Worker::new(self, spool, catalog, &unfinished);
                work(&mut worker, &receiver)
            };
            let start_worker = |_| thread::Builder::new().spawn_scoped(scope, run);
            // With a few threads less it only takes longer.
            let (mut workers, mut failed) = (Vec::new(), None);
            for started in (0..self.options.jobs.max(1)).map(start_worker) {
                match started {
                    Ok(worker) => workers.push(worker),
                    Err(error) => failed = Some(error),
                }
            }
            let sent = match failed {
                Some(error) if workers.is_empty() => Err(error).context("cannot start a thread"),
                _ => send_all(tasks, segments, &sender),
            };
            drop(sender);
            let ended = workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a worker thread panicked")))
            });
            // A worker's own error says more than the queue that it left behind.
            ended.collect::<Result<Vec<()>>>().and(sent)
        })?;
        unfinished.ensure_none()
    }

    fn note_skipped(&self) {
        let skipped = self.attributes.skipped_xattrs();
        if skipped > 0 {
            self.monitor.note(&format!(
                "{skipped} extended attributes that only root may set are left out"
            ));
        }
    }
}

fn send_all(
    tasks: &mut Sorted<Task>,
    segments: &[SegmentId],
    sender: &SyncSender<Batch>,
) -> Result<()> {
    while let Some(batch) = worker::next_batch(tasks, segments)? {
        sender
            .send(batch)
            .map_err(|_| anyhow!("all workers have ended"))?;
    }
    Ok(())
}

/// Restores batches until there are no more. After a failure the rest is taken off the queue unread: whoever fills it must not
/// wait for a worker that has given up.
fn work(worker: &mut Worker<'_, '_>, batches: &Mutex<Receiver<Batch>>) -> Result<()> {
    let mut outcome = Ok(());
    loop {
        let batch = batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = batch else {
            return outcome;
        };
        if outcome.is_ok() {
            let restored = catch_unwind(AssertUnwindSafe(|| worker.restore(&batch)));
            outcome = restored.unwrap_or_else(|_| Err(anyhow!("a worker thread panicked")));
        }
    }
}
