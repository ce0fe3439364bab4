//! `stats` and `verify --sample`: numbers against those of the files themselves.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::fixtures::STORES;
use crate::harness::{Place, project};

fn three_nights() -> Place {
    let place = Place::new();
    place.sh("mkdir tree state; head -c 300000 /dev/urandom > tree/a; seq 1 50000 > tree/b");
    for step in [
        ":",
        "head -c 200000 /dev/urandom > tree/a",
        "seq 1 60000 > tree/c",
    ] {
        place.sh(step);
        place.succeed([
            "backup",
            "--dest=store",
            "--localdb=state",
            "--scheme=s",
            "--segment-size=64K",
            "tree",
        ]);
    }
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn numbers_are_those_of_the_files_of_the_store() {
    let place = three_nights();
    let found = lines(
        &place
            .succeed(["stats", "--dest=store", "--localdb=state", "--json"])
            .stdout,
    );
    assert_eq!(found.len(), 4);
    let mut known = BTreeSet::new();
    let mut store_bytes = 0;
    for line in &found[..3] {
        let name = line["snapshot"].as_str().expect("a name");
        let sums = fs::read_to_string(place.join(format!("store/snapshot-{name}.sha1sums")))
            .expect("is read");
        let files: Vec<_> = sums
            .lines()
            .map(|line| line.split('*').nth(1).expect("a file").to_owned())
            .collect();
        let bytes = |file: &String| {
            fs::metadata(place.join("store").join(file))
                .expect("is there")
                .len()
        };
        let new: u64 = files
            .iter()
            .filter(|file| known.insert((*file).clone()))
            .map(bytes)
            .sum();
        store_bytes += new;
        assert_eq!(line["segments"], files.len());
        assert_eq!(line["disk_bytes"], files.iter().map(bytes).sum::<u64>());
        assert_eq!(
            (&line["new_disk_bytes"], &line["store_bytes"]),
            (&new.into(), &store_bytes.into())
        );
    }
    let listed = lines(&place.succeed(["list", "--dest=store", "--json"]).stdout);
    let sum = |key: &str| {
        listed
            .iter()
            .filter_map(|line| line[key].as_u64())
            .sum::<u64>()
    };
    let summary = &found[3];
    assert_eq!(
        (&summary["segments"], &summary["disk_bytes"]),
        (&known.len().into(), &store_bytes.into())
    );
    for key in [
        "source_bytes",
        "added_data_bytes",
        "added_disk_bytes",
        "entries",
    ] {
        assert_eq!(summary[key], sum(key), "{key}");
    }
    let ratio = summary["deduplication"].as_f64().expect("a number");
    assert!(ratio > 1.5 && ratio < 3.0, "{summary}");
    let classes = summary["utilization"]["classes"]
        .as_array()
        .expect("classes");
    let segments: u64 = classes
        .iter()
        .filter_map(|class| class["segments"].as_u64())
        .sum();
    let bytes: u64 = classes
        .iter()
        .filter_map(|class| class["disk_bytes"].as_u64())
        .sum();
    assert_eq!((segments, bytes), (known.len() as u64, store_bytes));
    let table = place
        .succeed(["stats", "--dest=store", "--localdb=state"])
        .stdout;
    assert!(
        table.contains("UTILIZATION") && table.contains("3 snapshots of"),
        "{table}"
    );
}

#[test]
fn what_cannot_be_counted_is_said() {
    let place = three_nights();
    place
        .run(["stats", "--dest=store", "--localdb=nowhere"])
        .assert_one_line(1, &["there is no localdb.sqlite in nowhere"]);
    assert!(!place.join("nowhere").exists());
    place.write("foreign/localdb.sqlite", "");
    place
        .run(["stats", "--dest=store", "--localdb=foreign"])
        .assert_one_line(1, &["is not a local database of pileus"]);
    place.sh("rm $(ls store/*.tar* | head -1); echo x > store/snapshot-s-20200101T000000.lbs");
    let ended = place.survive(["stats", "--dest=store"]);
    assert_eq!(
        (ended.code, ended.stderr.lines().count()),
        (Some(3), 2),
        "{ended:?}"
    );
    let empty = Place::new();
    empty.sh("mkdir store");
    assert!(
        empty
            .succeed(["stats", "--dest=store"])
            .stdout
            .contains("no snapshots")
    );
}

#[test]
fn stores_of_the_older_programs_are_counted_by_their_manifests() {
    for store in STORES {
        let place = Place::new();
        let fixture = project("tests/fixtures").join(store);
        let dest = format!("--dest={}/store", fixture.display());
        let found = lines(&place.succeed(["stats", &dest, "--json"]).stdout);
        for line in &found[..3] {
            let name = line["snapshot"].as_str().expect("a name");
            let manifest = fs::read_to_string(fixture.join(format!("snapshot-{name}.manifest")))
                .expect("is read");
            let sizes: u64 = lines(&manifest)
                .iter()
                .filter_map(|entry| entry["size"].as_u64())
                .sum();
            assert_eq!(line["source_bytes"], sizes, "{store}");
        }
    }
}

#[test]
fn a_sample_has_its_share_of_the_segments_and_is_another_one_each_time() {
    let place = three_nights();
    let verify = |sample: &str, level: &str| {
        let (sample, level) = (format!("--sample={sample}"), format!("--level={level}"));
        place
            .succeed(["verify", "--dest=store", "--json", &sample, &level])
            .summary()
    };
    let all = place.names_ending("store", ".bz2").len() + place.names_ending("store", ".tar").len();
    for (percent, count) in [("100", all), ("0.01", 1), ("50", all.div_ceil(2))] {
        assert_eq!(
            verify(percent, "files")["sampled_segments"],
            count,
            "{percent}"
        );
    }
    assert_ne!(verify("10", "sums")["seed"], verify("10", "sums")["seed"]);
    // One segment is damaged: some samples meet it, a repeated one meets it again.
    let victim = place.sh("ls store/*.tar* | head -1");
    place.sh(&format!("printf x >> {victim}"));
    let found: Vec<_> = (0..40)
        .map(|seed| {
            place
                .run(["verify", "--dest=store", &format!("--sample=30:{seed}")])
                .code
                .expect("ends")
        })
        .collect();
    let met = found.iter().filter(|code| **code == 3).count();
    assert!(
        (2..=30).contains(&met) && found.iter().all(|code| [0, 3].contains(code)),
        "{found:?}"
    );
    let first = found
        .iter()
        .position(|code| *code == 3)
        .expect("some meet it");
    assert_eq!(
        place
            .run(["verify", "--dest=store", &format!("--sample=30:{first}")])
            .code,
        Some(3)
    );
}

#[test]
fn a_part_that_is_none_is_refused() {
    let place = three_nights();
    for wrong in [
        "0", "101", "-1", "x", "10:", "10:x", "1e1", "0.001", "", "100.01", ".5",
    ] {
        let sample = format!("--sample={wrong}");
        let ended = place.run(["verify", "--dest=store", &sample]);
        ended.assert_one_line(2, &["such as --sample=10"]);
    }
}

#[test]
fn ratios_are_about_what_is_on_the_disk_also_after_a_prune() {
    let place = three_nights();
    place.succeed(["prune", "--dest=store", "--localdb=state", "--keep-last=1"]);
    let ended = place.succeed(["stats", "--dest=store", "--json"]);
    let summary = ended.summary();
    let number = |key: &str| summary[key].as_f64().expect("a number");
    let both = number("source_bytes") / number("disk_bytes");
    let product = number("deduplication") * number("compression");
    assert!((product - both).abs() < 0.01 * both, "{summary}");
    // Most of what the last snapshot has was added by the others: no reason to call it small.
    assert!(number("deduplication") < 2.0, "{summary}");
}
