//! A backup under way: what is done with each path.
//!
//! A path whose stat is what the stat cache remembers is kept as it is, without being opened. What else there is, is read: a
//! regular file in [`super::read`], everything else from its stat. The order of entries is that of the scan, and nothing is kept
//! of an entry behind the piece of the log that it is in.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::block_sink::BlockSink;
use super::change::{self, Change};
use super::comparison::Comparison;
use super::contents::Chunker;
use super::describe::{self, OwnerNames};
use super::devices::Devices;
use super::links::Links;
use super::look_ahead::{Found, Visitor};
use super::losses::Held;
use super::progress::Reading;
use super::scan::file_type;
use super::staging::Staging;
use super::tally::StatusCounts;
use super::xattrs::{self, ReadXattrs};
use super::{BackupOptions, Clock};
use crate::format::BLOCK_BYTES;
use crate::format::descriptor::Maker;
use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::DataRef;
use crate::format::path::EntryPath;
use crate::format::segment_group::SegmentGroup;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::{Database, SnapshotSize};
use crate::local::stat_cache::{Doubts, NONSENSE, Remembered, StatKey};
use crate::metadata_log::{MetadataLogWriter, OldEntry, OldLogOptions};
use crate::monitor::{Counter, PathStatus};
use crate::store::dir::StoreDir;
use crate::store::pool::{Names, Pool};
use crate::store::segment_writer::SegmentWriter;

/// A clock that is ahead by more than this of what a run has lasted was set.
const CLOCK_SET_SECONDS: i64 = 24 * 3600;

/// The run was told to end early.
#[derive(Debug)]
pub(super) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// What a run needs from outside.
#[derive(Clone, Copy)]
pub(super) struct Outside<'r> {
    pub(super) clock: &'r dyn Clock,
    pub(super) stop: &'r AtomicBool,
    pub(super) monitor: &'r Counter<'r>,
    pub(super) started: Timestamp,
    /// Who makes the snapshots.
    pub(super) maker: &'r Maker,
    /// The moment of `started` on a clock that nobody sets.
    pub(super) begun: Instant,
}

impl Outside<'_> {
    /// Returns when the run began by the clock as it is now: it may have been set since, as on a machine that learns the time from the
    /// network after it was switched on.
    pub(super) fn began(&self) -> Timestamp {
        let now = self.clock.now();
        let elapsed = i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(0);
        let began = now.as_second().saturating_sub(elapsed);
        // A machine that slept looks as if its clock had been set forward, by less than this.
        let ahead = began.saturating_sub(self.started.as_second());
        if self.started > now || ahead > CLOCK_SET_SECONDS {
            Timestamp::from_second(began).unwrap_or(self.started)
        } else {
            self.started
        }
    }
}

/// What a run works on.
pub(super) struct State<'r> {
    pub(super) store: Arc<StoreDir>,
    /// The directory of local state.
    pub(super) local: &'r Path,
    pub(super) database: Database,
    /// Compares known blocks with the store, if that was asked for.
    pub(super) comparison: Option<Comparison<'r>>,
}

/// A backup under way.
pub(super) struct Run<'r> {
    pub(super) options: &'r BackupOptions,
    pub(super) outside: Outside<'r>,
    pub(super) store: Arc<StoreDir>,
    pub(super) pool: Pool,
    pub(super) sink: BlockSink<'r>,
    pub(super) log: MetadataLogWriter<'r>,
    pub(super) chunker: Chunker,
    pub(super) links: Links,
    pub(super) staging: Staging,
    pub(super) owners: OwnerNames,
    pub(super) devices: Devices,
    pub(super) entries: StatusCounts,
    pub(super) source_bytes: u64,
    /// What was found in each source.
    pub(super) held: Held,
    /// What the last snapshot of the scheme has, as far as is known: about where the end is.
    pub(super) expected: Option<SnapshotSize>,
    /// The file that is being read.
    pub(super) reading: Reading,
    /// What the last snapshot has of the present path.
    pub(super) old: Option<OldEntry>,
    /// Whether anything is not as in the last snapshot; only kept if it is asked for.
    pub(super) changed: bool,
    /// Whether the last snapshot has any path of this one, other than directories above the sources.
    pub(super) shares_paths: bool,
    /// When the present path was looked at, or a moment before.
    seen: Timestamp,
    /// The rule that took the present path, if reasons are asked for.
    rule: Option<String>,
    /// The checkpoint that this run made last.
    pub(super) last_checkpoint: Option<SnapshotName>,
    /// When something ended last that took long: what was seen before may be something else by now.
    long_work_ended: Option<Timestamp>,
    /// How many bytes of blocks are safe: stored, and known to the local database.
    pub(super) safe_bytes: u64,
}

