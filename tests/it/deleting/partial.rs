//! Directories of which a snapshot does not have everything: nothing in them is superfluous.

use super::{delete_as_foretold, deleted};
use crate::harness::{Ended, Place, need_own_mounts, root_for};

/// Backs up one source, restores it over `back` with `--delete`, and returns what was deleted.
fn night(place: &Place, arguments: &[&str]) -> Vec<String> {
    place.succeed(["backup", "--dest=store"].iter().chain(arguments));
    let ended = delete_as_foretold(place, &[]);
    deleted(&ended).iter().map(ToString::to_string).collect()
}

/// Makes a home that changed last long ago, so that an unchanged night keeps its entry.
fn home() -> Place {
    let place = Place::new();
    place.sh("mkdir -p home/anna back/home/anna; touch home/anna/one; sleep 2.1; touch back/home/beside back/home/anna/gone");
    place
}

#[test]
fn a_directory_above_a_source_that_becomes_one_is_recorded_anew() {
    let place = home();
    for rebuilt in [false, true] {
        place.sh("touch back/home/beside back/home/anna/gone");
        assert_eq!(night(&place, &["home/anna"]), ["home/anna/gone"]);
        if rebuilt {
            place.succeed(["rebuild", "--dest=store"]);
        }
        place.sh("touch back/home/anna/gone");
        assert_eq!(night(&place, &["home"]), ["home/anna/gone", "home/beside"]);
        if rebuilt {
            place.succeed(["rebuild", "--dest=store"]);
        }
        place.sh("touch back/home/beside");
        assert_eq!(night(&place, &["home/anna"]), [""; 0]);
    }
}

#[test]
fn an_unchanged_night_writes_no_stanza_and_is_the_same_snapshot() {
    let place = home();
    let backup = ["backup", "--dest=store", "--json", "--skip-if-unchanged"];
    let snapshots = |source: &str| {
        place.succeed(backup.iter().chain(&[source]));
        place.names_ending("store", ".lbs").len()
    };
    assert_eq!(snapshots("home/anna"), 1);
    assert_eq!(snapshots("home/anna"), 1);
    // The same entries, but one of them means something else.
    assert_eq!(snapshots("home"), 2);
    assert_eq!(snapshots("home"), 2);
    for source in ["home", "home/anna"] {
        let backup = ["backup", "--dest=store", source];
        place.succeed(backup);
        let before = place.names_ending("store", ".tar.bz2").len();
        place.succeed(backup);
        let after = place.names_ending("store", ".tar.bz2").len();
        // The root alone is new, or not even that.
        assert!(after <= before + 1);
        place.sh("rm -rf extracted; mkdir extracted; cd extracted; f=$(ls -t ../store/*.tar.bz2 | head -n 1); tar xjf $f; ! grep -rl '^name: ' .");
    }
}

#[test]
fn the_directory_of_a_source_that_is_a_file_is_partial() {
    let place = home();
    place.sh("touch home/file");
    assert_eq!(night(&place, &["home/file"]), [""; 0]);
    place.sh("touch back/home/anna/gone back/home/beside");
}

#[test]
fn beside_the_new_name_of_a_source_everything_stays() {
    let place = home();
    place.sh("mkdir -p back/x/y; touch back/x/beside back/x/y/gone");
    assert_eq!(night(&place, &["--as-path=x/y", "home/anna"]), ["x/y/gone"]);
    place.sh("test -e back/x/beside");
}

#[test]
fn what_lies_on_a_file_system_that_was_not_entered_stays() {
    if !root_for("mount what it likes") {
        return;
    }
    need_own_mounts();
    let place = Place::new();
    place.sh(
        "mkdir -p tree/mounted tree/proc tree/dir back/tree/mounted back/tree/proc back/tree/dir
        touch back/tree/mounted/x back/tree/proc/x back/tree/dir/gone",
    );
    let script = "mount -t tmpfs tmpfs tree/mounted; mount -t proc proc tree/proc; \"$0\" \"$@\"";
    let backup = ["backup", "--dest=store", "--one-file-system", "tree"];
    let mut command = place.command_under(&["unshare", "-m", "sh", "-euc", script], backup);
    let ended = Ended::of(&mut command);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = delete_as_foretold(&place, &[]);
    assert_eq!(deleted(&ended), ["tree/dir/gone"]);
    // Entered, a mount is as good as any directory; what the kernel makes up never is.
    let backup = ["backup", "--dest=store", "tree"];
    let mut command = place.command_under(&["unshare", "-m", "sh", "-euc", script], backup);
    assert_eq!(Ended::of(&mut command).code, Some(0));
    let ended = delete_as_foretold(&place, &[]);
    assert_eq!(deleted(&ended), ["tree/mounted/x"]);
}
