//! Versions of a file, night after night; [`Nights`] plays the caller.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A file's versions, each stored with the help of the one before.
#[derive(Default)]
struct Nights {
    objects: Vec<Vec<u8>>,
    known: HashMap<Vec<u8>, usize>,
    /// The objects of the latest version, in file order.
    layout: Vec<usize>,
}

/// What storing a version took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Night {
    literal_bytes: usize,
    whole_blocks: usize,
    cuts: usize,
    spans: usize,
}

impl Nights {
    fn store(&mut self, file: &[u8]) -> Night {
        let mut matcher = Matcher::new();
        for &number in &self.layout {
            if self.objects[number].len() >= PAGE_BYTES && !matcher.contains(id(number)) {
                matcher.add(candidate(number, &self.objects[number]));
            }
        }
        let mut night = Night::default();
        let mut layout = Vec::new();
        let mut rest = file;
        while !rest.is_empty() {
            let block = &rest[..rest.len().min(BLOCK_BYTES)];
            if let Some(&number) = self.known.get(block) {
                night.whole_blocks += 1;
                layout.push(number);
                rest = &rest[block.len()..];
                continue;
            }
            let window = &rest[..rest.len().min(2 * BLOCK_BYTES)];
            let cut = matcher.cut(window);
            night.literal_bytes += literal_bytes(&cut, window, &self.objects);
            night.cuts += 1;
            night.spans += cut.spans.len();
            for span in &cut.spans {
                let (number, length) = match *span {
                    Span::Literal { length } => (self.add(&rest[..length]), length),
                    Span::Copy { object, length, .. } => {
                        (object.sequence as usize, length as usize)
                    }
                };
                layout.push(number);
                rest = &rest[length..];
            }
        }
        self.layout = layout;
        night
    }

    fn add(&mut self, bytes: &[u8]) -> usize {
        let number = self.objects.len();
        self.objects.push(bytes.to_vec());
        self.known.insert(bytes.to_vec(), number);
        number
    }
}

/// A stored file of four and a half blocks.
fn stored_file() -> (Nights, Vec<u8>) {
    let file = noise(1, 4 * BLOCK_BYTES + BLOCK_BYTES / 2 + 77);
    let mut nights = Nights::default();
    let first = nights.store(&file);
    assert_eq!((first.literal_bytes, first.cuts), (file.len(), 5));
    (nights, file)
}

#[test]
fn an_overwritten_page_is_one_literal_of_a_page() {
    let (mut nights, mut file) = stored_file();
    for (at, seed) in [(0, 2), (2 * BLOCK_BYTES - PAGE_BYTES, 3), (3 << 20, 4)] {
        file[at..at + PAGE_BYTES].copy_from_slice(&noise(seed, PAGE_BYTES));
    }
    let night = nights.store(&file);
    let expected = Night {
        literal_bytes: 3 * PAGE_BYTES,
        whole_blocks: 2,
        cuts: 3,
        spans: 6,
    };
    assert_eq!(night, expected);
}

#[test]
fn an_insertion_costs_itself_and_a_page_and_then_all_is_in_step_again() {
    for at in [1, 4096, 5000, 500_000, 2 * BLOCK_BYTES - 1, 4_400_000] {
        let (mut nights, mut file) = stored_file();
        file.splice(at..at, noise(2, 1024));
        let night = nights.store(&file);
        assert!(night.literal_bytes <= 1024 + PAGE_BYTES, "{at}: {night:?}");
        // A literal that begins less than a page before the end of a block is in two pieces.
        let cuts = if at == 2 * BLOCK_BYTES - 1 { 2 } else { 1 };
        assert_eq!((night.whole_blocks, night.cuts), (4, cuts), "{at}");
    }
}

#[test]
fn an_insertion_between_two_blocks_costs_itself() {
    for at in [0, BLOCK_BYTES, 4 * BLOCK_BYTES] {
        let (mut nights, mut file) = stored_file();
        file.splice(at..at, noise(2, 1024));
        let night = nights.store(&file);
        let expected = Night {
            literal_bytes: 1024,
            whole_blocks: 5,
            cuts: 1,
            spans: 1,
        };
        assert_eq!(night, expected, "{at}");
    }
}

