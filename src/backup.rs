//! Makes a snapshot: the conductor of `pileus backup`.
//!
//! The order of writing is the argument that no crash leaves a dangling reference:
//!
//! 1. blocks and metadata go into segments; workers filter, sync and name them ([`crate::store::pool`]);
//! 2. when all segments have their names, the sums file gets its own, and the directory is synced;
//! 3. the descriptor appears: from here on the snapshot exists;
//! 4. the local database commits what the run added.
//!
//! A crash before 3 leaves files that nothing refers to; between 3 and 4 a database that does not know the newest segments.
//! Nothing is ever removed or changed, and no file of the store is opened for reading.
//!
//! A failure of one file is a problem, and the run goes on. A failure of the store or of local state ends the run.

mod block_sink;
mod contents;
mod describe;
mod names;
mod publish;
mod scan;
mod selection;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use nix::sys::stat::{FileStat, SFlag};

use crate::format::descriptor::{Descriptor, Totals};
use crate::format::entry::{Entry, EntryKind, FileContents, FileTime};
use crate::format::snapshot_name::SnapshotName;
use crate::format::sums::{self, FileSum};
use crate::local::database::Database;
use crate::local::lock::Lock;
use crate::metadata_log::MetadataLogWriter;
use crate::monitor::{Counter, Monitor, PathStatus};
use crate::store::catalog::is_store_file;
use crate::store::dir::StoreDir;
use crate::store::filter::Filter;
use crate::store::pool::{Names, Pool};
use crate::store::segment_writer::SegmentWriter;

use block_sink::{BlockSink, BlockStatus};
use contents::{Chunker, OpenFile};
use describe::{OwnerNames, ReadXattrs};
use scan::{Found, OwnDirectory, Scanner, file_type, identity};
pub use selection::Selection;
use source::Source;
pub use source::Sources;

/// Most bytes of extended attributes of one file: an entry has to fit in an object with room to spare.
const XATTR_BYTES_MAX: usize = 1 << 20;

/// What a backup does.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The store's directory; made if only its last component is missing.
    pub store: PathBuf,
    /// The directory of local state; `None` for the store itself.
    pub local: Option<PathBuf>,
    /// What to back up.
    pub sources: Vec<PathBuf>,
    /// What to leave out.
    pub selection: Selection,
    /// Name of the series of snapshots; empty for none.
    pub scheme: String,
    /// What stands between tar and disk.
    pub filter: Filter,
    /// Shell command that signs the descriptor.
    pub signature_filter: Option<String>,
    /// Filtered size at which a segment is closed, in bytes.
    pub segment_bytes: usize,
    /// Number of workers that filter.
    pub jobs: usize,
}

/// Where time comes from; passed in, so that a test knows what is written.
pub trait Clock: Sync {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;
    /// Returns once `instant` is not in the future.
    fn wait_until(&self, instant: Timestamp);
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The snapshot's name.
    pub snapshot: SnapshotName,
    /// Entries whose contents, or some of them, were new to the store.
    pub new_entries: u64,
    /// All other entries.
    pub old_entries: u64,
    /// Sum of the sizes of all regular files.
    pub source_bytes: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// Bytes of file blocks written, before the filter.
    pub new_data_bytes: u64,
    /// Bytes of the metadata log written, before the filter.
    pub metadata_bytes: u64,
    /// Bytes of segments written, after the filter.
    pub disk_bytes: u64,
    /// Number of segments written.
    pub segments: u64,
    /// Number of problems told on the way.
    pub problems: u64,
}

