//! The block index of a hundred thousand blocks: filled by a first backup, asked for every block that is read later.

use std::path::Path;

use divan::Bencher;
use divan::counter::ItemsCount;
use pileus::format::object_ref::ObjectId;
use pileus::format::segment_group::SegmentGroup;
use pileus::local::database::{BlockDigest, Database};

use crate::made::segment;
use crate::place;

const BLOCKS: u32 = 100_000;

/// Look-ups of each turn, spread over all blocks.
const LOOK_UPS: u32 = 10_000;

const LENGTH: u32 = 1000;

/// Returns the identity of a block; those below [`BLOCKS`] are in the index.
fn identity(block: u32) -> BlockDigest {
    BlockDigest::of(&block.to_le_bytes())
}

fn fill(directory: &Path, identities: &[BlockDigest]) {
    let mut database = Database::open(directory).expect("opens");
    database
        .add_segment(segment(0), "file", SegmentGroup::Data, 0)
        .expect("adds a segment");
    for (sequence, identity) in (0..).zip(identities) {
        let object = ObjectId {
            segment: segment(0),
            sequence,
        };
        database
            .add_block(identity, LENGTH, object, None)
            .expect("adds a block");
    }
    database.commit().expect("commits");
}

fn identities(blocks: impl Iterator<Item = u32>) -> Vec<BlockDigest> {
    blocks.map(identity).collect()
}

#[divan::bench(sample_size = 1)]
fn insert(bencher: Bencher) {
    let identities = identities(0..BLOCKS);
    bencher
        .with_inputs(place::empty)
        .counter(ItemsCount::new(BLOCKS))
        .bench_refs(|place| fill(place.path(), &identities));
}

/// Looks some blocks up in a database that another run has filled.
fn look_up(bencher: Bencher, wanted: &[BlockDigest], are_known: bool) {
    let place = place::empty();
    fill(place.path(), &identities(0..BLOCKS));
    let database = Database::open(place.path()).expect("opens");
    bencher
        .counter(ItemsCount::new(wanted.len()))
        .bench_local(|| {
            for identity in wanted {
                let found = database.find(identity, LENGTH).expect("looks");
                assert_eq!(found.is_some(), are_known);
            }
        });
}

#[divan::bench(sample_size = 1)]
fn find_known(bencher: Bencher) {
    let every = (BLOCKS / LOOK_UPS) as usize;
    look_up(bencher, &identities((0..BLOCKS).step_by(every)), true);
}

#[divan::bench(sample_size = 1)]
fn find_unknown(bencher: Bencher) {
    look_up(bencher, &identities(BLOCKS..BLOCKS + LOOK_UPS), false);
}
