//! `diff`: snapshot to snapshot and snapshot to disk, against what was done to the trees.

mod above;
mod lost;
mod root;

use serde_json::Value;

use crate::fixtures::STORES;
use crate::harness::{Place, is_root, need, project};
use crate::made_store::MadeStore;

const ODD: &str = "mkdir -p tree/dir/deep; cd tree; seq 1 9000 > same; seq 1 9000 > grows; printf 12345 > flips; printf x > gone
    printf y > mode; printf z > time; printf 'one' > 'new
line'; printf w > \"$(printf 'by\\377te')\"; ln -s here link; ln -s here still; mkfifo pipe; touch -d 2001-02-03T04:05:06.789Z time
    printf l > dir/linked; printf t > becomes; mkdir dir/old; printf o > dir/old/o; cd ..";

const CHANGES: &str = "cd tree; echo more >> grows; touch -r flips stamp; printf 54321 > flips; rm gone; chmod 600 mode
    touch -d 2001-02-03T04:05:06.790Z time; printf 'two!' > 'new
line'; rm \"$(printf 'by\\377te')\"; ln -snf there link; ln dir/linked dir/second; rm becomes; mkdir becomes; rm -r dir/old stamp
    printf n > dir/new; cd ..";

fn backup(place: &Place, tree: &str) {
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=s",
        tree,
    ]);
}

fn odd_pair() -> Place {
    let place = Place::new();
    place.sh("mkdir state");
    place.sh(ODD);
    place.sh("test $(id -u) != 0 || setfattr -n user.a -v 1 tree/mode");
    backup(&place, "tree");
    place.sh(CHANGES);
    place.sh("test $(id -u) != 0 || setfattr -n user.a -v 2 tree/mode");
    place
}

fn names(place: &Place) -> Vec<String> {
    let listed = place.succeed(["list", "--dest=store", "--json"]).stdout;
    let lines = listed.lines().map(|line| parse(line)["snapshot"].clone());
    lines
        .filter_map(|name| name.as_str().map(ToOwned::to_owned))
        .collect()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("a line of JSON")
}

/// Leaves out directories whose only difference is the time that comes with every change in them.
fn without_times_of_directories(text: &str) -> Vec<String> {
    let is_time = |line: &&str| {
        ["tree", "tree/dir", "tree/dir/deep"]
            .iter()
            .any(|dir| *line == format!("[metadata] {dir}: mtime"))
    };
    text.lines()
        .filter(|line| !is_time(line))
        .map(ToOwned::to_owned)
        .collect()
}

fn expected() -> Vec<String> {
    let xattrs = if is_root() {
        "[metadata] tree/mode: mode, xattrs"
    } else {
        "[metadata] tree/mode: mode"
    };
    [
        "[changed] tree/becomes: type",
        "[removed] tree/by\\xffte",
        "[metadata] tree/dir/linked: links",
        "[added] tree/dir/new",
        "[removed] tree/dir/old",
        "[removed] tree/dir/old/o",
        "[added] tree/dir/second",
        "[changed] tree/flips: contents, mtime",
        "[removed] tree/gone",
        "[changed] tree/grows: contents, mtime",
        "[metadata] tree/link: mtime, target",
        xattrs,
        "[changed] tree/new\\x0aline: contents, mtime",
        "[metadata] tree/time: mtime",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

#[test]
fn two_snapshots_differ_in_what_was_done_between_them() {
    need("setfattr");
    let place = odd_pair();
    backup(&place, "tree");
    let names = names(&place);
    let ended = place.survive(["diff", "--dest=store", &names[0], &names[1]]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""));
    assert_eq!(without_times_of_directories(&ended.stdout), expected());
    let back = place.survive([
        "diff",
        "--dest=store",
        &names[1],
        &names[0],
        "--only=tree/dir",
    ]);
    let lines = without_times_of_directories(&back.stdout);
    assert_eq!(
        lines[1..],
        [
            "[removed] tree/dir/new",
            "[added] tree/dir/old",
            "[added] tree/dir/old/o",
            "[removed] tree/dir/second"
        ]
    );
    for name in &names {
        let same = place.succeed(["diff", "--dest=store", name, name]);
        assert_eq!(same.stdout, "");
    }
}

#[test]
fn a_snapshot_differs_from_the_disk_in_what_was_done_since() {
    need("setfattr");
    let place = odd_pair();
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=."]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""));
    assert_eq!(without_times_of_directories(&ended.stdout), expected());
    backup(&place, "tree");
    let same = place.succeed(["diff", "--dest=store", "latest", "--root=.", "--contents"]);
    assert_eq!(same.stdout, "");
}

#[test]
fn contents_changed_behind_size_and_time_are_found_only_when_asked_for() {
    let place = Place::new();
    place.sh("mkdir tree; printf 12345 > tree/a; touch -d 2001-01-01 tree/a tree");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("printf 54321 > tree/a; touch -d 2001-01-01 tree/a tree");
    place.succeed(["diff", "--dest=store", "latest", "--root=."]);
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=.", "--contents"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "[changed] tree/a: contents\n")
    );
    place.sh("printf 12345 > tree/a; touch -d 2001-01-02 tree/a; touch -d 2001-01-01 tree");
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=."]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "[metadata] tree/a: mtime\n")
    );
}

