//! Local state that is lost, damaged, of another store, or newer than the program.

use std::fs;

use crate::harness::Place;

const DATABASE: &str = "store/localdb.sqlite";

/// Makes a place with a tree and a store that has one snapshot of it.
fn place() -> Place {
    let place = Place::new();
    place.sh("mkdir tree; for i in $(seq 300); do echo $i >tree/$i; done; head -c 100000 /dev/urandom >tree/noise");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    place
}

fn snapshots(place: &Place) -> usize {
    place.names_ending("store", ".lbs").len()
}

#[test]
fn a_backup_without_the_local_state_of_the_last_one_works() {
    let place = place();
    let state = place.sh("cd store && ls localdb.* && rm localdb.*");
    assert_eq!(state, "localdb.lock\nlocaldb.sqlite\n");
    let ended = place.run(["backup", "--dest=store", "--scheme=b", "--json", "tree"]);
    ended.assert_one_line(0, &["no local state yet", "pileus rebuild --dest=store"]);
    assert!(ended.summary()["new_data_bytes"].as_u64() > Some(0));
    let again = place.succeed(["backup", "--dest=store", "--scheme=c", "--json", "tree"]);
    assert_eq!(again.summary()["new_data_bytes"], 0);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.sh("rm store/localdb.*");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("diff -r tree back/tree");
    assert_eq!(
        place
            .names("store")
            .iter()
            .filter(|n| n.starts_with("localdb"))
            .count(),
        0,
        "a restore makes none"
    );
}

#[test]
fn local_state_elsewhere_leaves_only_files_of_the_format_in_the_store() {
    let place = place();
    place.succeed(["backup", "--dest=other", "--localdb=state", "tree"]);
    assert_eq!(
        place.names("state"),
        ["localdb.lock", "localdb.sqlite", "statcache"]
    );
    assert_eq!(
        place
            .names("other")
            .iter()
            .filter(|n| n.contains("local"))
            .count(),
        0
    );
    let again = [
        "backup",
        "--dest=other",
        "--localdb=state",
        "--json",
        "tree",
    ];
    assert_eq!(place.succeed(again).summary()["new_data_bytes"], 0);
    let ended = place.run(["backup", "--dest=other", "--localdb=no/state", "tree"]);
    ended.assert_one_line(1, &["no/state", "the directory above it does not exist"]);
    let ended = place.run(["backup", "--dest=other", "--localdb=tree/noise", "tree"]);
    ended.assert_one_line(1, &["tree/noise is not a directory"]);
}

#[test]
fn a_damaged_database_is_refused_and_set_aside_by_a_rebuild_that_makes_another() {
    let original = place();
    let good = fs::read(original.join(DATABASE)).expect("is read");
    let overwritten = |from: usize| {
        let mut bytes = good.clone();
        bytes[from..].fill(b'x');
        bytes
    };
    for bytes in [
        b"garbage".repeat(1000),
        overwritten(0),
        overwritten(100),
        overwritten(4096),
        good[..good.len() / 2].to_vec(),
    ] {
        fs::write(original.join(DATABASE), &bytes).expect("is written");
        original.write("tree/new", "new");
        let ended = original.survive(["backup", "--dest=store", "tree"]);
        let advice = "pileus rebuild --dest=store --localdb=store makes a new one; or";
        ended.assert_one_line(1, &[DATABASE, "is damaged", advice]);
        assert_eq!(fs::read(original.join(DATABASE)).expect("is read"), bytes);
        assert_eq!(snapshots(&original), 1);
        let rebuilt = original.succeed(["rebuild", "--dest=store", "-v"]);
        assert!(
            rebuilt.stdout.contains("localdb.sqlite.damaged"),
            "{rebuilt:?}"
        );
        let aside = fs::read(original.join(format!("{DATABASE}.damaged")));
        assert_eq!(aside.expect("is read"), bytes);
        let checked = original.sh(&format!("sqlite3 {DATABASE} 'PRAGMA integrity_check'"));
        assert_eq!(checked, "ok\n");
    }
    original.succeed(["backup", "--dest=store", "tree"]);
    original.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let place = place();
    place.python(
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 99')",
        &[DATABASE],
    );
    let ended = place.run(["backup", "--dest=store", "tree"]);
    ended.assert_one_line(1, &[DATABASE, "version 99", "--localdb"]);
    assert_eq!(snapshots(&place), 1);
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let place = place();
    place.sh(&format!("rm {DATABASE}; mkdir {DATABASE}"));
    let ended = place.run(["backup", "--dest=store", "tree"]);
    ended.assert_one_line(1, &[DATABASE]);
    assert_eq!(snapshots(&place), 1);
}

#[test]
fn a_segment_that_local_state_names_and_the_store_has_not_is_told() {
    let place = place();
    place.sh("mkdir away; mv store/*.tar away");
    let ended = place.run(["backup", "--dest=store", "tree"]);
    ended.assert_one_line(
        1,
        &[
            ".tar,",
            "which is not in store",
            "--localdb",
            "pileus clean --localdb=store --lost=",
        ],
    );
    assert_eq!(snapshots(&place), 1);
    assert!(place.names_ending("store", ".part").is_empty());
    place.sh("mv away/* store");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn the_local_state_of_another_store_makes_no_snapshot_that_cannot_be_restored() {
    let place = place();
    let ended = place.run(["backup", "--dest=other", "--localdb=store", "tree"]);
    ended.assert_one_line(1, &["another store", "is in other", "--localdb"]);
    assert!(!place.join("other").exists());
    // Nor is it taken for a tree that shares nothing with the first store: both stores would soon need each other's segments.
    place.write("new/file", "never seen before");
    let ended = place.run(["backup", "--dest=other", "--localdb=store", "new"]);
    ended.assert_one_line(1, &["another store"]);
    let ended = place.run(["backup", "--dest=store", "new"]);
    ended.assert_one_line(0, &["no path of this snapshot"]);
}

#[test]
fn whatever_stands_in_place_of_a_stat_cache_costs_a_reading_and_no_snapshot() {
    for (change, codes) in [
        ("mkfifo store/statcache", [3, 0]),
        ("mkdir store/statcache", [3, 3]),
        ("ln -s /etc/passwd store/statcache", [3, 0]),
        ("printf '' >store/statcache", [3, 0]),
        ("mkdir store/statcache~part", [3, 3]),
    ] {
        let place = place();
        place.sh(&format!("rm store/statcache; {change}"));
        for (night, code) in codes.into_iter().enumerate() {
            place.sh(&format!("echo {night} >tree/changed"));
            let ended = place.survive(["backup", "--dest=store", "tree"]);
            assert_eq!(ended.code, Some(code), "{change}: {ended:?}");
            assert_eq!(snapshots(&place), night + 2, "{change}");
        }
        // The snapshots have all that the sources have, and are none the worse for it.
        let had = place.sh("grep -h ^Problems store/snapshot-*.lbs | sort -u");
        assert_eq!(had, "Problems: 0\n", "{change}");
        place.succeed(["verify", "--dest=store", "--level=files"]);
    }
}
