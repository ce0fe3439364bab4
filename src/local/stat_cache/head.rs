//! The head of a block of the stat cache: what a block says of its piece without a look at the entries.

use super::block::SegmentUse;
use super::code::{Source, list, put};
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::{ObjectId, ObjectRef, SegmentId, Slice};

/// What a block needs and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Objects that hold stanzas: the piece itself, then those that it has slices of.
    pub(super) texts: Vec<ObjectRef>,
    pub(super) segments: Vec<SegmentUse>,
    /// Inodes of files that are large enough for sub-file increments.
    pub(super) large: Vec<u64>,
    pub(super) slices: u32,
    pub(super) text_bytes: u64,
    pub(super) entries: u32,
}

impl Head {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.texts.len() as u64);
        for text in &self.texts {
            out.extend_from_slice(text.object.segment.as_bytes());
            put(out, text.object.sequence.into());
            let checksum = text
                .checksum
                .as_ref()
                .expect("metadata references have a checksum");
            out.extend_from_slice(&checksum.padded_digest()[..20]);
            put(out, text.length().expect("and a length"));
        }
        put(out, self.segments.len() as u64);
        for used in &self.segments {
            out.extend_from_slice(used.segment.as_bytes());
            put(out, used.bytes);
        }
        put(out, self.large.len() as u64);
        for &inode in &self.large {
            put(out, inode);
        }
        put(out, self.slices.into());
        put(out, self.text_bytes);
        put(out, self.entries.into());
    }

    pub(super) fn decode(source: &mut Source<'_>) -> Option<Self> {
        let texts = list(source, |source| {
            let segment = SegmentId::from_bytes(source.array()?);
            let sequence = source.small()?;
            let mut digest = [0; 32];
            digest[..20].copy_from_slice(source.take(20)?);
            Some(ObjectRef {
                object: ObjectId { segment, sequence },
                checksum: Some(Checksum::from_padded_digest(Algorithm::Sha1, digest)),
                slice: Slice::First(source.number()?),
            })
        })?;
        let segments = list(source, |source| {
            let segment = SegmentId::from_bytes(source.array()?);
            let bytes = source.number()?;
            Some(SegmentUse { segment, bytes })
        })?;
        let head = Self {
            texts,
            segments,
            large: list(source, Source::number)?,
            slices: source.small()?,
            text_bytes: source.number()?,
            entries: source.small()?,
        };
        (!head.texts.is_empty()).then_some(head)
    }
}