#[test]
fn what_lies_beside_a_source_is_not_new() {
    let place = Place::new();
    place.sh("mkdir -p top/home/anna/src top/home/bob top/else; printf x > top/home/anna/x; printf y > top/home/bob/y");
    place.succeed(["backup", "--dest=store", "--localdb=.", "top/home/anna"]);
    let ended = place.succeed(["diff", "--dest=store", "latest", "--root=.", "-v"]);
    assert!(ended.stdout.contains("1 name left out"), "{ended:?}");
    let ended = place.survive([
        "diff",
        "--dest=store",
        "latest",
        "--root=.",
        "--only=top/home",
    ]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "[added] top/home/bob\n[added] top/home/bob/y\n")
    );
    place.sh("printf n > top/home/anna/src/n; printf o > top/home/anna/n.o");
    let ended = place.survive([
        "diff",
        "--dest=store",
        "latest",
        "--root=.",
        "--exclude=*.o",
        "--json",
    ]);
    let added: Vec<_> = ended
        .stdout
        .lines()
        .map(parse)
        .filter(|line| line["status"] == "added")
        .collect();
    assert_eq!(added.len(), 1, "{ended:?}");
    assert_eq!(
        (&added[0]["path"], &added[0]["new_size"]),
        (&"top/home/anna/src/n".into(), &1.into())
    );
    let ended = place.survive([
        "diff",
        "--dest=store",
        "latest",
        "--root=.",
        "--only=nowhere",
    ]);
    ended.assert_one_line(3, &["nowhere: is on neither of the sides"]);
}

#[test]
fn the_summary_accounts_for_the_size_of_the_sources() {
    let place = odd_pair();
    backup(&place, "tree");
    let listed = place.succeed(["list", "--dest=store", "--json"]).stdout;
    let sizes: Vec<_> = listed
        .lines()
        .filter_map(|line| parse(line)["source_bytes"].as_u64())
        .collect();
    let names = names(&place);
    let summary = place
        .survive(["diff", "--dest=store", "--json", &names[0], &names[1]])
        .summary();
    let number = |key: &str| summary[key].as_u64().expect("a number");
    assert_eq!(
        sizes[0] + number("added_bytes") - number("removed_bytes"),
        sizes[1]
    );
    assert_eq!(
        (number("added"), number("removed"), number("not_compared")),
        (2, 4, 0)
    );
}

/// Makes a tree whose log has several pieces, and changes one file near its end.
fn many_pieces() -> Place {
    let place = Place::new();
    place.sh("mkdir tree state; cd tree; for i in $(seq 10 99); do mkdir $i; for j in $(seq 40); do printf $i$j > $i/$j; done; done");
    // The first ones cannot trust the times of files this young; the last one before the change writes whole pieces.
    for _ in 0..3 {
        backup(&place, "tree");
    }
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=s",
        "--full-metadata",
        "tree",
    ]);
    place.sh("printf changed > tree/95/5");
    backup(&place, "tree");
    place
}

#[test]
fn pieces_that_both_snapshots_share_are_not_read() {
    let place = many_pieces();
    let names = names(&place);
    need("strace");
    let trace = place.sh(&format!(
        "strace -fy -e trace=pread64 -o trace pileus diff --dest=store {} {} || true; grep -c '(deleted)' trace",
        names[names.len() - 2], names[names.len() - 1],
    ));
    // Two roots, a piece of each, and what the new one takes over; a log of this tree has more than fifteen pieces.
    let reads: u64 = trace
        .lines()
        .last()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!(reads <= 12, "{trace}");
}

#[test]
fn what_a_damaged_log_has_lost_is_not_called_added_or_removed() {
    let mut made = MadeStore::new();
    made.good_file("a", "same");
    made.entry("b", "f", "mode: nonsense");
    for name in ["c", "d"] {
        made.good_file(name, "same");
    }
    let place = Place::new();
    place.sh("mkdir store root; cd root; printf same > a; printf same > b; printf more > c; printf same > d");
    made.write(&place.join("store"));
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=root", "--json"]);
    // Without its entry, `b` is not among the names at the top that the snapshot has.
    let ended_all = place.survive([
        "diff",
        "--dest=store",
        "latest",
        "--root=root",
        "--json",
        "--only=.",
    ]);
    for (ended, not_compared) in [(ended, 0), (ended_all, 1)] {
        let summary = ended.summary();
        let counts = ["added", "removed", "changed", "problems", "not_compared"]
            .map(|key| summary[key].as_u64().expect("a number"));
        assert_eq!(
            (ended.code, counts),
            (Some(3), [0, 0, 1, 1, not_compared]),
            "{ended:?}"
        );
    }
}

