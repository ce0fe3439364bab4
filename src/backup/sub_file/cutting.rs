//! Makes one cut: the search through the data, and where it ends.
//!
//! Positions are offsets in the data. The cut grows only at its end: everything before `covered_bytes` is in spans.

use crate::format::BLOCK_BYTES;
use crate::local::signature::{PAGE_BYTES, RollingSum, StrongDigest};

use super::page_index::{PageIndex, Place};
use super::{Candidate, Cut, Matcher, Span};

/// A copy that comes to the end of an object ends a cut if the object and the cut have at least this size: behind an object smaller
/// than that, a whole block is unlikely, and to look for one costs the caller the digest of a block.
const SYNCHRONIZATION_BYTES_MIN: usize = 64 << 10;

/// Strong digests that a cut may compute from the start, and the bytes that allow one more. Data that is found takes one for 4,096
/// bytes, data that is not takes some dozens for a block; only data made for the purpose comes to the limit.
pub(super) const FREE_DIGEST_COUNT: usize = 64;
pub(super) const BYTES_PER_DIGEST: usize = 256;

/// Pages of one candidate that are found one behind the other in the data.
#[derive(Clone, Copy)]
struct Run {
    /// Offset in the data.
    at: usize,
    /// The first page.
    first: Place,
    /// Length in bytes.
    bytes: usize,
}

/// A cut being made.
pub(super) struct Cutting<'m> {
    matcher: &'m Matcher,
    data: &'m [u8],
    spans: Vec<Span>,
    /// How much of the data the spans cover.
    covered_bytes: usize,
    /// The pages that come next if all that happened since the last version is that pages were overwritten: the one behind the last
    /// copy, before that the first of any candidate.
    in_step: Vec<Place>,
    pub(super) strong_digest_count: usize,
}

impl<'m> Cutting<'m> {
    /// Begins at the front of the data.
    pub(super) fn new(matcher: &'m Matcher, data: &'m [u8]) -> Self {
        let first_page = |candidate| Place { candidate, page: 0 };
        Self {
            matcher,
            data,
            spans: Vec::new(),
            covered_bytes: 0,
            in_step: (0..matcher.candidates.len()).map(first_page).collect(),
            strong_digest_count: 0,
        }
    }

    /// Makes the cut.
    pub(super) fn run(&mut self) -> Cut {
        let limit = self.data.len().min(BLOCK_BYTES);
        while self.covered_bytes < limit {
            let Some(run) = self.search(limit) else {
                self.push_literal(limit);
                break;
            };
            self.push_literal(run.at);
            if self.is_block_for_the_caller(&run) {
                break;
            }
            self.push_copy(&run);
            if self.is_end_of_object(&run) {
                break;
            }
        }
        Cut {
            spans: std::mem::take(&mut self.spans),
            consumed_bytes: self.covered_bytes,
        }
    }

    /// Finds the next run that begins before `limit`.
    fn search(&mut self, limit: usize) -> Option<Run> {
        let mut at = self.covered_bytes;
        let mut sum = RollingSum::of(self.data.get(at..at + PAGE_BYTES)?);
        loop {
            if self.matcher.index.may_hold(sum.value()) {
                let run = self.confirm(at, sum.value());
                if run.is_some() {
                    return run;
                }
            }
            at = roll_to_next_hit(&self.matcher.index, self.data, at, limit, &mut sum)?;
        }
    }

    /// Follows all places that have the page at `at` as long as any of them goes on; none if no page is truly there.
    fn confirm(&mut self, at: usize, weak_sum: u32) -> Option<Run> {
        let mut firsts = self.places(at, weak_sum);
        let affordable = FREE_DIGEST_COUNT + at / BYTES_PER_DIGEST;
        if firsts.is_empty() || self.strong_digest_count >= affordable {
            return None;
        }
        let mut pages = 0;
        let mut end = at;
        while firsts
            .iter()
            .any(|&first| self.page_bytes(first, pages) == PAGE_BYTES)
        {
            let Some(digest) = self.digest(end, PAGE_BYTES) else {
                break;
            };
            let goes_on = |first: &Place| self.is_page(*first, pages, PAGE_BYTES, digest);
            if !firsts.iter().any(goes_on) {
                break;
            }
            firsts.retain(goes_on);
            pages += 1;
            end += PAGE_BYTES;
        }
        if pages == 0 {
            return None;
        }
        let whole = |first| Run {
            at,
            first,
            bytes: end - at,
        };
        let with_short_page = firsts
            .iter()
            .find_map(|&first| self.add_short_page(whole(first), pages));
        with_short_page.or_else(|| firsts.first().copied().map(whole))
    }

