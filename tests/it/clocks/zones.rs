//! The local time zone, however it is named.

use super::{at, at_in, back_up_at};
use crate::harness::{Ended, Place};

/// Two snapshots of a summer noon in Berlin, two hours apart: `A` at 13:00 and `BB` at 15:00 there.
fn place_of_summer() -> Place {
    let place = Place::new();
    place.sh("mkdir x");
    back_up_at(&place, "2026-07-01 11:00:00", "A", &[]);
    back_up_at(&place, "2026-07-01 13:00:00", "BB", &[]);
    place
}

fn at_two_in(place: &Place, zone: &str) -> Ended {
    let cat = ["cat", "--dest=s", "--snapshot=@2026-07-01T14:00", "x/f"];
    at_in(place, "2026-07-02 00:00", zone, &cat)
}

#[test]
fn a_time_is_local_by_the_name_the_path_or_the_rule_of_its_zone() {
    let place = place_of_summer();
    for zone in [
        "Europe/Berlin",
        ":Europe/Berlin",
        "/usr/share/zoneinfo/Europe/Berlin",
        ":/usr/share/zoneinfo/Europe/Berlin",
        "posix/Europe/Berlin",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "CET-1CEST",
    ] {
        let ended = at_two_in(&place, zone);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "A"),
            "{zone}"
        );
    }
    for zone in ["UTC", "", ":", "Etc/UTC", "GMT0"] {
        let ended = at_two_in(&place, zone);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "BB"),
            "{zone}"
        );
    }
}

#[test]
fn a_zone_of_a_directory_that_tzdir_names_is_known() {
    let place = place_of_summer();
    place.sh("mkdir -p zones/Own; cp /usr/share/zoneinfo/Europe/Berlin zones/Own/Zone");
    let cat = ["cat", "--dest=s", "--snapshot=@2026-07-01T14:00", "x/f"];
    let mut command = super::prepared(&place, "2026-07-02 00:00", &cat);
    let ended = Ended::of(
        command
            .env("TZ", "Own/Zone")
            .env("TZDIR", place.join("zones")),
    );
    assert_eq!(ended.stdout, "A", "{ended:?}");
}

#[test]
fn a_zone_that_is_not_known_is_said_once_and_nothing_is_taken_for_utc() {
    let place = place_of_summer();
    at_two_in(&place, "Foo/Bar").assert_one_line(1, &["TZ=Foo/Bar", "Europe/Berlin"]);
    let prune = ["prune", "--dest=s", "--localdb=d", "--keep-daily=1"];
    let ended = at_in(&place, "2026-07-03 00:00", "Foo/Bar", &prune);
    ended.assert_one_line(2, &["TZ=Foo/Bar", "Europe/Berlin"]);
    assert_eq!(place.names_ending("s", ".lbs").len(), 2);
    let report = ["report", "--dest=s", "--keep-daily=1", "-o", "-"];
    let ended = at_in(&place, "2026-07-03 00:00", "Foo/Bar", &report);
    assert!(
        ended.stdout.contains("TZ=Foo/Bar is not known"),
        "{ended:?}"
    );
    // What needs no zone goes on without one.
    for arguments in [
        &["cat", "--dest=s", "x/f"][..],
        &["cat", "--dest=s", "--snapshot=@1d", "x/f"],
        &["cat", "--dest=s", "--snapshot=@2026-07-01T14:00:00Z", "x/f"],
        &["prune", "--dest=s", "--localdb=d", "--keep-last=2"],
    ] {
        let ended = at_in(&place, "2026-07-03 00:00", "Foo/Bar", arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn prune_keeps_the_last_snapshot_of_each_local_day() {
    let place = Place::new();
    place.sh("mkdir x");
    for (time, contents) in [
        ("2026-07-01 21:45", "1"),
        ("2026-07-01 22:00", "22"),
        ("2026-07-02 21:45", "333"),
        ("2026-07-02 22:15", "4444"),
    ] {
        back_up_at(&place, time, contents, &[]);
    }
    let prune = ["prune", "--dest=s", "--localdb=d", "--keep-daily=all"];
    let ended = at_in(&place, "2026-07-03 12:00", "Europe/Berlin", &prune);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let left = place.names_ending("s", ".lbs");
    // The clock goes on while a run begins, so the second is not known.
    let left: Vec<_> = left.iter().map(|name| &name[9..22]).collect();
    assert_eq!(left, ["20260701T2145", "20260702T2145", "20260702T2215"]);
    let ended = at(&place, "2026-07-03 12:00", &prune);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(place.names_ending("s", ".lbs").len(), 2);
}
