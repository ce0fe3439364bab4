//! What a store holds and what each snapshot names, as far as a prune has to know.
//!
//! Every descriptor is read once and its list of segments is kept as one bit for each segment, so that any choice of snapshots can
//! be weighed without reading again: a thousand snapshots of a hundred thousand segments are 12 MB.
//!
//! A snapshot is *doubted* if it cannot stand in for another: its descriptor cannot be read, a segment of it is missing, or its time
//! cannot be true. Doubted snapshots are reported, stay, and never make another one go.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::PruneOptions;
use super::order::doubt_what_is_out_of_order;
use crate::format::descriptor::{Descriptor, Maker};
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::store::catalog::{Catalog, ensure_not_renamed};
use crate::store::expected;
use crate::store::inventory::{Inventory, SnapshotFiles, StoredFile};
use crate::store::lengths::{self, Lengths};

/// A store as it was found.
pub(super) struct Survey {
    pub(super) inventory: Inventory,
    /// Every snapshot, oldest name first.
    pub(super) snapshots: Vec<Surveyed>,
    pub(super) uses: Uses,
}

/// A snapshot as it was found.
pub(super) struct Surveyed {
    pub(super) name: SnapshotName,
    /// Why it cannot stand in for another.
    pub(super) doubt: Option<String>,
    /// Why it is not known which segments it needs.
    pub(super) unreadable: Option<String>,
    /// How many problems its backup had, where that is known.
    pub(super) problems: Option<u64>,
    /// Who made it, where that is known.
    pub(super) maker: Maker,
    /// The last snapshots before a loss that its backup warned of.
    pub(super) before_loss: Vec<SnapshotName>,
    /// Its place in the order in which local state published.
    pub(super) published: Option<usize>,
}

impl Survey {
    /// Reads all descriptors; `sequence` is the order in which local state published, `lengths` what it knows of segments.
    pub(super) fn make(
        store: &Path,
        inventory: Inventory,
        sequence: &[SnapshotName],
        mut lengths: Lengths,
        now: Timestamp,
    ) -> Result<Self> {
        let catalog = Catalog::open(store)?;
        let places: HashMap<_, _> = sequence.iter().zip(0_usize..).collect();
        let there = inventory
            .snapshots
            .iter()
            .filter(|(_, files)| !files.descriptors.is_empty());
        let mut uses = Uses::new(there.clone().count());
        let mut snapshots = Vec::new();
        for (at, (name, files)) in there.enumerate() {
            let mut snapshot = Surveyed {
                name: name.clone(),
                doubt: None,
                unreadable: None,
                problems: None,
                maker: Maker::default(),
                before_loss: Vec::new(),
                published: places.get(name).copied(),
            };
            match read(&catalog, name, files) {
                Ok(descriptors) => {
                    for descriptor in descriptors {
                        snapshot.problems = snapshot.problems.max(descriptor.problems);
                        uses.add(at, &descriptor.segments);
                        lengths.add(&descriptor);
                        snapshot.maker = descriptor.maker;
                        snapshot.before_loss.extend(descriptor.before_loss);
                    }
                }
                Err(error) if is_closed(&error) => {
                    return Err(
                        error.context("nothing was pruned, since the store may not be read")
                    );
                }
                Err(error) => snapshot.unreadable = Some(format!("{error:#}")),
            }
            if name.instant() > now {
                let reason =
                    "its time is later than now: see that the clock is right; no rule removes it";
                snapshot.doubt.get_or_insert(reason.to_owned());
            }
            snapshots.push(snapshot);
        }
        doubt_what_lost_segments(&mut snapshots, &inventory, &catalog, &uses, &lengths);
        doubt_what_is_out_of_order(&mut snapshots, now);
        Ok(Self {
            inventory,
            snapshots,
            uses,
        })
    }

    /// Tells whether a snapshot is pinned once the pins that the options name have changed.
    pub(super) fn is_pinned(&self, name: &SnapshotName, options: &PruneOptions) -> bool {
        let files = self.inventory.snapshots.get(name);
        let has_pin = files.is_some_and(|files| !files.pins.is_empty());
        options.pin.contains(name) || has_pin && !options.unpin.contains(name)
    }
}

/// Tells whether another user could read what this one could not.
fn is_closed(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(|cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied)
}

/// Reads all descriptors that a snapshot has; more than one if both layouts have it.
pub(super) fn read(
    catalog: &Catalog,
    name: &SnapshotName,
    files: &SnapshotFiles,
) -> Result<Vec<Descriptor>> {
    let read = |file: &StoredFile| {
        let text = catalog.read_file(&file.path)?;
        let cannot = || format!("cannot use {}", file.path.display());
        let descriptor = Descriptor::parse(&text).with_context(cannot)?;
        ensure_not_renamed(name, &descriptor, &file.path)?;
        // A descriptor that was cut short may still parse, and would name too little.
        let root = descriptor.root.object.segment;
        ensure!(
            descriptor.segments.contains(&root),
            "cannot use {}: it does not list the segment of its own root",
            file.path.display()
        );
        ensure_whole(catalog, name, &descriptor).with_context(cannot)?;
        Ok(descriptor)
    };
    files.descriptors.iter().map(read).collect()
}