impl<'r> Run<'r> {
    pub(super) fn start(
        options: &'r BackupOptions,
        outside: Outside<'r>,
        state: State<'r>,
        names: Box<Names>,
    ) -> Result<Self> {
        let filter = Arc::new(options.filter.clone());
        let stored = outside.started.as_second();
        let mtime = u64::try_from(stored).context("the clock stands before 1970")?;
        let (group, bytes) = (SegmentGroup::Metadata, options.segment_bytes);
        let metadata = SegmentWriter::new(group, Arc::clone(&filter), bytes, mtime);
        let old = OldLogOptions {
            local: state.local,
            scheme: &options.scheme,
            renew_all: options.full_metadata || options.reread,
            keep_cache: !options.dry_run,
            monitor: outside.monitor,
        };
        let log = MetadataLogWriter::new(metadata, &old);
        let temporary = std::env::temp_dir();
        let is_there = state.local.is_dir() || !options.dry_run;
        let staging = if is_there { state.local } else { &temporary };
        let staging = Staging::new(staging, options.staging_bytes);
        tell_what_is_missing(&log, &state.database, options, outside.monitor)?;
        let expected = state.database.last_size(&options.scheme, outside.maker)?;
        Ok(Self {
            options,
            outside,
            pool: Pool::start(Arc::clone(&state.store), options.jobs, names)?,
            store: Arc::clone(&state.store),
            sink: BlockSink::new(state, options, filter, stored, outside.monitor),
            log,
            chunker: Chunker::new(),
            links: Links::default(),
            staging,
            owners: OwnerNames::default(),
            devices: Devices::default(),
            entries: StatusCounts::default(),
            source_bytes: 0,
            held: Held::new(options),
            expected,
            reading: Reading::default(),
            old: None,
            changed: false,
            shares_paths: false,
            seen: outside.started,
            rule: None,
            last_checkpoint: None,
            long_work_ended: None,
            safe_bytes: 0,
        })
    }

    /// Tells whether every file will be read, as nothing is known of any.
    pub(super) fn reads_all(&self) -> bool {
        !self.log.has_old()
    }

    /// Backs up one path.
    fn back_up(&mut self, found: &Found<'_>) -> Result<()> {
        let before = (self.chunker.bytes_read(), self.safe_bytes);
        self.reading.end();
        self.tell_progress(found.path);
        match self.look_again(found) {
            Ok(found) => self.decide(&found)?,
            Err(reason) => self.outside.monitor.problem(found.path.as_bytes(), reason),
        }
        // Behind the work, not before it: between stat and record nothing should take long.
        self.pause()?;
        let was_long = self.chunker.bytes_read() - before.0 > BLOCK_BYTES as u64;
        if was_long || self.safe_bytes != before.1 {
            self.long_work_ended = Some(self.outside.clock.now());
        }
        Ok(())
    }

