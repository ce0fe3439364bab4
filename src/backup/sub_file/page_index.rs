//! Finds the pages of some candidates by their weak sums.
//!
//! Asked for nearly every byte of new data, and the answer is nearly always no. So there are two steps: a bitmap answers most
//! questions, and a table of short chains the rest.
//!
//! Chains are bounded, or a file of equal pages would make every question walk over all of them. What a full chain turns away is not
//! found by its sum; mostly it is equal to a page in the chain, and what follows such a page is found by going on from there.

/// Words of the bitmap, as a power of two: 128 KiB. With 6,144 pages, one question in 170 gets by in vain. That costs more than a miss
/// of the processor's first cache: with 32 KiB, a byte took 1.7 ns instead of 1.3.
const FILTER_WORDS_LOG2: u32 = 14;
const FILTER_WORDS: usize = 1 << FILTER_WORDS_LOG2;

/// Chains, as a power of two.
const CHAINS_LOG2: u32 = 13;

/// Most pages in one chain.
const CHAIN_PAGES_MAX: usize = 16;

/// Ends a chain.
const END: u32 = u32::MAX;

/// Where a page is: the candidate's number and the page's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The candidate's number, counted by the caller.
    pub candidate: usize,
    /// The page's number.
    pub page: usize,
}

impl Place {
    /// Returns the place some pages further on in the same candidate, be it behind its end.
    pub(super) fn ahead(self, pages: usize) -> Self {
        Self {
            page: self.page + pages,
            ..self
        }
    }
}

/// Pages by weak sum.
pub(super) struct PageIndex {
    filter: Box<[u64; FILTER_WORDS]>,
    chains: Vec<u32>,
    entries: Vec<IndexEntry>,
}

struct IndexEntry {
    weak_sum: u32,
    next: u32,
    place: Place,
}

impl PageIndex {
    /// Makes an index without pages.
    pub(super) fn new() -> Self {
        Self {
            filter: vec![0; FILTER_WORDS]
                .into_boxed_slice()
                .try_into()
                .expect("it has this length"),
            chains: vec![END; 1 << CHAINS_LOG2],
            entries: Vec::new(),
        }
    }

    /// Forgets all pages.
    pub(super) fn clear(&mut self) {
        self.filter.fill(0);
        self.chains.fill(END);
        self.entries.clear();
    }

    /// Adds a page, unless there are too many like it.
    pub(super) fn insert(&mut self, weak_sum: u32, place: Place) {
        let chain = chain_of(weak_sum);
        let mut last = None;
        let mut length = 0;
        let mut at = self.chains[chain];
        while let Some(entry) = self.entry(at) {
            last = Some(at);
            length += 1;
            at = entry.next;
        }
        if length >= CHAIN_PAGES_MAX {
            return;
        }
        let new = u32::try_from(self.entries.len()).expect("candidates have fewer pages");
        self.entries.push(IndexEntry {
            weak_sum,
            next: END,
            place,
        });
        match last {
            None => self.chains[chain] = new,
            Some(last) => self.entries[last as usize].next = new,
        }
        let (word, mask) = filter_bit(weak_sum);
        self.filter[word] |= mask;
    }

    /// Tells whether there may be a page with this sum; a yes means little, a no is certain.
    #[inline]
    pub(super) fn may_hold(&self, weak_sum: u32) -> bool {
        let (word, mask) = filter_bit(weak_sum);
        self.filter[word] & mask != 0
    }

    /// Returns the pages with this sum, those first that were added first.
    pub(super) fn places(&self, weak_sum: u32) -> impl Iterator<Item = Place> {
        let first = self.entry(self.chains[chain_of(weak_sum)]);
        std::iter::successors(first, |entry| self.entry(entry.next))
            .filter(move |entry| entry.weak_sum == weak_sum)
            .map(|entry| entry.place)
    }

    fn entry(&self, at: u32) -> Option<&IndexEntry> {
        self.entries.get(at as usize)
    }
}

/// Mixes both halves of a sum into the upper bits.
fn mix(weak_sum: u32) -> u32 {
    weak_sum.wrapping_mul(0x9e37_79b1)
}

fn chain_of(weak_sum: u32) -> usize {
    (mix(weak_sum) >> (u32::BITS - CHAINS_LOG2)) as usize
}

/// Returns the word in the bitmap and the bit in it. Taken as they are from both halves of the sum, since mixing would cost a quarter of
/// the time of a miss.
#[inline]
fn filter_bit(weak_sum: u32) -> (usize, u64) {
    let word = weak_sum >> (u32::BITS - FILTER_WORDS_LOG2);
    (word as usize, 1 << (weak_sum & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_their_sum_in_the_order_of_adding_and_forgotten_when_cleared() {
        let mut index = PageIndex::new();
        let place = |candidate, page| Place { candidate, page };
        index.insert(5, place(0, 1));
        index.insert(6, place(0, 2));
        index.insert(5, place(1, 3));
        assert!(index.may_hold(5));
        let found: Vec<Place> = index.places(5).collect();
        assert_eq!(found, [place(0, 1), place(1, 3)]);
        assert_eq!(index.places(7).count(), 0);
        index.clear();
        assert!(!index.may_hold(5));
        assert_eq!(index.places(5).count(), 0);
    }

    #[test]
    fn a_thousand_equal_pages_take_no_more_room_than_a_chain_has() {
        let mut index = PageIndex::new();
        for page in 0..1000 {
            index.insert(9, Place { candidate: 0, page });
        }
        assert_eq!(index.entries.len(), CHAIN_PAGES_MAX);
        assert_eq!(index.places(9).count(), CHAIN_PAGES_MAX);
    }
}
