//! Where blocks go: to a reference if the store has them, else into a segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::BackupOptions;
use super::comparison::Comparison;
use super::run::State;
use super::segments::Segments;
use super::tally::GroupTotals;
use crate::format::object_ref::{ObjectId, ObjectRef, SegmentId, Slice};
use crate::format::segment_group::SegmentGroup;
use crate::format::sums::FileSum;
use crate::local::database::{BlockDigest, Database};
use crate::local::signature::Signature;
use crate::monitor::Counter;
use crate::store::filter::{Codec, Filter};
use crate::store::pool::{Pool, PublishedSegment};
use crate::store::probe;
use crate::store::segment_writer::{OpenedSegment, SegmentWriter};

/// When a block whose digest is known is stored again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deduplicate {
    /// Never: the same digest means the same bytes.
    Always,
    /// If the stored bytes, which are read for it, are not the same.
    Verify,
    /// Always: nothing is looked up.
    Never,
}

/// What the store has of a block.
pub(super) enum LookUp {
    /// An object that is exactly the block.
    Known(ObjectRef),
    /// Nothing that may be referred to.
    Unknown(Unknown),
}

/// A block that has to be stored.
pub(super) struct Unknown {
    digest: BlockDigest,
    /// If it is in a segment that has expired: the age class, and when it was first stored.
    expired: Option<(u32, Option<i64>)>,
}

impl Unknown {
    /// Tells whether the store has the block, but in a segment that has expired.
    pub(super) fn is_expired(&self) -> bool {
        self.expired.is_some()
    }
}

/// Stores blocks, each one once.
pub(super) struct BlockSink<'r> {
    comparison: Option<Comparison<'r>>,
    database: Database,
    segments: Segments<'r>,
    deduplicate: Deduplicate,
    filter: Arc<Filter>,
    /// Whether all segments have the extension of the codec.
    all_through_codec: bool,
    segment_bytes: usize,
    /// When this run stores: seconds since 1970.
    stored: i64,
    writers: BTreeMap<(SegmentGroup, Framed), SegmentWriter>,
    written: GroupTotals,
    stored_bytes: u64,
}

/// Whether a writer's segments go through the filter. Blocks that a built-in codec would not shrink have segments of their own
/// without it, or with its cheapest level; behind a filter program, which may encrypt, all goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Framed {
    Filtered,
    Unfiltered,
}

impl<'r> BlockSink<'r> {
    /// Starts a sink for one run at `stored`, in seconds since 1970.
    pub(super) fn new(
        state: State<'r>,
        options: &BackupOptions,
        filter: Arc<Filter>,
        stored: i64,
        monitor: &'r Counter<'r>,
    ) -> Self {
        Self {
            comparison: state.comparison,
            database: state.database,
            segments: Segments::new(state.store, monitor),
            deduplicate: options.deduplicate,
            filter,
            all_through_codec: options.all_through_codec,
            segment_bytes: options.segment_bytes,
            stored,
            writers: BTreeMap::new(),
            written: GroupTotals::default(),
            stored_bytes: 0,
        }
    }

    /// Tells whether a segment of an earlier run may be referred to.
    pub(super) fn usable(&mut self, id: SegmentId) -> Result<bool> {
        self.segments.usable(&self.database, id)
    }

    /// Makes sure that segments which a snapshot is to refer to are in the store still.
    pub(super) fn ensure_still_there(&self, sums: &[FileSum], bytes: &[u64]) -> Result<()> {
        self.segments.ensure_still_there(sums, bytes)
    }

    /// Looks for a block of this identity in the store.
    pub(super) fn look_up(&mut self, block: &[u8], digest: BlockDigest) -> Result<LookUp> {
        let mut unknown = Unknown {
            digest,
            expired: None,
        };
        if self.deduplicate == Deduplicate::Never {
            return Ok(LookUp::Unknown(unknown));
        }
        let Some(known) = self.database.find(&digest, length_of(block)?)? else {
            return Ok(LookUp::Unknown(unknown));
        };
        if let Some(class) = known.expired {
            unknown.expired = Some((class, known.stored));
            return Ok(LookUp::Unknown(unknown));
        }
        if !self.usable(known.object.segment)? {
            return Ok(LookUp::Unknown(unknown));
        }
        let object = whole(known.object, block);
        if let Some(comparison) = &mut self.comparison
            && !comparison.is_same(&object, block)
        {
            return Ok(LookUp::Unknown(unknown));
        }
        Ok(LookUp::Known(object))
    }