    /// Looks at a path again if the scan saw it before a large file was read. Directories stay what they were when they were listed.
    fn look_again<'f>(&self, found: &Found<'f>) -> Result<Found<'f>, &'static str> {
        if found.ahead.is_some() {
            return Ok(*found);
        }
        let is_recent = self.long_work_ended.is_none_or(|ended| ended < found.seen);
        if is_recent || file_type(&found.stat) == SFlag::S_IFDIR {
            return Ok(*found);
        }
        let now = self.outside.clock.now();
        let stat = fstatat(found.parent, found.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        match stat {
            Ok(stat) if file_type(&stat) == SFlag::S_IFDIR => {
                Err("became a directory while it was being backed up; it is left out")
            }
            Ok(stat) => Ok(Found {
                stat,
                seen: now,
                ..*found
            }),
            Err(_) => Err("vanished while it was being backed up"),
        }
    }

    fn decide(&mut self, found: &Found<'_>) -> Result<()> {
        self.seen = found.seen;
        self.devices.observe(found);
        let key = describe::stat_key(&found.stat);
        let sink = &mut self.sink;
        let old = self
            .log
            .find(&self.pool, found.path, &mut |id| sink.usable(id))?;
        self.old = old;
        self.shares_paths |= old.is_some() && !found.partial;
        // What it stands for is another, though its stat is the same.
        self.changed |= old.is_some_and(|old| old.doubts.partial != found.partial);
        if let Some(old) = old.filter(|old| self.is_unchanged(old, &key, found.partial)) {
            let read = self.look_at_doubted(&old, found);
            // Links are told by device and inode: when a file system is mounted as another device, all of them have to be told anew.
            let moved = old.device.is_some_and(|old| old != found.stat.st_dev);
            let is_other = |read: &ReadXattrs| read.attributes() != old.attributes;
            let renew = old.renew
                || moved
                || old.key.given != key.given
                || read.as_ref().is_some_and(is_other);
            if !renew && !old.suspect {
                return self.keep(found, read.as_ref());
            }
            if self.renew(found, &OldEntry { renew, ..old }, read)? {
                return Ok(());
            }
        }
        if file_type(&found.stat) == SFlag::S_IFREG {
            return match found.ahead {
                Some(ahead) => self.record_ahead(found, ahead),
                None => self.visit_file(found, old),
            };
        }
        let is_same = old.is_some_and(|old| change::is_same_special(&old.key, &key));
        let status = if is_same {
            PathStatus::Old
        } else {
            PathStatus::New
        };
        let read = xattrs::of_name(found.parent, found.name);
        self.record_special(found, read, status)
    }

    /// Ends the run if it was told to, and takes a checkpoint if one is due.
    pub(super) fn pause(&mut self) -> Result<()> {
        if self.outside.stop.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        if let Some(path) = self.reading.path() {
            self.tell_progress(path);
        }
        let unsafe_bytes = self.sink.stored_bytes() - self.safe_bytes;
        if unsafe_bytes >= self.options.checkpoint_bytes && !self.options.dry_run {
            self.secure()?;
        }
        Ok(())
    }

    fn is_unchanged(&self, old: &OldEntry, key: &StatKey, partial: bool) -> bool {
        let doubts = old.doubts;
        let is_doubted = doubts.volatile || doubts.partial != partial;
        !self.options.reread && !is_doubted && old.key.has_contents_of(key)
    }

    /// Keeps the entry of the last snapshot, stanza and all; `read` are its attributes if they were doubted.
    fn keep(&mut self, found: &Found<'_>, read: Option<&ReadXattrs>) -> Result<()> {
        if let Some(problem) = read.and_then(|read| read.problem.as_ref()) {
            self.outside.monitor.problem(found.path.as_bytes(), problem);
        }
        if file_type(&found.stat) == SFlag::S_IFREG {
            self.source_bytes += u64::try_from(found.stat.st_size).unwrap_or(0);
        }
        self.entries.add(PathStatus::Old, Change::None);
        self.tell(PathStatus::Old, found.path);
        self.log.keep(&self.pool)
    }

    /// Records an unchanged path whose stanza, or the segments that it needs, may be of no more use. `false` if the file has to be
    /// read for its blocks.
    fn renew(
        &mut self,
        found: &Found<'_>,
        old: &OldEntry,
        read: Option<ReadXattrs>,
    ) -> Result<bool> {
        let remembered = self.log.remembered();
        let remembered = remembered.context(NONSENSE)?;
        let (data, lists) = self.are_usable(&remembered)?;
        if !data {
            return Ok(false);
        }
        if lists && !old.renew {
            return self.keep(found, read.as_ref()).map(|()| true);
        }
        let read = read.unwrap_or_else(|| xattrs::of_name(found.parent, found.name));
        let Some(contents) = remembered.contents else {
            self.record_special(found, read, PathStatus::Old)?;
            return Ok(true);
        };
        let entry = describe::regular(found.path, &found.stat, contents, &mut self.owners);
        self.record(entry, read, &found.stat, PathStatus::Old, old.doubts)?;
        Ok(true)
    }

    /// Tells whether the blocks, and whether the lists of references of a file may be referred to.
    pub(super) fn are_usable(&mut self, remembered: &Remembered) -> Result<(bool, bool)> {
        let (mut data, mut lists) = (true, true);
        for reference in remembered.contents.iter().flat_map(|c| &c.data) {
            if let DataRef::Object(object) = reference {
                data &= self.sink.usable(object.object.segment)?;
            }
        }
        for list in &remembered.lists {
            lists &= self.sink.usable(list.segment)?;
        }
        Ok((data, lists))
    }

    fn record_special(
        &mut self,
        found: &Found<'_>,
        read: ReadXattrs,
        status: PathStatus,
    ) -> Result<()> {
        match describe::special(found, &mut self.owners) {
            Ok(entry) => self.record(entry, read, &found.stat, status, Doubts::default()),
            Err(reason) => {
                self.outside.monitor.problem(found.path.as_bytes(), reason);
                Ok(())
            }
        }
    }

    fn tell(&self, status: PathStatus, path: &EntryPath) {
        let rule = self.rule.as_deref();
        self.outside.monitor.path(status, path, rule);
    }

    /// Appends an entry to the log. `stat` is what it was made from; of the doubts, whether it is volatile is found out here.
    pub(super) fn record(
        &mut self,
        mut entry: Entry,
        mut read: ReadXattrs,
        stat: &FileStat,
        status: PathStatus,
        doubts: Doubts,
    ) -> Result<()> {
        let key = describe::stat_key(stat);
        self.complete(&mut read, stat, &key);
        let attributes = read.attributes();
        if let Some(reason) = read.problem {
            self.outside.monitor.problem(entry.path.as_bytes(), reason);
        }
        (entry.xattrs, entry.incomplete) = (read.xattrs, attributes.incomplete);
        if let EntryKind::File(contents) = &entry.kind {
            self.source_bytes += contents.size;
        }
        self.reading.end();
        let change = self.change(&entry, &key, &attributes, status);
        let status = change.status(status);
        self.entries.add(status, change);
        self.tell(status, &entry.path);
        let volatile = match entry.kind {
            EntryKind::File(_) => entry.volatile,
            _ => self.is_racy_at(stat, self.seen),
        };
        if volatile {
            let (now, monitor) = (self.seen.as_second(), self.outside.monitor);
            self.devices.tell_future(&entry.path, stat, now, monitor);
        }
        self.compare_with_last(&entry, &key, &attributes);
        let remembered = Remembered {
            key,
            device: describe::link_device(stat),
            doubts: Doubts {
                volatile,
                partial: entry.partial,
                ..doubts
            },
            attributes,
            // Not before the stat, which would make it older than it is.
            seen: volatile.then(|| self.outside.clock.now().as_second()),
            contents: None,
            lists: Vec::new(),
        };
        self.log.append(&self.pool, &entry, remembered)
    }

    /// A file that changed in the second of its reading could change again without a trace in its times.
    pub(super) fn is_racy(&self, stat: &FileStat) -> bool {
        self.is_racy_at(stat, self.outside.clock.now())
    }

    /// The same, of a file that was looked at in the `moment`.
    pub(super) fn is_racy_at(&self, stat: &FileStat, moment: Timestamp) -> bool {
        let key = describe::stat_key(stat);
        let same = self.old.filter(|old| old.key.has_contents_of(&key));
        let seen = same.and_then(|old| old.seen);
        self.devices.is_racy(stat, moment, seen)
    }
}

impl Visitor for Run<'_> {
    fn visit(&mut self, found: &Found<'_>) -> Result<()> {
        self.rule = found.rule.map(ToOwned::to_owned);
        let before = (self.entries.total(), self.source_bytes);
        self.back_up(found)?;
        let entries = self.entries.total() - before.0;
        let bytes = self.source_bytes - before.1;
        self.held.add(found, entries, bytes);
        Ok(())
    }

    fn pass(&mut self, path: &EntryPath, why: &str) {
        let monitor = self.outside.monitor;
        monitor.path(PathStatus::Excluded, path, Some(why));
    }
}

/// Says what a run cannot know: the same as in a first run, but after a first run it costs time and room.
fn tell_what_is_missing(
    log: &MetadataLogWriter<'_>,
    database: &Database,
    options: &BackupOptions,
    monitor: &Counter<'_>,
) -> Result<()> {
    let snapshots = database.snapshots()?;
    let scheme_known = snapshots.iter().any(|name| name.scheme() == options.scheme);
    if !log.has_old() && scheme_known {
        monitor.note("there is no stat cache: every file is read");
    }
    Ok(())
}