/// Refuses a descriptor whose own sums file names more than it lists: it lost its end, which may have been cut off between two lines.
/// Sums that cannot be used say nothing.
fn ensure_whole(catalog: &Catalog, name: &SnapshotName, descriptor: &Descriptor) -> Result<()> {
    for (file, _) in expected::files(catalog, name, descriptor).unwrap_or_default() {
        if let Some(id) = expected::segment_of_file(&file) {
            ensure!(
                descriptor.segments.binary_search(&id).is_ok(),
                "it does not list segment {id}, which its sums name"
            );
        }
    }
    Ok(())
}

/// Doubts snapshots with a segment that is missing or, by its length, not whole.
fn doubt_what_lost_segments(
    snapshots: &mut [Surveyed],
    inventory: &Inventory,
    catalog: &Catalog,
    uses: &Uses,
    lengths: &Lengths,
) {
    let mut faults: Vec<_> = uses
        .segments()
        .filter_map(|id| Some((id, fault(inventory, catalog, lengths, id)?)))
        .collect();
    faults.sort();
    for (at, snapshot) in snapshots.iter_mut().enumerate() {
        if let Some((_, fault)) = faults.iter().find(|(id, _)| uses.has(at, *id)) {
            snapshot.doubt = Some(format!(
                "{fault}: see what verify says of it; no rule removes it, --remove={} does",
                snapshot.name
            ));
        }
    }
}

/// Returns what is wrong with the file of a segment that a reader would use, named.
fn fault(
    inventory: &Inventory,
    catalog: &Catalog,
    lengths: &Lengths,
    id: SegmentId,
) -> Option<String> {
    let Some(files) = inventory.segments.get(&id) else {
        return Some(format!("segment {id} is missing from the store"));
    };
    let used = catalog.segment_file(id)?;
    let file = files.iter().find(|file| file.path == used)?;
    let fault = lengths::fault(used, file.bytes, lengths.wanted(id))?;
    Some(format!("segment {} {fault}", used.display()))
}

/// Which snapshot needs which segment.
pub(super) struct Uses {
    rows: HashMap<SegmentId, usize>,
    /// For each segment, a bit for each snapshot.
    bits: Vec<u64>,
    row_words: usize,
}

impl Uses {
    fn new(snapshot_count: usize) -> Self {
        Self {
            rows: HashMap::new(),
            bits: Vec::new(),
            row_words: snapshot_count.div_ceil(64),
        }
    }

    fn add(&mut self, snapshot: usize, segments: &[SegmentId]) {
        for id in segments {
            let next = self.rows.len();
            let row = *self.rows.entry(*id).or_insert(next);
            if row == next {
                self.bits.resize((next + 1) * self.row_words, 0);
            }
            self.bits[row * self.row_words + snapshot / 64] |= 1 << (snapshot % 64);
        }
    }

    /// Tells whether one of the snapshots, given by their places, needs a segment.
    pub(super) fn is_needed(&self, id: SegmentId, by: &Places) -> bool {
        let Some(row) = self.rows.get(&id) else {
            return false;
        };
        let words = &self.bits[row * self.row_words..][..self.row_words];
        words
            .iter()
            .zip(&by.0)
            .any(|(word, chosen)| word & chosen != 0)
    }

    /// Returns every segment that a snapshot names.
    fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.rows.keys().copied()
    }

    /// Whether the snapshot in this place needs a segment.
    fn has(&self, snapshot: usize, id: SegmentId) -> bool {
        let word = |row| self.bits[row * self.row_words + snapshot / 64];
        let row = self.rows.get(&id);
        row.is_some_and(|&row| word(row) >> (snapshot % 64) & 1 == 1)
    }

    /// Tells whether any snapshot names a segment.
    pub(super) fn is_named(&self, id: SegmentId) -> bool {
        self.rows.contains_key(&id)
    }
}

/// Some of the snapshots, by their places.
pub(super) struct Places(Vec<u64>);

impl Places {
    pub(super) fn collect(chosen: impl IntoIterator<Item = bool>) -> Self {
        let mut words = Vec::new();
        for (at, is_chosen) in chosen.into_iter().enumerate() {
            if at % 64 == 0 {
                words.push(0);
            }
            words[at / 64] |= u64::from(is_chosen) << (at % 64);
        }
        Self(words)
    }
}
