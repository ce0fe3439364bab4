//! `clean --lost`: what a damaged or missing segment held is stored again from the sources, though nothing in them changed.

use std::fs;

use serde_json::Value;

use crate::harness::{Ended, need};
use crate::increments::nights::{Nights, number};

/// Backs up trees of every kind of contents, and once more so that the stat cache is believed.
fn nights() -> Nights {
    let mut nights = Nights::new();
    nights.place.sh("cd tree; mkdir sub; seq 60000 > sub/numbers; head -c 300000 /dev/urandom > noise
        { seq 90000; head -c 1500000 /dev/urandom; } > mixed; for i in $(seq 300); do echo $i > sub/small-$i; done");
    nights.backup(&["--segment-size=200K"]);
    nights
}

fn segments(nights: &Nights, which: &str) -> Vec<String> {
    let sql = format!("SELECT file FROM segment WHERE {which}");
    let files: Vec<_> = nights.sql(&sql).lines().map(str::to_owned).collect();
    assert!(!files.is_empty(), "no segment where {which}");
    files
}

fn flip(nights: &Nights, file: &str) {
    let path = nights.place.join("store").join(file);
    let mut bytes = fs::read(&path).expect("is read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).expect("is written");
}

fn delete(nights: &Nights, file: &str) {
    fs::remove_file(nights.place.join("store").join(file)).expect("is removed");
}

fn verify(nights: &Nights, snapshot: &str) -> Ended {
    let snapshot = format!("--snapshot={snapshot}");
    nights
        .place
        .survive(["verify", "--dest=store", "--level=files", &snapshot])
}

/// Verifies the whole store and marks what is damaged.
fn mark_what_verify_finds(nights: &Nights) -> Value {
    let found = nights
        .place
        .survive(["verify", "--dest=store", "--level=files", "--json"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    nights.place.write("found", found.stdout);
    let marked = nights
        .place
        .succeed(["clean", "--localdb=store", "--lost-from=found", "--json"]);
    marked.summary()
}

/// Backs up what has not changed; the snapshot has to be whole.
fn assert_next_is_whole(nights: &mut Nights) -> Value {
    let next = nights.backup(&[]);
    let snapshot = next["snapshot"].as_str().expect("there is a snapshot");
    let verified = verify(nights, snapshot);
    assert_eq!(
        (verified.code, verified.stderr.as_str()),
        (Some(0), ""),
        "{next}"
    );
    nights.assert_restores(&next);
    next
}

/// Damages the segments of one kind, and tells that it takes a marking to get over it.
fn lose(which: &str, damage: fn(&Nights, &str)) {
    let mut nights = nights();
    let first = nights.place.names_ending("store", ".lbs")[0].clone();
    let first = first
        .strip_prefix("snapshot-")
        .and_then(|n| n.strip_suffix(".lbs"));
    let first = first.expect("a descriptor").to_owned();
    let files = segments(&nights, which);
    for file in &files {
        damage(&nights, file);
    }
    let marked = mark_what_verify_finds(&nights);
    assert_eq!(number(&marked, "segments"), files.len() as u64, "{which}");
    assert_next_is_whole(&mut nights);
    let old = verify(&nights, &first);
    assert_eq!(old.code, Some(3), "what is lost stays lost: {old:?}");
    for file in &files {
        let id = file.split('.').next().expect("a name");
        assert!(old.stderr.contains(id), "{file}: {old:?}");
    }
    assert_eq!(number(&nights.backup(&[]), "new_data_bytes"), 0);
}

#[test]
fn damaged_data_is_stored_again() {
    lose("segment_group = 'data'", flip);
}

#[test]
fn missing_data_is_stored_again() {
    lose("segment_group = 'data'", delete);
}

#[test]
fn damaged_metadata_is_written_again() {
    lose("segment_group = 'metadata'", flip);
}

#[test]
fn missing_metadata_is_written_again() {
    lose("segment_group = 'metadata'", delete);
}

#[test]
fn everything_at_once_is_stored_again() {
    lose("1", delete);
}

#[test]
fn one_damaged_segment_of_many_costs_what_was_in_it() {
    let mut nights = nights();
    let file = segments(
        &nights,
        "segment_group = 'data' ORDER BY disk_bytes LIMIT 1",
    )
    .remove(0);
    flip(&nights, &file);
    let without = nights.backup(&[]);
    let damaged = verify(&nights, without["snapshot"].as_str().expect("a name"));
    assert_eq!(damaged.code, Some(3), "a backup cannot see it: {damaged:?}");
    assert!(
        damaged
            .stderr
            .contains("pileus clean --localdb=store --lost="),
        "{damaged:?}"
    );
    let held = nights.sql(&format!(
        "SELECT data_bytes FROM segment WHERE file = '{file}'"
    ));
    let held: u64 = held.trim().parse().expect("a number");
    let lost = format!("--lost=store/{file}");
    nights.place.succeed(["clean", "--localdb=store", &lost]);
    let told = verify(&nights, without["snapshot"].as_str().expect("a name")).stderr;
    assert!(told.contains("nothing new refers to it"), "{told}");
    assert!(!told.contains("pileus clean"), "is done: {told}");
    // Local state of other backups knows nothing of it, and cannot say that nothing is to be done.
    nights
        .place
        .succeed(["backup", "--dest=elsewhere", "--localdb=other", "tree"]);
    let other = ["verify", "--dest=store", "--localdb=other"];
    let told = nights.place.survive(other).stderr;
    assert!(
        told.contains("pileus clean --localdb=DIR --lost="),
        "{told}"
    );
    let next = assert_next_is_whole(&mut nights);
    let all = ["verify", "--dest=store", "--level=files"];
    let told = nights.place.survive(all).stderr;
    let advice = told
        .lines()
        .find_map(|line| line.split_once("without damage: pileus "));
    let (_, prune) = advice.unwrap_or_else(|| panic!("a line to type in {told}"));
    // The nights are ahead of the clock, of which prune warns.
    nights.place.survive(prune.split(' '));
    nights.place.succeed(all);
    let stored = number(&next, "new_data_bytes");
    assert!((1..=held).contains(&stored), "{stored} of {held} bytes");
}

#[test]
fn what_was_compacted_is_stored_again() {
    let mut nights = nights();
    nights.sql("UPDATE segment SET expired = 2 WHERE segment_group = 'data'");
    nights.backup(&[]);
    for file in segments(&nights, "segment_group = 'compacted-2'") {
        flip(&nights, &file);
    }
    mark_what_verify_finds(&nights);
    assert_next_is_whole(&mut nights);
}

#[test]
fn parts_of_a_lost_segment_are_not_used_for_a_changed_file() {
    let mut nights = nights();
    nights.place.sh("printf changed | dd of=tree/mixed bs=1 seek=700000 conv=notrunc 2>&1; head -c 8 /dev/urandom >> tree/noise");
    for file in segments(&nights, "1") {
        flip(&nights, &file);
    }
    mark_what_verify_finds(&nights);
    assert_next_is_whole(&mut nights);
}

#[test]
fn a_snapshot_that_lost_its_metadata_is_not_taken_for_the_same() {
    let mut nights = nights();
    let skip = ["--skip-if-unchanged"];
    assert!(
        nights.backup(&skip)["snapshot"].is_null(),
        "nothing changed"
    );
    for file in segments(&nights, "segment_group = 'metadata'") {
        flip(&nights, &file);
    }
    mark_what_verify_finds(&nights);
    let next = nights.backup(&skip);
    let snapshot = next["snapshot"].as_str().expect("there is a snapshot");
    assert_eq!(verify(&nights, snapshot).code, Some(0));
    assert!(nights.backup(&skip)["snapshot"].is_null());
}

#[test]
fn a_marking_that_is_killed_has_marked_all_or_nothing() {
    need("strace");
    let mut nights = nights();
    let files = segments(&nights, "1");
    for file in &files {
        flip(&nights, file);
    }
    nights.place.write("lost", files.join("\n"));
    let arguments = ["clean", "--localdb=store", "--lost-from=lost"];
    let mut ended = false;
    for at in 1..200 {
        let inject = format!("--inject=pwrite64,ftruncate,fdatasync:signal=KILL:when={at}");
        let under = ["strace", "-qq", "-o/dev/null", "-f", &inject];
        let run = Ended::of(&mut nights.place.command_under(&under, arguments));
        let count = nights.sql("SELECT count(*) FROM segment WHERE expired IS NOT NULL");
        let count: usize = count.trim().parse().expect("a number");
        assert!(count == 0 || count == files.len(), "{count} at step {at}");
        if run.code == Some(0) {
            assert_eq!(count, files.len());
            assert!(at > 3, "some steps were killed");
            ended = true;
            break;
        }
        nights.sql("UPDATE segment SET expired = NULL");
    }
    assert!(ended, "one run in 200 comes to its end");
    let kill = [
        "--filter=kill -9 $PPID; cat",
        "--filter-extension=",
        "--jobs=1",
    ];
    assert_eq!(nights.run(&kill).code, None, "the backup was killed");
    assert_next_is_whole(&mut nights);
}

#[test]
fn a_backup_that_misses_a_segment_says_so_once_and_stores_it_again() {
    let mut nights = nights();
    let file = segments(&nights, "segment_group = 'data'").remove(0);
    delete(&nights, &file);
    let ended = nights.run(&[]);
    ended.assert_one_line(3, &[&file, "is missing", "stored again", "pileus verify"]);
    let ended = nights.run(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let latest = [
        "verify",
        "--dest=store",
        "--snapshot=latest",
        "--level=files",
    ];
    nights.place.succeed(latest);
}

#[test]
fn what_is_no_segment_is_refused_and_an_unknown_one_harmless() {
    let nights = nights();
    let place = &nights.place;
    let run = |more: &str| place.survive(["clean", "--localdb=store", more]);
    run("--lost=noise").assert_one_line(2, &["--lost=noise is no segment", "name it like"]);
    run("--lost-from=missing").assert_one_line(1, &["cannot read missing"]);
    place.write("bad", "# a comment\n\nwhat\n");
    run("--lost-from=bad").assert_one_line(1, &["bad:3: what is no segment"]);
    place.write("failed", "{\"type\":\"error\",\"message\":\"no room\"}\n");
    run("--lost-from=failed").assert_one_line(1, &["failed:1", "verify failed", "no room"]);
    place.write(
        "clean",
        place.succeed(["verify", "--dest=store", "--json"]).stdout,
    );
    let nothing = run("--lost-from=clean");
    assert_eq!(
        (nothing.code, nothing.stdout.as_str()),
        (Some(0), "nothing to mark\n")
    );
    let unknown = run("--lost=00e75d73-0265-4dc2-aadd-91f25d6da412");
    assert!(
        unknown.code == Some(0) && unknown.stdout.contains("is not known here"),
        "{unknown:?}"
    );

    let lost = format!("--lost={}", segments(&nights, "1").remove(0));
    let expired = || nights.sql("SELECT count(*) FROM segment WHERE expired IS NOT NULL");
    let dry = place.succeed(["clean", "--localdb=store", &lost, "--dry-run"]);
    assert!(dry.stdout.contains("1 segment would be marked"), "{dry:?}");
    assert_eq!(expired().trim(), "0");
    for told in ["  marked\n", "  was marked before\n"] {
        assert!(run(&lost).stdout.contains(told), "{told}");
        assert_eq!(expired().trim(), "1");
    }
}
