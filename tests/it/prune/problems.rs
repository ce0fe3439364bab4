//! Snapshots whose backups had problems: the rules count them, and a warning says what goes with the last one without.

use super::{prune, snapshots};
use crate::harness::Place;

/// Backs up what a list names: a name that is not there is a problem.
fn backup(place: &Place, list: &str, code: i32) {
    place.write("list", list);
    let ended = place.run([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=s",
        "--files-from=list",
    ]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

const GOOD: (&str, i32) = ("tree\n", 0);
const BAD: (&str, i32) = ("tree\nnowhere\n", 3);

fn place(backups: &[(&str, i32)]) -> (Place, Vec<String>) {
    let place = Place::new();
    place.sh("mkdir tree; echo 1 > tree/file");
    for (list, code) in backups {
        backup(&place, list, *code);
    }
    let names = snapshots(&place);
    (place, names)
}

#[test]
fn the_last_snapshot_without_problems_does_not_go_without_a_word() {
    let (place, names) = place(&[GOOD, GOOD, BAD, BAD]);
    let warning = format!(
        "pileus: no snapshot of scheme s is kept whose backup had no problems: the newest such one, {0}, goes (--pin={0} keeps it)\n",
        names[1]
    );
    let dry = prune(&place, &["--keep-last=2", "--dry-run"]);
    assert_eq!((dry.code, &dry.stderr), (Some(0), &warning));
    let json = prune(&place, &["--keep-last=2", "--dry-run", "--json"]);
    assert!(json.stdout.contains("\"type\":\"warning\""), "{json:?}");
    // It does as it is told.
    let pinned = prune(
        &place,
        &["--keep-last=2", "--dry-run", &format!("--pin={}", names[1])],
    );
    assert_eq!((pinned.code, pinned.stderr.as_str()), (Some(0), ""));
    let by_name = prune(&place, &[&format!("--remove={}", names[1])]);
    assert_eq!((by_name.code, by_name.stderr.as_str()), (Some(0), ""));
    let done = prune(&place, &["--keep-last=1"]);
    let warning = warning
        .replace("keeps", "would have kept")
        .replace(&names[1], &names[0]);
    assert_eq!((done.code, done.stderr), (Some(0), warning));
    assert_eq!(snapshots(&place), names[3..], "what is kept is the same");
    let again = prune(&place, &["--keep-last=1"]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
}

#[test]
fn where_one_without_problems_stays_or_none_was_there_nothing_is_said() {
    for backups in [[GOOD, BAD, GOOD], [BAD, BAD, BAD]] {
        let (place, names) = place(&backups);
        let ended = prune(&place, &["--keep-last=1"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(snapshots(&place), names[2..]);
    }
}
