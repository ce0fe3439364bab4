//! `pileus prune` as users run it.

mod full_disks;
mod machines;
mod nights;
mod oracle;
mod problems;
mod sequences;
mod surroundings;
mod world;

use std::fs;

use crate::harness::{Ended, HeldRun, Place, is_root, root_for};

/// Makes a place with a store of three snapshots, each with a file of its own, and local state in `state`.
fn place() -> Place {
    let place = Place::new();
    for n in 0..3 {
        place.sh(&format!("mkdir -p tree; head -c 30000 /dev/urandom >tree/{n}; rm -f tree/only; head -c 90000 /dev/urandom >tree/only"));
        backup(&place);
    }
    place
}

fn backup(place: &Place) {
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--compression=none",
        "--segment-size=32K",
        "tree",
    ]);
}

fn prune(place: &Place, arguments: &[&str]) -> Ended {
    let always = ["prune", "--dest=store", "--localdb=state"];
    place.run(always.iter().chain(arguments))
}

fn snapshots(place: &Place) -> Vec<String> {
    let names = place.names_ending("store", ".lbs");
    let name = |file: &String| file.replace("snapshot-", "").replace(".lbs", "");
    names.iter().map(name).collect()
}

fn verify(place: &Place) {
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn snapshots_go_by_rule_and_the_others_stay_whole() {
    let place = place();
    let (names, before) = (snapshots(&place), place.names("store"));
    let dry = prune(&place, &["--keep-last=1", "--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = dry.stdout.lines().collect();
    assert_eq!(lines[0], format!("remove  {}  no rule keeps it", names[0]));
    assert_eq!(lines[2], format!("keep    {}  last, newest", names[2]));
    assert!(
        lines[3].starts_with("2 of 3 snapshots and ") && lines[3].contains(" would go: "),
        "{}",
        lines[3]
    );
    assert_eq!(place.names("store"), before, "a dry run changes nothing");

    let dry = prune(&place, &["--keep-last=1", "--dry-run", "--json"]).summary();
    let done = prune(&place, &["--keep-last=1", "--json"]);
    let plan: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line["type"] == "plan")
        .collect();
    assert_eq!(plan.len(), 3);
    assert_eq!(plan[0]["action"], "remove");
    assert_eq!(plan[2]["reasons"], serde_json::json!(["last", "newest"]));
    for field in ["removed", "segments", "disk_bytes", "problems"] {
        assert_eq!(dry[field], done.summary()[field], "{field}");
    }
    assert_eq!(snapshots(&place), names[2..]);
    verify(&place);
    let silent = prune(&place, &["--keep-last=1"]);
    assert_eq!(
        (silent.code, silent.stdout.as_str(), silent.stderr.as_str()),
        (Some(0), "", "")
    );
    // What was unchanged is still known.
    let again = place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--json",
        "tree",
    ]);
    assert_eq!(again.summary()["new_data_bytes"], 0);
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_done() {
    let place = place();
    let before = place.names("store");
    for (arguments, parts) in [
        (
            &[][..],
            &[
                "no rule says what to keep",
                "--keep-daily=N",
                "--keep-within=AGE",
            ][..],
        ),
        (&["--keep-last=0"], &["no rule says what to keep"]),
        (&["--keep-daily=-1"], &["--keep-daily=-1 is not a number"]),
        (
            &["--keep-daily=x"],
            &["--keep-daily=x is not a number", "such as 7"],
        ),
        (&["--keep-within=6m"], &["--keep-within", "mo (months)"]),
        (
            &["--keep-last=1", "--orphan-age=5"],
            &["--orphan-age", "is not a length of time"],
        ),
        (
            &["--remove=latest"],
            &["--remove=latest does not name a snapshot"],
        ),
        (&["--remove=@3d"], &["does not name a snapshot"]),
        (&["--keep-fortnightly=2"], &["--keep-fortnightly"]),
    ] {
        prune(&place, arguments).assert_one_line(2, parts);
    }
    let ended = prune(&place, &["--remove=20200101"]);
    ended.assert_one_line(1, &["there is no snapshot \"20200101\""]);
    place.sh("mkdir empty other; echo hello >other/notes");
    for (dest, part) in [
        ("empty", "there is no snapshot in empty"),
        ("other", "there is no snapshot in other"),
        ("missing", "missing"),
    ] {
        let ended = place.run(["prune", &format!("--dest={dest}"), "--keep-last=1"]);
        ended.assert_one_line(1, &[part]);
    }
    let ended = place.run(["prune", "--dest=store", "--localdb=empty", "--keep-last=1"]);
    ended.assert_one_line(1, &["there is no local state in empty"]);
    assert!(place.names("empty").is_empty());
    place.succeed([
        "backup",
        "--dest=second",
        "--localdb=state2",
        "--scheme=x",
        "tree",
    ]);
    let ended = place.run(["prune", "--dest=store", "--localdb=state2", "--keep-last=1"]);
    ended.assert_one_line(1, &["the local state belongs to another store"]);
    assert_eq!(place.names("store"), before);
}

#[test]
fn rules_for_a_scheme_that_is_not_there_are_refused() {
    let place = place();
    let before = place.names("store");
    let scheme = "--scheme=nihgt";
    for option in ["--quiet", "--dry-run"] {
        let ended = prune(&place, &[scheme, "--keep-last=1", option]);
        let parts = ["there is no snapshot of scheme nihgt in store: none there has a scheme"];
        ended.assert_one_line(1, &parts);
    }
    let night = [
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=night",
        "tree",
    ];
    place.succeed(night);
    let ended = prune(&place, &[scheme, "--keep-last=1"]);
    let parts = ["of scheme nihgt in store: its schemes are night; nothing was removed"];
    ended.assert_one_line(1, &parts);
    assert_eq!(snapshots(&place).len(), 4);
    assert!(
        before
            .iter()
            .all(|name| place.names("store").contains(name))
    );
    // What is named goes all the same: no rule is asked for.
    let named = format!("--remove={}", snapshots(&place)[0]);
    assert_eq!(prune(&place, &[scheme, &named]).code, Some(0));
    // A checkpoint is a beginning.
    let name = snapshots(&place)
        .into_iter()
        .find(|name| name.starts_with("night"));
    let name = name.expect("is there");
    place.sh(&format!(
        "cd store; mv snapshot-{name}.lbs snapshot-{name}.checkpoint.lbs; mv snapshot-{name}.sha1sums snapshot-{name}.checkpoint.sha1sums"
    ));
    let ended = prune(&place, &["--scheme=night", "--keep-last=1", "--dry-run"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let reasons: Vec<_> = ended
        .stdout
        .lines()
        .filter_map(|line| line.split("  ").last().map(str::trim_start))
        .collect();
    assert_eq!(
        reasons[..3],
        [
            "no rule is for it",
            "no rule is for it, newest",
            "checkpoint"
        ]
    );
}

#[test]
fn what_lies_beside_a_store_on_purpose_is_counted_and_named_if_asked_for() {
    let place = place();
    place.sh("touch store/restore.py store/format.md; cp state/localdb.sqlite store/");
    let told = |option| {
        let ended = place.run([
            "prune",
            "--dest=store",
            "--keep-last=3",
            "--dry-run",
            option,
        ]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    let json = told("--json");
    assert_eq!(json.matches("\"type\":\"note\"").count(), 1, "{json}");
    assert!(
        json.contains("left alone: 2 files") && !json.contains("restore.py"),
        "{json}"
    );
    let named = told("-v");
    assert_eq!(
        named.matches("not a file of the store, left alone").count(),
        2,
        "{named}"
    );
    assert!(!told("--progress=never").contains("left alone"));
}

#[test]
fn a_pinned_snapshot_is_not_removed() {
    let place = place();
    let names = snapshots(&place);
    let oldest = format!("--pin={}", names[0]);
    assert_eq!(prune(&place, &[&oldest, "--dry-run"]).code, Some(0));
    assert!(place.names_ending("store", ".pinned").is_empty());
    assert_eq!(prune(&place, &[&oldest]).code, Some(0));
    assert_eq!(snapshots(&place), names, "a pin alone removes nothing");
    assert_eq!(prune(&place, &["--keep-last=1"]).code, Some(0));
    assert_eq!(snapshots(&place), [&names[0][..], &names[2]]);
    verify(&place);
    let ended = prune(&place, &[&format!("--remove={}", names[0])]);
    ended.assert_one_line(1, &["is pinned", "--unpin="]);
    let unpin = format!("--unpin={}", names[0]);
    assert_eq!(prune(&place, &[&unpin, "--keep-last=1"]).code, Some(0));
    assert_eq!(snapshots(&place), names[2..]);
    verify(&place);
}

#[test]
fn a_client_goes_on_after_its_store_was_pruned_without_its_local_state() {
    let place = place();
    place.sh("cp tree/only kept; rm tree/only");
    backup(&place);
    place.succeed(["prune", "--dest=store", "--keep-last=1", "--orphan-age=0"]);
    assert_eq!(snapshots(&place).len(), 1);
    assert!(
        place
            .names("store")
            .iter()
            .all(|name| !name.starts_with("localdb"))
    );
    // The database still names the segments that held this.
    place.sh("cp kept tree/again");
    backup(&place);
    verify(&place);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp kept back/tree/again");
    assert_eq!(prune(&place, &["--keep-last=1"]).code, Some(0));
    verify(&place);
}

#[test]
fn a_store_that_must_not_be_written_to_is_planned_for_but_not_changed() {
    let place = place();
    place.sh("cp state/localdb.* store/");
    let before = place.names("store");
    if is_root() {
        place.sh("chmod -R a+rX store");
    } else {
        place.sh("chmod a-w store store/*");
    }
    let arguments = |last| ["prune", "--dest=store", "--keep-last=1", "-v", last];
    let dry = Ended::of(&mut place.command_as_other(arguments("--dry-run")));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("2 of 3 snapshots and "), "{dry:?}");
    assert!(
        dry.stdout.contains("planned without local state"),
        "{dry:?}"
    );
    let ended = Ended::of(&mut place.command_as_other(arguments("--orphan-age=1d")));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("ermission denied"), "{ended:?}");
    place.sh("chmod u+w store; rm store/localdb.*");
    let ended = Ended::of(&mut place.command_as_other(arguments("--orphan-age=1d")));
    assert_eq!(
        ended.code,
        if is_root() { Some(1) } else { Some(0) },
        "{ended:?}"
    );
    if is_root() {
        let names = place.names("store");
        let is_kept = |name: &&String| !name.starts_with("localdb");
        assert_eq!(
            names,
            before.iter().filter(is_kept).cloned().collect::<Vec<_>>()
        );
    }
    verify(&place);
}

#[test]
fn a_backup_under_way_keeps_the_prune_out() {
    let place = Place::new();
    place.write("tree/file", vec![b'x'; 100_000]);
    place.succeed(["backup", "--dest=store", "tree"]);
    place.sh("head -c 300000 /dev/urandom >tree/more");
    let run = HeldRun::start(&place, &["tree"]);
    let ended = place.run(["prune", "--dest=store", "--keep-last=1"]);
    ended.assert_one_line(4, &["is in use by process"]);
    assert_eq!(run.finish().code, Some(0));
    verify(&place);
}

#[test]
fn what_killed_runs_left_goes_when_it_is_old() {
    let place = place();
    let run_before = place.names("store");
    let uuid = "00000000-0000-4000-8000-00000000000a";
    let left = [
        format!(".{uuid}.tar.bz2.part"),
        format!("{uuid}.tar"),
        "snapshot-20200101T000000.sha1sums".to_owned(),
    ];
    for name in &left {
        place.write(&format!("store/{name}"), "of a killed run");
    }
    let waiting = prune(&place, &["--keep-last=3", "--json"]).summary();
    assert_eq!(
        (waiting["waiting"].as_u64(), waiting["leftovers"].as_u64()),
        (Some(left.len() as u64), Some(0))
    );
    for name in &left {
        place.sh(&format!("touch -d '2 days ago' store/{name}"));
    }
    place.write("store/notes.txt", "foreign");
    let told = prune(&place, &["--keep-last=3", "-v"]);
    assert!(
        told.stdout
            .contains("notes.txt: not a file of the store, left alone"),
        "{told:?}"
    );
    let mut names = place.names("store");
    names.retain(|name| name != "notes.txt");
    assert_eq!(names, run_before);
    assert!(fs::read(place.join("store/notes.txt")).is_ok());
}

#[test]
fn a_damaged_descriptor_keeps_every_segment_and_ends_in_three() {
    let place = place();
    let names = snapshots(&place);
    let segments = place.names_ending("store", ".tar");
    place.sh(&format!("echo rubbish >store/snapshot-{}.lbs", names[1]));
    let ended = prune(&place, &["--keep-last=1"]);
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains(&format!(
            "none was removed, since it is not known which ones snapshot {}",
            names[1]
        )),
        "{ended:?}"
    );
    assert_eq!(place.names_ending("store", ".tar"), segments);
    assert_eq!(snapshots(&place), names[1..]);
}

#[test]
fn whoever_may_not_read_the_store_prunes_nothing_and_is_told_whose_it_is() {
    if !root_for("give files away") {
        return;
    }
    let place = place();
    place.sh("chmod 755 .; chown -R 65534 store; chown 0 store/*.lbs; chmod 600 store/*.lbs");
    let before = place.names("store");
    for option in [
        "--keep-last=1",
        &format!("--remove={}", snapshots(&place)[0]),
    ] {
        let ended = Ended::of(&mut place.command_as_other(["prune", "--dest=store", option]));
        ended.assert_one_line(1, &["nothing was pruned", "it belongs to root"]);
    }
    assert!(place.names("store").starts_with(&before[..1]));
    assert_eq!(place.names_ending("store", ".lbs").len(), 3);
    let segments = |names: &[String]| names.iter().filter(|name| name.contains(".tar")).count();
    assert_eq!(segments(&place.names("store")), segments(&before));
}
