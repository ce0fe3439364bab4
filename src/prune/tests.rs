//! Prunes of a made store: descriptors and files that are called segments, since a prune opens none.

mod gone;
mod kept;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use proptest::prelude::*;

use super::retention::{Period, Rules};
use super::*;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::descriptor::{Descriptor, Maker};
use crate::format::object_ref::{ObjectId, ObjectRef, SegmentId, Slice};
use crate::format::segment_group::SegmentGroup;
use crate::local::database::BlockDigest;
use crate::local::database::{self, Database};
use crate::monitor::Event;
use crate::store::catalog::Catalog;

/// Remembers what was told, and ends the run by a panic at the note of this number.
struct Told {
    lines: Mutex<Vec<String>>,
    notes_left: Mutex<usize>,
}

impl Told {
    fn new(notes: usize) -> Self {
        Self {
            lines: Mutex::new(Vec::new()),
            notes_left: Mutex::new(notes),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics here").clone()
    }
}

impl Monitor for Told {
    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Note(text) | Event::Warning(text) => (*text).to_owned(),
            Event::Problem(problem) => {
                let subject = String::from_utf8_lossy(&problem.subject);
                format!("! {subject}: {}", problem.reason)
            }
            Event::Path { .. } | Event::Progress(_) => return,
        };
        let is_note = !line.starts_with('!');
        self.lines.lock().expect("nobody panics here").push(line);
        let stop = {
            let mut left = self.notes_left.lock().expect("nobody panics here");
            *left = left.saturating_sub(usize::from(is_note));
            *left == 0
        };
        assert!(!stop, "the run is ended here");
    }
}

struct Place {
    dir: tempfile::TempDir,
}

fn id(n: u8) -> SegmentId {
    SegmentId::from_bytes([n; 16])
}

fn file_of(n: u8) -> String {
    format!("{}.tar.bz2", id(n))
}