#[test]
fn a_missing_metadata_segment_is_a_problem_and_nothing_is_invented() {
    let place = odd_pair();
    backup(&place, "tree");
    let names = names(&place);
    let root = place.sh(&format!(
        "sed -n 's/^Root: \\([^/]*\\).*/\\1/p' store/snapshot-{}.lbs",
        names[0]
    ));
    place.sh(&format!("rm store/{}*", root.trim()));
    let ended = place.survive(["diff", "--dest=store", "--json", &names[0], &names[1]]);
    let summary = ended.summary();
    assert_eq!(
        (ended.code, &summary["added"], &summary["removed"]),
        (Some(3), &0.into(), &0.into()),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("is missing from the store"),
        "{ended:?}"
    );
}

#[test]
fn stores_of_the_older_programs_are_compared_with_what_they_were_made_of() {
    for store in STORES {
        let place = Place::new();
        let dest = format!(
            "--dest={}/store",
            project("tests/fixtures").join(store).display()
        );
        let listed = place.succeed(["list", &dest, "--json"]).stdout;
        let names: Vec<_> = listed
            .lines()
            .filter_map(|line| parse(line)["snapshot"].as_str().map(ToOwned::to_owned))
            .collect();
        for name in &names {
            let snapshot = format!("--snapshot={name}");
            place.run(["restore", &dest, &snapshot, "--target=back"]);
            let ended = place.survive(["diff", &dest, name, "--root=back", "--contents"]);
            let told: Vec<_> = ended
                .stdout
                .lines()
                .filter(|line| {
                    !line.starts_with("[metadata] .:") && (is_root() || !line.contains("user"))
                })
                .collect();
            assert!(
                told.is_empty() && ended.stderr.is_empty(),
                "{store}: {ended:?}"
            );
            place.sh("chmod -R u+rwX back; rm -r back");
        }
        // What changed between them, by the manifests that were made of the trees themselves.
        let manifest = |name: &str| {
            project("tests/fixtures")
                .join(store)
                .join(format!("snapshot-{name}.manifest"))
        };
        let expected = place.python(
            "import sys, json
old, new = ({e['path']: e for e in map(json.loads, open(name))} for name in sys.argv[1:])
for path in sorted(old.keys() ^ new.keys() | {p for p in old.keys() & new.keys() if old[p].get('sha256') != new[p].get('sha256')}):
    print(path)",
            &[manifest(&names[0]).to_str().expect("a name"), manifest(&names[1]).to_str().expect("a name")],
        );
        let ended = place.survive(["diff", &dest, &names[0], &names[1], "--json"]);
        let differing = ended
            .stdout
            .lines()
            .map(parse)
            .filter(|line| line["type"] == "difference" && line["status"] != "metadata");
        let mut found: Vec<_> = differing
            .filter_map(|line| line["path"].as_str().map(ToOwned::to_owned))
            .collect();
        found.sort();
        assert_eq!(
            found.len(),
            expected.lines().count(),
            "{store}: {found:?} {expected}"
        );
    }
}

#[test]
fn what_cannot_be_compared_is_refused_in_one_line() {
    let place = Place::new();
    place.sh("mkdir tree");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place
        .run(["diff", "--dest=store", "nope"])
        .assert_one_line(1, &["there is no snapshot \"nope\""]);
    place
        .run(["diff", "--dest=store"])
        .assert_one_line(2, &["A is missing"]);
    place
        .run(["diff", "--dest=store", "latest", "--root=nope"])
        .assert_one_line(1, &["nope is not a directory"]);
    place
        .run(["diff", "--dest=store", "latest", "latest", "--contents"])
        .assert_one_line(2, &["--contents"]);
    place
        .run(["diff", "--dest=store", "latest", "--exclude=["])
        .assert_one_line(2, &["pattern \"[\""]);
    place
        .run(["diff", "--dest=store", "latest", "--only=../x"])
        .assert_one_line(2, &["\"..\""]);
}

#[test]
fn a_made_log_out_of_order_is_told_and_survived() {
    let place = Place::new();
    let mut made = MadeStore::new();
    for name in ["b", "a", "c"] {
        made.good_file(name, "same");
    }
    place.sh("mkdir store root");
    made.write(&place.join("store"));
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=root"]);
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains("does not stand in path order"),
        "{ended:?}"
    );
}
