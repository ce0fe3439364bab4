//! What is wrong with a store gets into local state as little as if it were not there; and a rebuilding that fails changes nothing.

use std::fs;

use super::{PLAIN, lose, three_nights};
use crate::harness::{Ended, HeldRun, Place};
use crate::increments::nights::{Nights, number};

/// Returns the files of the segments of this group, the largest first.
fn segments(nights: &Nights, group: &str) -> Vec<String> {
    let sql = format!(
        "SELECT file FROM segment WHERE segment_group = '{group}' ORDER BY disk_bytes DESC"
    );
    nights
        .sql(&sql)
        .lines()
        .map(|file| format!("store/{file}"))
        .collect()
}

/// Rebuilds with problems, all of which name this; the next backup is then whole.
fn heals(nights: &mut Nights, options: &[&str], named: &str) {
    lose(nights);
    let arguments = [&["rebuild", "--dest=store"], options].concat();
    let ended = nights.place.run(arguments);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.stderr.lines().all(|line| line.contains(named)),
        "{ended:?}"
    );
    let summary = nights.backup(PLAIN);
    nights.assert_restores(&summary);
    let snapshot = format!(
        "--snapshot={}",
        summary["snapshot"].as_str().expect("is there")
    );
    nights
        .place
        .succeed(["verify", "--dest=store", "--level=files", &snapshot]);
}

fn id(file: &str) -> &str {
    &file["store/".len().."store/".len() + 36]
}

#[test]
fn what_a_missing_segment_had_is_stored_again() {
    for options in [&[][..], &["--deep"]] {
        let mut nights = three_nights();
        let lost = segments(&nights, "data").remove(0);
        nights.place.sh(&format!("rm {lost}"));
        heals(&mut nights, options, id(&lost));
    }
}

#[test]
fn what_a_damaged_segment_had_is_stored_again_after_a_deep_rebuild() {
    let mut nights = three_nights();
    let lost = segments(&nights, "data").remove(0);
    let path = nights.place.join(&lost);
    let bytes = fs::read(&path).expect("is read");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("is cut");
    heals(&mut nights, &["--deep"], id(&lost));
}

#[test]
fn a_wrong_byte_that_only_the_sums_tell_is_damage_to_a_deep_rebuild() {
    let mut nights = three_nights();
    let lost = segments(&nights, "data").remove(0);
    let path = nights.place.join(&lost);
    let mut bytes = fs::read(&path).expect("is read");
    // In the contents of a file, so the segment can be read to its end as before.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("is written");
    heals(&mut nights, &["--deep"], id(&lost));
}

#[test]
fn files_whose_entries_are_lost_are_read_again() {
    let mut nights = three_nights();
    let lost = segments(&nights, "metadata").pop().expect("there is one");
    nights.place.sh(&format!("rm {lost}"));
    heals(&mut nights, &[], id(&lost));
}

#[test]
fn a_snapshot_whose_sums_are_damaged_vouches_for_nothing() {
    let mut nights = three_nights();
    let sums = nights.place.names_ending("store", ".sha1sums").remove(0);
    nights.place.sh(&format!("sed -i '1s/^./x/' store/{sums}"));
    let snapshot = sums.strip_suffix(".sha1sums").expect("ends so");
    let name = snapshot
        .strip_prefix("snapshot-")
        .expect("begins so")
        .to_owned();
    heals(&mut nights, &[], &name);
}

#[test]
fn a_segment_that_another_machine_prunes_during_the_run_is_not_referred_to() {
    let place = Place::new();
    place.sh("mkdir one two; head -c 300000 /dev/urandom >one/shared; echo x >one/x");
    let one = [
        "backup",
        "--dest=store",
        "--localdb=l1",
        "--scheme=one",
        "--accept-loss",
        "one",
    ];
    place.succeed(one);
    place.sh("mv one/shared two/shared; head -c 90000 /dev/urandom >two/zz; sleep 1");
    place.succeed(one);
    place.succeed(["rebuild", "--dest=store", "--localdb=l2", "--deep"]);
    let run = HeldRun::start(&place, &["--localdb=l2", "--scheme=two", "two"]);
    let prune = [
        "prune",
        "--dest=store",
        "--localdb=l1",
        "--scheme=one",
        "--keep-last=1",
    ];
    place.succeed(prune);
    let ended = run.finish();
    ended.assert_one_line(
        1,
        &["went from store", "there is no snapshot", "run it again"],
    );
    assert!(
        !place
            .succeed(["list", "--dest=store"])
            .stdout
            .contains("two-")
    );
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=l2",
        "--scheme=two",
        "two",
    ]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--scheme=two", "--target=back"]);
    place.sh("diff -r two back/two");
}

#[test]
fn a_descriptor_that_cannot_be_used_is_named_and_passed_over() {
    let mut nights = three_nights();
    let last = nights
        .place
        .names_ending("store", ".lbs")
        .pop()
        .expect("is there");
    nights.place.sh(&format!("echo nonsense >store/{last}"));
    lose(&nights);
    let ended = nights.place.run(["rebuild", "--dest=store", "--json"]);
    assert_eq!(ended.code, Some(3));
    let name = last
        .trim_start_matches("snapshot-")
        .trim_end_matches(".lbs");
    assert!(
        ended.stderr.contains(name) && ended.stderr.lines().count() == 1,
        "{ended:?}"
    );
    assert_eq!(number(&ended.summary(), "snapshots"), 2);
    let summary = nights.backup(PLAIN);
    nights.assert_restores(&summary);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let nights = three_nights();
    let before = nights.sql(".dump");
    let place = &nights.place;
    let failing: [(&str, &[&str]); 5] = [
        ("--dest=nowhere", &["there is no store nowhere"]),
        ("--dest=tree", &["no snapshot in tree"]),
        (
            "--dest=store --scheme=q",
            &["no snapshot of scheme q in store"],
        ),
        (
            "--dest=tree/sub --scheme=",
            &["no snapshot without a scheme in tree/sub"],
        ),
        ("--dest=store --jobs=0", &["--jobs=0"]),
    ];
    for (arguments, parts) in failing {
        let arguments = [&["rebuild"][..], &arguments.split(' ').collect::<Vec<_>>()].concat();
        let code = if parts[0].starts_with("--") { 2 } else { 1 };
        place.run(arguments).assert_one_line(code, parts);
    }
    let other = Place::new();
    other.sh("mkdir tree; echo 1 >tree/1");
    other.succeed(["backup", "--dest=store", "tree"]);
    let dest = format!("--dest={}", other.join("store").display());
    let ended = place.run(["rebuild", &dest, "--localdb=store"]);
    ended.assert_one_line(1, &["belongs to another store"]);
    let under = ["flock", "store/localdb.lock"];
    let mut locked = place.command_under(&under, ["rebuild", "--dest=store"]);
    Ended::of(&mut locked).assert_one_line(4, &["is in use"]);
    place.sh("chmod -R a+rX . && mkdir bad && cp -a store/*.lbs store/*.sha1sums bad");
    place.sh("for f in store/*.tar; do gzip -c $f >bad/$(basename $f).foo; done");
    place.sh("sed -i s/tar$/tar.foo/ bad/*.sha1sums");
    let ended = place.run(["rebuild", "--dest=bad", "--localdb=store"]);
    ended.assert_one_line(1, &["--unfilter=COMMAND"]);
    let undone_wrongly = ["rebuild", "--dest=bad", "--localdb=store", "--unfilter=cat"];
    let ended = place.run(undone_wrongly);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(last.contains("see that --unfilter is"), "{ended:?}");
    assert_eq!(nights.sql(".dump"), before);
}
