//! The digests that every byte of a first backup goes through: SHA-1 for the format, BLAKE3 for the identity of blocks.

use divan::Bencher;
use divan::counter::BytesCount;
use pileus::format::BLOCK_BYTES;
use pileus::format::checksum::{Algorithm, Checksum};
use pileus::local::database::BlockDigest;

use crate::made::Numbers;

/// A small file, and a whole block.
const SIZES: [usize; 2] = [1000, BLOCK_BYTES];

#[divan::bench(args = SIZES)]
fn sha1(bencher: Bencher, size: usize) {
    let data = Numbers::new(2).bytes(size);
    bencher
        .counter(BytesCount::of_slice(&data))
        .bench(|| Checksum::of(Algorithm::Sha1, &data));
}

#[divan::bench(args = SIZES)]
fn blake3(bencher: Bencher, size: usize) {
    let data = Numbers::new(2).bytes(size);
    bencher
        .counter(BytesCount::of_slice(&data))
        .bench(|| BlockDigest::of(&data));
}
