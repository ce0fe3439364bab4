//! Makes local state anew from a store: the conductor of `pileus rebuild`.
//!
//! 1. Descriptors say which snapshots there are and what segments they need; the sums say what these must be ([`segments`]).
//! 2. Metadata logs say how much of each segment is used, and the last one of each scheme what every file was: that becomes the
//!    stat cache ([`logs`], [`remember`]). A piece that the snapshot before has too is not read again.
//! 3. With `deep`, all segments are read for the block index and the page digests ([`deep`]). Without it, the index is empty: then a
//!    file that seems changed is read for its checksum first, and not stored if that is the one in the log.
//!
//! The store is only read. The database changes in one transaction, and the stat caches take their places after it: a run that is
//! killed leaves local state as it was. What is damaged in the store is a problem, and gets into local state as little as if it
//! were not there: the next backup stores it again.

mod contents;
mod deep;
mod logs;
mod remember;
mod segments;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::format::descriptor::Descriptor;
use crate::format::segment_group::SegmentGroup;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::{self, DAMAGED_SUFFIX, Damaged, Database};
use crate::local::lock::{Lock, Patience, Waiting};
use crate::local::stat_cache::FinishedCache;
use crate::monitor::{Counter, Monitor};
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::dir::StoreDir;
use crate::store::lengths::Lengths;
use crate::wording::of_scheme;

use logs::Logs;
use remember::CacheBuilder;
use segments::Segments;

/// What a rebuilding does.
#[derive(Clone, Debug)]
pub struct RebuildOptions {
    /// The store.
    pub store: PathBuf,
    /// The directory of local state; made if only its last component is missing.
    pub local: PathBuf,
    /// Only snapshots of this series; local state then knows of no other.
    pub scheme: Option<String>,
    /// Whether all data are read too, so that every block is known.
    pub deep: bool,
    /// Number of threads that read data.
    pub jobs: usize,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
    /// How long to wait for a run that holds the lock of local state.
    pub patience: Patience,
}

/// What a rebuilding did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Snapshots that local state knows now.
    pub snapshots: u64,
    /// Segments that it knows.
    pub segments: u64,
    /// Paths in the stat caches.
    pub entries: u64,
    /// Blocks in the block index.
    pub blocks: u64,
    /// Number of problems told.
    pub problems: u64,
}

/// A snapshot that local state is made from.
struct Subject<'s> {
    name: &'s SnapshotName,
    descriptor: Descriptor,
}

impl Subject<'_> {
    /// Tells whether what the log says means what it means in one of ours.
    fn is_by_pileus(&self) -> bool {
        self.descriptor.is_by_pileus()
    }
}

/// Replaces local state. An error means that it is as it was; problems of single snapshots or segments are counted in the report.
pub fn run(
    options: &RebuildOptions,
    now: Timestamp,
    monitor: &dyn Monitor,
) -> Result<RebuildReport> {
    // Before anything is made. The run that is waited for may change what there is.
    names(&Catalog::open(&options.store)?, options)?;
    StoreDir::open_or_create(&options.local)?;
    let waiting = Waiting {
        patience: options.patience,
        stop: None,
        monitor,
    };
    let lock = Lock::take(&options.local, now, &waiting)?;
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let names = names(&catalog, options)?;
    note_schemes(&names, &monitor);
    let mut database = cleared_database(options, &catalog, &monitor)?;

    let mut report = RebuildReport::default();
    let lengths = lengths(&catalog, &names);
    let mut segments = Segments::new(&catalog, &lengths, &monitor);
    let mut logs = Logs::new(&catalog, options.unfilter.as_deref(), &monitor)?;
    let mut caches = Vec::new();
    let latest = latest(&catalog, &names);
    for (done, name) in (0..).zip(&names) {
        monitor.progress(done, names.len() as u64, "snapshots");
        let Some(subject) = open(&catalog, name, &monitor) else {
            continue;
        };
        catalog.ensure_readable(&subject.descriptor.segments, options.unfilter.as_deref())?;
        report.segments += segments.add(&mut database, &subject)?;
        let is_latest = latest.get(name.scheme()) == Some(&name);
        let mut cache = is_latest.then(|| CacheBuilder::new(&options.local, &subject, options));
        let uses = logs.read(&subject, cache.as_mut())?;
        database.add_snapshot(name, subject.descriptor.totals, &uses)?;
        database.set_host(name, subject.descriptor.maker.host.as_deref())?;
        report.snapshots += 1;
        if let Some(cache) = cache {
            report.entries += cache.entries();
            caches.push((name.scheme(), cache.finish()?));
        }
    }
    if report.snapshots == 0 {
        bail!(
            "no snapshot in {} can be read: local state stays as it is",
            options.store.display()
        );
    }
    if !logs.has_read() {
        bail!(
            "no metadata in {} can be read: local state stays as it is; if the segments are encrypted, see that --unfilter is the \
             command that undoes it",
            options.store.display()
        );
    }
    for (id, used_bytes) in database.most_used()? {
        let group = if logs.is_metadata(id) {
            SegmentGroup::Metadata
        } else {
            SegmentGroup::Data
        };
        // Without a look into the segment nothing better is known of its size.
        database.describe_segment(id, group, used_bytes)?;
    }
    if options.deep {
        report.blocks = deep::index(&catalog, &mut database, &logs, options, &monitor)?;
    }
    database.commit()?;
    put_in_place(caches, &options.local, &monitor);
    // In this order: whoever gets the lock finds the database free.
    drop(database);
    drop(lock);
    report.problems = monitor.problems();
    Ok(report)
}

