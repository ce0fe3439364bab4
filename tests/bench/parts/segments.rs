//! Segments without a filter: tar's framing, SHA-1 of the file, writing and publishing it, with two workers.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use pileus::format::BLOCK_BYTES;
use pileus::format::segment_group::SegmentGroup;
use pileus::store::dir::StoreDir;
use pileus::store::filter::{Codec, Filter};
use pileus::store::pool::Pool;
use pileus::store::segment_writer::SegmentWriter;

use crate::made::{self, Numbers};
use crate::place;

/// What is stored in each turn.
const BYTES: usize = 32 << 20;

/// The size that `--segment-size` has without being given.
const SEGMENT_BYTES: usize = 4 << 20;

#[divan::bench(args = [1000, 64 << 10, BLOCK_BYTES], sample_size = 1)]
fn write(bencher: Bencher, object_bytes: usize) {
    let object = Numbers::new(4).bytes(object_bytes);
    let count = BYTES / object_bytes;
    bencher
        .with_inputs(place::empty)
        .counter(BytesCount::new(count * object_bytes))
        .counter(ItemsCount::new(count))
        .bench_refs(|place| {
            let store = StoreDir::open_or_create(place.path()).expect("opens");
            let mut segments = 0;
            let names = Box::new(move || {
                segments += 1;
                made::segment(segments)
            });
            let pool = Pool::start(Arc::new(store), 2, names).expect("starts");
            let filter = Arc::new(Filter::Builtin(Codec::None));
            let mut writer = SegmentWriter::new(SegmentGroup::Data, filter, SEGMENT_BYTES, 0);
            for _ in 0..count {
                writer.append(&pool, &object).expect("appends");
            }
            writer.close(&pool).expect("closes");
            pool.wait().expect("publishes").len()
        });
}
