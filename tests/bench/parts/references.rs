//! References to blocks: one for each MiB of a file, as text.

use divan::Bencher;
use divan::counter::ItemsCount;
use pileus::format::BLOCK_BYTES;
use pileus::format::entry::{encode_data, parse_data};
use pileus::format::object_ref::DataRef;

use crate::made;

/// Those of a file of 10 GB.
const REFERENCES: u32 = 10_000;

fn references() -> Vec<DataRef> {
    let reference = |object| made::reference(object, BLOCK_BYTES as u64);
    (0..REFERENCES).map(reference).collect()
}

fn text() -> Vec<u8> {
    let mut text = Vec::new();
    encode_data(&references(), &mut text);
    text
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let references = references();
    bencher.counter(ItemsCount::new(REFERENCES)).bench(|| {
        let mut text = Vec::new();
        encode_data(&references, &mut text);
        text
    });
}

#[divan::bench]
fn parse(bencher: Bencher) {
    let text = text();
    assert_eq!(parse_data(&text).expect("is well formed"), references());
    bencher
        .counter(ItemsCount::new(REFERENCES))
        .bench(|| parse_data(&text));
}
