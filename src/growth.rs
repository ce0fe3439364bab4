//! How a store grew: what each snapshot holds, needs and added, oldest first. `stats` and `report` tell it.
//!
//! Descriptors and the sizes of segment files say all of it; no segment is opened. A file is looked at once, however many snapshots need it.
//! What is remembered is some 30 bytes for each segment.

use std::collections::HashMap;
use std::fs;

use anyhow::Result;
use jiff::Timestamp;

use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::monitor::Counter;
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::lengths::Lengths;

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

/// Every segment that a snapshot needs, with the first one that does.
#[derive(Debug, Default)]
pub struct Segments {
    known: HashMap<SegmentId, Known>,
}

#[derive(Debug)]
struct Known {
    /// The place of the first snapshot that needs it.
    first: u32,
    /// Length of its file; nothing if that is missing.
    disk_bytes: u64,
}

impl Segments {
    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.known.len() as u64
    }

    /// Returns the place, in the order in which they were told, of the first snapshot that needs a segment.
    #[must_use]
    pub fn first(&self, segment: SegmentId) -> Option<u32> {
        self.known.get(&segment).map(|known| known.first)
    }
}

/// Reads the descriptors of a scheme, or of all; `tell` gets the numbers of each snapshot. One that cannot be read is a problem, and has no
/// place.
pub fn read(
    catalog: &Catalog,
    scheme: Option<&str>,
    monitor: &Counter<'_>,
    tell: &mut dyn FnMut(SnapshotStats, &Descriptor) -> Result<()>,
) -> Result<Segments> {
    let mut segments = Segments::default();
    let (mut place, mut lengths) = (0, Lengths::default());
    let wanted = catalog
        .snapshots()
        .filter(|name| scheme.is_none_or(|s| name.scheme() == s));
    for name in wanted {
        let descriptor = match snapshot::open(catalog, name, None) {
            Ok(descriptor) => descriptor,
            Err(error) => {
                monitor.problem(name.to_string().as_bytes(), format_args!("{error:#}"));
                continue;
            }
        };
        let mut stats = SnapshotStats {
            name: name.clone(),
            date: descriptor.date,
            entries: descriptor.totals.map(|totals| totals.entries),
            source_bytes: descriptor.totals.map(|totals| totals.source_bytes),
            added: descriptor
                .totals
                .map(|totals| (totals.added_data_bytes, totals.added_disk_bytes)),
            segments: descriptor.segments.len() as u64,
            disk_bytes: 0,
            new_disk_bytes: 0,
        };
        lengths.add(&descriptor);
        for &segment in &descriptor.segments {
            let known = segments.known.entry(segment).or_insert_with(|| {
                if let Some(fault) = lengths.look(catalog, segment) {
                    let reason = format_args!("needs segment {segment}, which {fault}");
                    monitor.problem(name.to_string().as_bytes(), reason);
                }
                let disk_bytes = disk_bytes(catalog, segment).unwrap_or(0);
                stats.new_disk_bytes = stats.new_disk_bytes.saturating_add(disk_bytes);
                Known {
                    first: place,
                    disk_bytes,
                }
            });
            stats.disk_bytes = stats.disk_bytes.saturating_add(known.disk_bytes);
        }
        tell(stats, &descriptor)?;
        place = place.saturating_add(1);
    }
    Ok(segments)
}

fn disk_bytes(catalog: &Catalog, segment: SegmentId) -> Option<u64> {
    let file = catalog.root().join(catalog.segment_file(segment)?);
    fs::metadata(file).ok().map(|file| file.len())
}
