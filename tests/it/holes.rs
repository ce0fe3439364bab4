//! Holes that are not read: the snapshot is the same as if they were.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use pileus::backup::{self, BackupOptions, Clock, Deduplicate, Selection, Sources, Surroundings};
use pileus::format::object_ref::SegmentId;
use pileus::monitor::{Event, Monitor};
use pileus::store::filter::{Codec, Filter};

use crate::harness::Place;

/// A clock that stands still.
struct Moment(Timestamp);

impl Clock for Moment {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn wait_until(&self, _instant: Timestamp) {}
}

struct NoProblem;

impl Monitor for NoProblem {
    fn event(&self, event: &Event<'_>) {
        assert!(!matches!(event, Event::Problem(_)), "{event:?}");
    }
}

/// Backs up the directory `from` so many seconds from now, with segments that are called the same every time.
fn back_up_in(seconds: u64, place: &Place, store: &Path) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now.expect("is after 1970").as_secs() + seconds;
    let then = Timestamp::from_second(then.cast_signed()).expect("is in range");
    let mut sources = Sources::parse(&["from".into()], &[]).expect("is a path");
    // Directories above an absolute source would be recorded too, and other tests change them.
    sources.base = place.path().into();
    let options = BackupOptions {
        store: store.to_owned(),
        local: None,
        patience: pileus::local::lock::Patience::None,
        sources,
        piped: None,
        selection: Selection::default(),
        scheme: String::new(),
        filter: Filter::Builtin(Codec::None),
        filter_asked_for: true,
        all_through_codec: false,
        signature_filter: None,
        segment_bytes: 4 << 20,
        jobs: 1,
        deduplicate: Deduplicate::Always,
        reread: false,
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
    };
    let mut segments = 0_u128;
    let names = move || {
        segments += 1;
        SegmentId::from_bytes(segments.to_be_bytes())
    };
    let surroundings = Surroundings {
        clock: &Moment(then),
        names: Box::new(names),
        stop: &AtomicBool::new(false),
        monitor: &NoProblem,
        host: "desk".to_owned(),
        state_id: "00112233445566778899aabbccddeeff".to_owned(),
    };
    backup::run(&options, surroundings).expect("backs up");
}

#[test]
fn a_snapshot_of_holes_that_were_passed_over_is_that_of_holes_that_were_read() {
    let place = Place::new();
    let write = "
import os
os.mkdir('from')
for name, size, islands in [
    ('hole', 40_000_001, []),
    ('islands', 40_000_000, [5_000_000, 2**20 * 8 - 3, 2**20 * 20, 39_999_000]),
    ('begins', 2**20 * 5, [0]),
    ('ends', 2**20 * 5, [2**20 * 5 - 1000]),
]:
    with open('from/' + name, 'wb') as f:
        f.truncate(size)
        for at in islands:
            f.seek(at); f.write(name.encode().ljust(1000, b'.'))
";
    place.python(write, &[]);
    // Neither is so early that the files count as volatile.
    back_up_in(10, &place, &place.join("read"));
    back_up_in(250, &place, &place.join("passed"));
    for store in ["read", "passed"] {
        let unpack = "mkdir $1-objects; for s in $1/*.tar; do tar -xf $s -C $1-objects; done";
        place.sh(&unpack.replace("$1", store));
        place.succeed(["verify", "--level=files", &format!("--dest={store}")]);
    }
    place.sh("test $(ls read-objects | wc -l) -ge 2; diff -r read-objects passed-objects");
    place.succeed(["restore", "--dest=passed", "--target=back"]);
    place.sh("diff -r from back/from");
}
