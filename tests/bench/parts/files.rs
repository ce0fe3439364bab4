//! Contents of a file to references: reading, digests, look-ups, and the search for old pages, which are all private to a backup. So a
//! whole one is run, of one file, without a filter.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use divan::Bencher;
use divan::counter::BytesCount;
use jiff::Timestamp;
use pileus::backup::{
    self, BackupOptions, BackupReport, Clock, Deduplicate, Selection, Sources, Surroundings,
};
use pileus::format::BLOCK_BYTES;
use pileus::format::object_ref::SegmentId;
use pileus::local::signature::PAGE_BYTES;
use pileus::monitor::{Event, Monitor};
use pileus::store::filter::{Codec, Filter};
use tempfile::TempDir;

use crate::made::{Numbers, segment};
use crate::place;

const BLOCKS: usize = 16;

const FILE_BYTES: usize = BLOCKS * BLOCK_BYTES;

/// A file with its store and local state, in a directory of its own.
struct Night {
    place: TempDir,
    /// Begins in the future, so that the file is not too young to be trusted, and goes on by an hour for each backup.
    clock: Hours,
    segments: u32,
}

struct Hours(AtomicI64);

impl Clock for Hours {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).expect("is in range")
    }

    fn wait_until(&self, _instant: Timestamp) {}
}

struct Silent;

impl Monitor for Silent {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(problem) = event {
            panic!("{problem:?}");
        }
    }
}

impl Night {
    /// Makes the file.
    fn new() -> Self {
        let place = place::empty();
        let data = Numbers::new(5).bytes(FILE_BYTES);
        fs::write(place.path().join("file"), data).expect("writes");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("is after 1970").as_secs().cast_signed();
        Self {
            place,
            clock: Hours(AtomicI64::new(now)),
            segments: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Backs the file up once.
    fn back_up(mut self) -> Self {
        self.run();
        self
    }

    /// Overwrites a page of each block.
    fn change_pages(self) -> Self {
        let file = fs::OpenOptions::new().write(true).open(self.path("file"));
        let file = file.expect("opens");
        let mut numbers = Numbers::new(6);
        for block in 0..BLOCKS {
            let at = block * BLOCK_BYTES + 7 * PAGE_BYTES;
            let page = numbers.bytes(PAGE_BYTES);
            file.write_all_at(&page, at as u64).expect("writes");
        }
        self
    }

    fn run(&mut self) -> BackupReport {
        self.clock.0.fetch_add(3600, Ordering::Relaxed);
        let mut number = self.segments;
        self.segments += 1000;
        let names = move || -> SegmentId {
            number += 1;
            segment(number)
        };
        let surroundings = Surroundings {
            clock: &self.clock,
            names: Box::new(names),
            stop: &AtomicBool::new(false),
            monitor: &Silent,
            host: "desk".to_owned(),
            state_id: "00112233445566778899aabbccddeeff".to_owned(),
        };
        backup::run(&self.options(), surroundings).expect("backs up")
    }

    fn options(&self) -> BackupOptions {
        BackupOptions {
            store: self.path("store"),
            local: Some(self.path("state")),
            patience: pileus::local::lock::Patience::None,
            sources: Sources::parse(&[self.path("file")], &[]).expect("is a path"),
            piped: None,
            selection: Selection::default(),
            scheme: String::new(),
            filter: Filter::Builtin(Codec::None),
            filter_asked_for: true,
            all_through_codec: false,
            signature_filter: None,
            segment_bytes: 4 << 20,
            jobs: 2,
            deduplicate: Deduplicate::Always,
            reread: true,
            full_metadata: false,
            checkpoint_bytes: 1 << 30,
            leave_checkpoints: false,
            skip_if_unchanged: false,
            new_store: false,
            places: None,
            accept_loss: false,
            dry_run: false,
            reasons: false,
            staging_bytes: Some(0),
        }
    }
}

fn measure(bencher: Bencher, prepare: fn() -> Night) {
    bencher
        .counter(BytesCount::new(FILE_BYTES))
        .with_inputs(prepare)
        .bench_refs(|night| night.run().read_bytes);
}

#[divan::bench(sample_size = 1)]
fn new(bencher: Bencher) {
    measure(bencher, Night::new);
}

#[divan::bench(sample_size = 1)]
fn known(bencher: Bencher) {
    measure(bencher, || Night::new().back_up());
}

/// Of each block the store has all but one page.
#[divan::bench(sample_size = 1)]
fn pages_changed(bencher: Bencher) {
    measure(bencher, || Night::new().back_up().change_pages());
}
