//! Comparing with the disk what a snapshot has lost, or a part of it.

use crate::harness::{Ended, Place, need};

/// Backs up a tree and takes away the segment with the root of the log.
fn without_log() -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/sub; touch tree/a tree/b tree/sub/c");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("rm store/$(sed -n 's,^Root: \\([^/]*\\).*,\\1,p' store/*.lbs)*");
    place
}

/// Returns what a comparison with the disk tells programs, and what it shows on a terminal.
fn told(place: &Place, more: &[&str]) -> (Ended, String) {
    need("python3");
    let diff = [&["diff", "--dest=store", "--root=.", "latest"], more].concat();
    let on_terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let on_terminal = ["python3", "-c", on_terminal];
    let shown = Ended::of(&mut place.command_under(&on_terminal, &diff)).stdout;
    (place.survive([&diff[..], &["--json"]].concat()), shown)
}

#[test]
fn a_snapshot_of_which_nothing_is_known_does_not_pass_for_the_same_as_the_disk() {
    let place = without_log();
    let entries = place.sh("sed -n 's/^Entries: //p' store/*.lbs");
    let (ended, shown) = told(&place, &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let counted = ended.summary()["not_compared"].to_string();
    assert_eq!(counted, entries.trim(), "{ended:?}");
    assert!(!shown.contains("no difference"), "{shown}");
    assert!(
        shown.contains(&format!("{counted} not compared")),
        "{shown}"
    );
}

#[test]
fn a_comparison_that_compares_nothing_says_so() {
    let place = without_log();
    // What the descriptor says of the number of entries is not known of those that are left out.
    let (ended, shown) = told(&place, &["--exclude=*"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(shown.contains("nothing can be compared"), "{shown}");
    let ended = place.survive(["diff", "--dest=store", "--root=.", "latest", "--only=else"]);
    assert!(
        ended
            .stderr
            .contains("else: is in nothing that can be read of the sides"),
        "{ended:?}"
    );
}
