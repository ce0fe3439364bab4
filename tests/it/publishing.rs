//! The order in which a backup makes its files durable, as the kernel saw it (DESIGN: "referents first, references last").

use std::fs;

use crate::harness::{Ended, Place, need};

/// What a run did to a file, in order: `write`, `sync`, `publish` (its rename), with the file's name in the store.
fn traced(place: &Place, arguments: &[&str]) -> Vec<(&'static str, String)> {
    need("strace");
    let calls = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";
    let strace = ["strace", "-f", "-y", "-qq", "-o", "trace", "-e", calls];
    let ended = Ended::of(&mut place.command_under(&strace, arguments));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let trace = fs::read_to_string(place.join("trace")).expect("is read");
    let events = trace.lines().filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let (call, rest) = call.trim_start().split_once('(')?;
        // The file behind a descriptor stands in angle brackets, the target of a rename in the last quotes.
        let path = match call {
            "rename" | "renameat" | "renameat2" => rest.rsplit('"').nth(1)?,
            "unlink" | "unlinkat" => rest.split('"').nth(1)?,
            _ => rest.split(['<', '>']).nth(1)?,
        };
        let name = path.rsplit('/').next()?.to_owned();
        let what = match call {
            "write" | "pwrite64" => "write",
            "fsync" | "fdatasync" => "sync",
            "unlink" | "unlinkat" => "remove",
            _ => "publish",
        };
        Some((what, name))
    });
    events.collect()
}

/// Returns where in the trace the first such event is.
fn first(events: &[(&str, String)], what: &str, is: impl Fn(&str) -> bool) -> usize {
    let found = events.iter().position(|(w, name)| *w == what && is(name));
    found.unwrap_or_else(|| panic!("no such {what} in {events:#?}"))
}

/// Returns where in the trace the last such event is.
fn last(events: &[(&str, String)], what: &str, is: impl Fn(&str) -> bool) -> usize {
    let found = events.iter().rposition(|(w, name)| *w == what && is(name));
    found.unwrap_or_else(|| panic!("no such {what} in {events:#?}"))
}

#[test]
fn a_night_syncs_six_files_and_names_and_its_database_six_times() {
    let place = Place::new();
    place.sh("mkdir tree; seq 1000 >tree/text");
    let backup = ["backup", "--dest=store", "--localdb=state", "tree"];
    place.succeed(backup);
    let events = traced(&place, &backup);
    let syncs = events.iter().filter(|(what, _)| *what == "sync");
    let of_database = syncs
        .clone()
        .filter(|(_, name)| name.starts_with("localdb") || name == "state");
    assert_eq!(
        (syncs.clone().count(), of_database.count()),
        (12, 6),
        "{events:?}"
    );
}

#[test]
fn segments_then_sums_then_descriptor_then_local_state() {
    let place = Place::new();
    place.sh("mkdir tree; head -c 600000 /dev/urandom >tree/noise; seq 1000 >tree/text");
    let backup = [
        "backup",
        "--dest=store",
        "--localdb=state",
        "--jobs=1",
        "tree",
    ];
    let events = traced(&place, &backup);
    let names = place.names("store");
    let published: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(
        published.len(),
        5,
        "segments, descriptor, sums: {published:?}"
    );
    for name in &published {
        let part = |event: &str| event == format!(".{name}.part");
        let rename = last(&events, "publish", |event| event == *name);
        let sync = last(&events, "sync", part);
        assert!(
            last(&events, "write", part) < sync && sync < rename,
            "{name}"
        );
    }
    let segments = last(&events, "publish", |name| name.contains(".tar"));
    let sums = first(&events, "publish", |name| name == published[4]);
    let descriptor = first(&events, "publish", |name| name == published[3]);
    assert!(segments < sums && sums < descriptor);
    let directory_syncs: Vec<_> = (0..events.len())
        .filter(|&at| events[at] == ("sync", "store".to_owned()))
        .collect();
    let between = |from: usize, to: usize| directory_syncs.iter().any(|&at| from < at && at < to);
    assert!(
        between(sums, descriptor),
        "names are durable before the descriptor"
    );
    assert!(
        between(descriptor, events.len()),
        "the descriptor's name is durable"
    );
    // The rows of the run reach the write-ahead log when it commits; how it ended is written later still.
    let cache = first(&events, "publish", |name| name == "statcache");
    let between = descriptor..cache;
    let mut commits = between.filter(|&at| {
        let (what, name) = &events[at];
        *what == "sync" && name.starts_with("localdb.sqlite")
    });
    assert!(commits.next().is_some(), "local state is the last to know");
}

#[test]
fn nothing_in_the_store_is_overwritten_or_removed() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let backup = ["backup", "--dest=store", "--localdb=state", "tree"];
    place.succeed(backup);
    let inodes = "cd store && stat -c '%n %i %Y %Z %s' *";
    let before = place.sh(inodes);
    place.write("tree/file", "other contents");
    let events = traced(
        &place,
        &[
            "backup",
            "--dest=store",
            "--localdb=state",
            "--scheme=b",
            "tree",
        ],
    );
    let after = place.sh(inodes);
    for line in before.lines() {
        assert!(after.contains(line), "{line}\n{after}");
    }
    assert_eq!(after.lines().count(), 2 * before.lines().count());
    assert!(
        !events
            .iter()
            .any(|(what, name)| *what == "remove" && !name.contains("localdb")),
        "{events:#?}"
    );
}

#[test]
fn a_snapshot_that_local_state_cannot_take_in_is_a_problem_and_not_a_failure() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let backup = ["backup", "--dest=store", "--localdb=state", "tree"];
    place.succeed(backup);
    place.write("tree/file", "other contents");
    let refuse = |sql: &str| {
        let program = "import sqlite3, sys
sqlite3.connect('state/localdb.sqlite').executescript(sys.argv[1])";
        place.python(program, &[sql]);
    };
    refuse(
        "CREATE TRIGGER refuse BEFORE INSERT ON snapshot BEGIN SELECT RAISE(ABORT, 'refused'); END",
    );
    place.run(backup).assert_one_line(
        3,
        &[
            "localdb.sqlite: snapshot ",
            "is complete, but",
            "refused",
            "stores again what this one added, unless pileus rebuild --dest=store --localdb=state comes first",
        ],
    );
    assert_eq!(place.names_ending("store", ".lbs").len(), 2);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    refuse("DROP TRIGGER refuse");
    place.succeed(backup);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}
