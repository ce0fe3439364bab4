//! Stores that the older programs of the lineage wrote: each must come back exactly as its manifests say.
//!
//! The manifests were made of the trees themselves when they were backed up (docs/format.md, "Fixtures"), so nothing here takes
//! pileus's word for anything.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Place, is_root, project, without_owners};

/// Whoever adds a store adds it here; nobody drops one.
pub const STORES: [&str; 5] = [
    "cumulus-0.10-signed",
    "cumulus-0.11",
    "cumulus-0.8",
    "lbs-0.5.1-seed",
    "lbs-0.6",
];

/// The older programs kept neither nanoseconds nor extended attributes.
const MANIFEST_FLAGS: &str = "--whole-seconds --no-xattrs";

struct Fixture {
    name: String,
    store: PathBuf,
    /// Names of the snapshots, oldest first, with their manifests.
    snapshots: Vec<(String, String)>,
}

impl Fixture {
    fn all() -> Vec<Self> {
        let list = fs::read_dir(project("tests/fixtures")).expect("the fixtures are there");
        let mut paths: Vec<_> = list.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let fixtures: Vec<_> = paths.iter().map(|path| Self::open(path)).collect();
        let names: Vec<_> = fixtures.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, STORES);
        fixtures
    }

    fn open(path: &Path) -> Self {
        let list = fs::read_dir(path).expect("a fixture is a directory");
        let files = list.map(|entry| entry.expect("an entry").path());
        let manifests = files.filter(|file| file.extension().is_some_and(|e| e == "manifest"));
        let mut snapshots: Vec<_> = manifests
            .map(|file| {
                let stem = file.file_stem().and_then(|s| s.to_str()).expect("a name");
                let name = stem.strip_prefix("snapshot-").expect("of a snapshot");
                let manifest = fs::read_to_string(&file).expect("the manifest is read");
                (name.to_owned(), manifest)
            })
            .collect();
        snapshots.sort();
        assert_eq!(snapshots.len(), 3, "{}", path.display());
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let store = path.join("store");
        Self {
            name: name.to_owned(),
            store,
            snapshots,
        }
    }

    fn dest(&self) -> String {
        format!("--dest={}", self.store.display())
    }
}

/// Compares a restored tree with the manifest; a user other than root cannot bring back owners.
fn assert_restored(place: &Place, tree: &str, manifest: &str, what: &str) {
    let restored = place.manifest(tree, MANIFEST_FLAGS);
    if is_root() {
        assert_eq!(restored, manifest, "{what}");
    } else {
        assert_eq!(
            without_owners(&restored),
            without_owners(manifest),
            "{what}"
        );
    }
}

/// Returns the bytes that `%xx` codes stand for.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let code = std::str::from_utf8(&tail[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(code, 16).expect("two digits"));
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    bytes
}

fn parsed_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn path_of(entry: &Value) -> Vec<u8> {
    percent_decoded(entry["path"].as_str().expect("a path"))
}

#[test]
fn pileus_restores_every_snapshot_exactly() {
    for fixture in Fixture::all() {
        for (snapshot, manifest) in &fixture.snapshots {
            let place = Place::new();
            let chosen = format!("--snapshot={snapshot}");
            place.succeed(["restore", &fixture.dest(), "--target=back", &chosen]);
            assert_restored(
                &place,
                "back/data",
                manifest,
                &format!("{}, {snapshot}", fixture.name),
            );
        }
    }
}

#[test]
fn the_script_restores_every_snapshot_exactly() {
    let script = project("docs/restore.py");
    for fixture in Fixture::all() {
        for (snapshot, manifest) in &fixture.snapshots {
            let place = Place::new();
            let (script, store) = (script.display(), fixture.store.display());
            place.sh(&format!("python3 {script} {store} back {snapshot}"));
            assert_restored(
                &place,
                "back/data",
                manifest,
                &format!("{}, {snapshot}", fixture.name),
            );
        }
    }
}

#[test]
fn verify_finds_no_damage_at_any_level() {
    let place = Place::new();
    for fixture in Fixture::all() {
        for (level, objects, files) in [
            ("sums", false, false),
            ("objects", true, false),
            ("files", true, true),
        ] {
            let level = format!("--level={level}");
            let summary = place
                .succeed(["verify", &fixture.dest(), &level, "--json"])
                .summary();
            assert_eq!(
                summary["snapshots"], 3,
                "{} {level}: {summary}",
                fixture.name
            );
            assert_eq!(
                summary["problems"], 0,
                "{} {level}: {summary}",
                fixture.name
            );
            let count = |key: &str| summary[key].as_u64().expect("a number");
            assert!(
                count("store_files") >= 4,
                "{} {level}: {summary}",
                fixture.name
            );
            assert_eq!(
                count("objects") > 60,
                objects,
                "{} {level}: {summary}",
                fixture.name
            );
            assert_eq!(
                count("files") > 60,
                files,
                "{} {level}: {summary}",
                fixture.name
            );
        }
    }
}

