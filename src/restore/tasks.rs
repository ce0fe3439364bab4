//! The work of a restore in the order of the store: which bytes of which object go where.

use super::spool::Place;
use crate::sorter::Record;

/// A part of an object that goes to a place in a file. The order of the fields is the order of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    /// The segment, as a number in order of first use.
    pub(crate) segment: u32,
    /// The object in the segment.
    pub(crate) sequence: u32,
    /// The file, as its place in the spool.
    pub(crate) file: Place,
    /// Where in the file.
    pub(crate) offset: u64,
    /// Where in the object.
    pub(crate) start: u32,
    /// How many bytes.
    pub(crate) length: u32,
    /// Where in the spool the reference stands, if it has to be looked at again for what it says of the whole object; or
    /// [`UNCHECKED`](Self::UNCHECKED) or [`LOST`](Self::LOST).
    pub(crate) claim: Place,
}

impl Task {
    /// `claim` of a reference that says nothing of the whole object.
    pub(crate) const UNCHECKED: Place = Place::MAX;
    /// `claim` of a task that is to fail.
    pub(crate) const LOST: Place = Place::MAX - 1;
}

impl Record for Task {
    const BYTES: usize = 40;

    fn encode(&self, bytes: &mut [u8]) {
        let numbers = [self.segment, self.sequence, self.start, self.length];
        for (number, bytes) in numbers.iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&self.file.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.claim.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let four =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let eight =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self {
            segment: four(0),
            sequence: four(4),
            start: four(8),
            length: four(12),
            file: eight(16),
            offset: eight(24),
            claim: eight(32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(numbers: [u32; 4], file: u64, offset: u64, claim: u64) {
            let [segment, sequence, start, length] = numbers;
            let task = Task { segment, sequence, file, offset, start, length, claim };
            let mut bytes = [0; Task::BYTES];
            task.encode(&mut bytes);
            prop_assert_eq!(Task::decode(&bytes), task);
        }
    }
}
