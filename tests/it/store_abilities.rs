//! Stores on file systems that lack what others have: no file is replaced, none is half there, and one note says what is lacking.

use std::fs;

use crate::harness::{Ended, Place, need};

#[test]
fn a_store_works_where_links_renames_of_open_files_and_syncs_of_directories_are_refused() {
    let place = Place::new();
    place.sh("mkdir src; seq 3000 >src/text; head -c 300000 /dev/urandom >src/noise");
    for (faults, note) in [
        ("NOLINK=5", "has no rename that never replaces"),
        ("NOLINK=1 OPENBUSY=1", "renames no open file"),
        ("NODIRSYNC=1", "cannot make names durable one by one"),
        (
            "NOLINK=95 OPENBUSY=1 NODIRSYNC=1",
            "cannot make names durable one by one: all of it is synced instead; it",
        ),
    ] {
        let notes = place.sh_in_own_mounts(&format!(
            "rm -rf real mnt; mkdir real mnt; faulty real mnt {faults}
            for night in 1 2; do echo $night >src/new; pileus backup -v --dest=mnt/store src >>told 2>&1; done
            pileus prune --dest=mnt/store --keep-last=1
            pileus verify --dest=mnt/store --level=files >&2
            test -z \"$(ls -A mnt/store | grep '[.]part$')\" && grep '^the file system of mnt/store' told; rm told"
        ));
        assert_eq!(notes.lines().count(), 2, "{faults}: {notes}");
        assert!(
            notes.lines().all(|line| line.contains(note)),
            "{faults}: {notes}"
        );
    }
}

#[test]
fn a_link_that_fails_with_an_input_output_error_is_done_without() {
    need("strace");
    let place = Place::new();
    place.write("src/file", "contents");
    let strace = [
        "strace",
        "-f",
        "-o",
        "trace",
        "-e",
        "trace=renameat2,link,linkat",
        "-e",
        "inject=renameat2:error=EINVAL",
        "-e",
        "inject=link,linkat:error=EIO",
    ];
    // One thread publishes: two may try at the same moment.
    let words = [
        "backup",
        "--dest=store",
        "--localdb=state",
        "--jobs=1",
        "src",
    ];
    let ended = Ended::of(&mut place.command_under(&strace, words));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let trace = fs::read_to_string(place.join("trace")).expect("is read");
    assert_eq!(
        trace.matches("renameat2(").count(),
        1,
        "it is tried once: {trace}"
    );
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_file_system_without_locks_is_named_with_the_way_out() {
    need("strace");
    let place = Place::new();
    place.write("src/file", "contents");
    let strace = [
        "strace",
        "-f",
        "-o",
        "trace",
        "-e",
        "inject=flock:error=ENOLCK",
    ];
    let words = ["backup", "--dest=store", "src"];
    let ended = Ended::of(&mut place.command_under(&strace, words));
    ended.assert_one_line(
        1,
        &["cannot lock store/localdb.lock", "--localdb", "No locks"],
    );
}
