//! The segments of the snapshots that are being verified, numbered in the order in which they are read.
//!
//! That is the order in which they were written, as far as the times of their files tell: then a file that fills several segments is
//! met front to back. It is only for speed; any order gives the same result.

use std::collections::{BTreeMap, HashMap};

use super::snapshots::SnapshotSet;
use crate::format::object_ref::SegmentId;
use crate::store::catalog::Catalog;

/// Which snapshots list each segment.
pub(super) type Listed = BTreeMap<SegmentId, SnapshotSet>;

/// Segments by number.
pub(super) struct Segments {
    known: Vec<(SegmentId, SnapshotSet)>,
    numbers: HashMap<SegmentId, u32>,
}

impl Segments {
    pub(super) fn new(listed: Listed, catalog: &Catalog) -> Self {
        let mut known: Vec<_> = listed.into_iter().collect();
        known.sort_by_cached_key(|(id, _)| (catalog.segment_written(*id), *id));
        let numbers = (0..).zip(&known).map(|(number, (id, _))| (*id, number));
        Self {
            numbers: numbers.collect(),
            known,
        }
    }

    /// Returns the number of a segment; one that nobody lists gets the next.
    pub(super) fn number(&mut self, id: SegmentId) -> u32 {
        let next = u32::try_from(self.known.len()).expect("segments have files, and those fit");
        *self.numbers.entry(id).or_insert_with(|| {
            self.known.push((id, SnapshotSet::default()));
            next
        })
    }

    /// Returns the number of a segment that has one.
    pub(super) fn known(&self, id: SegmentId) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    /// Returns all segments by number.
    pub(super) fn ids(&self) -> Vec<SegmentId> {
        self.known.iter().map(|(id, _)| *id).collect()
    }

    pub(super) fn id(&self, number: u32) -> SegmentId {
        self.known[number as usize].0
    }

    /// Returns the snapshots that list a segment.
    pub(super) fn listed_by(&self, number: u32) -> &SnapshotSet {
        &self.known[number as usize].1
    }
}
