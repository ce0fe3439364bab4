//! How large a store is and how it grew: the conductor of `pileus stats`.
//!
//! Descriptors and the sizes of files say almost everything. Only for a snapshot of an older program, whose descriptor has no totals, the
//! metadata log is read to count. How much of each segment is still used is known to local state alone.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;

use crate::format::descriptor::{Descriptor, Totals};
use crate::format::entry::EntryKind;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::look;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Counter, Monitor};
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// Number of classes of utilization: 0 to 9 %, and so on; the last one has 100 % too.
pub const CLASSES: usize = 10;

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

/// Numbers of one snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotStats {
    /// Its name.
    pub name: SnapshotName,
    /// When it was made.
    pub date: Timestamp,
    /// Number of entries, if it can be known.
    pub entries: Option<u64>,
    /// Sum of the sizes of its regular files, if it can be known.
    pub source_bytes: Option<u64>,
    /// What its run added before and after the filter, if its descriptor says so.
    pub added: Option<(u64, u64)>,
    /// Number of segments that it needs.
    pub segments: u64,
    /// Length of their files.
    pub disk_bytes: u64,
    /// Length of the files that no snapshot told before needs.
    pub new_disk_bytes: u64,
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

/// How much of the segments is used, by tenths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utilization {
    /// Number and length of the segment files of each class.
    pub classes: [(u64, u64); CLASSES],
    /// Length of all objects.
    pub data_bytes: u64,
    /// What is used of it.
    pub used_bytes: u64,
}

/// Counts; `tell` gets the numbers of each snapshot, oldest first. An error means that it could not be done.
pub fn run(
    options: &StatsOptions,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&SnapshotStats) -> Result<()>,
) -> Result<StatsReport> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let mut known = HashSet::new();
    let mut report = StatsReport::default();
    let scheme = options.scheme.as_deref();
    let wanted = catalog
        .snapshots()
        .filter(|name| scheme.is_none_or(|s| name.scheme() == s));
    for name in wanted {
        let descriptor = match snapshot::open(&catalog, name, None) {
            Ok(descriptor) => descriptor,
            Err(error) => {
                monitor.problem(name.to_string().as_bytes(), format_args!("{error:#}"));
                continue;
            }
        };
        let counted = match descriptor.totals {
            Some(Totals {
                entries,
                source_bytes,
                ..
            }) => Some((entries, source_bytes)),
            None => count(
                &catalog,
                &descriptor,
                options.unfilter.as_deref(),
                name,
                &monitor,
            )?,
        };
        let mut stats = SnapshotStats {
            name: name.clone(),
            date: descriptor.date,
            entries: counted.map(|(entries, _)| entries),
            source_bytes: counted.map(|(_, bytes)| bytes),
            added: descriptor
                .totals
                .map(|totals| (totals.added_data_bytes, totals.added_disk_bytes)),
            segments: descriptor.segments.len() as u64,
            disk_bytes: 0,
            new_disk_bytes: 0,
        };
        for &segment in &descriptor.segments {
            let is_new = known.insert(segment);
            let bytes = disk_bytes(&catalog, segment).unwrap_or_else(|| {
                if is_new {
                    let reason = format_args!("needs segment {segment}, which is missing");
                    monitor.problem(name.to_string().as_bytes(), reason);
                }
                0
            });
            stats.disk_bytes += bytes;
            stats.new_disk_bytes += if is_new { bytes } else { 0 };
        }
        report.add(&stats);
        tell(&stats)?;
    }
    if let Some(localdb) = &options.localdb {
        let mut found = Utilization::default();
        look::read(localdb, |segment| found.add(segment))?;
        report.utilization = Some(found);
    }
    report.segments = known.len() as u64;
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

impl Utilization {
    fn add(&mut self, segment: look::SegmentUtilization) {
        let used = segment.used_bytes.min(segment.data_bytes);
        let tenth = u128::from(used) * CLASSES as u128 / u128::from(segment.data_bytes.max(1));
        let class = usize::try_from(tenth).unwrap_or(CLASSES).min(CLASSES - 1);
        self.classes[class].0 += 1;
        self.classes[class].1 = self.classes[class].1.saturating_add(segment.disk_bytes);
        self.data_bytes = self.data_bytes.saturating_add(segment.data_bytes);
        self.used_bytes = self.used_bytes.saturating_add(used);
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
                let reason = format_args!("in snapshot {name}: {}", error.reason);
                monitor.problem(&error.subject, reason);
            }
        }
    }
    Ok(is_whole.then_some((entries, bytes)))
}

fn disk_bytes(catalog: &Catalog, segment: SegmentId) -> Option<u64> {
    let file = catalog.root().join(catalog.segment_file(segment)?);
    fs::metadata(file).ok().map(|file| file.len())
}
