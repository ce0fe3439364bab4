//! Fills segments of one group: objects into a tar stream, the stream into frames, the frames to the pool.
//!
//! Behind a built-in codec, a segment is closed once its *filtered* size reaches the target (docs/format.md, "Segments"); behind a
//! program, once its tar stream does (docs/decisions/0002-foreign-filters-close-by-unfiltered-size.md). Workers filter behind the
//! writer's back, so the size is known only for earlier frames; the rest is estimated by the ratio of the group so far. To keep
//! a backup a function of its input, the estimate uses exactly the frames that are a fixed number behind, and waits for them:
//! how fast the workers happened to be never shows in the store.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;

use super::filter::{Filter, Framing};
use super::member_header::MemberHeaders;
use super::pool::{OpenSegment, Pool};
use crate::format::BLOCK_BYTES;
use crate::format::object_ref::{ObjectId, SegmentId};
use crate::format::segment_group::SegmentGroup;

/// Tar pads everything to blocks of this size, and two empty ones end a file.
const TAR_BLOCK_BYTES: usize = 512;

/// Room behind a full frame for the object that fills it, with its header and padding.
const OBJECT_ROOM_BYTES: usize = BLOCK_BYTES + 2 * TAR_BLOCK_BYTES;

/// Shorter frames would compress badly.
const FRAME_BYTES_MIN: usize = 64 << 10;

/// Segments are closed at this multiple of their target at the latest, however well they compress: readers unpack them to disk.
const RAW_FACTOR_MAX: usize = 64;

/// Writes objects into segments of one group.
pub struct SegmentWriter {
    group: SegmentGroup,
    filter: Arc<Filter>,
    target_bytes: usize,
    mtime: u64,
    open: Option<Filling>,
    sent: VecDeque<Sent>,
    ratio: Ratio,
    data_bytes: u64,
    opened: Vec<OpenedSegment>,
}

/// A segment that was begun since the last call of [`SegmentWriter::take_opened`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedSegment {
    /// The segment.
    pub id: SegmentId,
    /// The name of the file that it will have.
    pub file: String,
    /// What it holds.
    pub group: SegmentGroup,
}

struct Filling {
    segment: Arc<OpenSegment>,
    headers: MemberHeaders,
    buffer: Vec<u8>,
    next_sequence: u32,
    next_frame: usize,
    /// Unfiltered size of the frames cut so far.
    raw_bytes: usize,
    /// Filtered size of the frames whose size has been asked for.
    known_filtered_bytes: usize,
    /// Unfiltered size of the frames that are still on their way.
    unknown_raw_bytes: usize,
}

/// A frame on its way through the pool.
struct Sent {
    segment: Arc<OpenSegment>,
    index: usize,
    raw_bytes: usize,
}

/// Filtered to unfiltered bytes over the latest frames whose size is known.
#[derive(Clone, Copy)]
struct Ratio {
    raw_bytes: u64,
    filtered_bytes: u64,
}

impl SegmentWriter {
    /// Starts a group: segments of about `target_bytes` after `filter`, whose tar members carry `mtime` (seconds since 1970).
    #[must_use]
    pub fn new(group: SegmentGroup, filter: Arc<Filter>, target_bytes: usize, mtime: u64) -> Self {
        // Until the first frames are back, nothing is assumed to shrink: the first segment ends early rather than too late.
        let ratio = Ratio {
            raw_bytes: 1,
            filtered_bytes: 1,
        };
        Self {
            group,
            filter,
            target_bytes,
            mtime,
            open: None,
            sent: VecDeque::new(),
            ratio,
            data_bytes: 0,
            opened: Vec::new(),
        }
    }

    /// Stores one object and returns its name. It is durable only once the pool has published its segment.
    pub fn append(&mut self, pool: &Pool, data: &[u8]) -> Result<ObjectId> {
        if self.open.is_none() {
            self.open = Some(self.begin(pool));
        }
        let filling = self.open.as_mut().expect("was just opened");
        let object = ObjectId {
            segment: filling.segment.id(),
            sequence: filling.next_sequence,
        };
        filling.push_member(data);
        filling.segment.add_data_bytes(data.len() as u64);
        self.data_bytes += data.len() as u64;
        match self.filter.framing() {
            Framing::Whole if filling.buffer.len() >= self.target_bytes => self.close(pool)?,
            Framing::Whole => {}
            // Small segments need small frames: a segment has at least one.
            Framing::Frames(frame_bytes) => self.cut_frames(
                pool,
                frame_bytes.min(self.target_bytes.max(FRAME_BYTES_MIN)),
            )?,
        }
        Ok(object)
    }

