//! Users of the older programs go on with pileus: what their stores have is not stored again.

use crate::fixtures::STORES;
use crate::harness::{Place, need, project};

/// The trees of the fixtures: the same files as when the older programs saved them, but for inodes and change times.
fn tree(place: &Place) {
    for step in 0..3 {
        place.sh(&format!(
            "python3 \"$PROJECT/tests/tools/make_sample_tree.py\" data 1 --plain --step {step}"
        ));
    }
}

fn goes_on(store: &str, deep: bool) {
    let place = Place::new();
    let from = project("tests/fixtures").join(store).join("store");
    place.sh(&format!("cp -a '{}' store", from.display()));
    tree(&place);
    let old = place.sh("find store -type f -exec sha1sum {} + | sort -k2");
    let mut arguments = vec!["rebuild", "--dest=store", "--localdb=state", "--json"];
    if deep {
        arguments.push("--deep");
    }
    let summary = place.succeed(arguments).summary();
    assert_eq!(
        (&summary["snapshots"], &summary["problems"]),
        (&3.into(), &0.into())
    );
    let backup = [
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=sample",
        "--json",
        "data",
    ];
    for run in ["first", "second"] {
        let summary = place.succeed(backup).summary();
        assert_eq!(
            summary["new_data_bytes"], 0,
            "{store}, {run} backup: {summary}"
        );
    }
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.sh("cd store && sha1sum -c --quiet --strict $(ls snapshot-*.sha1sums | tail -n 2)");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(
        place.manifest("back/data", ""),
        place.manifest("data", ""),
        "{store}"
    );
    place.sh("mkdir again; python3 \"$PROJECT/docs/restore.py\" store again");
    assert_eq!(
        place.manifest("again/data", ""),
        place.manifest("data", ""),
        "{store}"
    );
    let now = place.sh("find store -type f -exec sha1sum {} + | sort -k2");
    for line in old.lines() {
        assert!(now.contains(line), "{store}: {line} is as it was");
    }
}

#[test]
fn a_backup_into_any_store_of_the_lineage_stores_no_data_again() {
    need("sha1sum");
    for store in STORES {
        goes_on(store, false);
    }
}

#[test]
fn a_backup_after_a_deep_rebuild_of_any_store_of_the_lineage_stores_no_data_again() {
    for store in STORES {
        goes_on(store, true);
    }
}

#[test]
fn the_local_database_of_the_older_program_itself_is_refused_and_left_alone() {
    let place = Place::new();
    let from = project("tests/fixtures/cumulus-0.8/store");
    place.sh(&format!(
        "cp -a '{}' store; mkdir state; sqlite3 state/localdb.sqlite 'CREATE TABLE block_index (x)'",
        from.display()
    ));
    let before = place.sh("sha1sum state/localdb.sqlite");
    let ended = place.run(["rebuild", "--dest=store", "--localdb=state"]);
    ended.assert_one_line(
        1,
        &["is not a local database of pileus", "another --localdb"],
    );
    assert_eq!(place.sh("sha1sum state/localdb.sqlite"), before);
}
