//! Matches new data of a changed file against objects of the file's previous version, so that only what is new is stored.
//!
//! The old bytes are not at hand, since a backup reads no store: only their signatures ([`crate::local::signature`]). A [`Matcher`]
//! holds the signatures of some objects around the present place in the file, and [`Matcher::cut`] cuts the data that comes next into
//! spans: copies of whole pages of these objects, found at any offset, and literals, which become objects of their own.
//!
//! Like rsync, it rolls the weak sum over the data byte by byte until a page with that sum has the strong digest too, and then goes
//! on page by page, which is how a short last page is found. Where several places have equal pages, the one wins that goes on
//! longest: all are followed at once, with one digest for each page of data.
//!
//! **Falling back into step.** The caller looks for whole blocks first, and cuts only where it finds none. Behind an insertion or
//! deletion, the old blocks are no longer where it looks. So a cut ends at a synchronization point: where a copy came to the end of
//! its object, or just before data that is a whole old block. From there on, the caller finds whole blocks again.
//!
//! **Work is bounded**, whatever the data: a position costs a nanosecond or so, and at most one strong digest for 256 bytes is
//! computed. Nothing here reads or writes; sums that match by accident or malice cost time, never a wrong byte.

mod cutting;
mod page_index;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::format::BLOCK_BYTES;
use crate::format::object_ref::ObjectId;
use crate::local::signature::{PAGE_BYTES, Signature};

use cutting::Cutting;
use page_index::{PageIndex, Place};

/// A cut whose spans are shorter than this on average is not worth its references.
const SPAN_BYTES_MIN: usize = 8 << 10;

/// Most pages of all candidates together: those of 24 blocks. With the index they take some 400 KiB.
const PAGES_MAX: usize = 24 * (BLOCK_BYTES / PAGE_BYTES);

/// An object of the file's previous version.
pub(super) struct Candidate {
    /// The object.
    pub object: ObjectId,
    /// Its length in bytes.
    pub length: u32,
    /// The digests of its pages.
    pub signature: Signature,
}

impl Candidate {
    /// Returns the length of a page; 0 behind the end.
    fn page_bytes(&self, page: usize) -> usize {
        let start = page.saturating_mul(PAGE_BYTES);
        self.bytes().saturating_sub(start).min(PAGE_BYTES)
    }

    fn bytes(&self) -> usize {
        self.length as usize
    }
}

/// A piece of new data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Bytes that were not found; at most a block.
    Literal {
        /// Number of bytes.
        length: usize,
    },
    /// Bytes of an object of the previous version.
    Copy {
        /// The object.
        object: ObjectId,
        /// Length of the whole object.
        object_length: u32,
        /// Offset of the first byte in it.
        start: u32,
        /// Number of bytes.
        length: u32,
    },
}

impl Span {
    /// Returns the number of bytes.
    pub(super) fn length(&self) -> usize {
        match *self {
            Self::Literal { length } => length,
            Self::Copy { length, .. } => length as usize,
        }
    }
}

/// How some data can be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Spans that cover `consumed_bytes` of the data, from its beginning.
    pub spans: Vec<Span>,
    /// How far the cut goes; not 0 unless the data is empty.
    pub consumed_bytes: usize,
}

impl Cut {
    /// Tells whether anything of the data was found.
    pub(super) fn has_copies(&self) -> bool {
        self.spans
            .iter()
            .any(|span| matches!(span, Span::Copy { .. }))
    }

    /// Tells whether the spans are so short that the data had better be stored anew.
    fn is_fragmented(&self) -> bool {
        self.spans.len() > 1 && self.consumed_bytes < self.spans.len() * SPAN_BYTES_MIN
    }

    /// Makes literals of all of it. The end stays, since whole blocks may follow there.
    fn into_literals(mut self) -> Self {
        self.spans.clear();
        let mut rest = self.consumed_bytes;
        while rest > 0 {
            let length = rest.min(BLOCK_BYTES);
            self.spans.push(Span::Literal { length });
            rest -= length;
        }
        self
    }
}

/// The candidates around the present place in a file, and an index of their pages.
///
/// When they have too many pages, those that were added first are forgotten.
pub(super) struct Matcher {
    candidates: VecDeque<Candidate>,
    index: PageIndex,
}

impl Matcher {
    /// Makes a matcher without candidates.
    pub(super) fn new() -> Self {
        Self {
            candidates: VecDeque::new(),
            index: PageIndex::new(),
        }
    }

    /// Adds a candidate, which had better not be there yet.
    pub(super) fn add(&mut self, candidate: Candidate) {
        index_pages(&mut self.index, self.candidates.len(), &candidate);
        self.candidates.push_back(candidate);
        while self.candidates.len() > 1 && self.page_count() > PAGES_MAX {
            self.forget_oldest();
        }
    }

    fn page_count(&self) -> usize {
        self.candidates
            .iter()
            .map(|c| c.signature.page_count())
            .sum()
    }

    /// Tells whether an object is among the candidates.
    pub(super) fn contains(&self, object: ObjectId) -> bool {
        self.candidates.iter().any(|c| c.object == object)
    }

    /// Returns the number of candidates.
    #[cfg(test)]
    pub(super) fn candidate_count(&self) -> usize {
        self.candidates.len()
    }

    /// Forgets the candidate that was added first. Costs as much as adding the remaining ones again.
    pub(super) fn forget_oldest(&mut self) {
        self.candidates.pop_front();
        self.index.clear();
        for (number, candidate) in self.candidates.iter().enumerate() {
            index_pages(&mut self.index, number, candidate);
        }
    }

    /// Cuts `data`, which begins at the present place in the file, where no whole block was found, and goes on for two blocks or to the
    /// end of the file.
    ///
    /// The cut goes to the next synchronization point, or else to the end of a block or of the last copy begun in it. If it would be
    /// fragmented, it has no copies.
    pub(super) fn cut(&self, data: &[u8]) -> Cut {
        let cut = Cutting::new(self, data).run();
        if cut.is_fragmented() {
            cut.into_literals()
        } else {
            cut
        }
    }
}

/// Puts those pages of a candidate into the index that can be found by rolling: not a short last one.
fn index_pages(index: &mut PageIndex, number: usize, candidate: &Candidate) {
    for (page, weak_sum) in candidate.signature.weak_sums().enumerate() {
        if candidate.page_bytes(page) == PAGE_BYTES {
            let place = Place {
                candidate: number,
                page,
            };
            index.insert(weak_sum, place);
        }
    }
}
