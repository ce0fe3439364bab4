//! Runs that end in the middle: what a checkpoint saves, what it is to readers, and when it goes.
//!
//! A filter program tells where a run is: it ends the run, or waits, at the segment that the test wants. So nothing depends on time
//! but the names of checkpoints, and for these a clock is loaded that goes on by a second whenever it is looked at.

use std::process::Stdio;

use crate::harness::{Ended, HeldRun};
use crate::increments::nights::{Nights, number};
use crate::increments::portable;

const MEGABYTE: u64 = 1 << 20;

/// Checkpoints every megabyte, segments of 256 KiB, filtered one at a time.
const OFTEN: &[&str] = &["--checkpoint=1M", "--segment-size=256K", "--jobs=1"];

/// What lies between the counting of a block and its segment being safe: the segments that are open, and one block.
const IN_FLIGHT: u64 = 3 * MEGABYTE;

/// Bytes of the trees.
const ALL: u64 = 20_000_000;

/// Makes a tree of 100 files of 200 kB of noise.
fn nights() -> Nights {
    let nights = Nights::new();
    nights.place.python(
        "import random\nfor i in range(100): open('tree/file-%03d' % i, 'wb').write(random.Random(i).randbytes(200_000))",
        &[],
    );
    nights
}

/// Ends a run with a signal, or as a failing filter, at its nth segment.
fn end_at(nights: &mut Nights, segment: u32, how: &str, more: &[&str]) -> Ended {
    std::fs::write(nights.place.join("countdown"), segment.to_string()).expect("is written");
    let filter = format!(
        "--filter=left=$(($(cat countdown) - 1)); echo $left >countdown; [ $left != 0 ] || {how}; cat"
    );
    let arguments = [OFTEN, &[&filter, "--filter-extension="], more].concat();
    Ended::of(nights.command(&[], &arguments).env("TEST_TICK", "1"))
}

/// Returns what is in segments, those that no snapshot refers to as well.
fn bytes_of_segments(nights: &Nights) -> u64 {
    let count = nights
        .place
        .sh("find store -name '*.tar' -exec cat {} + | wc -c");
    count.trim().parse().expect("is a number")
}

fn checkpoints(nights: &Nights) -> Vec<String> {
    nights.place.names_ending("store", ".checkpoint.lbs")
}

fn complete(nights: &mut Nights, more: &[&str]) -> serde_json::Value {
    let arguments = [OFTEN, &["--compression=none"], more].concat();
    nights.backup_with(&[("TEST_TICK", "1")], &arguments)
}

#[test]
fn a_run_that_is_killed_anywhere_loses_one_checkpoint_and_what_was_in_flight() {
    for segment in [2, 9, 23, 41] {
        let mut nights = nights();
        let ended = end_at(&mut nights, segment, "kill -9 $PPID", &[]);
        assert_eq!(ended.code, None, "{ended:?}");
        let written = bytes_of_segments(&nights);
        let summary = complete(&mut nights, &[]);
        // What the killed run wrote is not stored again, and what is in its checkpoint is not even read again.
        let lost = MEGABYTE + IN_FLIGHT;
        for field in ["new_data_bytes", "read_bytes"] {
            let again = number(&summary, field);
            assert!(
                again + written <= ALL + lost,
                "{segment}: {written} {summary}"
            );
            assert!(again <= ALL, "{segment}: {summary}");
        }
        assert!(checkpoints(&nights).is_empty(), "{segment}");
        nights.assert_restores(&summary);
        portable::check(&nights.place, "store", &[]);
        nights
            .place
            .sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
        assert_eq!(number(&complete(&mut nights, &[]), "read_bytes"), 0);
    }
}