#[test]
fn a_deletion_costs_what_is_left_of_its_pages() {
    for at in [0, 100, 4096, 500_000, BLOCK_BYTES - 2048, 4_400_000] {
        let (mut nights, mut file) = stored_file();
        file.drain(at..at + 1024);
        let night = nights.store(&file);
        assert!(night.literal_bytes <= 2 * PAGE_BYTES, "{at}: {night:?}");
        assert_eq!((night.whole_blocks, night.cuts), (4, 1), "{at}");
    }
}

#[test]
fn a_deletion_over_a_border_of_blocks_touches_only_these_two() {
    for (start, end) in [
        (BLOCK_BYTES - 3000, BLOCK_BYTES + 3000),
        (BLOCK_BYTES - 300_000, BLOCK_BYTES + 500_000),
        (BLOCK_BYTES + 500_000, 4 * BLOCK_BYTES - 5000),
    ] {
        let (mut nights, mut file) = stored_file();
        file.drain(start..end);
        let night = nights.store(&file);
        assert!(night.literal_bytes < 2 * PAGE_BYTES, "{start}: {night:?}");
        let touched = end.div_ceil(BLOCK_BYTES) - start / BLOCK_BYTES;
        assert_eq!(
            (night.whole_blocks, night.cuts),
            (5 - touched, 1),
            "{start}"
        );
    }
}

#[test]
fn an_append_costs_what_is_appended() {
    let (mut nights, mut file) = stored_file();
    file.extend(noise(2, BLOCK_BYTES));
    let night = nights.store(&file);
    assert_eq!(night.literal_bytes, BLOCK_BYTES);
    assert_eq!(night.whole_blocks, 4);
}

#[test]
fn several_nights_find_the_literals_of_the_nights_before_with_their_short_last_pages() {
    let (mut nights, mut file) = stored_file();
    file.splice(500_000..500_000, noise(2, 10_000));
    let second = nights.store(&file);
    assert!(second.literal_bytes <= 10_000 + PAGE_BYTES, "{second:?}");
    for (night, at) in [(3, 9000), (4, 700_000), (5, 200_000)] {
        let at = at / PAGE_BYTES * PAGE_BYTES;
        // Behind the insertion, the pages of the first night no longer lie at multiples of their size.
        let at = if at > 510_000 { at + 10_000 } else { at };
        file[at..at + PAGE_BYTES].copy_from_slice(&noise(night, PAGE_BYTES));
        let stored = nights.store(&file);
        assert_eq!(stored.literal_bytes, PAGE_BYTES, "{stored:?}");
        assert_eq!((stored.whole_blocks, stored.cuts), (4, 1));
    }
}

#[test]
fn data_that_becomes_literal_ends_in_step_all_the_same() {
    let (mut nights, mut file) = stored_file();
    for page in file[..BLOCK_BYTES].chunks_mut(2 * PAGE_BYTES) {
        page[..PAGE_BYTES].fill(7);
    }
    file.splice(500_000..500_000, noise(2, 1024));
    let night = nights.store(&file);
    let expected = Night {
        literal_bytes: BLOCK_BYTES + 1024,
        whole_blocks: 4,
        cuts: 1,
        spans: 2,
    };
    assert_eq!(night, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn edits_of_a_file_cost_themselves_and_a_few_pages(edits in vec((0..4_000_000_usize, 0..20_000_usize, 0..20_000_usize), 1..4)) {
        let (mut nights, mut file) = stored_file();
        let inserted_bytes: usize = edits.iter().map(|edit| edit.2).sum();
        for (seed, &(at, deleted, inserted)) in (2..).zip(&edits) {
            file.splice(at..at + deleted, noise(seed, inserted));
        }
        let night = nights.store(&file);
        // Where an edit ends shortly before a block does, the cut behind it may be a few bytes and a few pages, which are stored anew.
        let bytes_an_edit = 2 * PAGE_BYTES + 2 * SPAN_BYTES_MIN;
        prop_assert!(night.literal_bytes <= inserted_bytes + edits.len() * bytes_an_edit, "{:?}", night);
        prop_assert!(night.cuts <= 2 * edits.len() && night.cuts + night.whole_blocks >= 3, "{:?}", night);
    }
}
