//! How large a store is and how it grew: the conductor of `pileus stats`.
//!
//! Descriptors and the sizes of files say almost everything. Only for a snapshot of an older program, whose descriptor has no totals, the
//! metadata log is read to count. How much of each segment is still used is known to local state alone.

use std::path::PathBuf;

use anyhow::Result;

use crate::format::descriptor::Descriptor;
use crate::format::entry::EntryKind;
use crate::format::snapshot_name::SnapshotName;
use crate::growth;
use crate::local::database::look;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Counter, Monitor};
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

pub use crate::growth::SnapshotStats;
pub use crate::local::database::look::{CLASSES, Utilization};

/// What is counted.
#[derive(Clone, Debug)]
pub struct StatsOptions {
    /// The store.
    pub store: PathBuf,
    /// Only snapshots of this series.
    pub scheme: Option<String>,
    /// Directory of the local state, which knows how much of each segment is used.
    pub localdb: Option<PathBuf>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

/// Numbers of all snapshots together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsReport {
    /// Number of snapshots.
    pub snapshots: u64,
    /// Sum of their entries.
    pub entries: u64,
    /// Sum of their source bytes: what as many copies would take.
    pub source_bytes: u64,
    /// What the runs added before and after the filter, of those snapshots that say so.
    pub added: (u64, u64),
    /// Number of different segments.
    pub segments: u64,
    /// Length of their files.
    pub disk_bytes: u64,
    /// Segments by utilization, if local state was asked.
    pub utilization: Option<Utilization>,
    /// Number of problems told.
    pub problems: u64,
}

/// Counts; `tell` gets the numbers of each snapshot, oldest first. An error means that it could not be done.
pub fn run(
    options: &StatsOptions,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&SnapshotStats) -> Result<()>,
) -> Result<StatsReport> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let mut report = StatsReport::default();
    let mut told = |mut stats: SnapshotStats, descriptor: &Descriptor| {
        if descriptor.totals.is_none() {
            let unfilter = options.unfilter.as_deref();
            let counted = count(&catalog, descriptor, unfilter, &stats.name, &monitor)?;
            stats.entries = counted.map(|(entries, _)| entries);
            stats.source_bytes = counted.map(|(_, bytes)| bytes);
        }
        report.add(&stats);
        tell(&stats)
    };
    let segments = growth::read(&catalog, options.scheme.as_deref(), &monitor, &mut told)?;
    report.segments = segments.count();
    if let Some(localdb) = &options.localdb {
        report.utilization = Some(look::utilization(localdb)?);
    }
    report.problems = monitor.problems();
    Ok(report)
}

impl StatsReport {
    fn add(&mut self, stats: &SnapshotStats) {
        self.snapshots += 1;
        // Sums over many snapshots of a hostile store must not wrap.
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        sum(&mut self.entries, stats.entries.unwrap_or(0));
        sum(&mut self.source_bytes, stats.source_bytes.unwrap_or(0));
        let (data, disk) = stats.added.unwrap_or_default();
        sum(&mut self.added.0, data);
        sum(&mut self.added.1, disk);
        sum(&mut self.disk_bytes, stats.new_disk_bytes);
    }
}

/// Reads a metadata log to count entries and bytes of files; nothing if it cannot be read at all.
fn count(
    catalog: &Catalog,
    descriptor: &Descriptor,
    unfilter: Option<&str>,
    name: &SnapshotName,
    monitor: &Counter<'_>,
) -> Result<Option<(u64, u64)>> {
    catalog.ensure_readable(&descriptor.segments, unfilter)?;
    let mut objects = ObjectCache::new(catalog, unfilter)?;
    let (mut entries, mut bytes, mut is_whole) = (0, 0_u64, true);
    for item in MetadataLogReader::new(&mut objects, descriptor.root) {
        match item {
            Ok(entry) => {
                entries += 1;
                if let EntryKind::File(contents) = entry.kind {
                    bytes = bytes.saturating_add(contents.size);
                }
            }
            Err(error) => {
                is_whole = false;
                if error.is_news()? {
                    let reason = format_args!("in snapshot {name}: {}", error.reason);
                    monitor.problem(&error.subject, reason);
                }
            }
        }
    }
    Ok(is_whole.then_some((entries, bytes)))
}
