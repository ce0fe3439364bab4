//! Many nights of cleaning, backing up and pruning: the store stays near what its snapshots need. tests/bench/year.py measures how near.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pileus::format::object_ref::SegmentId;
use pileus::local::database::Database;

use super::sequences::Step;
use super::world::World;

const NIGHTS: u64 = 60;
const KEPT: usize = 3;

/// Each night so many files come, of which one stays and the others go after some nights.
const COMING: u64 = 3;
const STAY_NIGHTS: u64 = 2;
const FILE_BYTES: u64 = 12_000;

const BACKUP: Step = Step::Backup {
    scheme: false,
    dies_after: None,
};

fn prune(last: usize) -> Step {
    Step::Prune {
        zone: 0,
        last,
        daily: 0,
        with_local: true,
        dies_after: None,
    }
}

/// Writes a file of bytes that no other file has.
fn write_file(world: &World, name: &str, number: u64) {
    let mut state = number + 1;
    let bytes = (0..FILE_BYTES).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    fs::write(world.path("tree").join(name), bytes.collect::<Vec<_>>()).expect("is written");
}

fn segment_bytes(world: &World) -> u64 {
    let files = fs::read_dir(world.path("store")).expect("is listed");
    let files = files.map(|file| file.expect("is read"));
    files
        .filter(|file| file.path().extension().is_some_and(|e| e == "tar"))
        .map(|file| file.metadata().expect("is there").len())
        .sum()
}

/// Lives through the nights, with a cleaning before each backup or without, and returns the bytes of the store's segments.
fn live_through(below: Option<f64>) -> u64 {
    let mut world = World::new();
    for night in 0..NIGHTS {
        for file in 0..COMING {
            write_file(&world, &format!("{night}-{file}"), night * COMING + file);
        }
        if let Some(gone) = night.checked_sub(STAY_NIGHTS) {
            for file in 1..COMING {
                let path = world.path("tree").join(format!("{gone}-{file}"));
                fs::remove_file(path).expect("is removed");
            }
        }
        if let Some(below) = below {
            world.take(&Step::Clean { below });
        }
        world.take(&BACKUP);
        world.take(&prune(KEPT));
    }
    assert_eq!(world.snapshots().len(), KEPT);
    world.assert_readable();
    segment_bytes(&world)
}

#[test]
fn nights_with_cleaning_keep_the_store_near_what_its_snapshots_need() {
    let coming_and_going = (COMING - 1) * (STAY_NIGHTS + KEPT as u64 - 1);
    let needed = (NIGHTS + coming_and_going) * FILE_BYTES;
    let cleaned = live_through(Some(0.6));
    let never = live_through(None);
    let percent = [cleaned, never].map(|bytes| bytes * 100 / needed);
    assert!(
        (100..220).contains(&percent[0]) && percent[1] > 260,
        "{percent:?}"
    );
}

fn metadata_segments(world: &World) -> Vec<SegmentId> {
    let database = Database::open(&world.path("state")).expect("opens");
    let used = database.used_segments().expect("looks");
    let metadata = used.iter().filter(|segment| segment.is_metadata);
    metadata.map(|segment| segment.id).collect()
}

#[test]
fn a_poorly_used_segment_of_metadata_is_written_again_and_goes() {
    let mut world = World::new();
    let path = |world: &World, n: u32| world.path("tree").join(format!("{n:04}"));
    for n in 0..600 {
        fs::write(path(&world, n), "small").expect("is written");
    }
    world.take(&BACKUP);
    let first = metadata_segments(&world);
    assert!(!first.is_empty());
    // A few stanzas at the end stay as they are.
    for n in 0..540 {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path(&world, n), mode).expect("is set");
    }
    world.take(&BACKUP);
    world.take(&prune(1));
    assert!(
        first
            .iter()
            .any(|id| metadata_segments(&world).contains(id)),
        "the new log still refers to stanzas of the old one"
    );
    let marked: Vec<_> = world.clean(0.6).iter().map(|s| s.id).collect();
    assert!(first.iter().any(|id| marked.contains(id)), "{marked:?}");
    world.take(&BACKUP);
    world.take(&prune(1));
    let file = |id: &SegmentId| world.path("store").join(format!("{id}.tar"));
    assert!(marked.iter().all(|id| !file(id).exists()), "they are gone");
    assert!(metadata_segments(&world).iter().all(|id| file(id).exists()));
    world.assert_readable();
    let restored = world.clean(0.6);
    assert!(restored.is_empty(), "nothing is left to do: {restored:?}");
}