    /// Completes the open segment, if any.
    pub fn close(&mut self, pool: &Pool) -> Result<()> {
        let Some(mut filling) = self.open.take() else {
            return Ok(());
        };
        let end = filling.buffer.len() + 2 * TAR_BLOCK_BYTES;
        filling.buffer.resize(end, 0);
        let frame = std::mem::take(&mut filling.buffer);
        self.submit(pool, &mut filling, frame, true)
    }

    /// Returns the bytes of objects stored in this group so far, before the filter and without tar's framing.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Returns the segments begun since the last call.
    pub fn take_opened(&mut self) -> Vec<OpenedSegment> {
        std::mem::take(&mut self.opened)
    }

    fn begin(&mut self, pool: &Pool) -> Filling {
        let segment = pool.open(&self.filter, self.group);
        self.opened.push(OpenedSegment {
            id: segment.id(),
            file: segment.file().to_owned(),
            group: self.group,
        });
        Filling {
            headers: MemberHeaders::new(segment.id(), self.mtime),
            segment,
            buffer: pool.buffer(0),
            next_sequence: 0,
            next_frame: 0,
            raw_bytes: 0,
            known_filtered_bytes: 0,
            unknown_raw_bytes: 0,
        }
    }

    /// Submits full frames; the last one of the segment if that brings it to its target.
    fn cut_frames(&mut self, pool: &Pool, frame_bytes: usize) -> Result<()> {
        while let Some(mut filling) = self.open.take_if(|f| f.buffer.len() >= frame_bytes) {
            let unknown = filling.unknown_raw_bytes + frame_bytes;
            // Half a frame more: segments end as often above their target as below it.
            let rounding = self.ratio.apply(frame_bytes / 2);
            let filtered_bytes =
                filling.known_filtered_bytes + self.ratio.apply(unknown) + rounding;
            filling.raw_bytes += frame_bytes;
            let too_long = filling.raw_bytes >= self.target_bytes.saturating_mul(RAW_FACTOR_MAX);
            if filtered_bytes >= self.target_bytes || too_long {
                self.open = Some(filling);
                return self.close(pool);
            }
            let mut rest = pool.buffer(frame_bytes + OBJECT_ROOM_BYTES);
            rest.extend_from_slice(&filling.buffer[frame_bytes..]);
            let mut frame = std::mem::replace(&mut filling.buffer, rest);
            frame.truncate(frame_bytes);
            let submitted = self.submit(pool, &mut filling, frame, false);
            self.open = Some(filling);
            submitted?;
        }
        Ok(())
    }

    /// Hands a frame over, and learns the filtered size of the frame that is now far enough behind.
    fn submit(
        &mut self,
        pool: &Pool,
        filling: &mut Filling,
        frame: Vec<u8>,
        last: bool,
    ) -> Result<()> {
        let sent = Sent {
            segment: Arc::clone(&filling.segment),
            index: filling.next_frame,
            raw_bytes: frame.len(),
        };
        pool.submit(&sent.segment, sent.index, frame, last)?;
        filling.next_frame += 1;
        filling.unknown_raw_bytes += sent.raw_bytes;
        self.sent.push_back(sent);
        if self.sent.len() > pool.depth() {
            let known = self.sent.pop_front().expect("is longer than the depth");
            let filtered_bytes = known.segment.filtered_bytes(known.index);
            self.ratio.add(known.raw_bytes, filtered_bytes);
            if Arc::ptr_eq(&known.segment, &filling.segment) {
                filling.known_filtered_bytes += filtered_bytes;
                filling.unknown_raw_bytes -= known.raw_bytes;
            }
        }
        Ok(())
    }
}

impl Filling {
    /// Appends one tar member: header, data, padding.
    fn push_member(&mut self, data: &[u8]) {
        let header = self.headers.next(self.next_sequence, data.len() as u64);
        self.buffer.extend_from_slice(header);
        self.buffer.extend_from_slice(data);
        // The buffer itself begins anywhere in a tar block: frames are cut without regard to them.
        let padding = data.len().next_multiple_of(TAR_BLOCK_BYTES) - data.len();
        self.buffer
            .extend_from_slice(&[0; TAR_BLOCK_BYTES][..padding]);
        self.next_sequence += 1;
    }
}

impl Ratio {
    /// Beyond this, older frames begin to count less, so that the estimate follows the data.
    const MEMORY_BYTES: u64 = 64 << 20;

    fn add(&mut self, raw: usize, filtered: usize) {
        if self.raw_bytes > Self::MEMORY_BYTES {
            self.raw_bytes /= 2;
            self.filtered_bytes /= 2;
        }
        self.raw_bytes += raw as u64;
        self.filtered_bytes += filtered as u64;
    }

    fn apply(self, raw: usize) -> usize {
        let filtered = u128::from(self.filtered_bytes) * raw as u128 / u128::from(self.raw_bytes);
        usize::try_from(filtered).unwrap_or(usize::MAX)
    }
}
