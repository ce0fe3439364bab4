//! What verify says of damage: the segment, its objects, the files that need them and the snapshots that have these files, each
//! once, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Damage, Role, role};
use crate::harness::{Ended, Place, need};
use crate::made_store::{DATA, MadeStore, Member, file_lines, sha1};

/// Three snapshots: "old" is in all of them, "changed" in two states, "late" in the last alone; uncompressed, so that a flipped bit
/// stays where it is.
fn three_snapshots() -> Place {
    let place = Place::new();
    let night = |script: &str| {
        place.sh(script);
        place.succeed([
            "backup",
            "--dest=store",
            "--localdb=.",
            "--compression=none",
            "tree",
        ]);
    };
    night("mkdir tree; seq 3000 > tree/old; seq 100 | sed 's/^/first /' > tree/changed");
    night("seq 100 | sed 's/^/second /' > tree/changed");
    night("seq 5000 6000 > tree/late");
    place
}

/// Returns the names of the snapshots, oldest first.
fn snapshots(place: &Place) -> Vec<String> {
    let names = place.names_ending("store", ".lbs").into_iter();
    names
        .map(|name| name["snapshot-".len()..name.len() - ".lbs".len()].to_owned())
        .collect()
}

/// Returns the segment in which a line of text stands.
fn segment_with(place: &Place, text: &str) -> String {
    let found = place.sh(&format!("cd store; grep -lax '{text}' *.tar"));
    assert_eq!(found.lines().count(), 1, "{found}");
    found.trim().to_owned()
}

/// Overwrites a line of text in a segment by as many other bytes.
fn spoil(place: &Place, segment: &str, text: &str) {
    let file = place.join("store").join(segment);
    let mut bytes = fs::read(&file).expect("is read");
    let text = format!("\n{text}\n");
    let found = bytes.windows(text.len()).position(|w| w == text.as_bytes());
    bytes[found.expect("the text is there") + 1] ^= 1;
    fs::write(file, bytes).expect("is written");
}

