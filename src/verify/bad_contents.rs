//! Contents that turned out not to be what they should be, on disk: looked up for every entry when damage is traced to files.

use std::cmp::Ordering;

use anyhow::Result;

use super::contents::NO_SEGMENT;
use super::packed::{eight, four};
use crate::sorter::{Record, Sorted};
use crate::spool::{Place, Spool};

/// Contents that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bad {
    pub(super) key: [u8; 16],
    /// The segment that they begin in, by number.
    pub(super) segment: u32,
    /// Where the reason lies.
    pub(super) reason: Place,
}

/// Contents that are not what they should be, looked up by key.
pub(super) struct BadContents {
    /// All of them by key, as many bytes each.
    sorted: Spool,
    count: u64,
    reasons: Spool,
    /// A bit for each of the possible beginnings of a key, to look nothing up for most files that are good.
    filter: Vec<u64>,
}

/// Bits of a key that the filter goes by.
const FILTER_BITS: u32 = 22;

impl BadContents {
    /// Takes them sorted, and the spool that has the reasons.
    pub(super) fn new(mut bad: Sorted<Bad>, reasons: Spool) -> Result<Self> {
        let mut sorted = Spool::create(&std::env::temp_dir())?;
        let (mut count, mut filter) = (0, vec![0; 1 << (FILTER_BITS - 6)]);
        let mut bytes = [0; Bad::BYTES];
        while let Some(bad) = bad.take()? {
            bad.encode(&mut bytes);
            sorted.add(&[&bytes])?;
            count += 1;
            let bit = filter_bit(&bad.key);
            filter[bit / 64] |= 1 << (bit % 64);
        }
        Ok(Self {
            sorted,
            count,
            reasons,
            filter,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns what is wrong with contents and the segment in which they begin.
    pub(super) fn get(&self, key: &[u8; 16]) -> Result<Option<(String, Option<u32>)>> {
        let bit = filter_bit(key);
        if self.filter[bit / 64] & 1 << (bit % 64) == 0 {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let at = middle * u64::from(Bad::LENGTH);
            let found = Bad::decode(&self.sorted.bytes(at, Bad::LENGTH)?);
            match found.key.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let reason = self.reasons.sized(found.reason)?;
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    let segment = (found.segment != NO_SEGMENT).then_some(found.segment);
                    return Ok(Some((reason, segment)));
                }
            }
        }
        Ok(None)
    }
}

fn filter_bit(key: &[u8; 16]) -> usize {
    (four(key, 0) >> (32 - FILTER_BITS)) as usize
}

impl Bad {
    const LENGTH: u32 = 28;
}

impl Record for Bad {
    const BYTES: usize = Self::LENGTH as usize;

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..16].copy_from_slice(&self.key);
        bytes[16..20].copy_from_slice(&self.segment.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.reason.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            key: bytes[..16].try_into().expect("sixteen bytes"),
            segment: four(bytes, 16),
            reason: eight(bytes, 20),
        }
    }
}
