//! What docs/restore.py says of what goes wrong: a line for each thing, in words. That it restores is for [`crate::round_trip`],
//! [`crate::fixtures`] and [`crate::hostile`].

use std::process::Command;

use crate::harness::{Ended, Place, is_root, need, project};

/// Backs up a tree with a file of three blocks and one of a line.
fn place(compression: &str) -> Place {
    let place = Place::new();
    place.sh(
        "mkdir -p tree/sub; head -c 2500000 /dev/urandom > tree/large; echo x > tree/sub/small",
    );
    let codec = format!("--compression={compression}");
    place.succeed(["backup", "--dest=store", "--localdb=state", &codec, "tree"]);
    place
}

/// Runs the script with this Python, without which there is no program to be found where PATH leads nowhere.
fn command(place: &Place, arguments: &[&str]) -> Command {
    let python = place.python("import sys; print(sys.executable)", &[]);
    let mut command = place.program(python.trim_end());
    command.arg(project("docs/restore.py")).args(arguments);
    command
}

fn assert_one_line(command: &mut Command, code: i32, parts: &[&str]) {
    let ended = Ended::of(command);
    ended.assert_one_line(code, parts);
    assert!(
        !ended.stderr.contains("Error") && !ended.stderr.contains("Errno"),
        "{ended:?}"
    );
}

#[test]
fn what_was_typed_wrong_is_one_line() {
    let place = place("gzip");
    place.sh("echo x > file; cp -r store cut; for name in cut/*.lbs; do echo > $name; done");
    for (arguments, part) in [
        (&["missing", "back"][..], "missing: No such file"),
        (&["file", "back"], "file: Not a directory"),
        (&["tree", "back"], "tree: there is no snapshot in it"),
        (
            &["store", "back", "nope"],
            "there is no snapshot nope; there are: 20",
        ),
        (&["store", "file"], "file: Not a directory"),
        (&["store", "file/below"], "file/below: Not a directory"),
        (&["cut", "back"], "lbs is damaged, or of a version"),
    ] {
        assert_one_line(&mut command(&place, arguments), 1, &[part]);
    }
    assert!(!place.join("back").exists());
}

#[test]
fn a_store_that_may_not_be_read_is_one_line() {
    let place = place("gzip");
    let command = |place: &Place, arguments: &[&str]| {
        let inner = command(place, arguments);
        if !is_root() {
            return inner;
        }
        // Root without what lets it read everything.
        need("setpriv");
        let mut command = place.program("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search");
        command.arg(inner.get_program()).args(inner.get_args());
        command
    };
    place.sh("chmod 000 store");
    assert_one_line(
        &mut command(&place, &["store", "back"]),
        1,
        &["store: Permission denied"],
    );
    place.sh("chmod 700 store; chmod 000 store/*.lbs");
    assert_one_line(
        &mut command(&place, &["store", "back"]),
        1,
        &["may not be read"],
    );
}

#[test]
fn a_damaged_file_is_one_line_and_the_others_come() {
    let some = "; what could be restored is in 'large.damaged'";
    for (damage, part, left) in [
        ("truncate -s 1500000 $largest", "cannot be unpacked: ", some),
        (
            "rm $largest",
            "is missing from the store",
            "; it is left out",
        ),
        (
            "printf ~~~~ | dd of=$largest bs=1 seek=1500000 conv=notrunc status=none",
            "its contents are damaged: checksum sha1=",
            some,
        ),
    ] {
        let place = place("gzip");
        place.sh(&format!(
            "largest=$(ls -S store/*.tar* | head -n 1); {damage}"
        ));
        assert_one_line(
            &mut command(&place, &["store", "back"]),
            3,
            &["restore.py: tree/large: ", part, left],
        );
        place.sh("cmp tree/sub/small back/tree/sub/small; test ! -e back/tree/large");
        assert_eq!(place.join("back/tree/large.damaged").exists(), left == some);
    }
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let place = place("zstd");
    let mut command = command(&place, &["store", "back"]);
    command.env("PATH", place.join("nowhere"));
    assert_one_line(&mut command, 1, &["the program zstd is not installed"]);
}

#[test]
fn what_stands_in_the_way_is_one_line() {
    let place = place("gzip");
    place.sh("mkdir -p back/tree; echo old > back/tree/sub");
    assert_one_line(
        &mut command(&place, &["store", "back"]),
        3,
        &["tree/sub: with all below it, is left out: Not a directory"],
    );
    place.sh("cmp tree/large back/tree/large; rm back/tree/sub");
    assert_one_line(
        &mut command(&place, &["store", "back"]),
        3,
        &["tree/large: exists already"],
    );
    place.sh("cmp tree/sub/small back/tree/sub/small");
}

#[test]
fn nothing_is_left_of_a_file_of_which_nothing_is_known() {
    let place = place("gzip");
    place.sh("for f in store/*.tar.gz; do zcat $f | grep -qaP '\\x00x$' && rm $f; done; test $(ls store/*.tar.gz | wc -l) = 1");
    assert_one_line(
        &mut command(&place, &["store", "back"]),
        3,
        &[
            "tree/sub/small: ",
            "is missing from the store; it is left out",
        ],
    );
    place.sh("cmp tree/large back/tree/large; test -z \"$(ls -A back/tree/sub)\"");
}

#[test]
fn an_interrupted_script_says_so() {
    let place = place("zstd");
    place.sh("mkdir bin; printf '#!/bin/sh\nkill -INT $PPID; exec /usr/bin/zstd \"$@\"\n' > bin/zstd; chmod 755 bin/zstd");
    let mut command = command(&place, &["store", "back"]);
    command.env("PATH", place.join("bin"));
    assert_one_line(&mut command, 130, &["interrupted"]);
    place.sh("test -z \"$(find back -type f)\"");
}