fn verify(place: &Place, level: &str) -> (Ended, Vec<Value>) {
    let level = format!("--level={level}");
    let ended = place.survive(["verify", "--dest=store", &level, "--json"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let lines = ended.stdout.lines().map(|line| {
        let value: Value = serde_json::from_str(line).expect("a line of JSON");
        value
    });
    let problems = lines.filter(|line| line["type"] == "problem").collect();
    (ended, problems)
}

/// Returns path, segment file's stem and number of snapshots of each problem.
fn told(problems: &[Value]) -> BTreeSet<(String, String, usize)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |problem: &Value| {
        let snapshots = problem["snapshots"].as_array().map_or(0, Vec::len);
        (text(&problem["path"]), text(&problem["segment"]), snapshots)
    };
    let all: BTreeSet<_> = problems.iter().map(line).collect();
    assert_eq!(all.len(), problems.len(), "told twice: {problems:#?}");
    all
}

fn line(path: &str, segment: &str, snapshots: usize) -> (String, String, usize) {
    let stem = segment.trim_end_matches(".tar");
    (path.to_owned(), stem.to_owned(), snapshots)
}

#[test]
fn a_flipped_bit_of_data_is_traced_to_the_file_and_the_snapshots_that_have_it() {
    let place = three_snapshots();
    let segment = segment_with(&place, "2999");
    spoil(&place, &segment, "2999");
    let (_, problems) = verify(&place, "sums");
    assert_eq!(told(&problems), [line("-", &segment, 3)].into());
    // Its length is right and data has no other checksum: which file it is, only the contents tell.
    let (_, problems) = verify(&place, "objects");
    assert_eq!(told(&problems), [line("-", &segment, 3)].into());
    let (ended, problems) = verify(&place, "files");
    let expected = [line("-", &segment, 3), line("tree/old", &segment, 3)];
    assert_eq!(told(&problems), expected.into());
    assert_eq!(problems[0]["subject"], *segment);
    assert_eq!(problems[1]["snapshots"], Value::from(snapshots(&place)));
    // One line each for people too, and what to do.
    assert_eq!(ended.stderr.lines().count(), 4, "{ended:?}");
    assert!(ended.stderr.contains("pileus clean --localdb=DIR --lost="));
    let (first, last) = (&snapshots(&place)[0], &snapshots(&place)[2]);
    for part in [first, last, "tree/old: its contents are damaged"] {
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
}

#[test]
fn each_state_of_a_file_has_the_snapshots_that_have_it() {
    let place = three_snapshots();
    let names = snapshots(&place);
    let segment = segment_with(&place, "second 99");
    fs::remove_file(place.join("store").join(&segment)).expect("is removed");
    for level in ["objects", "files"] {
        let (ended, problems) = verify(&place, level);
        let expected = [line("-", &segment, 2), line("tree/changed", &segment, 2)];
        assert_eq!(told(&problems), expected.into(), "{ended:?}");
        assert_eq!(problems[1]["snapshots"], Value::from(&names[1..]));
        let object = problems[1]["object"].as_str().expect("an object");
        assert_eq!(object.split('/').next(), segment.strip_suffix(".tar"));
        assert!(ended.stderr.contains("is missing"), "{ended:?}");
    }
    let (_, problems) = verify(&place, "sums");
    assert_eq!(told(&problems), [line("-", &segment, 2)].into());
}

#[test]
fn damage_in_two_segments_is_told_by_segment_and_the_rest_is_still_checked() {
    let place = three_snapshots();
    let old = segment_with(&place, "2999");
    let late = segment_with(&place, "5999");
    // What is cut off takes with it what came behind it.
    Damage::Truncate.apply(&place.join("store").join(&old), Path::new(""));
    spoil(&place, &late, "5999");
    let (ended, problems) = verify(&place, "files");
    let told = told(&problems);
    for expected in [
        line("-", &old, 3),
        line("tree/old", &old, 3),
        line("-", &late, 1),
        line("tree/late", &late, 1),
    ] {
        assert!(told.contains(&expected), "no {expected:?} in {ended:?}");
    }
    // Between the line of a segment and that of the next there are only its own.
    let order: Vec<_> = problems.iter().map(|p| p["segment"].clone()).collect();
    let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "{order:?}");
    // Of four states of files, all but the one that is out of reach were compared.
    assert_eq!(ended.summary()["files"], 3, "{ended:?}");
    assert_eq!(ended.summary()["problems"], problems.len(), "{ended:?}");
}

#[test]
fn a_lost_piece_of_a_log_is_told_with_the_snapshots_that_lose_entries() {
    let place = three_snapshots();
    let names = snapshots(&place);
    // The segment of the second snapshot's log, by its root.
    let descriptor = format!("store/snapshot-{}.lbs", names[1]);
    let segment = place.sh(&format!(
        "sed -n 's,^Root: \\([^/]*\\)/.*,\\1,p' {descriptor}"
    ));
    let segment = format!("{}.tar", segment.trim());
    assert_eq!(
        role(&place, &segment),
        Role::Incompressible,
        "is uncompressed"
    );
    let users = place.sh(&format!(
        "grep -l {} store/*.lbs | wc -l",
        segment.trim_end_matches(".tar")
    ));
    let users: usize = users.trim().parse().expect("a number");
    Damage::ZeroFill.apply(&place.join("store").join(&segment), Path::new(""));
    let (ended, problems) = verify(&place, "files");
    assert_eq!(problems[0]["subject"], *segment, "{ended:?}");
    assert_eq!(
        problems[0]["snapshots"].as_array().map(Vec::len),
        Some(users)
    );
    let root = problems.iter().find(|problem| {
        let object = problem["object"].as_str().unwrap_or_default();
        object.starts_with(segment.trim_end_matches(".tar"))
            && problem["snapshots"] == Value::from(&names[1..2])
    });
    let root = root.unwrap_or_else(|| panic!("the root is not told: {ended:?}"));
    let reason = root["reason"].as_str().expect("a text");
    for part in [
        "part of the metadata log is lost",
        "unknown number of entries",
        &names[1],
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    // Of the other snapshots everything is read.
    assert_eq!(ended.summary()["snapshots"], 3);
    assert!(ended.summary()["files"].as_u64() >= Some(2), "{ended:?}");
}

#[test]
fn a_lost_segment_of_a_log_is_told_once_by_whoever_reads_the_log() {
    let place = Place::new();
    // Enough names for a log of several pieces; the second snapshot's refers to some of them in slices.
    place.sh("mkdir tree; cd tree; for d in $(seq 40); do mkdir $d; for f in $(seq 40); do echo $f > $d/a-file-of-some-length-$f; done; done");
    // What has just been made is described anew.
    place.sh("sleep 2.2");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    place.sh("for d in 3 17 31; do touch tree/$d/new; done");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    let names = snapshots(&place);
    let root_of = |name: &str| {
        let descriptor = format!("store/snapshot-{name}.lbs");
        let stem = place.sh(&format!(
            "sed -n 's,^Root: \\([^/]*\\)/.*,\\1,p' {descriptor}"
        ));
        stem.trim().to_owned()
    };
    let segment = root_of(&names[0]);
    assert_ne!(segment, root_of(&names[1]));
    let references = place.sh(&format!(
        "tar -xOf store/{}.tar | grep -ac @{segment}/",
        root_of(&names[1])
    ));
    let references: usize = references.trim().parse().expect("a number");
    assert!(references > 2, "{references}");
    fs::remove_file(place.join(format!("store/{segment}.tar"))).expect("is removed");
    for arguments in [
        &["restore", "--dest=store", "--target=back"][..],
        &["restore", "--dest=store", "--target=back", "--dry-run"],
        &["ls", "--dest=store"],
        &["find", "--dest=store", "new"],
        &["diff", "--dest=store", "latest", "--root=."],
    ] {
        let ended = place.survive(arguments);
        let told = ended.stderr.matches("is missing from the store");
        let snapshots = if arguments[0] == "find" { 2 } else { 1 };
        assert_eq!(told.count(), snapshots, "{arguments:?}: {ended:?}");
        assert_eq!(ended.code, Some(3), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn one_damaged_object_among_others_is_named_with_the_files_that_need_it() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.file("a", "good contents");
    let object = store.object("other contents");
    let reference = format!("{object}(sha1={})[14]", sha1(b"right contents"));
    for name in ["b", "c"] {
        store.entry(name, "f", &file_lines(&reference, "right contents"));
    }
    store.file("d", "more contents");
    store.write(&place.join("store"));
    for level in ["objects", "files"] {
        let (ended, problems) = verify(&place, level);
        let subjects: Vec<_> = problems.iter().map(|p| p["subject"].clone()).collect();
        let segment = format!("{DATA}.tar");
        assert_eq!(subjects, [&*segment, &*object, "b", "c"], "{ended:?}");
        let reason = problems[0]["reason"].as_str().expect("a text");
        assert!(reason.starts_with("1 of 3 objects"), "{reason}");
        assert_eq!(problems[2]["object"], *object);
    }
}

#[test]
fn files_whose_objects_lie_in_any_order_are_checked_all_the_same() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let (one, two) = (store.next_name(DATA), format!("{DATA}/00000001"));
    // The second object stands before the first.
    store.member(DATA, Member::new(two.clone(), "two"));
    store.member(DATA, Member::new(one.clone(), "one"));
    let data = |parts: &[&str]| parts.join(" ");
    for (name, parts, contents) in [
        ("backwards", data(&[&two, &one]), "twoone"),
        ("empty", String::new(), ""),
        ("forwards", data(&[&one, &two]), "onetwo"),
        (
            "twice",
            data(&[&one, "zero[2]", &one, &two]),
            "one\0\0onetwo",
        ),
        ("wrong-backwards", data(&[&two, &one]), "twoonE"),
        ("wrong-forwards", data(&[&one, &two]), "onetwO"),
        ("wrong-zeros", "zero[3]".to_owned(), "\0\0x"),
        ("zeros", "zero[3]".to_owned(), "\0\0\0"),
    ] {
        store.entry(name, "f", &file_lines(&parts, contents));
    }
    store.write(&place.join("store"));
    let (ended, problems) = verify(&place, "files");
    let paths: BTreeSet<_> = problems.iter().map(|p| p["path"].as_str()).collect();
    let expected = ["wrong-forwards", "wrong-backwards", "wrong-zeros"];
    assert_eq!(paths, expected.map(Some).into(), "{ended:?}");
    assert_eq!(problems.len(), 3, "{ended:?}");
    assert_eq!(ended.summary()["files"], 8, "{ended:?}");
}

#[test]
fn each_segment_is_opened_once_however_many_snapshots_share_it() {
    need("strace");
    let place = Place::new();
    place.sh(
        "mkdir tree; seq 100000 > tree/numbers; head -c 5000000 /dev/urandom > tree/large
        for i in $(seq 300); do seq $i $((i + 40)) > tree/file$i; done",
    );
    for night in 0..5 {
        place.sh(&format!("seq {night} 999 > tree/changing"));
        place.succeed([
            "backup",
            "--dest=store",
            "--localdb=.",
            // A file that fills several segments may take one of them twice, if they were written in the same tick of the clock.
            "--segment-size=8M",
            "tree",
        ]);
    }
    let segments = place.names("store").into_iter();
    let segments: BTreeSet<_> = segments.filter(|name| name.contains(".tar")).collect();
    assert!(segments.len() >= 10, "{segments:?}");
    for level in ["sums", "objects", "files"] {
        let strace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=openat"];
        let level = format!("--level={level}");
        let arguments = ["verify", "--dest=store", &level];
        let ended = Ended::of(&mut place.command_under(&strace, arguments));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
        let trace = fs::read_to_string(place.join("trace")).expect("is read");
        let name = |line: &str| Some(line.split('"').nth(1)?.rsplit('/').next()?.to_owned());
        let opened: Vec<_> = trace
            .lines()
            .filter_map(name)
            .filter(|name| name.contains(".tar"))
            .collect();
        let different: BTreeSet<_> = opened.iter().cloned().collect();
        assert_eq!(different, segments, "{level}");
        // A file with compressible and incompressible blocks goes to and fro; there is none here.
        assert_eq!(opened.len(), segments.len(), "{level}: {opened:#?}");
    }
}

#[test]
fn progress_is_drawn_when_asked_for_and_leaves_nothing_behind() {
    let place = three_snapshots();
    let arguments = ["verify", "--dest=store", "--level=files"];
    let ended = place.run(arguments.into_iter().chain(["--progress=always"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let erase = "\r\u{1b}[K";
    assert!(
        ended
            .stderr
            .starts_with(&format!("{erase}pileus: 0 of 3 descriptors"))
    );
    assert!(ended.stderr.ends_with(erase), "{ended:?}");
    // No terminal: nothing by itself.
    place.succeed(arguments);
    let ended = place.run(["verify", "--dest=store", "--progress=sometimes"]);
    ended.assert_one_line(2, &["use auto, always or never"]);
}
