//! Single cuts, each of which is applied to the true bytes of its objects.

mod nights;

use proptest::collection::vec;
use proptest::prelude::*;

use super::cutting::{BYTES_PER_DIGEST, FREE_DIGEST_COUNT};
use super::*;
use crate::format::object_ref::SegmentId;

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut data);
    data
}

fn id(sequence: usize) -> ObjectId {
    ObjectId {
        segment: SegmentId::from_bytes([1; 16]),
        sequence: u32::try_from(sequence).expect("few objects"),
    }
}

fn candidate(number: usize, bytes: &[u8]) -> Candidate {
    Candidate {
        object: id(number),
        length: u32::try_from(bytes.len()).expect("small objects"),
        signature: Signature::of(bytes),
    }
}

fn matcher(objects: &[Vec<u8>]) -> Matcher {
    let mut matcher = Matcher::new();
    for (number, bytes) in objects.iter().enumerate() {
        matcher.add(candidate(number, bytes));
    }
    matcher
}

/// Puts the consumed data together again, holds it against `data`, and returns how much of it is literal.
fn literal_bytes(cut: &Cut, data: &[u8], objects: &[Vec<u8>]) -> usize {
    let mut made = Vec::new();
    let mut literal_bytes = 0;
    for span in &cut.spans {
        match *span {
            Span::Literal { length } => {
                assert!((1..=BLOCK_BYTES).contains(&length));
                let at = made.len();
                made.extend_from_slice(&data[at..at + length]);
                literal_bytes += length;
            }
            Span::Copy {
                object,
                object_length,
                start,
                length,
            } => {
                let bytes = &objects[object.sequence as usize];
                assert_eq!(bytes.len(), object_length as usize);
                assert!(length > 0);
                made.extend_from_slice(&bytes[start as usize..][..length as usize]);
            }
        }
    }
    assert_eq!(made.len(), cut.consumed_bytes);
    assert!(made == data[..cut.consumed_bytes], "other bytes");
    assert!(cut.consumed_bytes > 0 || data.is_empty());
    literal_bytes
}

#[test]
fn a_short_last_page_is_found_only_where_its_page_before_is() {
    let object = noise(1, 5 * PAGE_BYTES + 100);
    let matcher = matcher(std::slice::from_ref(&object));
    let data = [&object[..], &noise(2, 50)].concat();
    let cut = matcher.cut(&data);
    assert_eq!(
        literal_bytes(&cut, &data, std::slice::from_ref(&object)),
        50
    );
    let alone = &object[5 * PAGE_BYTES..];
    assert_eq!(matcher.cut(alone).spans, [Span::Literal { length: 100 }]);
}

#[test]
fn pages_of_which_there_are_many_do_not_break_the_step() {
    // Every second page is one of zeros: none of them says which block it is of.
    let blocks: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            let mut block = noise(number, BLOCK_BYTES);
            for page in block.chunks_mut(2 * PAGE_BYTES) {
                page[..PAGE_BYTES].fill(0);
            }
            block
        })
        .collect();
    let mut changed = blocks[3].clone();
    for page in [3, 77, 201] {
        changed[page * PAGE_BYTES..][..PAGE_BYTES].copy_from_slice(&noise(9, PAGE_BYTES));
    }
    let cut = matcher(&blocks).cut(&changed);
    assert_eq!(literal_bytes(&cut, &changed, &blocks), 3 * PAGE_BYTES);
    assert_eq!((cut.consumed_bytes, cut.spans.len()), (BLOCK_BYTES, 7));
}

#[test]
fn a_block_of_equal_pages_takes_one_digest_for_each() {
    let block = noise(1, PAGE_BYTES).repeat(BLOCK_BYTES / PAGE_BYTES);
    let matcher = matcher(&[block.clone(), [&block[..], b"x"].concat()]);
    let data = [&block[PAGE_BYTES..], &noise(2, BLOCK_BYTES)].concat();
    let mut cutting = Cutting::new(&matcher, &data);
    let cut = cutting.run();
    assert_eq!(cut.spans.len(), 2);
    assert!(cutting.strong_digest_count <= 256 + 2 + CHAIN_SHORT_PAGES);

    let zeros = vec![0; 2 * BLOCK_BYTES];
    let mut cutting = Cutting::new(&matcher, &zeros);
    assert_eq!(
        cutting.run().spans,
        [Span::Literal {
            length: BLOCK_BYTES
        }]
    );
    assert_eq!(cutting.strong_digest_count, 0);
}

/// Equal pages in front of short last pages: each of these may need a digest of its own.
const CHAIN_SHORT_PAGES: usize = 16;

#[test]
fn sums_that_agree_without_the_digest_are_never_taken_and_cost_little() {
    // The weak sum of a page of zeros is 0: it agrees at every single position.
    let forged = Signature::from_bytes(&[0; 16 * 256], 1 << 20).expect("256 pages");
    let mut matcher = Matcher::new();
    matcher.add(Candidate {
        object: id(0),
        length: 1 << 20,
        signature: forged,
    });
    let zeros = vec![0; 2 * BLOCK_BYTES];
    let mut cutting = Cutting::new(&matcher, &zeros);
    assert_eq!(
        cutting.run().spans,
        [Span::Literal {
            length: BLOCK_BYTES
        }]
    );
    let affordable = FREE_DIGEST_COUNT + BLOCK_BYTES / BYTES_PER_DIGEST;
    assert!((1000..=affordable).contains(&cutting.strong_digest_count));
}

