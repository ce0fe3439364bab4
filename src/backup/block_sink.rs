//! Where blocks go: to a reference if the store has them, else into a segment.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::format::object_ref::{ObjectRef, SegmentId, Slice};
use crate::local::database::{BlockDigest, Database};
use crate::store::catalog::split_segment_file;
use crate::store::dir::StoreDir;
use crate::store::filter::{Codec, Filter};
use crate::store::pool::{Pool, PublishedSegment};
use crate::store::probe;
use crate::store::segment_writer::{OpenedSegment, SegmentWriter};

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockStatus {
    /// It was written to a segment.
    New,
    /// The store had it.
    Old,
}

/// Stores blocks, each one once.
pub(super) struct BlockSink {
    store: Arc<StoreDir>,
    database: Database,
    data: SegmentWriter,
    /// Takes blocks that a built-in codec would not shrink. None behind a filter program: it may encrypt, so all goes through it.
    incompressible: Option<SegmentWriter>,
    used: BTreeSet<SegmentId>,
}

impl BlockSink {
    /// Starts a sink for one run.
    #[must_use]
    pub(super) fn new(
        store: Arc<StoreDir>,
        database: Database,
        filter: &Arc<Filter>,
        segment_bytes: usize,
        mtime: u64,
    ) -> Self {
        let unfiltered = Filter::Builtin(Codec::None);
        let separate = matches!(**filter, Filter::Builtin(codec) if codec != Codec::None);
        Self {
            store,
            database,
            data: SegmentWriter::new(Arc::clone(filter), segment_bytes, mtime),
            incompressible: separate
                .then(|| SegmentWriter::new(Arc::new(unfiltered), segment_bytes, mtime)),
            used: BTreeSet::new(),
        }
    }

    /// Returns a reference to a block, storing it if the store does not have it.
    pub(super) fn put(&mut self, pool: &Pool, block: &[u8]) -> Result<(ObjectRef, BlockStatus)> {
        let length = u32::try_from(block.len()).context("a block of more than 4 GiB")?;
        let digest = BlockDigest::of(block);
        let (object, status) = if let Some(known) = self.database.find(&digest, length)? {
            self.ensure_present(known.segment)?;
            (known, BlockStatus::Old)
        } else {
            let writer = match &mut self.incompressible {
                Some(unfiltered) if probe::is_incompressible(block) => unfiltered,
                _ => &mut self.data,
            };
            let object = writer.append(pool, block)?;
            let opened = writer.take_opened();
            self.add_segments(&opened)?;
            self.database.add_block(&digest, length, object)?;
            (object, BlockStatus::New)
        };
        // The object is exactly the block, so `[n]` is true in both of its readings (docs/format.md, "What is written").
        Ok((
            ObjectRef {
                object,
                checksum: None,
                slice: Slice::First(u64::from(length)),
            },
            status,
        ))
    }

    /// Takes note of segments that the run has begun: the snapshot will list them.
    pub(super) fn add_segments(&mut self, opened: &[OpenedSegment]) -> Result<()> {
        for segment in opened {
            self.database.add_segment(segment.id, &segment.file)?;
            self.used.insert(segment.id);
        }
        Ok(())
    }

    /// Completes the open segments.
    pub(super) fn close(&mut self, pool: &Pool) -> Result<()> {
        self.data.close(pool)?;
        self.incompressible
            .as_mut()
            .map_or(Ok(()), |writer| writer.close(pool))
    }

    /// Takes note of what the pool has published.
    pub(super) fn complete(&self, published: &[PublishedSegment]) -> Result<()> {
        published.iter().try_for_each(|s| {
            self.database
                .complete_segment(s.id, &s.checksum, s.disk_bytes)
        })
    }

    /// Returns the bytes of blocks written so far, before the filter.
    #[must_use]
    pub(super) fn data_bytes(&self) -> u64 {
        self.data.data_bytes()
            + self
                .incompressible
                .as_ref()
                .map_or(0, SegmentWriter::data_bytes)
    }

    /// Returns every segment that the snapshot needs or that the run began.
    #[must_use]
    pub(super) fn used(&self) -> &BTreeSet<SegmentId> {
        &self.used
    }

    /// Gives the database back, to be read and committed.
    #[must_use]
    pub(super) fn into_database(self) -> Database {
        self.database
    }

    /// Makes sure, once a run for each segment and without opening it, that a segment of an earlier run is still in the store: a
    /// database of another store, or one that outlived its segments, must not lead to a snapshot that cannot be restored.
    fn ensure_present(&mut self, id: SegmentId) -> Result<()> {
        if self.used.contains(&id) {
            return Ok(());
        }
        let segment = self
            .database
            .segment(id)?
            .context("a block of a segment that the local database does not know")?;
        if split_segment_file(&segment.file).is_none_or(|(named, _)| named != id) {
            bail!(
                "the local database is damaged: it calls the file of segment {id} {}",
                segment.file
            );
        }
        let there = self.store.size(&segment.file)?;
        if there.is_none() || there != segment.disk_bytes {
            let state = if there.is_none() {
                "is not"
            } else {
                "does not have its size"
            };
            bail!(
                "the local state names {}, which {state} in {}: use the --localdb that belongs to this store, or move its \
                 localdb.sqlite away to start without it",
                segment.file,
                self.store.path().display()
            );
        }
        self.used.insert(id);
        Ok(())
    }
}