/// Opens the database and empties it, in the run's transaction. A damaged one is set aside first.
fn cleared_database(
    options: &RebuildOptions,
    catalog: &Catalog,
    monitor: &Counter<'_>,
) -> Result<Database> {
    let open = || -> Result<Database> {
        let mut database = Database::open(&options.local)?;
        database.ensure_made_in(&options.store, |name| Ok(catalog.has_snapshot(name)))?;
        database.clear()?;
        Ok(database)
    };
    match open() {
        Err(error) if error.downcast_ref::<Damaged>().is_some() => {
            database::set_aside(&options.local)?;
            monitor.note(&format!(
                "the database is damaged: it is now {}{DAMAGED_SUFFIX} in {}",
                database::FILE_NAME,
                options.local.display()
            ));
            open()
        }
        other => other,
    }
}

/// Returns the snapshots to start from, oldest first.
fn names(catalog: &Catalog, options: &RebuildOptions) -> Result<Vec<SnapshotName>> {
    let scheme = options.scheme.as_deref();
    let wanted = |name: &&SnapshotName| scheme.is_none_or(|scheme| name.scheme() == scheme);
    let names: Vec<_> = catalog.snapshots().filter(wanted).cloned().collect();
    if names.is_empty() {
        bail!(
            "there is no snapshot{} in {}: nothing to make local state from",
            of_scheme(scheme),
            options.store.display()
        );
    }
    Ok(names)
}

/// Blocks of another machine may be pruned by it at any moment, so local state has to know of none.
fn note_schemes(names: &[SnapshotName], monitor: &Counter<'_>) {
    let mut schemes: Vec<_> = names.iter().map(SnapshotName::scheme).collect();
    schemes.sort_unstable();
    schemes.dedup();
    if schemes.len() > 1 {
        monitor.note(&format!(
            "there are {} schemes; if other machines made some of them, rebuild with --scheme=NAME instead",
            schemes.len()
        ));
    }
}

fn open<'n>(
    catalog: &Catalog,
    name: &'n SnapshotName,
    monitor: &Counter<'_>,
) -> Option<Subject<'n>> {
    match snapshot::open(catalog, name, None) {
        Ok(descriptor) => Some(Subject { name, descriptor }),
        Err(error) => {
            monitor.problem(name.to_string().as_bytes(), format_args!("{error:#}"));
            None
        }
    }
}

/// Returns what all descriptors say of the lengths of segments; those that cannot be read are reported elsewhere.
fn lengths(catalog: &Catalog, names: &[SnapshotName]) -> Lengths {
    let mut lengths = Lengths::default();
    for descriptor in names.iter().flat_map(|name| catalog.descriptor(name)) {
        lengths.add(&descriptor);
    }
    lengths
}

/// Returns for each scheme the snapshot that its stat cache is made from: the last complete one, or else the last.
fn latest<'n>(catalog: &Catalog, names: &'n [SnapshotName]) -> HashMap<&'n str, &'n SnapshotName> {
    let mut latest = HashMap::new();
    for wants_complete in [true, false] {
        for name in names.iter().rev() {
            let fits = !(wants_complete && name.is_checkpoint());
            if fits
                && !latest.contains_key(name.scheme())
                && snapshot::open(catalog, name, None).is_ok()
            {
                latest.insert(name.scheme(), name);
            }
        }
    }
    latest
}

/// The database is right already: without a stat cache the next backup only reads more.
fn put_in_place(caches: Vec<(&str, FinishedCache)>, local: &Path, monitor: &Counter<'_>) {
    for (scheme, cache) in caches {
        if let Err(error) = cache.replace() {
            let reason = format_args!("is not new in {}: {error:#}", local.display());
            let subject = format!("stat cache{}", of_scheme(Some(scheme)));
            monitor.problem(subject.as_bytes(), reason);
        }
    }
}
