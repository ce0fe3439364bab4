//! What happens to a file between two system calls of a backup: made to happen, once, by a library that the dynamic linker
//! loads in front of the C library and that a C compiler makes on the spot.

use std::process::Stdio;

use crate::harness::{Ended, Place, is_root, need};

/// Before a file called `victim` is opened it trades places with `substitute`; reading `unreadable` fails behind the first block.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int openat(int directory, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    static int done;
    if (!strcmp(path, "victim") && !done) {
        done = 1;
        syscall(SYS_renameat2, directory, "victim", directory, "substitute", 2 /* RENAME_EXCHANGE */);
    }
    return syscall(SYS_openat, directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) __attribute__((alias("openat")));

ssize_t read(int file, void *buffer, size_t count) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    name[length > 0 ? length : 0] = 0;
    char *end = strrchr(name, '/');
    if (end && !strcmp(end, "/unreadable") && lseek(file, 0, SEEK_CUR) >= 1 << 20) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_read, file, buffer, count);
}
"#;

/// Makes a place with the library and a file that is not to be touched.
fn place() -> Place {
    need("cc");
    let place = Place::new();
    place.write("between.c", SOURCE);
    place.sh("cc -shared -fPIC -o between.so between.c");
    place.write("secret/inside", "secret");
    place.write("tree/stable", "stable");
    place.write("tree/zz", "after");
    place
}

/// Backs `tree` up with the library loaded.
fn backup(place: &Place) -> Ended {
    run(
        place,
        &[
            "backup",
            "--dest=store",
            "--compression=none",
            "--exclude=substitute",
            "tree",
        ],
    )
}

/// Runs pileus with the library loaded; a run that waits for somebody at a FIFO is ended after a minute.
fn run(place: &Place, arguments: &[&str]) -> Ended {
    let preload = "LD_PRELOAD=./between.so";
    let under = ["timeout", "--kill-after=1", "60", "env", preload];
    Ended::of(place.command_under(&under, arguments).stdin(Stdio::null()))
}

/// Fails unless the victim was named as the one problem, nothing secret was read, and the rest is there.
fn assert_left_out(place: &Place, told: &str) {
    let ended = backup(place);
    ended.assert_one_line(3, &["tree/victim", told]);
    place.sh("! grep -r secret store");
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp tree/stable back/tree/stable; cmp tree/zz back/tree/zz");
}

#[test]
fn a_file_swapped_before_it_is_opened_is_neither_followed_nor_waited_for() {
    let mut swaps = vec![
        "ln -s ../secret/inside substitute",
        "mkfifo substitute",
        "mkdir substitute; echo secret >substitute/inside",
    ];
    if is_root() {
        swaps.push("mknod substitute c 1 5");
    }
    for swap in swaps {
        let place = place();
        place.write("tree/victim", "contents");
        place.sh(&format!("cd tree; {swap}"));
        assert_left_out(&place, "was replaced");
        place.sh("test ! -e back/tree/victim");
    }
}

#[test]
fn a_file_replaced_by_another_before_it_is_opened_is_stored_as_the_other_one() {
    let place = place();
    place.write("tree/victim", "contents");
    place.write("tree/substitute", "an editor's new version");
    place.sh("chmod 604 tree/substitute");
    let ended = backup(&place);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    let restored = place.sh("stat -c '%a %s' back/tree/victim; cat back/tree/victim");
    assert_eq!(restored, "604 23\nan editor's new version");
}

#[test]
fn a_directory_swapped_before_it_is_opened_is_not_entered_elsewhere() {
    for swap in [
        "ln -s ../secret substitute",
        "echo secret >substitute",
        "mkfifo substitute",
        "cp -r ../secret substitute",
    ] {
        let place = place();
        place.write("tree/victim/inside", "contents");
        place.sh(&format!("cd tree; {swap}"));
        assert_left_out(&place, "was replaced");
        assert!(place.names("back/tree/victim").is_empty());
    }
}

#[test]
fn a_file_that_vanishes_before_it_is_opened_is_named() {
    let place = place();
    place.write("tree/victim", "contents");
    // The exchange fails without a substitute, a rename to nowhere does not.
    let source = SOURCE.replace(
        "renameat2, directory, \"victim\", directory, \"substitute\", 2",
        "unlinkat, directory, \"victim\", 0",
    );
    place.write("between.c", source);
    place.sh("cc -shared -fPIC -o between.so between.c");
    assert_left_out(&place, "vanished");
}

#[test]
fn a_file_that_the_disk_cannot_read_is_named_and_left_out() {
    let place = place();
    place.sh("head -c 3000000 /dev/urandom >tree/unreadable");
    let ended = backup(&place);
    ended.assert_one_line(
        3,
        &["tree/unreadable", "cannot read it", "Input/output error"],
    );
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp tree/zz back/tree/zz; test ! -e back/tree/unreadable");
}

#[test]
fn a_directory_swapped_for_a_link_before_it_is_emptied_leads_nowhere() {
    // Superfluous itself, and one of the snapshot with something superfluous in it.
    for in_snapshot in [false, true] {
        for inside in [false, true] {
            let place = place();
            place.sh("mkdir -p back/tree/victim; echo x >back/tree/victim/inside");
            if in_snapshot {
                place.sh("mkdir tree/victim");
            }
            if inside {
                // The link leads to a directory of the same names.
                place.sh("ln -s ../../secret back/tree/substitute");
            } else {
                place.sh("ln -s / back/tree/substitute");
            }
            place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
            let arguments = [
                "restore",
                "--dest=store",
                "--target=back",
                "--overwrite=if-changed",
                "--delete",
                "--exclude=substitute",
                "tree",
            ];
            let ended = run(&place, &arguments);
            assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
            assert_eq!(place.names("secret"), ["inside"], "{ended:?}");
            // The exchange took place.
            place.sh("test ! -L back/tree/substitute -a -d back/tree/substitute");
            assert_eq!(place.names("back/tree/substitute"), ["inside"]);
        }
    }
}
