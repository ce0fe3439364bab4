//! Files that change while they are being backed up, once; those that never hold still are in `restless` and `written`.
//!
//! A held run (harness) has read at most four blocks of the file that holds it, and has already listed the directory it is in.

mod restless;
mod written;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;

use crate::harness::{Ended, HeldRun, Place};

const BLOCK: u64 = 1 << 20;

/// Contents that a first backup does not read ahead of their turn.
static NOT_AHEAD: [u8; 200_000] = [b'x'; 200_000];

/// Makes a place with files around `tree/held`, which is six blocks of noise.
fn place() -> Place {
    let place = Place::new();
    place.write("tree/before", "stable");
    place.write("tree/later", "comes later");
    let mut noise = vec![0; 6 << 20];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut noise))
        .expect("noise is read");
    place.write("tree/held", noise);
    place
}

/// Fails unless the run told this one problem, and what it stored is whole.
fn assert_one_problem(place: &Place, ended: &Ended, parts: &[&str]) {
    ended.assert_one_line(3, parts);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp tree/before back/tree/before");
}

/// Returns whether every stanza of `path` in the store says that its times cannot be trusted.
fn is_volatile(place: &Place, path: &str) -> bool {
    let mut log = String::new();
    for name in place.names_ending("store", ".tar") {
        let bytes = fs::read(place.join("store").join(name)).expect("is read");
        log += &String::from_utf8_lossy(&bytes);
    }
    let name = format!("name: {path}\n");
    let stanzas: Vec<_> = log.split(&name).skip(1).collect();
    assert!(!stanzas.is_empty(), "{path} is in the log");
    let stanza = |text: &str| text.split("\n\n").next().map(ToOwned::to_owned);
    let mut stanzas = stanzas.into_iter().filter_map(stanza);
    stanzas.all(|stanza| stanza.contains("volatile: 1"))
}

/// Restores the latest snapshot and returns the counts at both ends of a file.
fn restored_counts(place: &Place, path: &str) -> [u64; 2] {
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.sh("rm -rf back");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    let file = File::open(place.join("back").join(path)).expect("is restored");
    let size = file.metadata().expect("is looked at").len();
    [0, size - 8].map(|offset| {
        let mut count = [0; 8];
        file.read_exact_at(&mut count, offset).expect("is read");
        u64::from_le_bytes(count)
    })
}

#[test]
fn a_file_that_changes_once_while_it_is_read_comes_back_whole_and_without_a_problem() {
    for change in [
        "printf more >>tree/held",
        "truncate -s 5242887 tree/held",
        ": >tree/held",
        "touch -d @1 tree/held",
        "printf changed | dd of=tree/held bs=1 seek=17 conv=notrunc status=none",
        "printf changed | dd of=tree/held bs=1 seek=6000000 conv=notrunc status=none",
        "head -c 3000000 /dev/urandom >new; mv new tree/held",
        "chmod 604 tree/held",
    ] {
        let place = place();
        let held = HeldRun::start(&place, &["-v", "tree"]);
        place.sh(change);
        let ended = held.finish();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{change}");
        // Its blocks were not in the store before this run, whichever try stored them.
        assert!(ended.stdout.contains("[new] tree/held\n"), "{ended:?}");
        place.succeed(["verify", "--dest=store", "--level=files"]);
        place.succeed(["restore", "--dest=store", "--target=back"]);
        assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    }
}

#[test]
fn what_was_stored_of_a_file_before_it_changed_is_not_stored_again() {
    let place = place();
    let held = HeldRun::start(&place, &["--json", "tree"]);
    place.sh("printf changed | dd of=tree/held bs=1 seek=17 conv=notrunc status=none");
    let summary = held.finish().summary();
    let bytes = |name: &str| summary[name].as_u64().expect("is a number");
    assert!(bytes("read_bytes") >= 12 * BLOCK, "{summary}");
    assert!(bytes("new_data_bytes") < 6 * BLOCK + 100_000, "{summary}");
}

