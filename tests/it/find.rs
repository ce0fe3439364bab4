//! `find`: the versions of paths over several snapshots, against what was done between them.

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
    let told: Vec<_> = found
        .iter()
        .map(|v| {
            [&v["first"], &v["last"], &v["changed_in"], &v["gone_in"]]
                .map(|n| n.as_str().unwrap_or("").to_owned())
        })
        .collect();
    let n = |at: usize| names[at].clone();
    let none = String::new;
    assert_eq!(
        told,
        [
            [n(0), n(1), n(2), none()],
            [n(2), n(2), none(), n(3)],
            [n(4), n(4), none(), none()],
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
    let found = versions(&ended.stdout);
    assert_eq!(
        found.first().map(|v| v["first"].clone()),
        Some(names[0].as_str().into()),
        "{ended:?}"
    );
    assert_eq!(
        found.last().map(|v| v["size"].clone()),
        Some(5.into()),
        "{ended:?}"
    );
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
