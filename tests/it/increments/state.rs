//! Statuses, cleanings, schemes, and local state that was lost or spoilt.

use super::nights::{Nights, number};
use crate::harness::Ended;

const PLAIN: &[&str] = &["--compression=none"];

#[test]
fn every_status_is_told_of_each_path_and_counted() {
    let mut nights = Nights::new();
    nights.place.sh("cd tree; for i in old repack grown edited gone; do head -c 2500000 /dev/urandom >$i; done; echo x >old-small");
    nights.backup(PLAIN);
    let class = nights.sql("SELECT DISTINCT segment_group FROM segment");
    assert_eq!(class, "data\nmetadata\n");
    nights.place.sh("cd tree; rm gone; touch old; echo new >new; head -c 1048576 grown >joined; head -c 500000 /dev/urandom >>joined; printf abc | dd of=edited bs=1 seek=1500000 conv=notrunc status=none");
    for (status, paths) in [
        ("new", vec!["tree/new"]),
        ("metadata", vec!["tree", "tree/old"]),
        ("old", vec!["tree/grown", "tree/old-small", "tree/repack"]),
        ("partial", vec!["tree/joined"]),
        ("sub-file", vec!["tree/edited"]),
    ] {
        nights.place.sh("cp -r store aside");
        let (told, summary) = nights.backup_telling(status, PLAIN);
        assert_eq!(told, paths, "{status}");
        assert_eq!(
            summary[status.replace('-', "_")],
            paths.len() as u64,
            "{summary}"
        );
        nights.place.sh("rm -r store; mv aside store");
    }
    nights.backup(PLAIN);
    nights.sql("UPDATE segment SET expired = 2 WHERE segment_group = 'data'");
    let (told, summary) = nights.backup_telling("repack", PLAIN);
    assert_eq!(told.len() as u64, number(&summary, "repack"));
    assert!(
        told.contains(&"tree/repack".to_owned()) && told.contains(&"tree/old-small".to_owned())
    );
    nights.assert_restores(&summary);
}

#[test]
fn blocks_of_expired_segments_move_to_the_group_of_their_age_with_their_age() {
    let mut nights = Nights::new();
    nights.place.sh(
        "head -c 3000000 /dev/urandom >tree/noise; cp tree/noise tree/twin; echo small >tree/small",
    );
    nights.backup(PLAIN);
    let stored = nights.sql("SELECT DISTINCT stored FROM segment");
    for class in [1, 3, 0] {
        nights.sql(&format!(
            "UPDATE segment SET expired = {class} WHERE expired IS NULL"
        ));
        let old = nights.sql("SELECT substr(file, 1, 36) FROM segment");
        let summary = nights.backup(PLAIN);
        let group = if class == 0 {
            "data".to_owned()
        } else {
            format!("compacted-{class}")
        };
        assert_eq!(
            number(&summary["groups"][&group], "data_bytes"),
            3_000_006,
            "{summary}"
        );
        assert_eq!(
            summary["groups"].as_object().expect("is an object").len(),
            2,
            "{summary}"
        );
        let ages = nights.sql("SELECT DISTINCT coalesce(block.stored, segment.stored) FROM block JOIN segment ON segment.id = segment");
        assert_eq!(
            ages, stored,
            "the age of the blocks is that of their first storing"
        );
        assert_eq!(
            nights
                .sql(
                    "SELECT DISTINCT segment_group FROM block JOIN segment ON segment.id = segment"
                )
                .trim(),
            group
        );
        // Nothing of the new snapshot is in an expired segment, neither blocks nor metadata.
        let snapshot = summary["snapshot"].as_str().expect("is there");
        let needs =
            std::fs::read_to_string(nights.place.join(format!("store/snapshot-{snapshot}.lbs")))
                .expect("is read");
        for uuid in old.lines() {
            assert!(!needs.contains(uuid), "{needs}");
        }
        nights.assert_restores(&summary);
        assert_eq!(number(&nights.backup(PLAIN), "new_data_bytes"), 0);
    }
}

