//! Which segments a verification reads: all, or a random part that is another one each time.
//!
//! The part is a function of the store's segments and a number, which comes from outside (the clock, in the binary) and is told with the
//! result, so that a run can be repeated. It has always the same share of the segments, not each of them with some probability: a
//! sample of a small store is never empty, and the time it takes is known.

use std::collections::HashSet;

use super::segments::Listed;
use crate::format::object_ref::SegmentId;

/// How large a part of the segments is checked, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The share, in hundredths of a per cent: 1 to 10,000.
    pub share: u32,
    /// What makes it another part each time.
    pub seed: u64,
}

/// The segments that are checked.
pub(super) struct Drawn {
    /// Nothing stands for all.
    segments: Option<HashSet<SegmentId>>,
}

impl Drawn {
    /// Draws of the segments that the snapshots list.
    pub(super) fn new(sample: Option<Sample>, listed: &Listed) -> Self {
        let draw = |sample: Sample| {
            let count = (listed.len() as u64 * u64::from(sample.share)).div_ceil(10_000);
            let mut ranked: Vec<_> = listed
                .keys()
                .map(|id| (rank(sample.seed, *id), *id))
                .collect();
            ranked.sort_unstable();
            ranked.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            ranked.into_iter().map(|(_, id)| id).collect()
        };
        Self {
            segments: sample.map(draw),
        }
    }

    pub(super) fn has(&self, segment: SegmentId) -> bool {
        self.segments
            .as_ref()
            .is_none_or(|drawn| drawn.contains(&segment))
    }

    /// Returns how many segments are in the sample, if there is one.
    pub(super) fn count(&self) -> Option<u64> {
        self.segments.as_ref().map(|drawn| drawn.len() as u64)
    }
}

fn rank(seed: u64, segment: SegmentId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(segment.as_bytes());
    *hasher.finalize().as_bytes()
}