#[test]
fn a_file_that_is_gone_when_it_should_be_read_again_is_stored_as_it_was_read() {
    for change in ["rm", "mv tree/held tree/moved #", "ln -fs later"] {
        let place = place();
        place.sh("cp tree/held copy");
        let held = HeldRun::start(&place, &["tree"]);
        place.sh(&format!("{change} tree/held"));
        let ended = held.finish();
        assert_one_problem(
            &place,
            &ended,
            &["tree/held", "changed while it was being read"],
        );
        place.sh("cmp copy back/tree/held");
        assert!(is_volatile(&place, "tree/held"), "{change}");
    }
}

#[test]
fn what_vanishes_before_its_turn_is_named() {
    let place = place();
    place.write("tree/later", NOT_AHEAD);
    place.write("tree/later-dir/inside", NOT_AHEAD);
    let held = HeldRun::start(&place, &["tree"]);
    place.sh("rm -r tree/later tree/later-dir");
    let ended = held.finish();
    assert_eq!(ended.code, Some(3));
    let vanished = "vanished while it was being backed up";
    // The directory was listed before its turn came.
    let expected =
        format!("pileus: tree/later: {vanished}\npileus: tree/later-dir/inside: {vanished}\n");
    assert_eq!(ended.stderr, expected);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("rmdir back/tree/later-dir; diff -r tree back/tree");
}

#[test]
fn what_was_read_ahead_of_its_turn_is_stored_as_it_was_then() {
    let place = place();
    place.write("tree/later-dir/inside", "contents");
    let held = HeldRun::start(&place, &["tree"]);
    place.sh("rm tree/later; echo changed >tree/later-dir/inside");
    let ended = held.finish();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(place.sh("cat back/tree/later"), "comes later");
    assert_eq!(place.sh("cat back/tree/later-dir/inside"), "contents");
    place.succeed(["backup", "--dest=store", "tree"]);
    assert_eq!(
        place
            .succeed(["cat", "--dest=store", "tree/later-dir/inside"])
            .stdout,
        "changed\n"
    );
}

#[test]
fn what_becomes_something_else_before_its_turn_is_stored_as_that() {
    let place = place();
    for name in ["", "-fifo", "-dir", "-file"] {
        place.write(&format!("tree/later{name}"), NOT_AHEAD);
    }
    let held = HeldRun::start(&place, &["tree"]);
    place.sh("cd tree; rm later*; ln -s /etc/passwd later; mkfifo later-fifo; mkdir later-dir; echo in >later-dir/in; echo new >later-file");
    let ended = held.finish();
    assert_one_problem(&place, &ended, &["tree/later-dir", "became a directory"]);
    place.sh("rm -r tree/later-dir; touch -r back/tree tree");
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
}

#[test]
fn a_directory_that_is_swapped_for_a_link_leads_nowhere_else() {
    let place = Place::new();
    place.write("outside/later", "secret");
    place.write("outside/new", "secret");
    place.write("tree/dir/later", "own");
    place.sh("head -c 6291456 /dev/urandom >tree/dir/held");
    let held = HeldRun::start(&place, &["tree"]);
    place.sh("mv tree/dir moved; ln -s ../outside tree/dir");
    let ended = held.finish();
    assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp moved/held back/tree/dir/held; test \"$(cat back/tree/dir/later)\" = own; ! grep -r secret back store");
}

#[test]
fn links_of_a_file_that_changed_between_them_each_keep_what_was_read() {
    let place = place();
    place.write("tree/a-link", "first contents");
    place.sh("ln tree/a-link tree/z-link");
    let held = HeldRun::start(&place, &["tree"]);
    place.sh("printf 'later contents' >tree/a-link");
    let ended = held.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    let restored = place.sh("cat back/tree/a-link; echo; cat back/tree/z-link");
    assert_eq!(restored, "first contents\nlater contents");
}
