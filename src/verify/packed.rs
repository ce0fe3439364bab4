//! References in a fixed number of bytes, for sorting.

use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::{ObjectId, ObjectRef, SegmentId, Slice};

/// A reference, ordered by object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackedRef {
    pub(super) object: ObjectId,
    slice: (u8, u64, u64),
    checksum: Option<(u8, [u8; 32])>,
}

impl PackedRef {
    pub(super) const BYTES: usize = 70;

    pub(super) fn new(reference: &ObjectRef) -> Self {
        let slice = match reference.slice {
            Slice::Whole => (0, 0, 0),
            Slice::First(n) => (1, n, 0),
            Slice::Exactly(n) => (2, n, 0),
            Slice::Part { start, length } => (3, start, length),
        };
        let checksum = reference
            .checksum
            .map(|sum| (sum.algorithm().code(), *sum.padded_digest()));
        Self {
            object: reference.object,
            slice,
            checksum,
        }
    }

    pub(super) fn reference(&self) -> ObjectRef {
        let slice = match self.slice {
            (0, _, _) => Slice::Whole,
            (1, n, _) => Slice::First(n),
            (2, n, _) => Slice::Exactly(n),
            (_, start, length) => Slice::Part { start, length },
        };
        let checksum = self.checksum.and_then(|(code, digest)| {
            let algorithm = Algorithm::from_code(code)?;
            Some(Checksum::from_padded_digest(algorithm, digest))
        });
        ObjectRef {
            object: self.object,
            checksum,
            slice,
        }
    }

    pub(super) fn encode(&self, bytes: &mut [u8]) {
        bytes[..16].copy_from_slice(self.object.segment.as_bytes());
        bytes[16..20].copy_from_slice(&self.object.sequence.to_le_bytes());
        bytes[20] = self.slice.0;
        bytes[21..29].copy_from_slice(&self.slice.1.to_le_bytes());
        bytes[29..37].copy_from_slice(&self.slice.2.to_le_bytes());
        let (code, digest) = self.checksum.unwrap_or((0, [0; 32]));
        bytes[37] = code;
        bytes[38..70].copy_from_slice(&digest);
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let segment = SegmentId::from_bytes(bytes[..16].try_into().expect("sixteen bytes"));
        let sequence = four(bytes, 16);
        let digest = bytes[38..70].try_into().expect("thirty-two bytes");
        Self {
            object: ObjectId { segment, sequence },
            slice: (bytes[20], eight(bytes, 21), eight(bytes, 29)),
            checksum: (bytes[37] != 0).then_some((bytes[37], digest)),
        }
    }
}

/// Reads a number of four bytes.
pub(super) fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Reads a number of eight bytes.
pub(super) fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_the_sorter() {
        let id = "90b3367e-c348-47df-8e3c-4f2b64714d8c/0000001f";
        for text in [
            id.to_owned(),
            format!("{id}[5]"),
            format!("{id}[=5]"),
            format!("{id}(sha1=a9993e364706816aba3e25717850c26c9cd0d89d)[2+3]"),
            format!("{id}(sha224=23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7)"),
        ] {
            let reference = ObjectRef::parse(text.as_bytes()).expect("parses");
            let mut bytes = [0; PackedRef::BYTES];
            PackedRef::new(&reference).encode(&mut bytes);
            assert_eq!(PackedRef::decode(&bytes).reference().to_string(), text);
        }
    }
}