fn snapshot(text: &str) -> SnapshotName {
    SnapshotName::parse(text).expect("a name")
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

fn prune(options: &PruneOptions) -> (Removed, Vec<String>) {
    let told = Told::new(usize::MAX);
    let planned = Prune::prepare(options, now(), &told).expect("plans");
    let removed = planned.execute().expect("prunes");
    (removed, told.lines())
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds a file of one byte, written in the year 2020.
    fn file(&self, name: &str) {
        fs::write(self.path(name), "1").expect("is written");
        self.age(name, 1_600_000_000);
    }

    fn age(&self, name: &str, second: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second);
        let file = fs::File::options().append(true).open(self.path(name));
        file.and_then(|file| file.set_modified(time))
            .expect("is aged");
    }

    /// Adds a snapshot that needs these segments; the first one has its root.
    fn snapshot(&self, name: &str, segments: &[u8]) {
        let name = snapshot(name);
        for &n in segments {
            self.file(&file_of(n));
        }
        let object = ObjectId {
            segment: id(segments[0]),
            sequence: 0,
        };
        let descriptor = Descriptor {
            producer: "pileus 0".to_owned(),
            date: name.instant(),
            scheme: name.scheme().to_owned(),
            root: ObjectRef {
                object,
                checksum: Some(Checksum::of(Algorithm::Sha1, b"")),
                slice: Slice::First(1),
            },
            checksums: None,
            segment_metadata: None,
            segments: segments.iter().map(|&n| id(n)).collect(),
            segment_bytes: None,
            maker: Maker::default(),
            totals: None,
            problems: None,
            before_loss: Vec::new(),
            signed: false,
        };
        self.file(&name.sums_file());
        let file = self.path(&name.descriptor_file());
        fs::write(file, descriptor.encode()).expect("is written");
    }

    /// Makes a database that has these snapshots, in this order.
    fn database(&self, snapshots: &[(&str, &[u8])]) {
        let mut database = Database::open(self.dir.path()).expect("opens");
        let mut known = BTreeSet::new();
        for (name, segments) in snapshots {
            for &n in *segments {
                if known.insert(n) && database.segment(id(n)).expect("looks").is_none() {
                    let object = ObjectId {
                        segment: id(n),
                        sequence: 0,
                    };
                    database
                        .add_segment(id(n), &file_of(n), SegmentGroup::Data, 1)
                        .and_then(|()| database.add_block(&BlockDigest::of(&[n]), 1, object, None))
                        .expect("adds");
                }
            }
            let uses = segments.iter().map(|&n| (id(n), 1)).collect();
            database
                .add_snapshot(&snapshot(name), None, &uses)
                .expect("adds");
        }
        database.commit().expect("commits");
    }

    fn options(&self, counts: &[(Period, usize)]) -> PruneOptions {
        let mut rules = Rules::of_local_days();
        rules.counts = counts.to_vec();
        PruneOptions {
            store: self.dir.path().to_owned(),
            local: None,
            scheme: None,
            all_hosts: false,
            rules,
            pin: Vec::new(),
            unpin: Vec::new(),
            remove: Vec::new(),
            orphans_before: "2026-11-20T12:00:00Z".parse().expect("a time"),
            dry_run: false,
            patience: Patience::None,
        }
    }

    /// Returns the names of all files that are not local state.
    fn names(&self) -> BTreeSet<String> {
        let list = fs::read_dir(self.dir.path()).expect("is listed");
        let names = list.map(|e| e.expect("an entry").file_name().into_string());
        names
            .map(|name| name.expect("is UTF-8"))
            .filter(|name| !crate::local::is_local_file(name))
            .collect()
    }

    fn has(&self, n: u8) -> bool {
        self.path(&file_of(n)).exists()
    }

    /// Fails unless every segment that a descriptor names is there, and every segment that the database knows.
    fn assert_sound(&self) {
        let (inventory, catalog) = (
            Inventory::take(self.dir.path()).expect("lists"),
            Catalog::open(self.dir.path()).expect("lists"),
        );
        for (name, files) in &inventory.snapshots {
            let read = survey::read(&catalog, name, files).expect("is read");
            for segment in read.into_iter().flat_map(|read| read.segments) {
                assert!(
                    inventory.segments.contains_key(&segment),
                    "{name} lost {segment}"
                );
            }
        }
        if self.path(database::FILE_NAME).exists() {
            let database = Database::open(self.dir.path()).expect("opens");
            for n in 0..=255 {
                let is_known = database.segment(id(n)).expect("looks").is_some();
                assert!(!is_known || self.has(n), "the database has segment {n}");
            }
        }
    }
}

const THREE: [(&str, &[u8]); 3] = [
    ("a-20261101T000000", &[1, 2]),
    ("a-20261102T000000", &[3, 2, 4]),
    ("a-20261103T000000", &[5, 4]),
];

/// A place with three snapshots, leftovers of a dead run, and a database.
fn place_of_three() -> Place {
    let place = Place::new();
    for (name, segments) in THREE {
        place.snapshot(name, segments);
    }
    place.file(&file_of(9));
    place.file(&format!(".{}.part", file_of(8)));
    place.database(&THREE);
    place
}

#[test]
fn what_only_removed_snapshots_needed_goes_and_nothing_else() {
    let place = place_of_three();
    let (removed, _) = prune(&place.options(&[(Period::Last, 1)]));
    assert_eq!(
        (removed.snapshots, removed.segments, removed.problems),
        (2, 4, 0)
    );
    let expected = [
        file_of(4),
        file_of(5),
        "snapshot-a-20261103T000000.lbs".to_owned(),
        "snapshot-a-20261103T000000.sha1sums".to_owned(),
    ];
    assert_eq!(place.names(), expected.into());
    place.assert_sound();
    let (again, _) = prune(&place.options(&[(Period::Last, 1)]));
    assert_eq!(again, Removed::default());
}