#[test]
fn a_signature_longer_than_its_object_leads_nowhere_outside_of_it() {
    let object = noise(1, 10 * PAGE_BYTES);
    let mut matcher = Matcher::new();
    matcher.add(Candidate {
        object: id(0),
        length: 5000,
        signature: Signature::of(&object),
    });
    let copy = Span::Copy {
        object: id(0),
        object_length: 5000,
        start: 0,
        length: 4096,
    };
    assert_eq!(matcher.cut(&object).spans[0], copy);
}

#[test]
fn forgotten_candidates_are_not_found_and_the_others_still_are() {
    let objects: Vec<Vec<u8>> = (0..3).map(|seed| noise(seed, 3 * PAGE_BYTES)).collect();
    let mut matcher = matcher(&objects);
    matcher.forget_oldest();
    assert_eq!(matcher.candidate_count(), 2);
    assert!(!matcher.contains(id(0)) && matcher.contains(id(1)));
    let is_copied =
        |matcher: &Matcher, data: &[u8]| literal_bytes(&matcher.cut(data), data, &objects) == 0;
    assert!(!is_copied(&matcher, &objects[0]));
    assert!(is_copied(&matcher, &objects[1]));
    assert!(is_copied(&matcher, &objects[2]));
}

#[test]
fn nothing_is_cut_into_nothing_and_little_into_one_literal() {
    let matcher = matcher(&[noise(1, BLOCK_BYTES)]);
    let nothing = Cut {
        spans: Vec::new(),
        consumed_bytes: 0,
    };
    assert_eq!(matcher.cut(&[]), nothing);
    assert_eq!(matcher.cut(b"x").spans, [Span::Literal { length: 1 }]);
}

#[test]
fn data_of_which_only_short_spans_are_found_becomes_literal() {
    let objects = [noise(1, BLOCK_BYTES)];
    let matcher = matcher(&objects);
    let overwritten = |every: usize| {
        let mut data = objects[0].clone();
        for page in data.chunks_mut(every * PAGE_BYTES) {
            page[..PAGE_BYTES].fill(7);
        }
        data
    };
    let block = Span::Literal {
        length: BLOCK_BYTES,
    };
    assert_eq!(matcher.cut(&overwritten(2)).spans, [block]);
    let data = overwritten(8);
    let cut = matcher.cut(&data);
    assert_eq!(literal_bytes(&cut, &data, &objects), BLOCK_BYTES / 8);
}

#[test]
fn the_oldest_candidates_are_forgotten_when_there_are_too_many_pages() {
    let mut matcher = Matcher::new();
    let page = noise(1, PAGE_BYTES);
    for number in 0..PAGES_MAX {
        matcher.add(candidate(number, &page));
    }
    assert!(matcher.contains(id(0)));
    matcher.add(candidate(PAGES_MAX, &noise(2, 3 * PAGE_BYTES)));
    assert_eq!(matcher.candidate_count(), PAGES_MAX - 2);
    assert!(!matcher.contains(id(2)) && matcher.contains(id(3)));
}

/// Objects and data made of few different pages, so that there is much to mistake for something else.
fn objects_and_data() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let page = |kind: u64| match kind {
        0 => vec![0; PAGE_BYTES],
        1 => b"ab".repeat(PAGE_BYTES / 2),
        _ => noise(kind, PAGE_BYTES),
    };
    let object = (vec(0_u64..5, 1..30), 0..PAGE_BYTES).prop_map(move |(kinds, cut_off)| {
        let mut object: Vec<u8> = kinds.into_iter().flat_map(page).collect();
        object.truncate(object.len() - cut_off);
        object
    });
    let pieces = vec((0..8_usize, 0..100_000_usize, 0..40_000_usize), 0..12);
    (vec(object, 1..5), pieces).prop_map(|(objects, pieces)| {
        let mut data = Vec::new();
        for (kind, start, length) in pieces {
            match (kind, objects.get(kind)) {
                (_, Some(object)) => {
                    let start = start % object.len();
                    data.extend_from_slice(&object[start..object.len().min(start + length)]);
                }
                (6, _) => data.resize(data.len() + length, 0),
                _ => data.extend(noise(length as u64, length % 3000)),
            }
        }
        (objects, data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_spans_of_all_cuts_make_the_data((objects, data) in objects_and_data()) {
        let matcher = matcher(&objects);
        let mut rest = &data[..];
        while !rest.is_empty() {
            let cut = matcher.cut(rest);
            literal_bytes(&cut, rest, &objects);
            let perhaps_fragmented = Cutting::new(&matcher, rest).run();
            literal_bytes(&perhaps_fragmented, rest, &objects);
            prop_assert_eq!(perhaps_fragmented.consumed_bytes, cut.consumed_bytes);
            rest = &rest[cut.consumed_bytes..];
        }
    }
}