/// Makes a snapshot. An error means that there is no new snapshot; problems of single files are counted in the report.
pub fn run(
    options: &BackupOptions,
    clock: &dyn Clock,
    names: Box<Names>,
    monitor: &dyn Monitor,
) -> Result<BackupReport> {
    let started = clock.now();
    let sources = Sources::parse(&options.sources).map_err(anyhow::Error::msg)?;
    check_sources(&sources)?;
    let store = Arc::new(StoreDir::open_or_create(&options.store)?);
    let local = local_directory(options)?;
    let lock = Lock::take(&local, started)?;
    let monitor = Counter::new(monitor);
    if !Path::new("/proc/self/fd").exists() {
        monitor.problem(b"/proc", "is not mounted: extended attributes of directories, links and special files are left out");
    }
    let own_directories = own_directories(&store, &local)?;
    let scanner = Scanner::new(&sources, &options.selection, &own_directories, &monitor);

    let mut run = Run::start(
        options,
        Arc::clone(&store),
        Database::open(&local)?,
        names,
        clock,
        &monitor,
    )?;
    scanner.scan(&mut |found| run.visit(found))?;
    let report = run.finish(started)?;
    drop(lock);
    Ok(report)
}

/// Finds a source that is missing before anything is made.
fn check_sources(sources: &Sources) -> Result<()> {
    for Source { path: source, .. } in &sources.paths {
        let shown = if sources.base == Path::new("/") {
            format!("/{source}")
        } else {
            source.to_string()
        };
        if !scan::exists(&sources.base, source)
            .with_context(|| format!("cannot look at {shown}"))?
        {
            bail!("{shown} does not exist: nothing was backed up");
        }
    }
    Ok(())
}

fn local_directory(options: &BackupOptions) -> Result<PathBuf> {
    let Some(local) = &options.local else {
        return Ok(options.store.clone());
    };
    // The same rules as for a store: only the last component is made.
    StoreDir::open_or_create(local)?;
    Ok(local.clone())
}

fn own_directories(store: &StoreDir, local: &Path) -> Result<[OwnDirectory; 2]> {
    use std::os::unix::fs::MetadataExt;
    let is_own = |name: &[u8]| {
        is_store_file(name) || std::str::from_utf8(name).is_ok_and(crate::local::is_local_file)
    };
    let local_metadata =
        std::fs::metadata(local).with_context(|| format!("cannot look at {}", local.display()))?;
    let store_identity = store
        .identity()
        .with_context(|| format!("cannot look at {}", store.path().display()))?;
    Ok(
        [store_identity, (local_metadata.dev(), local_metadata.ino())]
            .map(|identity| OwnDirectory { identity, is_own }),
    )
}

/// A backup under way.
struct Run<'r> {
    options: &'r BackupOptions,
    clock: &'r dyn Clock,
    monitor: &'r Counter<'r>,
    store: Arc<StoreDir>,
    pool: Pool,
    sink: BlockSink,
    log: MetadataLogWriter,
    chunker: Chunker,
    owners: OwnerNames,
    linked: HashMap<(u64, u64), LinkedFile>,
    entries: EntryCounts,
}

#[derive(Default)]
struct EntryCounts {
    new: u64,
    old: u64,
    source_bytes: u64,
}

/// A file with several hard links whose contents were read under an earlier name.
struct LinkedFile {
    contents: FileContents,
    volatile: bool,
    unchanged: StatKey,
    links_to_come: u64,
}

/// What of a stat must agree for contents to be taken as the same within one run.
type StatKey = (i64, i64, i64, i64, i64);

impl<'r> Run<'r> {
    fn start(
        options: &'r BackupOptions,
        store: Arc<StoreDir>,
        database: Database,
        names: Box<Names>,
        clock: &'r dyn Clock,
        monitor: &'r Counter<'r>,
    ) -> Result<Self> {
        let filter = Arc::new(options.filter.clone());
        let mtime =
            u64::try_from(clock.now().as_second()).context("the clock stands before 1970")?;
        let metadata = SegmentWriter::new(Arc::clone(&filter), options.segment_bytes, mtime);
        Ok(Self {
            options,
            clock,
            monitor,
            pool: Pool::start(Arc::clone(&store), options.jobs, names),
            sink: BlockSink::new(
                Arc::clone(&store),
                database,
                &filter,
                options.segment_bytes,
                mtime,
            ),
            store,
            log: MetadataLogWriter::new(metadata),
            chunker: Chunker::new(),
            owners: OwnerNames::default(),
            linked: HashMap::new(),
            entries: EntryCounts::default(),
        })
    }