    /// Stores a block that was looked up and is not known. From `signed_bytes` on, its page digests are remembered: what changes
    /// in it later can be stored as the difference.
    pub(super) fn store(
        &mut self,
        pool: &Pool,
        block: &[u8],
        unknown: &Unknown,
        signed_bytes: usize,
    ) -> Result<ObjectRef> {
        let (class, stored) = unknown.expired.unwrap_or((0, None));
        let group = SegmentGroup::of_age_class(class);
        let writer = self.writer(group, block);
        let object = writer.append(pool, block)?;
        let opened = writer.take_opened();
        self.add_segments(&opened)?;
        self.stored_bytes += block.len() as u64;
        self.database
            .add_block(&unknown.digest, length_of(block)?, object, stored)?;
        if block.len() >= signed_bytes && self.deduplicate != Deduplicate::Never {
            let signature = Signature::of(block);
            self.database
                .add_signature(object, length_of(block)?, signature.as_bytes())?;
        }
        Ok(whole(object, block))
    }

    /// Returns length and page digests of an object that may be referred to, compared with the stored bytes if that was asked for.
    pub(super) fn signature(&mut self, object: ObjectId) -> Result<Option<(u32, Vec<u8>)>> {
        if self.deduplicate == Deduplicate::Never || !self.usable(object.segment)? {
            return Ok(None);
        }
        let Some((length, pages)) = self.database.signature(object)? else {
            return Ok(None);
        };
        if let Some(comparison) = &mut self.comparison {
            let whole = ObjectRef {
                object,
                checksum: None,
                slice: Slice::First(length.into()),
            };
            let is_right = |stored: &[u8]| Signature::of(stored).as_bytes() == pages;
            if !comparison.is_sound(&whole, is_right) {
                return Ok(None);
            }
        }
        Ok(Some((length, pages)))
    }

    fn writer(&mut self, group: SegmentGroup, block: &[u8]) -> &mut SegmentWriter {
        let codec = match *self.filter {
            Filter::Builtin(codec) => codec,
            Filter::Command { .. } => Codec::None,
        };
        let unfiltered = if self.all_through_codec {
            codec.storing()
        } else {
            Codec::None
        };
        let separate = codec != unfiltered;
        let framed = if separate && probe::is_incompressible(block) {
            Framed::Unfiltered
        } else {
            Framed::Filtered
        };
        let (filter, segment_bytes, stored) = (&self.filter, self.segment_bytes, self.stored);
        self.writers.entry((group, framed)).or_insert_with(|| {
            let filter = match framed {
                Framed::Filtered => Arc::clone(filter),
                Framed::Unfiltered => Arc::new(Filter::Builtin(unfiltered)),
            };
            // Checked when the run began.
            let mtime = u64::try_from(stored).unwrap_or(0);
            SegmentWriter::new(group, filter, segment_bytes, mtime)
        })
    }

    /// Takes note of segments that the run has begun.
    pub(super) fn add_segments(&mut self, opened: &[OpenedSegment]) -> Result<()> {
        for segment in opened {
            self.segments.add_own(segment.id);
            let (id, group) = (segment.id, segment.group);
            self.database
                .add_segment(id, &segment.file, group, self.stored)?;
        }
        Ok(())
    }

    /// Completes the open segments.
    pub(super) fn close(&mut self, pool: &Pool) -> Result<()> {
        self.writers
            .values_mut()
            .try_for_each(|writer| writer.close(pool))
    }

    /// Takes note of what the pool has published.
    pub(super) fn complete(&mut self, published: &[PublishedSegment]) -> Result<()> {
        for segment in published {
            self.written.add(segment);
            self.database.complete_segment(
                segment.id,
                &segment.checksum,
                segment.data_bytes,
                segment.disk_bytes,
            )?;
        }
        Ok(())
    }

    /// Returns the bytes of blocks that were stored so far, before the filter.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Returns what was published so far.
    pub(super) fn written(&self) -> &GroupTotals {
        &self.written
    }

    /// Returns the database, to be read and committed.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

fn length_of(block: &[u8]) -> Result<u32> {
    u32::try_from(block.len()).context("a block of more than 4 GiB")
}

/// The object is exactly the block, so `[n]` is true in both of its readings (docs/format.md, "What is written").
fn whole(object: ObjectId, block: &[u8]) -> ObjectRef {
    ObjectRef {
        object,
        checksum: None,
        slice: Slice::First(block.len() as u64),
    }
}
