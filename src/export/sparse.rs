//! Which bytes of a file are stored in an archive, and which are holes.

use crate::format::entry::FileContents;
use crate::format::object_ref::DataRef;

use super::pax;

/// Files with fewer zeros are stored whole: the map would cost as much.
const ZEROS_MIN: u64 = 64 << 10;

/// The parts of a file that are not zeros.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Offset and length of each part.
    parts: Vec<(u64, u64)>,
}

impl SparseMap {
    /// Makes the map of a file from its references, if they say how long they are and enough of them are zeros.
    pub(super) fn of(contents: &FileContents) -> Option<Self> {
        let mut parts: Vec<(u64, u64)> = Vec::new();
        let (mut offset, mut zeros) = (0_u64, 0_u64);
        for reference in &contents.data {
            let length = reference.length()?;
            let end = offset.checked_add(length)?;
            match (reference, parts.last_mut()) {
                (DataRef::Zero(_), _) => zeros += length,
                (_, Some((start, known))) if *start + *known == offset => *known += length,
                _ => parts.push((offset, length)),
            }
            offset = end;
        }
        if zeros < ZEROS_MIN || offset != contents.size {
            return None;
        }
        if parts
            .last()
            .is_none_or(|(start, length)| start + length < offset)
        {
            // Says how long the file is.
            parts.push((offset, 0));
        }
        Some(Self { parts })
    }

    /// Returns the number of bytes that are not in holes.
    pub(super) fn data_bytes(&self) -> u64 {
        self.parts.iter().map(|(_, length)| length).sum()
    }

    /// Returns the map as it stands before the data, in whole blocks.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.parts.len()).into_bytes();
        for (offset, length) in &self.parts {
            text.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
        }
        pax::pad(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::object_ref::ObjectRef;

    fn contents(parts: &[(bool, u64)]) -> FileContents {
        let object = |length| {
            let text = format!("90b3367e-c348-47df-8e3c-4f2b64714d8c/0000001f[{length}]");
            DataRef::Object(ObjectRef::parse(text.as_bytes()).expect("parses"))
        };
        let data = parts.iter().map(|&(zeros, length)| {
            if zeros {
                DataRef::Zero(length)
            } else {
                object(length)
            }
        });
        FileContents {
            size: parts.iter().map(|(_, length)| length).sum(),
            checksum: None,
            data: data.collect(),
        }
    }

    #[test]
    fn parts_without_a_hole_between_them_are_one() {
        let map = SparseMap::of(&contents(&[
            (false, 5),
            (false, 6),
            (true, 70_000),
            (false, 7),
        ]))
        .expect("is sparse");
        assert_eq!(map.parts, [(0, 11), (70_011, 7)]);
        assert_eq!(
            (map.data_bytes(), &map.encode()[..18]),
            (18, &b"2\n0\n11\n70011\n7\n\0\0\0"[..])
        );
        let map = SparseMap::of(&contents(&[(true, 1 << 20)])).expect("is sparse");
        assert_eq!(map.parts, [(1 << 20, 0)]);
        assert_eq!(SparseMap::of(&contents(&[(true, 100), (false, 5)])), None);
    }
}