#[test]
fn metadata_of_expired_segments_is_written_again_without_reading_a_file() {
    let mut nights = Nights::new();
    nights
        .place
        .sh("cd tree; seq -f file-%04g 2000 | xargs touch; head -c 2000000 /dev/urandom >noise");
    let first = nights.backup(PLAIN);
    nights.sql("UPDATE segment SET expired = 1 WHERE segment_group = 'metadata'");
    let summary = nights.backup(PLAIN);
    assert_eq!(
        (
            number(&summary, "read_bytes"),
            number(&summary, "new_data_bytes")
        ),
        (0, 0)
    );
    assert!(number(&summary, "metadata_bytes") >= number(&first, "metadata_bytes") * 9 / 10);
    nights.place.sh("for i in $(sqlite3 store/localdb.sqlite 'SELECT file FROM segment WHERE expired IS NOT NULL'); do rm store/$i; done");
    nights.assert_restores(&summary);
}

#[test]
fn a_file_with_one_expired_block_is_read_and_only_that_is_stored() {
    let mut nights = Nights::new();
    nights.place.sh("head -c 5000000 /dev/urandom >tree/noise");
    nights.backup(&["--compression=none", "--segment-size=1M"]);
    nights.sql("UPDATE segment SET expired = 1 WHERE id = (SELECT min(segment) FROM block)");
    let summary = nights.backup(PLAIN);
    assert!(
        number(&summary["groups"]["compacted-1"], "data_bytes") <= 2 << 20,
        "{summary}"
    );
    assert_eq!(summary["repack"], 1);
    nights.assert_restores(&summary);
}

#[test]
fn schemes_share_blocks_and_keep_their_own_stat_caches() {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 6);
    nights.backup(&["--scheme=a"]);
    let summary = nights.backup(&["--scheme=b"]);
    assert_eq!(number(&summary, "new_data_bytes"), 0);
    assert!(number(&summary, "read_bytes") > 0);
    nights
        .place
        .sh("rm tree/old-file; echo more >>tree/docs/numbers.txt");
    for scheme in ["--scheme=a", "--scheme=b"] {
        let summary = nights.backup(&[scheme]);
        nights.assert_restores(&summary);
        assert!(number(&summary, "metadata_bytes") < 20_000, "{summary}");
        assert_eq!(number(&nights.backup(&[scheme]), "read_bytes"), 0);
    }
}

#[test]
fn a_scheme_that_is_called_like_a_temporary_file_of_another_keeps_its_stat_cache() {
    let mut nights = Nights::new();
    nights.place.write("tree/file", "contents");
    for scheme in [
        "--scheme=a.part",
        "--scheme=a.checkpoint.part",
        "--scheme=a",
    ] {
        nights.backup(&[scheme]);
    }
    for scheme in [
        "--scheme=a.part",
        "--scheme=a.checkpoint.part",
        "--scheme=a",
    ] {
        assert_eq!(
            number(&nights.backup(&[scheme]), "read_bytes"),
            0,
            "{scheme}"
        );
    }
}

#[test]
fn local_state_that_is_lost_costs_work_and_is_told() {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 8);
    nights.backup(PLAIN);
    for (lost, told, stores) in [
        ("localdb.sqlite", "there is no local state yet", true),
        ("statcache", "every file is read", false),
        (
            "localdb.sqlite store/statcache",
            "all is read and stored again",
            true,
        ),
    ] {
        nights.place.sh(&format!("rm store/{lost}"));
        let ended = nights.run(PLAIN);
        assert_eq!(ended.code, Some(0), "{lost}");
        let notes = ended
            .stdout
            .lines()
            .filter(|line| line.contains("\"note\"") || line.contains("\"warning\""));
        assert_eq!(
            notes.filter(|note| note.contains(told)).count(),
            1,
            "{ended:?}"
        );
        // Where all is stored again, cron has to hear of it too.
        assert_eq!(ended.stderr.contains(told), stores, "{lost}: {ended:?}");
        assert_eq!(
            number(&ended.summary(), "new_data_bytes") > 0,
            stores,
            "{lost}"
        );
        assert!(number(&ended.summary(), "read_bytes") > 0, "{lost}");
        nights.assert_restores(&ended.summary());
        assert_eq!(number(&nights.backup(PLAIN), "read_bytes"), 0, "{lost}");
    }
}

