//! Local state made anew from the store: of pileus itself, and of the older programs, whose users go on here.

mod damage;
mod lineage;

use crate::increments::nights::{Nights, number};

const PLAIN: &[&str] = &["--compression=none"];

/// What the database says, with segments and objects by name and in an order of their own.
const TABLES: [&str; 4] = [
    "SELECT hex(uuid), file, sha1, segment_group, data_bytes, disk_bytes, stored, expired FROM segment ORDER BY 1",
    "SELECT name, scheme, checkpoint, entries, source_bytes FROM snapshot ORDER BY id",
    "SELECT name, hex(uuid), segment_use.data_bytes FROM segment_use JOIN segment ON segment.id = segment \
        JOIN snapshot ON snapshot.id = snapshot ORDER BY 1, 2",
    "SELECT hex(digest), length, hex(uuid), sequence FROM block JOIN segment ON segment.id = segment ORDER BY 1",
];

fn tables(nights: &Nights) -> Vec<String> {
    TABLES.iter().map(|sql| nights.sql(sql)).collect()
}

fn lose(nights: &Nights) {
    nights.place.sh("rm store/localdb.* store/statcache*");
}

fn rebuild(nights: &Nights, options: &[&str]) -> serde_json::Value {
    let arguments = [&["rebuild", "--dest=store", "--json"], options].concat();
    nights.place.succeed(arguments).summary()
}

/// Makes three nights of a tree with files that change in part, grow, shrink, move and share blocks.
fn three_nights() -> Nights {
    let mut nights = Nights::new();
    nights.place.sh(
        "cd tree; head -c 3000000 /dev/urandom >large; cp large twin; mkdir sub; for i in $(seq 400); do echo $i >sub/$i; done; \
         head -c 70000 /dev/urandom >log; ln log link; ln -s log symlink; truncate -s 5M sparse; printf x >>sparse",
    );
    nights.backup(PLAIN);
    nights.place.sh(
        "cd tree; printf abc | dd of=large bs=1 seek=1500000 conv=notrunc status=none; rm sub/7; echo more >>log",
    );
    nights.backup(PLAIN);
    nights
        .place
        .sh("cd tree; mv twin moved; mkdir new; head -c 9000 /dev/urandom >new/file; sleep 2");
    nights.backup(PLAIN);
    nights
}

#[test]
fn after_a_deep_rebuild_the_database_says_what_it_said_before() {
    let mut nights = three_nights();
    let before = tables(&nights);
    lose(&nights);
    let summary = rebuild(&nights, &["--deep"]);
    assert_eq!(number(&summary, "snapshots"), 3);
    let after = tables(&nights);
    assert_eq!(after, before);
    let signatures = "SELECT count(*) FROM signature WHERE length >= 65536";
    assert_ne!(nights.sql(signatures), "0\n");
    nights
        .place
        .sh("printf xyz | dd of=tree/moved bs=1 seek=700000 conv=notrunc status=none; cp tree/new/file tree/copy");
    let (paths, summary) = nights.backup_telling("sub-file", PLAIN);
    assert_eq!(paths, ["tree/moved"]);
    assert!(number(&summary, "new_data_bytes") < 10_000, "{summary}");
    nights.assert_restores(&summary);
}

#[test]
fn after_a_rebuild_an_unchanged_tree_is_neither_read_nor_stored() {
    let mut nights = three_nights();
    let unchanged = nights.backup(PLAIN);
    let before = tables(&nights);
    lose(&nights);
    let summary = rebuild(&nights, &[]);
    assert_eq!(
        number(&summary, "entries"),
        number(&unchanged, "old") + number(&unchanged, "new")
    );
    let after = tables(&nights);
    assert_eq!(after[1..3], before[1..3], "snapshots and what they use");
    assert_eq!(after[3], "", "no data were read");
    let files = "SELECT hex(uuid), file, sha1, segment_group, disk_bytes FROM segment ORDER BY 1";
    let known = nights.sql(files);
    let summary = nights.backup(PLAIN);
    assert_eq!(
        (
            number(&summary, "read_bytes"),
            number(&summary, "new_data_bytes")
        ),
        (0, 0),
        "{summary}"
    );
    assert_eq!(number(&summary, "new"), 0, "{summary}");
    nights.assert_restores(&summary);
    let again = nights.backup(PLAIN);
    assert_eq!(number(&again, "new"), 0, "{again}");
    assert!(
        number(&again, "metadata_bytes") < 2000,
        "its log is that of the night before: {again}"
    );
    lose(&nights);
    rebuild(&nights, &["--deep"]);
    let after = nights.sql(files);
    assert!(known.lines().all(|line| after.contains(line)), "{after}");
}

#[test]
fn files_with_other_inodes_and_change_times_are_read_but_not_stored() {
    let mut nights = three_nights();
    nights
        .place
        .sh("cp -a tree other && rm -r tree && mv other tree; echo changed >tree/sub/8");
    lose(&nights);
    rebuild(&nights, &[]);
    let summary = nights.backup(PLAIN);
    assert_eq!(number(&summary, "new_data_bytes"), 8, "{summary}");
    assert!(number(&summary, "read_bytes") > 6_000_000, "{summary}");
    nights.assert_restores(&summary);
    // What was recognized so is recognized again, as long as it is not in the block index.
    nights.place.sh("sleep 2; chmod 600 tree/large");
    let summary = nights.backup(PLAIN);
    let again = nights.backup(PLAIN);
    for summary in [summary, again] {
        assert_eq!(number(&summary, "new_data_bytes"), 0, "{summary}");
        nights.assert_restores(&summary);
    }
}

#[test]
fn a_file_of_the_same_size_and_time_is_stored_if_its_checksum_is_another() {
    let mut nights = three_nights();
    lose(&nights);
    rebuild(&nights, &[]);
    nights.place.sh(
        "cd tree; touch -r large time; printf Q | dd of=large bs=1 seek=9 conv=notrunc status=none; touch -r time large; rm time",
    );
    let summary = nights.backup(PLAIN);
    assert!(number(&summary, "new_data_bytes") >= 3_000_000, "{summary}");
    nights.assert_restores(&summary);
}

#[test]
fn checkpoints_and_schemes_are_known_again() {
    let mut nights = three_nights();
    let ended = nights.run(&[
        "--scheme=b",
        "--checkpoint=1M",
        "--deduplicate=never",
        "--leave-checkpoints",
    ]);
    assert_eq!(ended.code, Some(0));
    let checkpoints = nights.place.names_ending("store", ".checkpoint.lbs");
    lose(&nights);
    rebuild(&nights, &["--scheme=b"]);
    let only = nights.sql("SELECT DISTINCT scheme FROM snapshot");
    assert_eq!(only, "b\n");
    rebuild(&nights, &[]);
    let both = nights.sql("SELECT DISTINCT scheme FROM snapshot ORDER BY 1");
    assert_eq!(both, "\nb\n");
    assert_eq!(
        nights.sql("SELECT count(*) FROM snapshot WHERE checkpoint"),
        format!("{}\n", checkpoints.len())
    );
    for scheme in ["--scheme=b", "--segment-size=1M"] {
        let summary = nights.backup(&["--compression=none", scheme]);
        assert_eq!(number(&summary, "read_bytes"), 0, "{scheme}: {summary}");
    }
    assert_eq!(
        nights.place.names_ending("store", ".checkpoint.lbs"),
        [""; 0],
        "the complete one took their place"
    );
}