    fn visit(&mut self, found: &Found<'_>) -> Result<()> {
        if file_type(&found.stat) == SFlag::S_IFREG {
            return self.visit_file(found);
        }
        match describe::special(found, &mut self.owners) {
            Ok(entry) => self.record(
                entry,
                describe::xattrs_by_name(found.parent, found.name),
                BlockStatus::Old,
            ),
            Err(reason) => {
                self.monitor.problem(found.path.as_bytes(), reason);
                Ok(())
            }
        }
    }

    fn visit_file(&mut self, found: &Found<'_>) -> Result<()> {
        let mut open = match contents::open(found.parent, found.name) {
            Ok(open) => open,
            Err(reason) => {
                self.monitor.problem(found.path.as_bytes(), reason);
                return Ok(());
            }
        };
        let xattrs = describe::xattrs_of_file(&open.file);
        if let Some((contents, volatile)) = self.known_link(&open.stat) {
            let mut entry = describe::regular(found.path, &open.stat, contents, &mut self.owners);
            entry.volatile = volatile;
            return self.record(entry, xattrs, BlockStatus::Old);
        }
        // Before the reading: however long that takes, a change after this moment may go unseen.
        let racy = self.is_racy(&open.stat);
        let read = match self.chunker.store(&mut open, &mut self.sink, &self.pool)? {
            Ok(read) => read,
            Err(reason) => {
                self.monitor.problem(found.path.as_bytes(), reason);
                return Ok(());
            }
        };
        if let Some(reason) = &read.unstable {
            self.monitor.problem(found.path.as_bytes(), reason);
        }
        let volatile = read.unstable.is_some() || racy;
        self.remember_link(&open, &read.contents, volatile);
        let mut entry = describe::regular(found.path, &open.stat, read.contents, &mut self.owners);
        entry.volatile = volatile;
        self.record(entry, xattrs, read.status)
    }

    fn record(&mut self, mut entry: Entry, read: ReadXattrs, status: BlockStatus) -> Result<()> {
        if let Some(reason) = read.problem {
            self.monitor.problem(entry.path.as_bytes(), reason);
        }
        entry.xattrs = read.xattrs;
        let xattr_bytes: usize = entry
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if xattr_bytes > XATTR_BYTES_MAX {
            let reason = format!(
                "its extended attributes are left out: {xattr_bytes} bytes, at most {XATTR_BYTES_MAX} can be stored"
            );
            self.monitor.problem(entry.path.as_bytes(), reason);
            entry.xattrs.clear();
        }
        if let EntryKind::File(contents) = &entry.kind {
            self.entries.source_bytes += contents.size;
        }
        let (count, status) = match status {
            BlockStatus::New => (&mut self.entries.new, PathStatus::New),
            BlockStatus::Old => (&mut self.entries.old, PathStatus::Old),
        };
        *count += 1;
        self.monitor.path(status, &entry.path);
        self.log.append(&self.pool, &entry)
    }

    /// A file that changed in the second of its reading could change again without a trace in its times.
    fn is_racy(&self, stat: &FileStat) -> bool {
        let time = |seconds, nanoseconds| describe::time(seconds, nanoseconds);
        let latest: FileTime =
            time(stat.st_mtime, stat.st_mtime_nsec).max(time(stat.st_ctime, stat.st_ctime_nsec));
        latest.seconds >= self.clock.now().as_second() - 1
    }

