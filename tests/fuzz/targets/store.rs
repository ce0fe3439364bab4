//! The whole reader: a store made of the bytes is verified, restored into a directory and read in every other way there is. Nothing
//! around the target may change.
//!
//! The first byte says what the rest is: a metadata log between two good files, or one file of the store as it is.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use libfuzzer_sys::fuzz_target;
use pileus::format::snapshot_name::SnapshotName;
use pileus::monitor::{Event, Monitor};
use pileus::restore::{self, Overwrite, OwnerPolicy, RestoreOptions};
use pileus::verify::{self, Level, VerifyOptions};

#[allow(dead_code)]
#[path = "../../it/made_store.rs"]
mod made_store;

use made_store::{DATA, MadeStore, SNAPSHOT};

const GOOD: &str = "this file is good\n";

struct Silent;

impl Monitor for Silent {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(problem) = event {
            let shown = pileus::format::escape(problem.reason.as_bytes());
            assert!(shown.len() < 5000, "a message of {} bytes", shown.len());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let arena = tempfile::tempdir().expect("a directory is made");
    let at = |name: &str| arena.path().join(name);
    for name in ["store", "arena", "arena/target", "arena/outside"] {
        fs::create_dir(at(name)).expect("a directory is made");
    }
    fs::write(at("arena/outside/secret"), GOOD).expect("a file is written");
    make(kind, bytes, &at("store"));

    let before = surroundings(&at("arena"));
    check(&at("store"));
    bring_back(&at("store"), &at("arena/target"));
    assert_eq!(
        surroundings(&at("arena")),
        before,
        "something outside the target changed"
    );
    if kind % 8 != 7 && !bytes.windows(4).any(|part| part == b"irst") && !bytes.contains(&b'%') {
        let back = fs::read_to_string(at("arena/target/first.txt"));
        let whole = kind % 8 == 0;
        assert!(
            !whole || back.is_ok_and(|back| back == GOOD),
            "a good file is not back"
        );
    }
});

fn make(kind: u8, bytes: &[u8], directory: &Path) {
    let mut store = MadeStore::new();
    store.good_file("first.txt", GOOD);
    for object in ["", "some data\n", "more data, of another length\n"] {
        store.object(object);
    }
    match kind % 8 {
        1 => store.descriptor = Some(bytes.to_vec()),
        2 => store.more_sums = bytes.to_vec(),
        3 => store.segment(DATA).bytes = Some(bytes.to_vec()),
        4 => {
            let list = store.log_object(bytes);
            store.entry("listed", "f", &format!("data: @{list}\nsize: 10"));
        }
        5 => {
            let piece = store.log_object(bytes);
            store.log.extend(format!("@{piece}\n").into_bytes());
        }
        _ => store.log.extend(bytes),
    }
    store.log.extend(b"\n\n");
    store.good_file("zz-last.txt", GOOD);
    store.write(directory);
}

fn snapshot() -> SnapshotName {
    SnapshotName::parse(SNAPSHOT).expect("is a name")
}

fn check(store: &Path) {
    let options = VerifyOptions {
        store: store.to_owned(),
        snapshots: vec![snapshot()],
        level: Level::Files,
        sample: None,
        jobs: 1,
        verify_signature: None,
        unfilter: None,
    };
    let _ = verify::run(&options, &Silent);
}

fn bring_back(store: &Path, target: &Path) {
    let options = RestoreOptions {
        store: store.to_owned(),
        snapshot: snapshot(),
        target: target.to_owned(),
        paths: Vec::new(),
        rules: Vec::new(),
        dry_run: false,
        delete: false,
        overwrite: Overwrite::Never,
        owner: OwnerPolicy::Keep,
        xattrs: true,
        sparse: true,
        jobs: 1,
        verify_signature: None,
        unfilter: None,
    };
    let _ = restore::run(&options, &AtomicBool::new(false), &Silent);
}

/// Returns names and contents of all that lies beside the target.
fn surroundings(arena: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for directory in [arena.to_owned(), arena.join("outside")] {
        for entry in fs::read_dir(&directory).expect("is listed") {
            let path = entry.expect("an entry").path();
            let contents = fs::read(&path).unwrap_or_default();
            found.insert(path.display().to_string(), contents);
        }
    }
    found
}
