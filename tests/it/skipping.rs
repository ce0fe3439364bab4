//! `--skip-if-unchanged`: a snapshot only where there is something new.

use crate::harness::Place;

const SKIPPING: [&str; 5] = [
    "backup",
    "--dest=store",
    "--json",
    "--skip-if-unchanged",
    "src",
];

/// Runs a backup, which has to make a snapshot or not.
fn backup(place: &Place, arguments: &[&str], makes_one: bool) {
    let before = place.names_ending("store", ".lbs");
    let summary = place.succeed(SKIPPING.iter().chain(arguments)).summary();
    let after = place.names_ending("store", ".lbs");
    assert_eq!(
        after.len() > before.len(),
        makes_one,
        "{arguments:?} {summary}"
    );
    assert_eq!(summary["snapshot"].is_null(), !makes_one, "{summary}");
    assert_eq!(summary["same_as"].is_string(), !makes_one, "{summary}");
    if !makes_one {
        let leftovers = [
            place.names_ending("store", ".part"),
            place.names_ending("store", "~part"),
        ]
        .concat();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}

fn place() -> Place {
    let place = Place::new();
    place.write("src/a/file", "contents\n");
    place.write("src/b", "more\n");
    place.sh("mkdir store; ln -s b src/link; ln src/b src/hard; mkdir src/empty");
    place
}

#[test]
fn nothing_is_written_where_nothing_changed_even_just_before() {
    let place = place();
    backup(&place, &[], true);
    for _ in 0..2 {
        let segments = place.names("store");
        backup(&place, &[], false);
        assert_eq!(place.names("store"), segments);
    }
    backup(&place, &["--reread"], false);
    assert_eq!(
        place
            .succeed(SKIPPING.iter().filter(|word| **word != "--json"))
            .stdout,
        ""
    );
}

#[test]
fn whatever_changed_makes_a_snapshot() {
    let place = place();
    backup(&place, &[], true);
    for change in [
        "echo other >src/b",
        "chmod 600 src/b",
        "touch src/empty/new",
        "rm src/empty/new",
        "rm src/link; ln -s a src/link",
        "rm src/hard",
        "mv src/a/file src/a/renamed",
        "chmod 700 src/empty",
        "touch -d 2001-01-01 src/empty",
        // The last entry of all.
        "rm src/link",
    ] {
        place.sh(change);
        backup(&place, &[], true);
        backup(&place, &[], false);
    }
}

#[test]
fn what_is_asked_for_counts_too() {
    let place = place();
    backup(&place, &[], true);
    backup(&place, &["--exclude=b"], true);
    backup(&place, &["--exclude=b"], false);
    backup(&place, &["--full-metadata"], true);
    // Of another series there is no snapshot yet.
    backup(&place, &["--scheme=other"], true);
    backup(&place, &[], false);
    // A snapshot that is gone has nothing.
    place.sh("rm store/snapshot-2*.lbs");
    backup(&place, &[], true);
    place.sh("rm store/localdb.sqlite");
    let before = place.names_ending("store", ".lbs").len();
    let ended = place.run(SKIPPING);
    ended.assert_one_line(0, &["there is no local state yet"]);
    assert_eq!(place.names_ending("store", ".lbs").len(), before + 1);
}
