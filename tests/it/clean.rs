//! `pileus clean` and `backup --clean`: what is poorly used is written again, and then can go.

mod lost;

use std::fs;

use crate::harness::Place;

const BACKUP: [&str; 7] = [
    "backup",
    "--dest=store",
    "--localdb=state",
    "--compression=none",
    "--accept-loss",
    "--json",
    "tree",
];

const PRUNE: [&str; 4] = ["prune", "--dest=store", "--localdb=state", "--keep-last=1"];

/// Makes a place with a store that has one snapshot, in which a segment of ten blocks has two that are live.
fn place() -> Place {
    let place = Place::new();
    place.sh(
        "mkdir tree; for i in 0 1 2 3 4 5 6 7 8 9; do head -c 90000 /dev/urandom >tree/$i; done",
    );
    place.succeed(BACKUP);
    place.sh("cd tree; rm 2 3 4 5 6 7 8 9");
    place.succeed(BACKUP);
    place.succeed(PRUNE);
    place
}

fn clean(arguments: &[&str]) -> Vec<String> {
    let always = ["clean", "--localdb=state", "--json"];
    let all = always.iter().chain(arguments);
    all.map(ToString::to_string).collect()
}

#[test]
fn poorly_used_segments_are_written_again_by_the_next_backup() {
    let place = place();
    let store = place.names("store");
    let bytes = |place: &Place| -> u64 {
        let names = place.names_ending("store", ".tar");
        let size =
            |name: &String| fs::metadata(place.join("store").join(name)).map_or(0, |m| m.len());
        names.iter().map(size).sum()
    };
    let before = bytes(&place);
    assert!(before > 900_000);
    let dry = place.succeed(clean(&["--dry-run"])).summary();
    let marked = place.succeed(clean(&[])).summary();
    assert_eq!(dry["segments"], marked["segments"]);
    assert!(marked["segments"].as_u64() >= Some(1), "{marked}");
    let live = marked["live_bytes"].as_u64().expect("a number");
    assert!((180_000..200_000).contains(&live), "{live}");
    assert_eq!(place.names("store"), store, "the store is not touched");
    let again = place.succeed(clean(&[])).summary();
    assert_eq!(again["segments"], 0, "nothing is marked twice");

    let backup = place.succeed(BACKUP).summary();
    assert_eq!(backup["repack"], 2, "{backup}");
    place.succeed(PRUNE);
    assert!(bytes(&place) < 250_000, "{}", bytes(&place));
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("diff -r tree back/tree");
    assert_eq!(place.succeed(BACKUP).summary()["new_data_bytes"], 0);
}

#[test]
fn what_kept_snapshots_need_whole_is_not_marked() {
    let place = Place::new();
    place.sh("mkdir tree; for i in 0 1 2 3 4; do head -c 90000 /dev/urandom >tree/$i; done");
    place.succeed(BACKUP);
    place.sh("rm tree/[1-4]");
    place.succeed(BACKUP);
    assert_eq!(
        place.succeed(clean(&["--below=1"])).summary()["segments"],
        0
    );
}

#[test]
fn a_backup_cleans_in_passing() {
    let place = place();
    let mut arguments = BACKUP.to_vec();
    arguments.push("--clean");
    let backup = place.succeed(&arguments).summary();
    assert_eq!(backup["repack"], 2, "{backup}");
    place.succeed(["verify", "--dest=store", "--level=files"]);
    let first = ["backup", "--dest=new", "--clean", "tree"];
    place.succeed(first);
}

#[test]
fn what_cannot_be_cleaned_is_refused() {
    let place = place();
    for below in ["2", "-1", "x", "NaN", "60%"] {
        let ended = place.run(["clean", "--localdb=state", &format!("--below={below}")]);
        ended.assert_one_line(
            2,
            &[&format!("--below={below} is out of range"), "such as 0.7"],
        );
    }
    place.sh("mkdir empty");
    for directory in ["empty", "missing"] {
        let ended = place.run(["clean", &format!("--localdb={directory}")]);
        ended.assert_one_line(1, &["there is no local state in", directory]);
    }
    assert!(place.names("empty").is_empty());
    let told = place.run(["clean", "--localdb=state", "--dry-run"]);
    assert_eq!(told.code, Some(0));
    assert!(
        told.stdout.contains("would be marked as expired"),
        "{told:?}"
    );
}

#[test]
fn what_would_be_marked_is_told_in_plain_words() {
    let place = place();
    let dry = place
        .succeed(["clean", "--localdb=state", "--dry-run"])
        .stdout;
    assert!(
        dry.contains(" still used (20 %), 0 days old\n") && !dry.contains("class"),
        "{dry}"
    );
}
