//! Files that change while they are being backed up.
//!
//! A held run (harness) has read at most four blocks of the file that holds it, and has already listed the directory it is in.
//! What happens between two system calls is made to happen by a library that is loaded in front of the C library.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};

use crate::harness::{Ended, HeldRun, Place};

const BLOCK: u64 = 1 << 20;

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

/// Returns whether the stanza of `path` says that its times cannot be trusted.
fn is_volatile(place: &Place, path: &str) -> bool {
    let mut log = String::new();
    for name in place.names_ending("store", ".tar") {
        let bytes = fs::read(place.join("store").join(name)).expect("is read");
        log += &String::from_utf8_lossy(&bytes);
    }
    let stanza = log
        .split(&format!("name: {path}\n"))
        .nth(1)
        .expect("is in the log");
    stanza
        .split("\nname: ")
        .next()
        .expect("has a beginning")
        .contains("volatile: 1")
}

#[test]
fn a_file_that_grows_is_stored_up_to_its_first_size() {
    let place = place();
    let held = HeldRun::start(&place, &["tree"]);
    let append = OpenOptions::new()
        .append(true)
        .open(place.join("tree/held"));
    append
        .and_then(|mut file| file.write_all(b"more"))
        .expect("the file grows");
    let ended = held.finish();
    assert_one_problem(&place, &ended, &["tree/held", "grew", "6291456 bytes"]);
    place.sh("head -c 6291456 tree/held | cmp - back/tree/held; cmp tree/later back/tree/later");
    assert!(is_volatile(&place, "tree/held"));
}

#[test]
fn a_file_that_shrinks_is_stored_as_far_as_it_was_read() {
    let place = place();
    let held = HeldRun::start(&place, &["tree"]);
    let file = OpenOptions::new().write(true).open(place.join("tree/held"));
    file.and_then(|file| file.set_len(5 * BLOCK + 7))
        .expect("the file shrinks");
    let ended = held.finish();
    assert_one_problem(&place, &ended, &["tree/held", "shrank", "5242887 bytes"]);
    place.sh("cmp tree/held back/tree/held; cmp tree/later back/tree/later");
}

#[test]
fn a_file_that_is_emptied_is_stored_as_far_as_it_was_read() {
    let place = place();
    let held = HeldRun::start(&place, &["tree"]);
    File::create(place.join("tree/held")).expect("the file is emptied");
    let ended = held.finish();
    assert_one_problem(&place, &ended, &["tree/held", "shrank"]);
    let restored = fs::metadata(place.join("back/tree/held"))
        .expect("is restored")
        .len();
    assert!((BLOCK..5 * BLOCK).contains(&restored), "{restored}");
}

#[test]
fn a_file_that_changes_in_its_place_is_stored_as_it_was_read() {
    for change in [
        "printf changed | dd of=tree/held bs=1 seek=6000000 conv=notrunc status=none",
        "touch -d @1 tree/held",
        "mv tree/held tree/moved",
    ] {
        let place = place();
        let held = HeldRun::start(&place, &["tree"]);
        place.sh(change);
        let ended = held.finish();
        assert_one_problem(
            &place,
            &ended,
            &["tree/held", "changed while it was being read"],
        );
        let restored = fs::metadata(place.join("back/tree/held"))
            .expect("is restored")
            .len();
        assert_eq!(restored, 6 * BLOCK, "{change}");
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_while_it_is_open_is_stored_as_it_was() {
    for change in ["true", "ln -s later tree/held"] {
        let place = place();
        place.sh("cp tree/held copy");
        let held = HeldRun::start(&place, &["tree"]);
        place.sh(&format!("rm tree/held; {change}"));
        let ended = held.finish();
        assert_one_problem(
            &place,
            &ended,
            &["tree/held", "changed while it was being read"],
        );
        place.sh("cmp copy back/tree/held");
    }
}

#[test]
fn what_vanishes_before_its_turn_is_named() {
    let place = place();
    place.write("tree/later-dir/inside", "contents");
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
fn what_becomes_something_else_before_its_turn_is_stored_as_that() {
    let place = place();
    for name in ["fifo", "dir", "file"] {
        place.write(&format!("tree/later-{name}"), "was a file");
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