#[test]
fn a_run_that_ends_between_any_two_steps_harms_nothing_and_the_next_finishes() {
    let whole = place_of_three();
    prune(&whole.options(&[(Period::Last, 1)]));
    let finished = whole.names();
    let mut ends = 0;
    for notes in 1.. {
        let place = place_of_three();
        let options = place.options(&[(Period::Last, 1)]);
        let told = Told::new(notes);
        let run = || Prune::prepare(&options, now(), &told).and_then(Prune::execute);
        let ended = catch_unwind(AssertUnwindSafe(run));
        place.assert_sound();
        if ended.is_ok() {
            break;
        }
        ends += 1;
        prune(&options);
        place.assert_sound();
        assert_eq!(
            place.names(),
            finished,
            "after {notes} notes: {:?}",
            told.lines()
        );
        let database = Database::open(place.dir.path()).expect("opens");
        assert_eq!(database.snapshots().expect("looks").len(), 1);
    }
    assert!(ends >= 11, "{ends}");
}

#[test]
fn without_local_state_the_same_goes() {
    let (with, without) = (place_of_three(), place_of_three());
    for file in [
        "localdb.sqlite",
        "localdb.sqlite-wal",
        "localdb.sqlite-shm",
        "localdb.lock",
    ] {
        drop(fs::remove_file(without.path(file)));
    }
    for place in [&with, &without] {
        prune(&place.options(&[(Period::Last, 2)]));
        place.assert_sound();
    }
    assert_eq!(with.names(), without.names());
    assert!(!without.path("localdb.lock").exists(), "none is made");
}

#[test]
fn a_sign_of_a_backup_under_way_keeps_all_segments_where_there_is_no_lock() {
    let place = Place::new();
    for (name, segments) in THREE {
        place.snapshot(name, segments);
    }
    place.file(&file_of(9));
    let part = format!(".{}.part", file_of(8));
    place.file(&part);
    let recently = now().as_second() - 3600;
    place.age(&part, recently.try_into().expect("after 1970"));
    let options = place.options(&[(Period::Last, 1)]);
    let (removed, told) = prune(&options);
    assert_eq!(
        (removed.snapshots, removed.segments, removed.problems),
        (2, 0, 1)
    );
    assert!(
        told.iter()
            .any(|line| line.contains("may be under way") && line.contains(&part))
    );
    place.age(&part, 1_600_000_000);
    let (removed, _) = prune(&options);
    assert_eq!((removed.snapshots, removed.segments), (0, 4));
    place.assert_sound();
}

#[test]
fn a_split_store_is_pruned_too() {
    let place = place_of_three();
    for directory in ["snapshots", "segments0"] {
        fs::create_dir(place.path(directory)).expect("is made");
    }
    for name in [
        "snapshot-a-20261101T000000.lbs",
        "snapshot-a-20261103T000000.lbs",
    ] {
        let there = name.replace(".lbs", ".cumulus");
        fs::rename(place.path(name), place.path(&format!("snapshots/{there}"))).expect("moves");
    }
    for n in [1, 4] {
        let there = format!("segments0/{}", file_of(n));
        fs::rename(place.path(&file_of(n)), place.path(&there)).expect("moves");
    }
    drop(fs::remove_file(place.path(database::FILE_NAME)));
    let (removed, told) = prune(&place.options(&[(Period::Last, 1)]));
    assert_eq!((removed.snapshots, removed.segments), (2, 4), "{told:?}");
    assert!(place.path(&format!("segments0/{}", file_of(4))).exists());
    assert!(!place.path(&format!("segments0/{}", file_of(1))).exists());
    place.assert_sound();
}

#[test]
fn foreign_files_are_left_alone_and_mentioned() {
    let place = place_of_three();
    let before: BTreeSet<_> = ["notes.txt", "snapshot-of-my-desk.png", ".x.part"].into();
    for name in &before {
        place.file(name);
    }
    fs::create_dir(place.path(&file_of(99))).expect("is made");
    let options = place.options(&[(Period::Last, 1)]);
    let foreign = foresee(&options, None, now()).expect("plans").foreign;
    prune(&options);
    let names = place.names();
    assert!(before.iter().all(|name| names.contains(*name)));
    assert!(place.path(&file_of(99)).exists());
    for name in before {
        assert!(foreign.contains(&PathBuf::from(name)), "{name}");
    }
    let is_local = |file: &PathBuf| file.to_string_lossy().starts_with("localdb");
    assert!(!foreign.iter().any(is_local), "{foreign:?}");
}