#[test]
fn a_checkpoint_is_a_snapshot_of_what_was_walked_and_not_the_latest() {
    let mut nights = nights();
    let first = complete(&mut nights, &[]);
    nights.place.python(
        "import random\nfor i in range(100): open('tree/file-%03d' % i, 'wb').write(random.Random(1000 + i).randbytes(200_000))",
        &[],
    );
    end_at(&mut nights, 40, "kill -9 $PPID", &[]);
    let there = checkpoints(&nights);
    assert_eq!(there.len(), 1, "older checkpoints are gone: {there:?}");
    let name = there[0]
        .strip_prefix("snapshot-")
        .and_then(|name| name.strip_suffix(".lbs"));
    let name = name.expect("is the name of a descriptor");
    portable::check(&nights.place, "store", &[name]);
    let place = &nights.place;
    let list = place.succeed(["list", "--dest=store"]).stdout;
    let line = list
        .lines()
        .find(|line| line.contains(name))
        .expect("is listed");
    assert!(line.ends_with("checkpoint"), "{line}");
    let latest = place.succeed(["ls", "--dest=store", "tree/file-099"]);
    assert_eq!(
        latest.stdout, "tree/file-099\n",
        "the latest is the complete one"
    );
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed([
        "restore",
        "--dest=store",
        "--target=part",
        &format!("--snapshot={name}"),
    ]);
    place.sh(&format!(
        "python3 \"$PROJECT/docs/restore.py\" store by-script {name}"
    ));
    for back in ["part", "by-script"] {
        let count = place.sh(&format!(
            "for f in {back}/tree/*; do cmp $f tree/${{f##*/}}; echo; done | wc -l"
        ));
        let count: u64 = count.trim().parse().expect("is a number");
        assert!((20..100).contains(&count), "{count}");
    }
    place.succeed(["restore", "--dest=store", "--target=before"]);
    place.sh("! cmp -s before/tree/file-000 tree/file-000");
    let second = complete(&mut nights, &[]);
    assert!(checkpoints(&nights).is_empty());
    nights.assert_restores(&second);
    let first = first["snapshot"].as_str().expect("is there");
    nights.place.succeed([
        "restore",
        "--dest=store",
        "--target=first",
        &format!("--snapshot={first}"),
    ]);
}

#[test]
fn checkpoints_of_other_schemes_stay_and_one_s_own_on_request() {
    let mut nights = nights();
    end_at(&mut nights, 30, "kill -9 $PPID", &["--scheme=other"]);
    assert_eq!(checkpoints(&nights).len(), 1);
    let summary = complete(&mut nights, &["--deduplicate=never", "--leave-checkpoints"]);
    let left = checkpoints(&nights).len();
    assert!(left > 10, "{left}");
    nights
        .place
        .succeed(["verify", "--dest=store", "--level=objects"]);
    nights.assert_restores(&summary);
    complete(&mut nights, &[]);
    assert_eq!(checkpoints(&nights).len(), 1, "that of the other scheme");
    complete(&mut nights, &["--scheme=other"]);
    assert!(checkpoints(&nights).is_empty());
}

#[test]
fn a_run_that_is_told_to_end_leaves_a_checkpoint() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut nights = nights();
        let ended = end_at(&mut nights, 20, &format!("kill -{signal} $PPID"), &[]);
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.contains("interrupted"), "{ended:?}");
        let told = ended
            .stdout
            .lines()
            .rev()
            .find(|line| line.contains("summary"))
            .expect("a summary");
        let told: serde_json::Value = serde_json::from_str(told).expect("is JSON");
        assert_eq!(told["interrupted"], true);
        let name = told["snapshot"].as_str().expect("there is a checkpoint");
        assert_eq!(checkpoints(&nights), [format!("snapshot-{name}.lbs")]);
        let stored = number(&told, "new_data_bytes");
        let summary = complete(&mut nights, &[]);
        // All that was stored is in the checkpoint; the file that was being read is read again.
        assert_eq!(
            number(&summary, "new_data_bytes") + stored,
            ALL,
            "{summary}"
        );
        assert!(
            number(&summary, "read_bytes") <= ALL - stored + 400_000,
            "{told} {summary}"
        );
        nights.assert_restores(&summary);
    }
}

