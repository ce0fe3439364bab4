//! What a prune keeps though no rule says so, because it cannot know better, and what cannot make it take more.

use super::*;
use crate::age::Age;

#[test]
fn young_orphans_wait() {
    let place = place_of_three();
    for name in [file_of(9), format!(".{}.part", file_of(8))] {
        let recently = now().as_second() - 3600;
        place.age(&name, recently.try_into().expect("after 1970"));
    }
    place.file("snapshot-a-20261110T000000.sha1sums");
    let mut options = place.options(&[(Period::Last, 1)]);
    let (removed, _) = prune(&options);
    assert_eq!(
        removed.segments, 3,
        "the lock says that no run needs what was freed"
    );
    assert!(place.has(9));
    assert!(!place.path("snapshot-a-20261110T000000.sha1sums").exists());
    // No age at all still spares what was written since the lock was taken.
    options.orphans_before = now();
    place.age(
        &file_of(9),
        now().as_second().try_into().expect("after 1970"),
    );
    prune(&options);
    assert!(place.has(9));
    place.age(
        &file_of(9),
        (now().as_second() - 1).try_into().expect("after 1970"),
    );
    prune(&options);
    assert!(!place.has(9));
}

#[test]
fn an_unreadable_descriptor_keeps_all_segments_and_is_named() {
    for text in ["", "Format: LBS Snapshot v0.6\n", "\u{0}\u{1}"] {
        let place = place_of_three();
        place.file(&file_of(7));
        fs::write(place.path("snapshot-b-20261101T000000.lbs"), text).expect("is written");
        let mut options = place.options(&[(Period::Last, 1)]);
        let (removed, told) = prune(&options);
        assert_eq!(
            (removed.snapshots, removed.segments, removed.problems),
            (2, 0, 2)
        );
        let named = told
            .iter()
            .filter(|line| line.contains("b-20261101T000000"));
        assert_eq!(named.count(), 2, "{told:?}");
        assert!([1, 2, 3, 4, 5, 7, 9].into_iter().all(|n| place.has(n)));
        // Giving it up lets the rest go on.
        options.remove = vec![snapshot("b-20261101T000000")];
        let (removed, _) = prune(&options);
        assert_eq!(
            (removed.snapshots, removed.segments, removed.problems),
            (1, 5, 0)
        );
        place.assert_sound();
    }
}

#[test]
fn a_descriptor_that_was_cut_short_counts_as_unreadable() {
    let place = place_of_three();
    let path = place.path("snapshot-a-20261103T000000.lbs");
    let text = fs::read_to_string(&path).expect("is read");
    let cut = text.find("Segments:\n").expect("has segments") + "Segments:\n".len();
    fs::write(&path, &text[..cut]).expect("is written");
    let (removed, told) = prune(&place.options(&[(Period::Last, 1)]));
    assert_eq!((removed.segments, removed.problems), (0, 2));
    assert!(
        told.iter()
            .any(|line| line.contains("does not list the segment of its own root"))
    );
    assert!(place.has(4) && place.has(5));
    let names = place.names();
    assert!(
        names.contains("snapshot-a-20261102T000000.lbs"),
        "the newest good one stays"
    );
}

#[test]
fn a_snapshot_that_appears_meanwhile_keeps_its_segments() {
    let place = place_of_three();
    let options = place.options(&[(Period::Last, 1)]);
    let told = Told::new(usize::MAX);
    let planned = Prune::prepare(&options, now(), &told).expect("plans");
    place.snapshot("b-20261121T120000", &[1, 9]);
    let removed = planned.execute().expect("prunes");
    assert_eq!(removed.segments, 2);
    assert!(place.has(1) && place.has(9) && !place.has(2));
    place.assert_sound();
    let planned = Prune::prepare(&options, now(), &told).expect("plans");
    fs::write(place.path("snapshot-b-20261121T130000.lbs"), "").expect("is written");
    planned.execute().expect("ends well");
    place.file(&file_of(2));
    let (removed, _) = prune(&options);
    assert_eq!(removed.segments, 0);
}

#[test]
fn a_time_that_cannot_be_true_is_reported_and_makes_nothing_go() {
    let place = place_of_three();
    place.snapshot("a-20270101T000000", &[6]);
    place.snapshot("a-20261102T120000", &[7]);
    let mut known = THREE.to_vec();
    known.push(("a-20270101T000000", &[6]));
    known.push(("a-20261102T120000", &[7]));
    drop(fs::remove_file(place.path(database::FILE_NAME)));
    place.database(&known);
    let (removed, told) = prune(&place.options(&[(Period::Last, 2)]));
    assert_eq!((removed.snapshots, removed.problems), (1, 2), "{told:?}");
    let names = place.names();
    for stays in ["02T000000", "02T120000", "03T000000"] {
        assert!(
            names.contains(&format!("snapshot-a-202611{stays}.lbs")),
            "{stays}"
        );
    }
    assert!(
        told.iter()
            .any(|line| line.starts_with("! a-20270101") && line.contains("later than now"))
    );
    let earlier = "earlier than that of a-20261103T000000";
    assert!(
        told.iter()
            .any(|line| line.starts_with("! a-20261102T12") && line.contains(earlier))
    );
    place.assert_sound();
}

#[test]
fn a_snapshot_that_lost_a_segment_makes_nothing_go() {
    let place = place_of_three();
    fs::remove_file(place.path(&file_of(5))).expect("is removed");
    let told = Told::new(usize::MAX);
    let planned = Prune::prepare(&place.options(&[(Period::Last, 1)]), now(), &told);
    let removed = planned.and_then(Prune::execute).expect("prunes");
    assert_eq!((removed.snapshots, removed.problems), (1, 1));
    let names = place.names();
    assert!(names.contains("snapshot-a-20261102T000000.lbs"));
    assert!(names.contains("snapshot-a-20261103T000000.lbs"));
}

