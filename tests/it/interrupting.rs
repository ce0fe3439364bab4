//! Ctrl-C during a restore, and during what only reads: what is left is whole, and is told of on a terminal.

use std::fs;

use crate::harness::{Ended, Place};

/// Undoes the filter, and once, at the eighth segment or a later one, interrupts the run that waits for it, and itself, as a terminal does.
const UNFILTER: &str = "--unfilter=echo >>opened; [ $(wc -l <opened) -lt 8 ] || { mkdir once && kill -INT $PPID; kill -INT $$; } 2>&-; cat";

/// Small files, files of several objects in several segments, links of both, and a directory whose mode comes last.
fn stored_through_a_filter(modes: &str) -> Place {
    let place = Place::new();
    place.sh(
        "mkdir -p tree/dir; cd tree; for n in $(seq 12); do head -c 1300000 /dev/urandom >dir/large-$n; seq $n 500 >small-$n; done
        ln dir/large-7 linked; ln -s small-3 link; chmod 0750 dir; touch -d 2020-01-01T00:00:00Z dir/* * .",
    );
    place.sh(modes);
    place.succeed([
        "backup",
        "--dest=store",
        "--filter=cat",
        "--filter-extension=.raw",
        "--segment-size=1M",
        "tree",
    ]);
    place
}

fn restore(place: &Place, more: &[&str]) -> Ended {
    let fixed = ["restore", "--dest=store", "--target=back", "--json"];
    place.run(fixed.iter().chain(more))
}

#[test]
fn an_interrupted_restore_leaves_whole_files_and_the_next_one_brings_the_rest() {
    for jobs in ["--jobs=1", "--jobs=2"] {
        let place = stored_through_a_filter("");
        let ended = restore(&place, &[UNFILTER, jobs]);
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let told = "interrupted: what is there under its own name is whole";
        assert!(ended.stderr.contains(told), "{ended:?}");
        let summary = ended.stdout.lines().find(|line| line.contains("summary"));
        let summary = summary.expect("a summary of what was done");
        assert!(summary.contains(r#""interrupted":true"#), "{summary}");
        let opened = fs::read_to_string(place.join("opened")).expect("segments were opened");
        // One more for each worker that had one open, and one for the log.
        assert!((8..=10).contains(&opened.lines().count()), "{opened}");
        place.sh(
            "cd back/tree; find . -type f | while read f; do cmp $f ../../tree/$f; done; test -z \"$(find .. -name '*.part' -o -name '*.damaged')\"
            test $(find . -type f | wc -l) -lt 25",
        );
        let ended = restore(&place, &["--unfilter=cat", "--overwrite=if-changed", jobs]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    }
}

#[test]
fn an_interrupted_restore_deletes_nothing_that_it_did_not_come_to() {
    let place = stored_through_a_filter("");
    place.succeed(["restore", "--dest=store", "--target=back", "--unfilter=cat"]);
    // It is interrupted at the first segment, that of the log, which is opened before anything is restored.
    let at_once = "--unfilter=kill -INT $PPID; cat";
    for more in [&[][..], &["--dry-run"]] {
        place.sh("touch back/tree/zz-not-in-the-snapshot");
        let fixed = ["--delete", "--overwrite=always", at_once];
        let ended = restore(&place, &[&fixed[..], more].concat());
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(ended.stderr.contains("interrupted"), "{ended:?}");
        place.sh("test -e back/tree/zz-not-in-the-snapshot && cmp back/tree/linked tree/linked");
    }
}

#[test]
fn a_directory_without_permission_to_write_lets_the_next_restore_in() {
    let place = stored_through_a_filter("chmod 0555 tree/dir tree");
    place.sh("mkdir -m 777 there; chmod -R a+rX store tree");
    let restore = |unfilter: &str| {
        let target = ["--target=there/back", "--overwrite=if-changed", unfilter];
        let words = [&["restore", "--dest=store"][..], &target].concat();
        Ended::of(&mut place.command_as_other(words))
    };
    // The first run of another user sets the mode of the place, in which the filter counts.
    assert_ne!(restore("--unfilter=false").code, Some(0));
    place.sh("chmod 777 .; rm -rf there/back");
    let ended = restore(UNFILTER);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    place.sh("test -z \"$(find there -name '*.part' -o -name '*.damaged')\"");
    let ended = restore("--unfilter=cat");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.sh("diff -r tree there/back/tree; test $(stat -c %a there/back/tree/dir) = 555");
}

#[test]
fn what_only_reads_ends_at_once_and_says_so_on_a_terminal_alone() {
    let place = stored_through_a_filter("");
    let verify = ["verify", "--dest=store", "--level=files", UNFILTER];
    let quiet = place.run(verify);
    assert_eq!(quiet.stderr, "", "{quiet:?}");
    assert_ne!(quiet.code, Some(0), "{quiet:?}");
    place.sh("rm opened; rmdir once");
    let on_terminal =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let wrapper = ["python3", "-c", on_terminal];
    let told = Ended::of(&mut place.command_under(&wrapper, verify));
    // Ended by the signal: its number below zero, in the eight bits of an exit code.
    assert_eq!(told.code, Some(256 - 2), "{told:?}");
    assert!(
        told.stdout.ends_with("\x1b[Kpileus: interrupted\r\n"),
        "{told:?}"
    );
}

#[test]
fn a_signal_that_is_ignored_from_the_start_stays_ignored() {
    let place = stored_through_a_filter("");
    let ignoring = ["sh", "-c", "trap '' INT; exec \"$0\" \"$@\""];
    for run in [
        &["verify", "--level=files"][..],
        &["restore", "--target=back"],
    ] {
        let words = [run, &["--dest=store", UNFILTER]].concat();
        let ended = Ended::of(&mut place.command_under(&ignoring, words));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        place.sh("rmdir once; rm opened");
    }
}

#[test]
fn a_backup_under_nohup_goes_on_when_the_terminal_goes() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$0\" \"$@\""];
    let words = [
        "backup",
        "--dest=store",
        "--filter=kill -HUP $PPID; kill -INT $PPID; cat",
        "--filter-extension=.raw",
        "tree",
    ];
    let ended = Ended::of(&mut place.command_under(&ignoring, words));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.succeed(["verify", "--dest=store", "--unfilter=cat", "--level=files"]);
}