#[test]
fn a_run_that_ends_within_its_first_file_has_no_snapshot_but_remembers_blocks() {
    for how in ["kill -9 $PPID", "kill -TERM $PPID", "exit 1"] {
        let mut nights = Nights::new();
        nights.place.sh("head -c 20000000 /dev/urandom >tree/large");
        let ended = end_at(&mut nights, 12, how, &[]);
        assert_ne!(ended.code, Some(0));
        let written = bytes_of_segments(&nights);
        assert!(written > 4 * MEGABYTE, "{how}: {written}");
        let summary = complete(&mut nights, &[]);
        let new = number(&summary, "new_data_bytes");
        assert!(
            new + written <= ALL + MEGABYTE + IN_FLIGHT,
            "{how}: {written} {summary}"
        );
        nights.assert_restores(&summary);
        assert!(checkpoints(&nights).is_empty());
    }
}

#[test]
fn a_file_of_the_last_snapshot_that_a_checkpoint_cuts_is_still_compared_with_it() {
    let mut nights = nights();
    nights
        .place
        .sh("head -c 12000000 /dev/urandom >tree/m-large");
    complete(&mut nights, &[]);
    // Every block of it has one other byte, and so has every file before and behind it.
    nights.place.python(
        "
import os
for name in os.listdir('tree'):
    with open('tree/' + name, 'r+b') as f:
        for at in range(1000, os.path.getsize('tree/' + name), 1 << 20): f.seek(at); f.write(b'changed')",
        &[],
    );
    let summary = complete(&mut nights, &["--leave-checkpoints"]);
    assert!(
        number(&summary, "new_data_bytes") < 113 * 3 * 4096,
        "{summary}"
    );
    nights.assert_restores(&summary);
    portable::check(&nights.place, "store", &[]);
    assert_eq!(number(&complete(&mut nights, &[]), "read_bytes"), 0);
}

#[test]
fn nights_that_always_end_early_come_to_an_end_all_the_same() {
    let mut nights = nights();
    let mut rounds = 0;
    while end_at(&mut nights, 12, "kill -9 $PPID", &[]).code.is_none() {
        rounds += 1;
        assert!(rounds < 60, "no progress");
    }
    assert!(rounds > 3, "{rounds}");
    let summary = complete(&mut nights, &[]);
    assert_eq!(number(&summary, "new_data_bytes"), 0);
    assert!(checkpoints(&nights).is_empty());
    nights.assert_restores(&summary);
    nights
        .place
        .succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_second_run_at_the_same_time_is_told_who_runs() {
    let nights = nights();
    let place = &nights.place;
    let held = HeldRun::start(place, &["tree"]);
    let second = place.run(["backup", "--dest=store", "tree"]);
    second.assert_one_line(4, &["process"]);
    let readers = place
        .command(["list", "--dest=store"])
        .stdout(Stdio::null())
        .status();
    assert!(
        readers.expect("starts").success(),
        "readers are not held up"
    );
    assert_eq!(held.finish().code, Some(0));
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

/// Lost the files that only the larger checkpoint had.
#[test]
fn a_checkpoint_of_an_earlier_run_stays_until_a_complete_snapshot_is_made() {
    let mut nights = nights();
    end_at(&mut nights, 41, "kill -9 $PPID", &[]);
    let first = checkpoints(&nights);
    assert_eq!(first.len(), 1, "{first:?}");
    end_at(&mut nights, 2, "kill -TERM $PPID; sleep 0.3", &[]);
    let both = checkpoints(&nights);
    assert!(both.contains(&first[0]), "{first:?} {both:?}");
    complete(&mut nights, &[]);
    assert_eq!(checkpoints(&nights), [""; 0]);
}

/// Ended every later run, since local state names what was cleared away.
#[test]
fn what_no_snapshot_needs_may_be_cleared_away_and_is_stored_again() {
    let mut nights = nights();
    end_at(&mut nights, 41, "kill -9 $PPID", &[]);
    nights
        .place
        .sh("rm store/*.checkpoint.* store/*.tar; rm -f store/.*.part");
    let summary = complete(&mut nights, &[]);
    assert_eq!(number(&summary, "new_data_bytes"), ALL);
    nights.assert_restores(&summary);
}
