//! Blocks of this run on their way into the block index.
//!
//! Digests are spread evenly, so one row at a time goes to one page of the table after the other, and most pages leave SQLite's
//! cache again before they get a second row. Rows therefore wait, and go to the table in its order, many at once: while
//! a million are added, a page is then written some six times and not twenty. They are found while they wait;
//! whoever reads the table otherwise settles them first.
//!
//! A run that began with an empty index, as a first backup does, remembers besides what it put into the table, in a filter that may
//! say *perhaps* of a digest but never *no* wrongly (Bloom, Communications of the ACM 13 (7), 1970). Nearly all of its blocks are
//! then known to be new without a look into the table.

use super::BlockDigest;
use crate::format::object_ref::ObjectId;

/// Rows that wait at most: 4.5 MiB.
const WAITING_MAX: usize = 1 << 16;

/// Places of the rows that wait, half of them empty: 512 KiB.
const SLOTS: usize = 2 * WAITING_MAX;

/// A slot that has no row.
const EMPTY: u32 = 0;

/// Bits of the filter: 1 MiB. With a million blocks one look in fifty is in vain, with ten million nearly each.
const FILTER_BITS: usize = 1 << 23;

/// Bits that stand for a digest; each is told by three bytes of it.
const BITS_A_DIGEST: usize = 4;

/// A block that waits.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) length: u32,
    pub(super) object: ObjectId,
    pub(super) stored: Option<i64>,
}

/// What this run added.
pub(super) struct RecentBlocks {
    waiting: Waiting,
    /// What was settled; none if the table had blocks before, of which the filter knows nothing.
    settled: Option<Filter>,
}

/// Rows, found by a hash table of their own whose slots are a few bytes: one of the library would take as much again for the sorting.
#[derive(Default)]
struct Waiting {
    rows: Vec<(BlockDigest, Row)>,
    /// The number of a row, counted from 1, in the first slot at or behind that of its digest that was empty.
    slots: Vec<u32>,
}

/// A set of digests that grows; empty as long as it has no bits.
#[derive(Default)]
struct Filter(Vec<u64>);

impl RecentBlocks {
    /// Begins with nothing; `is_empty` says whether the table is empty too.
    pub(super) fn new(is_empty: bool) -> Self {
        Self {
            waiting: Waiting::default(),
            settled: is_empty.then(Filter::default),
        }
    }

    /// Returns what waits under a digest.
    pub(super) fn find(&self, digest: &BlockDigest) -> Option<Row> {
        let at = self.waiting.find(digest).ok()?;
        Some(self.waiting.rows[at].1)
    }

    /// Tells whether the table may have a digest.
    pub(super) fn may_be_in_table(&self, digest: &BlockDigest) -> bool {
        let settled = self.settled.as_ref();
        settled.is_none_or(|settled| settled.may_have(digest))
    }

    /// Adds a row, in place of one that waits under the same digest; `true` if it is time to settle.
    pub(super) fn add(&mut self, digest: BlockDigest, row: Row) -> bool {
        self.waiting.add(digest, row);
        self.waiting.rows.len() >= WAITING_MAX
    }

    /// Returns all that waits, in the order of the table; from now on it counts as settled.
    pub(super) fn take(&mut self) -> Vec<(BlockDigest, Row)> {
        let mut rows = std::mem::take(&mut self.waiting).rows;
        rows.sort_unstable_by_key(|(digest, _)| digest.0);
        if let Some(settled) = &mut self.settled {
            for (digest, _) in &rows {
                settled.add(digest);
            }
        }
        rows
    }
}

impl Waiting {
    /// Returns where the row of a digest is, or the empty slot that one would get; without slots there are no rows, and the slot is of no use.
    fn find(&self, digest: &BlockDigest) -> Result<usize, usize> {
        let mut slot = slot_of(digest);
        loop {
            match self.slots.get(slot) {
                None | Some(&EMPTY) => return Err(slot),
                Some(&number) => {
                    let at = number as usize - 1;
                    if self.rows[at].0 == *digest {
                        return Ok(at);
                    }
                }
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn add(&mut self, digest: BlockDigest, row: Row) {
        self.slots.resize(SLOTS, EMPTY);
        match self.find(&digest) {
            Ok(at) => self.rows[at].1 = row,
            Err(slot) => {
                self.rows.push((digest, row));
                self.slots[slot] = u32::try_from(self.rows.len()).expect("few rows wait");
            }
        }
    }
}

/// Returns where the row of a digest is looked for first. The filter looks at other bytes.
fn slot_of(digest: &BlockDigest) -> usize {
    let [.., a, b, c, d] = digest.0;
    u32::from_le_bytes([a, b, c, d]) as usize % SLOTS
}

impl Filter {
    fn may_have(&self, digest: &BlockDigest) -> bool {
        !self.0.is_empty() && bits(digest).all(|bit| self.0[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn add(&mut self, digest: &BlockDigest) {
        self.0.resize(FILTER_BITS / 64, 0);
        for bit in bits(digest) {
            self.0[bit / 64] |= 1 << (bit % 64);
        }
    }
}

fn bits(digest: &BlockDigest) -> impl Iterator<Item = usize> {
    let parts = digest.0.chunks_exact(3).take(BITS_A_DIGEST);
    parts.map(|part| {
        part.iter()
            .fold(0, |bit, &byte| bit << 8 | usize::from(byte))
            % FILTER_BITS
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::object_ref::SegmentId;

    fn digest(n: u32) -> BlockDigest {
        BlockDigest::of(&n.to_le_bytes())
    }

    fn row(sequence: u32) -> Row {
        Row {
            length: 4,
            object: ObjectId {
                segment: SegmentId::from_bytes([1; 16]),
                sequence,
            },
            stored: None,
        }
    }

    #[test]
    fn what_was_settled_is_never_denied_and_most_else_is() {
        let mut recent = RecentBlocks::new(true);
        for n in 0..10_000 {
            recent.add(digest(n), row(n));
        }
        assert!(!recent.may_be_in_table(&digest(7)), "it only waits");
        let rows = recent.take();
        assert!(rows.is_sorted_by_key(|(digest, _)| digest.0));
        assert_eq!(rows.len(), 10_000);
        assert!(
            recent.find(&digest(7)).is_none(),
            "it does not wait any more"
        );
        assert!((0..10_000).all(|n| recent.may_be_in_table(&digest(n))));
        let in_vain = (10_000..110_000).filter(|&n| recent.may_be_in_table(&digest(n)));
        assert!(in_vain.count() < 100);
    }

    #[test]
    fn of_a_table_that_had_blocks_nothing_is_denied() {
        let recent = RecentBlocks::new(false);
        assert!(recent.may_be_in_table(&digest(1)));
    }

    #[test]
    fn it_is_time_to_settle_when_so_many_wait() {
        let mut recent = RecentBlocks::new(true);
        let last = u32::try_from(WAITING_MAX).expect("fits") - 1;
        assert!((0..last).all(|n| !recent.add(digest(n), row(n))));
        assert!(!recent.add(digest(0), row(7)), "it replaces another");
        assert!(recent.add(digest(last), row(last)));
        let sequence = |n| recent.find(&digest(n)).map(|row| row.object.sequence);
        assert_eq!(sequence(0), Some(7));
        assert!((1..=last).all(|n| sequence(n) == Some(n)));
        assert_eq!(sequence(last + 1), None);
    }
}