#[test]
fn pinned_snapshots_stay_and_pins_outlive_local_state() {
    let place = place_of_three();
    let rules = [(Period::Last, 1)];
    let mut options = place.options(&[]);
    options.pin = vec![snapshot("a-20261101T000000")];
    let (removed, _) = prune(&options);
    assert_eq!(removed, Removed::default(), "a pin alone removes nothing");
    assert!(place.has(9));
    drop(fs::remove_file(place.path(database::FILE_NAME)));
    let (removed, _) = prune(&place.options(&rules));
    assert_eq!(removed.snapshots, 1);
    place.assert_sound();
    let mut options = place.options(&[]);
    options.remove = vec![snapshot("a-20261101T000000")];
    let refused = Prune::prepare(&options, now(), &Told::new(usize::MAX)).map(|_| ());
    let error = refused.expect_err("is pinned").to_string();
    assert!(
        error.contains("is pinned") && error.contains("--unpin=a-20261101T000000"),
        "{error}"
    );
    options.unpin = options.remove.clone();
    let (removed, _) = prune(&options);
    assert_eq!(removed.snapshots, 1);
    assert!(place.names().iter().all(|name| !name.ends_with(".pinned")));
    place.assert_sound();
}

#[test]
fn the_newest_of_every_scheme_stays_whatever_the_rules_say() {
    let place = place_of_three();
    place.snapshot("b-20200101T000000", &[10]);
    place.snapshot("20200102T000000", &[11]);
    place.snapshot("20200101T000000", &[12]);
    let mut options = place.options(&[(Period::Yearly, 0), (Period::Last, 1)]);
    options.rules.counts.pop();
    options.rules.within = Some(Age::parse("0h").expect("an age"));
    options.scheme = Some(String::new());
    let (removed, _) = prune(&options);
    assert_eq!(
        removed.snapshots, 1,
        "only of the scheme that was asked for"
    );
    options.scheme = None;
    let (removed, _) = prune(&options);
    assert_eq!(removed.snapshots, 2);
    assert!(place.has(5) && place.has(10) && place.has(11));
    place.assert_sound();
}

#[test]
fn checkpoints_stay_until_a_complete_snapshot_follows() {
    let place = place_of_three();
    place.snapshot("a-20261102T120000.checkpoint", &[6]);
    place.snapshot("a-20261104T000000.checkpoint", &[7]);
    place.snapshot("b-20261101T000000.checkpoint", &[8]);
    let (removed, _) = prune(&place.options(&[(Period::Last, 9)]));
    assert_eq!((removed.snapshots, removed.problems), (1, 0));
    assert!(!place.has(6) && place.has(7) && place.has(8));
    // A complete snapshot is named after the beginning of its run: local state knows that it came later.
    drop(fs::remove_file(place.path(database::FILE_NAME)));
    place.database(&[("a-20261104T000000.checkpoint", &[7]), THREE[2]]);
    let (removed, told) = prune(&place.options(&[(Period::Last, 9)]));
    assert_eq!((removed.snapshots, removed.problems), (1, 0), "{told:?}");
    assert!(!place.has(7));
    let mut options = place.options(&[]);
    options.pin = vec![snapshot("b-20261101T000000.checkpoint")];
    let refused = Prune::prepare(&options, now(), &Told::new(usize::MAX)).map(|_| ());
    assert!(
        refused
            .expect_err("a checkpoint")
            .to_string()
            .contains("cannot be pinned")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn forged_times_change_nothing_for_other_snapshots(
        days in prop::collection::btree_set(0_i64..900, 1..25),
        future in prop::collection::btree_set(1_i64..90_000, 0..4),
        past in prop::collection::btree_set(1_i64..9_000, 0..4),
        counts in prop::collection::vec(0_usize..5, 7),
    ) {
        let place = Place::new();
        let name = |time: Timestamp| SnapshotName::new("a", time).to_string();
        let hour = |hours: i64| Timestamp::from_second(now().as_second() + hours * 3600).expect("in range");
        let honest: Vec<_> = days.iter().rev().map(|day| name(hour(-24 * day - 1))).collect();
        let counts: Vec<_> = Period::ALL.into_iter().zip(counts).collect();
        let mut options = place.options(&counts);
        options.dry_run = true;
        options.rules.within = Some(Age::parse("1d").expect("an age"));
        let removed = || {
            let told = Told::new(usize::MAX);
            let planned = Prune::prepare(&options, now(), &told).expect("plans");
            planned.plan().removed().map(|s| s.name.to_string()).collect::<Vec<_>>()
        };
        for name in &honest {
            place.snapshot(name, &[1]);
        }
        let known: Vec<_> = honest.iter().map(|name| (name.as_str(), &[1][..])).collect();
        place.database(&known);
        let before = removed();
        // Published last, in the name of a time to come or of one long before the first.
        let forged: Vec<_> = future.iter().map(|hours| name(hour(*hours)))
            .chain(past.iter().map(|hours| name(hour(-24 * 901 - hours)))).collect();
        for name in &forged {
            place.snapshot(name, &[2]);
        }
        let known: Vec<_> = forged.iter().map(|name| (name.as_str(), &[2][..])).collect();
        place.database(&known);
        prop_assert_eq!(removed(), before);
    }
}
