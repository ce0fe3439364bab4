//! The references of one file in a block of the stat cache: two to six bytes each where the text form has fifty.

use super::block::SegmentUse;
use super::code::{Source, list, put, put_signed};
use crate::format::BLOCK_BYTES;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, SegmentId, Slice};

const ZERO: u8 = 0;
const WHOLE: u8 = 1;
const PART: u8 = 2;
const SHAPE: u8 = 3;
/// The object follows that of the reference before, in the same segment.
const NEXT: u8 = 4;
/// The length is that of a full block.
const FULL: u8 = 8;
/// The length is all that the file's size leaves.
const REST: u8 = 16;

/// In the first byte, with the number of the checksum's algorithm, or 0 if there is no checksum.
const ALGORITHM: u8 = 7;
const REBUILT: u8 = 8;

/// Writes contents of a file whose stat said `stat_size`; `index` gives segments their numbers in the block. References have no
/// checksums and are none to lists: those are made anew for each log, and `lists` says where they are.
pub(super) fn encode_contents(
    contents: &FileContents,
    rebuilt: bool,
    stat_size: u64,
    lists: &[SegmentUse],
    index: &mut dyn FnMut(SegmentId) -> u32,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + 4 * contents.data.len());
    let flag = if rebuilt { REBUILT } else { 0 };
    let code = contents.checksum.map_or(0, |sum| sum.algorithm().code());
    out.push(code | flag);
    if let Some(checksum) = &contents.checksum {
        let length = checksum.algorithm().digest_bytes();
        out.extend_from_slice(&checksum.padded_digest()[..length]);
    }
    let longer = contents.size.wrapping_sub(stat_size);
    put_signed(&mut out, longer.cast_signed());
    put(&mut out, lists.len() as u64);
    for used in lists {
        put(&mut out, index(used.segment).into());
        put(&mut out, used.bytes);
    }
    put(&mut out, contents.data.len() as u64);
    let mut previous = None;
    let mut left = contents.size;
    for reference in &contents.data {
        let length = reference.length().unwrap_or(0);
        let implied = if length == left {
            REST
        } else if length == BLOCK_BYTES as u64 {
            FULL
        } else {
            0
        };
        left = left.saturating_sub(length);
        match reference {
            DataRef::Zero(_) => out.push(ZERO | implied),
            DataRef::Object(object) | DataRef::Indirect(object) => {
                let next = previous == Some(object.object);
                let part = match object.slice {
                    Slice::Part { start, .. } => Some(start),
                    _ => None,
                };
                let shape = if part.is_some() { PART } else { WHOLE };
                out.push(shape | implied | if next { NEXT } else { 0 });
                if !next {
                    put(&mut out, index(object.object.segment).into());
                    put(&mut out, object.object.sequence.into());
                }
                if let Some(start) = part {
                    put(&mut out, start);
                }
                previous = successor(object.object);
            }
        }
        if implied == 0 {
            put(&mut out, length);
        }
    }
    out
}

/// Reads contents of a file whose stat said `stat_size`; `segments` are those of the block.
pub(super) fn decode_contents(
    source: &mut Source<'_>,
    segments: &[SegmentUse],
    stat_size: u64,
) -> Option<(FileContents, Vec<SegmentUse>)> {
    let segment = |index: u64| Some(segments.get(usize::try_from(index).ok()?)?.segment);
    let [tag] = source.array()?;
    let checksum = match tag & ALGORITHM {
        0 => None,
        code => Some(decode_checksum(source, Algorithm::from_code(code)?)?),
    };
    // They differ if the file changed while it was read.
    let size = stat_size.wrapping_add(source.signed()?.cast_unsigned());
    let lists = list(source, |source| {
        let segment = segment(source.number()?)?;
        let bytes = source.number()?;
        Some(SegmentUse { segment, bytes })
    })?;
    let mut previous = None;
    let mut left = size;
    let data = list(source, |source| {
        let [tag] = source.array()?;
        let object = match (tag & SHAPE, tag & NEXT) {
            (ZERO, _) => None,
            (_, NEXT) => Some(previous?),
            _ => Some(ObjectId {
                segment: segment(source.number()?)?,
                sequence: source.small()?,
            }),
        };
        let start = match tag & SHAPE {
            PART => Some(source.number()?),
            _ => None,
        };
        let length = match tag & (FULL | REST) {
            0 => source.number()?,
            FULL => BLOCK_BYTES as u64,
            _ => left,
        };
        left = left.checked_sub(length)?;
        let Some(object) = object else {
            return Some(DataRef::Zero(length));
        };
        previous = successor(object);
        let slice = start.map_or(Slice::First(length), |start| Slice::Part { start, length });
        Some(DataRef::Object(ObjectRef {
            object,
            checksum: None,
            slice,
        }))
    })?;
    let contents = FileContents {
        size,
        checksum,
        data,
    };
    Some((contents, lists))
}

/// Tells from the first bytes of contents whether they were rebuilt.
pub(super) fn is_rebuilt(contents: &[u8]) -> bool {
    contents.first().is_some_and(|tag| tag & REBUILT != 0)
}

fn decode_checksum(source: &mut Source<'_>, algorithm: Algorithm) -> Option<Checksum> {
    let mut digest = [0; 32];
    let length = algorithm.digest_bytes();
    digest[..length].copy_from_slice(source.take(length)?);
    Some(Checksum::from_padded_digest(algorithm, digest))
}

fn successor(object: ObjectId) -> Option<ObjectId> {
    let sequence = object.sequence.checked_add(1)?;
    Some(ObjectId { sequence, ..object })
}
