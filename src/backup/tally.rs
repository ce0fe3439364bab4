//! What a run counts: entries by what became of them, and bytes by segment group.

use std::collections::BTreeMap;

use super::change::Change;
use crate::format::segment_group::SegmentGroup;
use crate::monitor::PathStatus;
use crate::store::pool::PublishedSegment;

/// Number of entries by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// `[new]`.
    pub new: u64,
    /// `[old]`.
    pub old: u64,
    /// `[partial]`.
    pub partial: u64,
    /// `[repack]`.
    pub repack: u64,
    /// `[sub-file]`.
    pub sub_file: u64,
    /// `[metadata]`.
    pub metadata: u64,
    /// Of all, those whose path the last snapshot does not have.
    pub added: u64,
    /// Of all, those that are something else in the last snapshot, or have other contents there.
    pub changed: u64,
    /// Entries of the last snapshot whose paths are not among these; 0 where local state does not know it.
    pub gone: u64,
}

impl StatusCounts {
    /// Counts an entry.
    pub(super) fn add(&mut self, status: PathStatus, change: Change) {
        self.added += u64::from(change == Change::Added);
        self.changed += u64::from(change == Change::Contents);
        *match status {
            PathStatus::New => &mut self.new,
            PathStatus::Partial => &mut self.partial,
            PathStatus::Repack => &mut self.repack,
            PathStatus::SubFile => &mut self.sub_file,
            PathStatus::Metadata => &mut self.metadata,
            PathStatus::Old | PathStatus::Restored | PathStatus::Deleted | PathStatus::Excluded => {
                &mut self.old
            }
        } += 1;
    }

    /// Returns the number of all entries.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.new + self.old + self.partial + self.repack + self.sub_file + self.metadata
    }
}

/// What was published of one segment group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of segments.
    pub segments: u64,
    /// Bytes of objects, before the filter.
    pub data_bytes: u64,
    /// Bytes of segments, after the filter.
    pub disk_bytes: u64,
}

/// What was published, by segment group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTotals(BTreeMap<SegmentGroup, Written>);

impl GroupTotals {
    pub(super) fn add(&mut self, published: &PublishedSegment) {
        let written = self.0.entry(published.group).or_default();
        written.segments += 1;
        written.data_bytes += published.data_bytes;
        written.disk_bytes += published.disk_bytes;
    }

    /// Returns the groups of which something was written.
    pub fn iter(&self) -> impl Iterator<Item = (SegmentGroup, Written)> {
        self.0.iter().map(|(&group, &written)| (group, written))
    }

    /// Returns the sum over all groups.
    #[must_use]
    pub fn total(&self) -> Written {
        self.0
            .values()
            .fold(Written::default(), |sum, written| Written {
                segments: sum.segments + written.segments,
                data_bytes: sum.data_bytes + written.data_bytes,
                disk_bytes: sum.disk_bytes + written.disk_bytes,
            })
    }

    /// Returns the bytes of the metadata log, before the filter.
    #[must_use]
    pub fn metadata_bytes(&self) -> u64 {
        self.0
            .get(&SegmentGroup::Metadata)
            .map_or(0, |written| written.data_bytes)
    }

    /// Returns the bytes of blocks that the store did not have, before the filter.
    #[must_use]
    pub fn new_data_bytes(&self) -> u64 {
        self.0
            .get(&SegmentGroup::Data)
            .map_or(0, |written| written.data_bytes)
    }
}

/// What became of the blocks of one file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockCounts {
    /// Were written for the first time.
    pub(super) new: u64,
    /// Were in the store.
    pub(super) old: u64,
    /// Were written again because their segment had expired.
    pub(super) repacked: u64,
    /// Were written as far as the previous version does not have their bytes.
    pub(super) sub_file: u64,
}

impl BlockCounts {
    /// Counts a block that was stored.
    pub(super) fn add_stored(&mut self, is_repacked: bool) {
        *if is_repacked {
            &mut self.repacked
        } else {
            &mut self.new
        } += 1;
    }

    /// Tells what became of the file; one without blocks is, like a directory, told by whether the last snapshot has it as it is.
    pub(super) fn status(self, is_unchanged: bool) -> PathStatus {
        match self {
            Self { sub_file: 1.., .. } => PathStatus::SubFile,
            Self {
                new: 1..,
                old: 0,
                repacked: 0,
                ..
            } => PathStatus::New,
            Self { new: 1.., .. } => PathStatus::Partial,
            Self { repacked: 1.., .. } => PathStatus::Repack,
            Self { old: 0, .. } if !is_unchanged => PathStatus::New,
            _ => PathStatus::Old,
        }
    }
}
