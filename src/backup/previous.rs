//! The previous version of a file that is being read: which objects its bytes may be found in again.
//!
//! The stat cache knows the version by the file's path, or by its inode if it was renamed. Of a file that neither finds, the
//! blocks that the block index knows tell: what followed a block when it was stored probably follows it again. Only objects
//! near the present position are looked at, so the memory is bounded however large the file is.

use std::ops::Range;

use anyhow::Result;

use super::block_sink::BlockSink;
use super::sub_file::{Candidate, Cut, Matcher};
use crate::format::BLOCK_BYTES;
use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectId};
use crate::local::signature::Signature;

/// How far before and behind the expected place in the previous version its objects are looked at, in bytes. Behind, it is a bit more
/// than the window of the new version.
const BEFORE_BYTES: u64 = 2 << 20;
const BEHIND_BYTES: u64 = 4 << 20;

/// Objects that are looked at behind a known block of a file without a known version.
const FOLLOWING: u32 = 4;

/// What is known of the previous version.
pub(super) struct Previous {
    /// Offset in the file and object of each reference, in the file's order.
    objects: Vec<(u64, ObjectId)>,
    /// Length of the previous version.
    length: u64,
    /// Offset in it of what should come next.
    expected: u64,
    /// The object that the last known block is, for files without a known version.
    last: Option<ObjectId>,
    /// None as long as there is nothing to look in: its tables take 160 KiB, too much to clear for every small file.
    matcher: Option<Matcher>,
}

impl Previous {
    /// Begins at the front of the previous version, if there is one.
    pub(super) fn new(version: Option<&FileContents>) -> Self {
        let mut objects = Vec::new();
        let mut offset = 0;
        for reference in version.iter().flat_map(|version| &version.data) {
            if let DataRef::Object(object) = reference {
                objects.push((offset, object.object));
            }
            offset += reference.length().unwrap_or(0);
        }
        Self {
            objects,
            length: offset,
            expected: 0,
            last: None,
            matcher: None,
        }
    }

    /// Takes note that the new version goes on behind this object.
    pub(super) fn pass(&mut self, object: ObjectId) {
        self.last = Some(object);
        let near = self.near(self.expected);
        let begin = near.start;
        let index = self.objects[near].iter().rposition(|&(_, o)| o == object);
        if let Some(index) = index {
            let behind = self.objects.get(begin + index + 1);
            self.expected = behind.map_or(self.length, |&(offset, _)| offset);
        }
    }

    /// Cuts the data at `offset` of the new version into what the store has and what it has not; none if that is no better than a
    /// whole block.
    pub(super) fn cut(
        &mut self,
        sink: &mut BlockSink<'_>,
        offset: u64,
        data: &[u8],
    ) -> Result<Option<Cut>> {
        self.load(sink, offset)?;
        let Some(matcher) = &mut self.matcher else {
            return Ok(None);
        };
        let cut = matcher.cut(data);
        // Even without copies: where it ends, whole blocks may follow.
        let ends_elsewhere = cut.consumed_bytes != data.len().min(BLOCK_BYTES);
        Ok(Some(cut).filter(|cut| cut.has_copies() || ends_elsewhere))
    }

    fn load(&mut self, sink: &mut BlockSink<'_>, offset: u64) -> Result<()> {
        let mut wanted: Vec<_> = [self.near(offset), self.near(self.expected)]
            .into_iter()
            .flat_map(|near| &self.objects[near])
            .map(|&(_, object)| object)
            .collect();
        if self.objects.is_empty()
            && let Some(last) = self.last
        {
            wanted.extend((1..=FOLLOWING).filter_map(|step| {
                let sequence = last.sequence.checked_add(step)?;
                Some(ObjectId { sequence, ..last })
            }));
        }
        for object in wanted {
            if self.matcher.as_ref().is_some_and(|m| m.contains(object)) {
                continue;
            }
            if let Some((length, pages)) = sink.signature(object)?
                && let Some(signature) = Signature::from_bytes(&pages, length)
            {
                let matcher = self.matcher.get_or_insert_with(Matcher::new);
                matcher.add(Candidate {
                    object,
                    length,
                    signature,
                });
            }
        }
        Ok(())
    }

    /// Returns the indexes of the objects near an offset in the previous version.
    fn near(&self, offset: u64) -> Range<usize> {
        let begin = offset.saturating_sub(BEFORE_BYTES);
        let end = offset.saturating_add(BEHIND_BYTES);
        let at = |wanted| self.objects.partition_point(|&(offset, _)| offset < wanted);
        at(begin)..at(end)
    }
}