    /// Returns the places to look at, those in step first: of pages of which there are many, the index does not know all.
    fn places(&self, at: usize, weak_sum: u32) -> Vec<Place> {
        let gap_bytes = at - self.covered_bytes;
        let in_step = self
            .in_step
            .iter()
            .filter(|_| gap_bytes.is_multiple_of(PAGE_BYTES));
        in_step
            .map(|place| place.ahead(gap_bytes / PAGE_BYTES))
            .chain(self.matcher.index.places(weak_sum))
            .collect()
    }

    /// Lengthens a run of whole pages by the short last page of its object, if that follows in the data.
    fn add_short_page(&mut self, run: Run, pages: usize) -> Option<Run> {
        let bytes = self.page_bytes(run.first, pages);
        if bytes == 0 || bytes == PAGE_BYTES {
            return None;
        }
        let digest = self.digest(run.at + run.bytes, bytes)?;
        self.is_page(run.first, pages, bytes, digest).then(|| Run {
            bytes: run.bytes + bytes,
            ..run
        })
    }

    /// Computes the strong digest of some of the data, if there is so much.
    fn digest(&mut self, at: usize, bytes: usize) -> Option<StrongDigest> {
        let page = self.data.get(at..at + bytes)?;
        self.strong_digest_count += 1;
        Some(StrongDigest::of(page))
    }

    /// Returns the length of the page that comes `pages` behind `first`; 0 behind the end of the object.
    fn page_bytes(&self, first: Place, pages: usize) -> usize {
        self.candidate(first).page_bytes(first.page + pages)
    }

    /// Tells whether the page that comes `pages` behind `first` has this length and digest.
    fn is_page(&self, first: Place, pages: usize, bytes: usize, digest: StrongDigest) -> bool {
        let signature = &self.candidate(first).signature;
        self.page_bytes(first, pages) == bytes
            && signature.strong_digest(first.page + pages) == Some(digest)
    }

    fn candidate(&self, place: Place) -> &'m Candidate {
        &self.matcher.candidates[place.candidate]
    }

    /// Tells whether the caller will find the run as a whole block, if the cut ends before it.
    fn is_block_for_the_caller(&self, run: &Run) -> bool {
        let object_bytes = self.candidate(run.first).bytes();
        let fits = object_bytes == BLOCK_BYTES || run.at + run.bytes == self.data.len();
        run.at > 0 && run.bytes == object_bytes && fits
    }

    /// Tells whether whole old blocks may be expected behind the run, which was the last copy.
    fn is_end_of_object(&self, run: &Run) -> bool {
        let object_bytes = self.candidate(run.first).bytes();
        run.first.page * PAGE_BYTES + run.bytes == object_bytes
            && object_bytes.min(self.covered_bytes) >= SYNCHRONIZATION_BYTES_MIN
    }

    fn push_literal(&mut self, end: usize) {
        if end > self.covered_bytes {
            let length = end - self.covered_bytes;
            self.spans.push(Span::Literal { length });
            self.covered_bytes = end;
        }
    }

    fn push_copy(&mut self, run: &Run) {
        let number = |bytes| u32::try_from(bytes).expect("it lies inside an object");
        let candidate = self.candidate(run.first);
        self.spans.push(Span::Copy {
            object: candidate.object,
            object_length: candidate.length,
            start: number(run.first.page * PAGE_BYTES),
            length: number(run.bytes),
        });
        self.covered_bytes = run.at + run.bytes;
        self.in_step = vec![run.first.ahead(run.bytes / PAGE_BYTES)];
    }
}

/// Rolls `sum` from the window at `at` to the next one that may be a page, and returns where that begins; none if there is none before
/// `limit` or the end of the data.
///
/// The innermost loop of all: without bounds checks, since both slices are walked together.
fn roll_to_next_hit(
    index: &PageIndex,
    data: &[u8],
    at: usize,
    limit: usize,
    sum: &mut RollingSum,
) -> Option<usize> {
    let leaving = data.get(at..limit.checked_sub(1)?)?;
    let entering = data.get(at + PAGE_BYTES..)?;
    for (step, (&first, &next)) in leaving.iter().zip(entering).enumerate() {
        sum.roll(first, next);
        if index.may_hold(sum.value()) {
            return Some(at + step + 1);
        }
    }
    None
}