#[test]
fn list_names_every_snapshot_oldest_first() {
    let place = Place::new();
    for fixture in Fixture::all() {
        let table = place.succeed(["list", &fixture.dest()]).stdout;
        let first = |line: &str| {
            line.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let listed: Vec<_> = table.lines().skip(1).map(first).collect();
        let names: Vec<_> = fixture
            .snapshots
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(listed, names, "{}", fixture.name);
        let signed = table
            .lines()
            .filter(|line| line.ends_with(" signed"))
            .count();
        let expected = if fixture.name.ends_with("-signed") {
            3
        } else {
            0
        };
        assert_eq!(signed, expected, "{table}");
    }
}

#[test]
fn ls_says_of_every_entry_what_the_manifest_says() {
    let place = Place::new();
    for fixture in Fixture::all() {
        for (snapshot, manifest) in &fixture.snapshots {
            let chosen = format!("--snapshot={snapshot}");
            let ended = place.succeed(["ls", &fixture.dest(), &chosen, "--json"]);
            let listed = parsed_lines(&ended.stdout);
            let entries: Vec<_> = listed
                .iter()
                .filter(|line| line["type"] == "entry")
                .collect();
            let is_below = |entry: &&&Value| path_of(entry).starts_with(b"data/");
            let entries: Vec<_> = entries.iter().filter(is_below).collect();
            let expected = parsed_lines(manifest);
            assert_eq!(
                entries.len(),
                expected.len(),
                "{}, {snapshot}",
                fixture.name
            );
            for wanted in &expected {
                let path = [b"data/".as_slice(), &path_of(wanted)].concat();
                let of_path = |entry: &&&&Value| path_of(entry) == path;
                let entry = entries.iter().find(of_path).expect("every path is listed");
                assert_agrees(entry, wanted);
            }
        }
    }
}

fn assert_agrees(entry: &Value, wanted: &Value) {
    assert_eq!(entry["kind"], wanted["type"], "{entry}\n{wanted}");
    assert_eq!(
        (&entry["uid"], &entry["gid"]),
        (&wanted["uid"], &wanted["gid"]),
        "{entry}"
    );
    let seconds = wanted["mtime_ns"].as_i64().expect("a time") / 1_000_000_000;
    assert_eq!(entry["mtime"], seconds, "{entry}\n{wanted}");
    assert_eq!(entry["size"], wanted["size"], "{entry}\n{wanted}");
    if entry["kind"] == "l" {
        let target = |value: &Value| percent_decoded(value["target"].as_str().expect("a target"));
        assert_eq!(target(entry), target(wanted), "{entry}\n{wanted}");
    } else {
        let mode = format!(
            "0o{}",
            entry["mode"]
                .as_str()
                .expect("a mode")
                .trim_start_matches('0')
        );
        assert_eq!(wanted["mode"], mode, "{entry}\n{wanted}");
    }
}

#[test]
fn cat_prints_contents_that_have_the_manifests_checksum() {
    let place = Place::new();
    let looked_at = [
        "hello.txt",
        "random.bin",
        "sparse.img",
        "new%0Aline",
        "not-utf8",
        "empty-file",
    ];
    for fixture in Fixture::all() {
        let (snapshot, manifest) = fixture.snapshots.last().expect("there are three");
        for wanted in parsed_lines(manifest) {
            let name = wanted["path"].as_str().expect("a path");
            if !looked_at.iter().any(|end| name.ends_with(end)) {
                continue;
            }
            let path = OsString::from_vec([b"data/".as_slice(), &path_of(&wanted)].concat());
            let (dest, chosen) = (fixture.dest(), format!("--snapshot={snapshot}"));
            let arguments = ["cat".into(), dest.into(), chosen.into(), path];
            let output = place
                .command::<OsString>(arguments)
                .output()
                .expect("pileus starts");
            assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
            place.write("printed", &output.stdout);
            let sum = place.sh("sha256sum < printed");
            assert_eq!(
                sum[..64],
                *wanted["sha256"].as_str().expect("a checksum"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_version_that_is_too_new_or_foreign_is_refused_by_name() {
    let fixture = project("tests/fixtures/lbs-0.6/store");
    for (format, said) in [
        (
            "LBS Snapshot v0.12",
            "\"LBS Snapshot v0.12\" is newer than v0.11",
        ),
        (
            "Cumulus Snapshot v0.12",
            "\"Cumulus Snapshot v0.12\" is newer than v0.11",
        ),
        (
            "Cumulus Snapshot v1.0",
            "\"Cumulus Snapshot v1.0\" is newer than v0.11",
        ),
        (
            "LBS Snapshot v0.99999999999",
            "\"LBS Snapshot v0.99999999999\"",
        ),
        (
            "Restic Repository v2",
            "not a snapshot descriptor of LBS or Cumulus",
        ),
        (
            "LBS Snapshot",
            "not a snapshot descriptor of LBS or Cumulus",
        ),
        ("Cumulus Snapshot v0.6", ""),
        ("LBS Snapshot v0.11", ""),
    ] {
        let place = Place::new();
        let name = "snapshot-sample-20261121T200607.lbs";
        place.sh(&format!(
            "cp -r {} store && rm store/snapshot-*",
            fixture.display()
        ));
        let text = fs::read_to_string(fixture.join(name)).expect("the descriptor is read");
        let (_, rest) = text.split_once('\n').expect("several lines");
        place.write(
            &format!("store/{name}"),
            format!("Format: {format}\n{rest}"),
        );
        let refused = !said.is_empty();
        for (command, code) in [("list", 3), ("ls", 1), ("verify", 3)] {
            let ended = place.survive([command, "--dest=store"]);
            if refused {
                ended.assert_one_line(code, &["20261121T200607", said]);
            } else {
                let sums_are_gone = command == "verify";
                assert_eq!(
                    ended.code,
                    Some(if sums_are_gone { 3 } else { 0 }),
                    "{ended:?}"
                );
            }
        }
        if refused {
            let ended = place.survive(["restore", "--dest=store", "--target=back"]);
            ended.assert_one_line(1, &[name, said]);
            assert!(!place.join("back").exists(), "{format}");
        }
    }
}
