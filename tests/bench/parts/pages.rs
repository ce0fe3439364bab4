//! Pages: the signature of a new block, and the sum that is rolled over data in which old pages are looked for.

use divan::Bencher;
use divan::counter::BytesCount;
use pileus::format::BLOCK_BYTES;
use pileus::local::signature::{PAGE_BYTES, RollingSum, Signature};

use crate::made::Numbers;

#[divan::bench]
fn signature(bencher: Bencher) {
    let block = Numbers::new(3).bytes(BLOCK_BYTES);
    bencher
        .counter(BytesCount::of_slice(&block))
        .bench(|| Signature::of(&block));
}

#[divan::bench]
fn rolling_sum(bencher: Bencher) {
    let block = Numbers::new(3).bytes(BLOCK_BYTES);
    bencher.counter(BytesCount::of_slice(&block)).bench(|| {
        let mut sum = RollingSum::of(&block[..PAGE_BYTES]);
        // What comes of each place is used, or the compiler would leave it out.
        let moves = block.iter().zip(&block[PAGE_BYTES..]);
        moves.fold(0, |all, (&first, &next)| {
            sum.roll(first, next);
            all ^ sum.value()
        })
    });
}
