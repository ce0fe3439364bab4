//! `find`: the versions of paths over several snapshots, against what was done between them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixtures::STORES;
use crate::harness::{Place, need, project};

/// Five snapshots of a series, in which one file lives through everything, and one snapshot of another.
fn history() -> (Place, Vec<String>) {
    let place = Place::new();
    place.sh("mkdir -p tree/sub state");
    let steps = [
        "printf one > tree/sub/letter.txt; printf s > tree/stays.txt; printf x > tree/other",
        ":",
        "printf other > tree/sub/letter.txt; mkdir tree/odd; printf o > 'tree/odd/new\nline.txt'",
        "rm tree/sub/letter.txt",
        "printf again > tree/sub/letter.txt; chmod 600 tree/stays.txt",
    ];
    let mut names = Vec::new();
    for step in steps {
        place.sh(step);
        names.push(backup(&place, "s"));
    }
    names.push(backup(&place, "t"));
    (place, names)
}

fn backup(place: &Place, scheme: &str) -> String {
    let scheme = format!("--scheme={scheme}");
    let ended = place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--accept-loss",
        &scheme,
        "--json",
        "tree",
    ]);
    ended.summary()["snapshot"]
        .as_str()
        .expect("a name")
        .to_owned()
}

fn versions(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["type"] == "version").collect()
}

#[test]
fn a_file_is_told_with_all_its_versions_and_when_it_was_gone() {
    let (place, names) = history();
    let ended = place.succeed(["find", "--dest=store", "letter.txt", "--scheme=s", "--json"]);
    let found = versions(&ended.stdout);
    let n = |at: usize| names[at].clone();
    let text = str::to_owned;
    assert_eq!(
        claims(&ended.stdout),
        [
            [n(0), n(1), text("changed_in"), n(2)],
            [n(2), n(2), text("gone_in"), n(3)],
            [n(4), n(4), text(""), text("")],
        ]
    );
    let sizes: Vec<_> = found
        .iter()
        .map(|v| v["size"].as_u64().expect("a size"))
        .collect();
    assert_eq!(sizes, [3, 5, 5]);
    assert_eq!(found[0]["snapshots"], 2);
    let all = versions(
        &place
            .succeed(["find", "--dest=store", "letter.txt", "--json"])
            .stdout,
    );
    assert_eq!(
        (all.len(), &all[3]["scheme"], &all[3]["first"]),
        (4, &"t".into(), &names[5].as_str().into())
    );
}

#[test]
fn paths_are_listed_once_in_path_order_with_their_versions_below() {
    let (place, names) = history();
    let text = place
        .succeed(["find", "--dest=store", "--scheme=s", "*.txt"])
        .stdout;
    let paths: Vec<_> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        paths,
        [
            "tree/odd/new\\x0aline.txt",
            "tree/stays.txt",
            "tree/sub/letter.txt"
        ]
    );
    let lines: Vec<_> = text.lines().collect();
    let range = format!("        in {} to {} (4)", names[0], names[3]);
    assert_eq!(lines[5], range, "{text}");
    assert!(lines[6].starts_with("    -rw-------"), "{text}");
    assert_eq!(lines[7], format!("        in {}", names[4]), "{text}");
    let widest = lines.iter().map(|line| line.len()).max();
    assert!(widest <= Some(80), "{text}");
    let nothing = place.succeed(["find", "--dest=store", "nowhere"]);
    assert_eq!(nothing.stdout, "");
}

#[test]
fn patterns_mean_what_they_mean_for_backup() {
    let (place, _) = history();
    for (pattern, count) in [
        ("/tree/*", 4),
        ("sub/", 1),
        ("other/", 0),
        ("/letter.txt", 0),
        ("/tree/**", 6),
        ("tree/s*", 2),
    ] {
        let summary = place
            .succeed(["find", "--dest=store", "--json", pattern])
            .summary();
        assert_eq!(summary["paths"], count, "{pattern}");
    }
    place
        .run(["find", "--dest=store", "["])
        .assert_one_line(2, &["pattern \"[\""]);
}

#[test]
fn every_path_of_every_snapshot_is_found_as_ls_lists_it() {
    let (place, names) = history();
    let found = versions(
        &place
            .succeed(["find", "--dest=store", "**", "--json"])
            .stdout,
    );
    for name in &names {
        let snapshot = format!("--snapshot={name}");
        let listed = place
            .succeed(["ls", "--dest=store", &snapshot, "--json"])
            .stdout;
        let mut entries: Vec<_> = listed
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|e| e["type"] == "entry")
            .collect();
        let scheme = &name[..1];
        let is_in = |v: &&Value| {
            let place = |key: &str| {
                names
                    .iter()
                    .position(|n| v[key] == **n)
                    .expect("is one of them")
            };
            let at = names
                .iter()
                .position(|n| n == name)
                .expect("is one of them");
            v["scheme"] == scheme && (place("first")..=place("last")).contains(&at)
        };
        let mut there: Vec<_> = found.iter().filter(is_in).cloned().collect();
        for version in there.iter_mut().chain(&mut entries) {
            let fields = version.as_object_mut().expect("an object");
            fields.retain(|key, _| {
                [
                    "path",
                    "kind",
                    "mode",
                    "size",
                    "mtime",
                    "mtime_nsec",
                    "checksum",
                ]
                .contains(&key.as_str())
            });
        }
        assert_eq!(there, entries, "{name}");
    }
}

