//! A tree in which everything changes, as fast as a process can change it, while it is backed up again and again.
//!
//! What is asked for is what can be: what nobody touches comes back exactly, what is only replaced or appended to comes back as it was at
//! some moment or is named, and whatever was stored is whole in itself.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{assert_nothing_left_over, length};
use crate::harness::{Place, tool};

/// Prints the paths below a restored tree whose contents were never there, by what `churn_tree.py` says of them.
const NEVER_THERE: &str = r#"
import os, sys
for name in sorted(os.listdir("back/tree/grow")):
    got = open("back/tree/grow/" + name, "rb").read()
    if got != b"".join(b"%07d\n" % i for i in range(len(got) // 8 + 1))[:len(got)]: print("tree/grow/" + name)
for name in sorted(os.listdir("back/tree/saved")):
    got = open("back/tree/saved/" + name, "rb").read()
    # What an editor is still writing has not its name yet.
    if not name.endswith("~") and (len(got) != 16000 or got != got[:8] * 2000): print("tree/saved/" + name)
"#;

#[test]
fn of_a_tree_that_changes_all_the_time_every_snapshot_is_whole_and_has_what_held_still() {
    let place = Place::new();
    place.sh("mkdir -p tree/still/below; for n in 1 2 3 4 5 6 7 8; do head -c 300000 /dev/urandom >tree/still/$n; echo $n >tree/still/below/$n; done");
    let still = place.manifest("tree/still", "");
    let mut churn = place.program("python3");
    churn.args([&tool("churn_tree.py"), "tree", "1"]);
    churn.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut churn = churn.spawn().expect("python3 starts");
    let mut line = String::new();
    let told = churn.stdout.take().expect("a pipe");
    let made = BufReader::new(told).read_line(&mut line);
    assert!(made.is_ok() && line == "made\n");
    for round in 0..5 * length() {
        // In turn: all is read, or only what has changed.
        let scheme = format!("--scheme=s{}", round % 2);
        let ended = place.run([
            "backup",
            "--dest=store",
            "--segment-size=64K",
            "--compression=zstd:1",
            &scheme,
            "tree",
        ]);
        assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
        let is_named = |line: &str| line.starts_with("pileus: tree/") && !line.contains("still");
        assert!(ended.stderr.lines().all(is_named), "{ended:?}");
        place.sh("rm -rf back");
        let verified = place.run(["verify", "--dest=store", "--level=files", &scheme]);
        assert_eq!((verified.code, &*verified.stderr), (Some(0), ""));
        place.succeed(["restore", "--dest=store", "--target=back", &scheme]);
        assert_eq!(place.manifest("back/tree/still", ""), still);
        for path in place.python(NEVER_THERE, &[]).lines() {
            let of_path = format!("pileus: {path}: ");
            assert!(
                ended.stderr.contains(&of_path),
                "{path} was never like that: {ended:?}"
            );
        }
    }
    drop(churn.stdin.take());
    assert!(churn.wait().expect("ends").success());
    place.succeed(["backup", "--dest=store", "--scheme=s0", "tree"]);
    place.sh("rm -rf back");
    place.succeed(["restore", "--dest=store", "--target=back", "--scheme=s0"]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    // What was read of a file that then turned out to have changed may fill a segment that no snapshot needs.
    place.succeed(["prune", "--dest=store", "--keep-last=all", "--orphan-age=0"]);
    assert_nothing_left_over(&place);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}
