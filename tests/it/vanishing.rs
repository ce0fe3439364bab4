//! Sources that vanish: what lost most of what it had is warned of, and kept, until somebody says that it is meant.

use crate::harness::{Ended, Place, need};

/// Backs up in the night of a day of October and returns what was said.
fn back_up(place: &Place, day: u32, more: &[&str], paths: &[&str]) -> String {
    let mut arguments = vec!["backup", "--dest=s", "--localdb=d", "--quiet"];
    arguments.extend(more);
    arguments.extend(paths);
    let ended = run(place, day, &arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

/// Prunes to one snapshot and returns the days of those that are left.
fn prune(place: &Place, day: u32) -> Vec<u32> {
    let ended = run(
        place,
        day,
        &["prune", "--dest=s", "--localdb=d", "--keep-last=1"],
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names = place.names_ending("s", ".lbs");
    let days = names.iter().map(|name| {
        let stamp = &name[name.len() - 19..];
        let month: u32 = stamp[4..6].parse().expect("a month");
        let day: u32 = stamp[6..8].parse().expect("a day");
        day + (month - 10) * 31
    });
    days.collect()
}

/// Runs pileus at three in the morning of a day that is counted from the first of October on.
fn run(place: &Place, day: u32, arguments: &[&str]) -> Ended {
    need("faketime");
    // A prune follows an hour later: a snapshot may get its name from the second after.
    let hour = u64::from(arguments[0] == "prune") * 3600;
    let second = 1_790_823_600 + u64::from(day - 1) * 86400 + hour;
    let mut command = place.command_under(&["faketime", &format!("@{second}")], arguments);
    Ended::of(command.env("NO_FAKE_STAT", "1").env("TZ", "UTC"))
}

fn place() -> Place {
    let place = Place::new();
    place.sh(
        "mkdir x y; for n in 1 2 3; do echo $n >x/$n; done; echo much more than all of that >y/f",
    );
    place
}

#[test]
fn a_source_that_was_emptied_is_warned_of_each_night_and_kept_until_that_is_accepted() {
    let place = place();
    assert_eq!(back_up(&place, 1, &[], &["x", "y"]), "");
    assert_eq!(back_up(&place, 2, &[], &["x", "y"]), "");
    place.sh("mv x aside; mkdir x");
    for day in 3..=5 {
        let told = back_up(&place, day, &[], &["x", "y"]);
        for part in [
            "pileus: x has lost most",
            "in snapshot 20261002T0300",
            "0 entries with 0 B are left of 3 entries with 6 B",
            "--accept-loss",
            "for a month at most",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert_eq!(told.lines().count(), 1, "{told}");
        assert_eq!(prune(&place, day), [2, day]);
    }
    assert_eq!(back_up(&place, 6, &["--accept-loss"], &["x", "y"]), "");
    assert_eq!(prune(&place, 6), [6]);
    assert_eq!(back_up(&place, 7, &[], &["x", "y"]), "");
}

#[test]
fn a_source_that_is_whole_again_is_not_warned_of() {
    let place = place();
    back_up(&place, 1, &[], &["x"]);
    place.sh("mv x aside; mkdir x");
    let skip = ["--skip-if-unchanged"];
    assert!(back_up(&place, 2, &skip, &["x"]).contains("lost most"));
    assert!(back_up(&place, 3, &skip, &["x"]).contains("lost most"));
    place.sh("rmdir x; mv aside x");
    assert_eq!(back_up(&place, 4, &skip, &["x"]), "");
    assert_eq!(prune(&place, 4), [4]);
}

#[test]
fn a_loss_that_a_snapshot_has_for_a_month_is_taken_as_meant() {
    let place = place();
    back_up(&place, 1, &[], &["x"]);
    place.sh("rm x/*");
    assert!(back_up(&place, 2, &[], &["x"]).contains("lost most"));
    assert!(back_up(&place, 31, &[], &["x"]).contains("lost most"));
    assert_eq!(prune(&place, 31), [1, 31]);
    assert_eq!(back_up(&place, 32, &["--skip-if-unchanged"], &["x"]), "");
    assert_eq!(prune(&place, 32), [32]);
}

#[test]
fn bytes_that_are_lost_count_and_accepting_works_where_nothing_else_is_new() {
    let place = place();
    back_up(&place, 1, &[], &["y"]);
    place.sh(": >y/f");
    let told = back_up(&place, 2, &[], &["y"]);
    assert!(
        told.contains("1 entry with 0 B are left of 1 entry with 27 B"),
        "{told}"
    );
    back_up(&place, 3, &["--accept-loss", "--skip-if-unchanged"], &["y"]);
    assert_eq!(prune(&place, 3), [3]);
}

#[test]
fn a_dry_run_warns_of_a_loss_and_accepts_none() {
    let place = place();
    back_up(&place, 1, &[], &["x"]);
    place.sh("rm x/*");
    assert!(back_up(&place, 2, &["--dry-run"], &["x"]).contains("lost most"));
    back_up(&place, 2, &["--dry-run", "--accept-loss"], &["x"]);
    assert!(back_up(&place, 3, &[], &["x"]).contains("lost most"));
}
