//! Clocks that are wrong, and time zones by name, path and rule.

use std::process::Command;

use crate::harness::{Ended, Place, need};

mod zones;

/// Runs pileus at a moment (UTC) in a time zone.
fn at_in(place: &Place, time: &str, zone: &str, arguments: &[&str]) -> Ended {
    let mut command = prepared(place, time, arguments);
    Ended::of(command.env("TZ", zone))
}

fn at(place: &Place, time: &str, arguments: &[&str]) -> Ended {
    at_in(place, time, "UTC", arguments)
}

fn prepared(place: &Place, time: &str, arguments: &[&str]) -> Command {
    need("faketime");
    // The wrapper reads its time in the zone of pileus; this form is the same in each.
    let seconds = place.sh(&format!("date -u -d '{time} UTC' +%s"));
    let seconds = format!("@{}", seconds.trim());
    let mut command = place.command_under(&["faketime", &seconds], arguments);
    command.env("NO_FAKE_STAT", "1");
    command
}

/// Backs up a file with these contents and returns what was said.
fn back_up_at(place: &Place, time: &str, contents: &str, more: &[&str]) -> Ended {
    place.write("x/f", contents);
    let mut arguments = vec!["backup", "--dest=s", "--localdb=d"];
    arguments.extend(more);
    arguments.push("x");
    let ended = at(place, time, &arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

fn contents_at(place: &Place, time: &str, snapshot: &str) -> Ended {
    let snapshot = format!("--snapshot={snapshot}");
    at(place, time, &["cat", "--dest=s", &snapshot, "x/f"])
}

/// A store with snapshots of the first and the third of October, and one between them that was made while the clock was years ahead.
fn place_with_one_of_the_future() -> Place {
    let place = Place::new();
    place.sh("mkdir x");
    back_up_at(&place, "2026-10-01 03:00", "day1", &[]);
    back_up_at(&place, "2035-01-01 03:00", "FUTURE", &[]);
    let ended = back_up_at(&place, "2026-10-03 03:00", "day 3", &[]);
    ended.assert_one_line(0, &["20350101T0300", "prune --dest=s"]);
    place
}

#[test]
fn a_snapshot_of_the_future_is_not_the_latest() {
    let place = place_with_one_of_the_future();
    let ended = contents_at(&place, "2026-10-04 12:00", "latest");
    assert_eq!(ended.stdout, "day 3");
    ended.assert_one_line(0, &["20350101T0300"]);
    // Until tonight is no later than now.
    let ended = contents_at(&place, "2034-12-31 23:00", "@2034");
    assert_eq!(ended.stdout, "day 3", "{ended:?}");
    let names = place.names_ending("s", ".lbs");
    let of_the_future = &names.last().expect("there are snapshots")[9..24];
    let ended = contents_at(&place, "2026-10-04 12:00", of_the_future);
    assert_eq!(ended.stdout, "FUTURE", "{ended:?}");
    let ended = contents_at(&place, "2036-01-01 00:00", "latest");
    assert_eq!(ended.stdout, "FUTURE", "{ended:?}");
}

#[test]
fn list_and_report_say_what_is_from_the_future_and_that_snapshots_stopped_coming() {
    let place = Place::new();
    place.sh("mkdir x");
    for day in 1..=5 {
        back_up_at(
            &place,
            &format!("2026-10-0{day} 03:00"),
            &"x".repeat(day),
            &[],
        );
    }
    back_up_at(&place, "2035-01-01 03:00", "FUTURE", &[]);
    let ended = at(&place, "2026-10-20 12:00", &["list", "--dest=s"]);
    ended.assert_one_line(0, &["20350101T0300"]);
    let marked: Vec<_> = ended
        .stdout
        .lines()
        .filter(|line| line.contains("from the future"))
        .collect();
    assert_eq!(marked.len(), 1, "{ended:?}");
    assert!(marked[0].starts_with("20350101T0300"), "{ended:?}");
    let ended = at(
        &place,
        "2026-10-20 12:00",
        &["report", "--dest=s", "-o", "-"],
    );
    ended.assert_one_line(0, &["20350101T0300"]);
    for part in [
        "the last snapshot was made 15 days ago; usually there is one every 24 hours",
        "Snapshot 20350101T0300",
        "<strong>15 days ago</strong>",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

#[test]
fn a_clock_that_is_behind_is_said_and_its_snapshots_can_be_read() {
    let place = Place::new();
    place.sh("mkdir x");
    back_up_at(&place, "2026-10-01 03:00", "day1", &[]);
    back_up_at(&place, "2026-10-02 03:00", "day 2", &[]);
    let ended = contents_at(&place, "2020-01-01 00:10", "latest");
    assert_eq!(ended.stdout, "day 2");
    ended.assert_one_line(
        0,
        &[
            "all 2 snapshots, such as",
            "are from the future: the clock here",
        ],
    );
    let ended = back_up_at(&place, "2020-01-01 00:20", "later day", &[]);
    ended.assert_one_line(0, &["all 2 snapshots", "2020-01-01 00:20 UTC, is behind"]);
    let ended = contents_at(&place, "2020-01-01 00:30", "latest");
    assert_eq!(ended.stdout, "later day");
    let prune = ["prune", "--dest=s", "--localdb=d", "--keep-last=1"];
    let ended = at(&place, "2020-01-01 00:40", &prune);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(place.names_ending("s", ".lbs").len(), 3);
}

#[test]
fn a_snapshot_whose_clock_was_wrong_is_not_taken_for_the_same_as_now() {
    let place = Place::new();
    place.sh("mkdir x");
    place.write("x/f", "same");
    let skip = [
        "backup",
        "--dest=s",
        "--localdb=d",
        "--skip-if-unchanged",
        "x",
    ];
    for (time, snapshots) in [
        ("2035-01-01 03:00", 1),
        ("2026-10-01 03:00", 2),
        ("2026-10-02 03:00", 2),
        ("2020-01-01 00:10", 3),
        ("2026-10-03 03:00", 4),
        ("2026-10-04 03:00", 4),
    ] {
        let ended = at(&place, time, &skip);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let names = place.names_ending("s", ".lbs");
        assert_eq!(names.len(), snapshots, "{time}: {names:?}");
    }
}

#[test]
fn one_snapshot_that_was_ahead_does_not_keep_the_good_ones_from_being_pruned() {
    let place = Place::new();
    place.sh("mkdir x");
    for (time, contents) in [
        ("2026-10-01 03:00", "1"),
        ("2026-10-20 03:00", "ahead"),
        ("2026-10-02 03:00", "22"),
        ("2026-10-03 03:00", "333"),
        ("2026-10-04 03:00", "4444"),
    ] {
        back_up_at(&place, time, contents, &[]);
    }
    let prune = ["prune", "--dest=s", "--localdb=d", "--keep-last=2"];
    let ended = at(&place, "2026-10-21 03:00", &prune);
    ended.assert_one_line(3, &["20261020T0300", "later than that of"]);
    let left = place.names_ending("s", ".lbs");
    let left: Vec<_> = left.iter().map(|name| &name[9..17]).collect();
    assert_eq!(left, ["20261003", "20261004", "20261020"]);
}

#[test]
fn a_time_of_the_last_success_that_has_not_come_is_not_handed_on() {
    let place = Place::new();
    place.sh("mkdir x");
    let backup = ["--metrics-file=m.prom"];
    back_up_at(&place, "2035-01-01 03:00", "FUTURE", &backup);
    let failing = [
        "backup",
        "--dest=s",
        "--localdb=d",
        "--metrics-file=m.prom",
        "nowhere",
    ];
    let ended = at(&place, "2026-10-01 03:00", &failing);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let text = place.sh("cat m.prom");
    assert!(!text.contains("last_success"), "{text}");
}