    fn known_link(&mut self, stat: &FileStat) -> Option<(FileContents, bool)> {
        let key = identity(stat);
        let known = self
            .linked
            .get_mut(&key)
            .filter(|known| known.unchanged == stat_key(stat))?;
        known.links_to_come -= 1;
        if known.links_to_come > 0 {
            return Some((known.contents.clone(), known.volatile));
        }
        self.linked
            .remove(&key)
            .map(|known| (known.contents, known.volatile))
    }

    fn remember_link(&mut self, open: &OpenFile, contents: &FileContents, volatile: bool) {
        if open.stat.st_nlink > 1 {
            let unchanged = stat_key(&open.stat);
            let links_to_come = open.stat.st_nlink - 1;
            let linked = LinkedFile {
                contents: contents.clone(),
                volatile,
                unchanged,
                links_to_come,
            };
            self.linked.insert(identity(&open.stat), linked);
        }
    }

    /// Steps 1 to 4 of the module's description.
    fn finish(mut self, started: Timestamp) -> Result<BackupReport> {
        if self.entries.new + self.entries.old == 0 {
            bail!("nothing could be backed up, so there is no snapshot");
        }
        let (root, mut metadata) = self.log.finish(&self.pool)?;
        self.sink.add_segments(&metadata.take_opened())?;
        self.sink.close(&self.pool)?;
        let published = self.pool.wait()?;
        self.sink.complete(&published)?;

        let disk_bytes = published.iter().map(|segment| segment.disk_bytes).sum();
        let totals = Totals {
            entries: self.entries.new + self.entries.old,
            source_bytes: self.entries.source_bytes,
            added_data_bytes: self.sink.data_bytes() + metadata.data_bytes(),
            added_disk_bytes: disk_bytes,
        };
        let new_data_bytes = self.sink.data_bytes();
        let segments = self.sink.used().iter().copied().collect::<Vec<_>>();
        let database = self.sink.into_database();
        let sums = sums::encode(&file_sums(&database, &segments)?);
        let describe = |date| Descriptor {
            producer: concat!("pileus ", env!("CARGO_PKG_VERSION")).to_owned(),
            date,
            scheme: self.options.scheme.clone(),
            root,
            checksums: Some(crate::format::checksum::Checksum::of(
                crate::format::checksum::Algorithm::Sha1,
                &sums,
            )),
            segment_metadata: None,
            segments: segments.clone(),
            totals: Some(totals),
            signed: false,
        };
        let signature_filter = self.options.signature_filter.as_deref();
        let snapshot = publish::publish(
            &self.store,
            self.clock,
            started,
            &sums,
            signature_filter,
            describe,
        )?;
        if let Err(error) = database.commit() {
            // The snapshot exists. Without these rows the next run stores some blocks again, no more.
            let reason = format!(
                "snapshot {snapshot} is complete, but the local state does not know it: {error:#}"
            );
            self.monitor.problem(b"localdb.sqlite", reason);
        }
        Ok(BackupReport {
            snapshot,
            new_entries: self.entries.new,
            old_entries: self.entries.old,
            source_bytes: self.entries.source_bytes,
            read_bytes: self.chunker.bytes_read(),
            new_data_bytes,
            metadata_bytes: metadata.data_bytes(),
            disk_bytes,
            segments: published.len() as u64,
            problems: self.monitor.problems(),
        })
    }
}

fn stat_key(stat: &FileStat) -> StatKey {
    (
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    )
}

/// Collects the checksums of all segments that a snapshot needs, those of earlier runs from the database.
fn file_sums(
    database: &Database,
    segments: &[crate::format::object_ref::SegmentId],
) -> Result<Vec<FileSum>> {
    let sum_of = |id: &crate::format::object_ref::SegmentId| {
        let segment = database
            .segment(*id)?
            .with_context(|| format!("the local database lost segment {id}"))?;
        let checksum = segment
            .checksum
            .with_context(|| format!("segment {id} was never completed"))?;
        Ok(FileSum {
            file: segment.file,
            sha1_hex: checksum.hex(),
        })
    };
    segments.iter().map(sum_of).collect()
}