#[test]
fn a_database_brought_back_from_a_copy_stores_again_what_it_does_not_know() {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 9);
    nights.backup(PLAIN);
    nights
        .place
        .sh("cp store/localdb.sqlite copy; head -c 300000 /dev/urandom >tree/later");
    nights.backup(PLAIN);
    nights
        .place
        .sh("rm store/localdb.sqlite*; cp copy store/localdb.sqlite");
    let summary = nights.backup(PLAIN);
    assert_eq!(number(&summary, "new_data_bytes"), 300_000, "{summary}");
    nights.assert_restores(&summary);
    assert_eq!(number(&nights.backup(PLAIN), "read_bytes"), 0);
}

#[test]
fn a_stat_cache_with_any_byte_changed_is_told_or_harmless() {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 4);
    nights.backup(PLAIN);
    let path = nights.place.join("store/statcache");
    let good = std::fs::read(&path).expect("is read");
    for part in 0..12 {
        let mut bytes = good.clone();
        let at = part * (good.len() - 1) / 11;
        bytes[at] ^= 0x20;
        std::fs::write(&path, &bytes).expect("is written");
        assert_told_or_harmless(&mut nights, &format!("byte {at}"));
        std::fs::write(&path, &good[..at]).expect("is written");
        assert_told_or_harmless(&mut nights, &format!("cut at {at}"));
    }
}

fn assert_told_or_harmless(nights: &mut Nights, what: &str) {
    let ended = nights.run(PLAIN);
    let told = ended.code == Some(3)
        && ended.stderr.contains("statcache")
        && ended.stderr.lines().count() == 1;
    assert!(told || ended.code == Some(0), "{what}: {ended:?}");
    assert_eq!(number(&ended.summary(), "new_data_bytes"), 0, "{what}");
    assert!(!told || ended.summary()["problems"] == 1, "{what}");
    nights
        .place
        .succeed(["verify", "--dest=store", "--level=files"]);
    let quiet: Ended = nights.run(PLAIN);
    assert_eq!(
        (quiet.code, number(&quiet.summary(), "read_bytes")),
        (Some(0), 0),
        "{what}: {quiet:?}"
    );
    nights.assert_restores(&quiet.summary());
}

#[test]
fn blocks_that_the_store_has_spoilt_are_stored_again_if_that_is_asked_for() {
    let mut nights = Nights::new();
    nights.place.sh("head -c 2000000 /dev/urandom >tree/noise");
    nights.backup(PLAIN);
    nights.place.sh("cd store; f=$(ls -S *.tar | head -1); printf X | dd of=$f bs=1 seek=1300000 conv=notrunc status=none; touch ../tree/noise");
    let ended = nights.run(&["--compression=none", "--deduplicate=verify"]);
    ended.assert_one_line(3, &["stored again"]);
    nights.assert_restores(&ended.summary());
    // A change is found in the older version only as far as that is sound.
    nights.place.sh("cd store; for f in *.tar; do [ $(stat -c %s $f) -lt 500000 ] || printf Y | dd of=$f bs=1 seek=500000 conv=notrunc status=none; done; printf Z | dd of=../tree/noise bs=1 seek=100 conv=notrunc status=none");
    let ended = nights.run(&["--compression=none", "--deduplicate=verify"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    nights.assert_restores(&ended.summary());
}

#[test]
fn never_deduplicating_stores_everything_that_is_read() {
    let mut nights = Nights::new();
    nights
        .place
        .sh("head -c 300000 /dev/urandom >tree/one; cp tree/one tree/two");
    let never = ["--compression=none", "--deduplicate=never"];
    assert_eq!(number(&nights.backup(&never), "new_data_bytes"), 600_000);
    nights.place.sh("touch tree/one");
    assert_eq!(number(&nights.backup(&never), "new_data_bytes"), 300_000);
    nights
        .place
        .sh("touch tree/two; printf x | dd of=tree/one bs=1 seek=9 conv=notrunc status=none");
    let summary = nights.backup(PLAIN);
    assert_eq!(number(&summary, "new_data_bytes"), 300_000, "{summary}");
    nights.assert_restores(&summary);
}