#[test]
fn a_snapshot_whose_metadata_is_lost_is_a_problem_and_the_others_are_searched() {
    need("bzip2");
    let (place, names) = history();
    let root = place.sh(&format!(
        "sed -n 's/^Root: \\([^/]*\\).*/\\1/p' store/snapshot-{}.lbs",
        names[2]
    ));
    place.sh(&format!("rm store/{}*", root.trim()));
    let ended = place.survive(["find", "--dest=store", "--scheme=s", "letter.txt", "--json"]);
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains(&format!("in snapshot {}", names[2])),
        "{ended:?}"
    );
    // The file was there before, and nobody can know what of it was in the lost snapshot; in the next one it is gone.
    let n = |at: usize| names[at].clone();
    assert_eq!(
        claims(&ended.stdout),
        [
            [n(0), n(1), "unknown_in".to_owned(), n(2)],
            [n(4), n(4), String::new(), String::new()],
        ]
    );
    let text = place.survive(["find", "--dest=store", "--scheme=s", "stays.txt"]);
    let lines: Vec<_> = text.stdout.lines().collect();
    assert_eq!(lines[3], format!("        unknown in {}", names[2]));
    assert_eq!(lines[5], format!("        in {}", names[3]), "{text:?}");
}

/// Returns of each version the first and the last snapshot, how it ended, and the snapshot that says so.
fn claims(text: &str) -> Vec<[String; 4]> {
    let found = versions(text);
    let claim = |version: &Value| {
        let text = |key: &str| version[key].as_str().unwrap_or("").to_owned();
        let mut ends = ["changed_in", "gone_in", "unknown_in"].into_iter();
        let end = ends.find(|end| !version[*end].is_null()).unwrap_or("");
        [text("first"), text("last"), end.to_owned(), text(end)]
    };
    found.iter().map(claim).collect()
}

#[test]
fn what_a_lost_part_of_the_metadata_held_is_claimed_neither_there_nor_gone() {
    let place = Place::new();
    place.sh("mkdir tree state; cd tree; for i in $(seq 10 49); do mkdir $i; for j in $(seq 40); do echo > $i/$j; done; done");
    let mut stored = Vec::new();
    let mut names = Vec::new();
    for step in [":", "rm tree/*/7", ":"] {
        place.sh(&format!("{step}; touch -d @0 tree tree/*"));
        let ended = place.succeed([
            "backup",
            "--dest=store",
            "--localdb=state",
            "--segment-size=64K",
            "--compression=none",
            "--full-metadata",
            "--json",
            "tree",
        ]);
        names.push(
            ended.summary()["snapshot"]
                .as_str()
                .expect("a name")
                .to_owned(),
        );
        stored.push(place.sh("ls store/*.tar"));
    }
    // One segment of the second snapshot's log, and not that of its root.
    let root = place.sh(&format!(
        "sed -n 's/^Root: \\([^/]*\\).*/\\1/p' store/snapshot-{}.lbs",
        names[1]
    ));
    let lost = stored[1]
        .lines()
        .find(|file| !stored[0].contains(file) && !file.contains(root.trim()))
        .expect("a log of several segments");
    place.sh(&format!("rm {lost}"));
    let snapshot = format!("--snapshot={}", names[1]);
    let known = place.survive(["ls", "--dest=store", &snapshot]).stdout;
    let known: BTreeSet<_> = known.lines().collect();
    let found = place
        .survive(["find", "--dest=store", "**", "--json"])
        .stdout;
    let (mut gone, mut unknown) = ([0, 0], [0, 0]);
    for (version, [first, last, end, by]) in versions(&found).iter().zip(claims(&found)) {
        let path = version["path"].as_str().expect("a path");
        let is_deleted = path.ends_with("/7");
        if known.contains(path) {
            assert_eq!(
                (first, last),
                (names[0].clone(), names[2].clone()),
                "{path}"
            );
        } else if first == names[0] {
            assert_eq!((last, &by), (names[0].clone(), &names[1]), "{path}");
            match &*end {
                "gone_in" => gone[usize::from(is_deleted)] += 1,
                "unknown_in" => unknown[usize::from(is_deleted)] += 1,
                _ => panic!("{path} {end}"),
            }
        } else {
            assert!(!is_deleted && first == names[2], "{path}");
        }
    }
    assert!(gone[0] == 0 && gone[1] > 0, "{gone:?}");
    assert!(unknown[0] > 0 && unknown[1] > 0, "{unknown:?}");
    assert_eq!(gone[1] + unknown[1], 40);
}

#[test]
fn stores_of_the_older_programs_are_searched() {
    for store in STORES {
        let place = Place::new();
        let dest = format!(
            "--dest={}/store",
            project("tests/fixtures").join(store).display()
        );
        let ended = place.succeed(["find", &dest, "**", "--json"]);
        let found = versions(&ended.stdout);
        let listed = place.succeed(["ls", &dest, "--json"]).summary()["entries"].as_u64();
        let there = found
            .iter()
            .filter(|v| v["changed_in"].is_null() && v["gone_in"].is_null());
        assert_eq!(Some(there.count() as u64), listed, "{store}");
    }
}
