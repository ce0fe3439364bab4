//! Where `pileus backup` cannot write, or not yet, or not any more: the destination and the lock.

use std::fs;

use crate::harness::{Ended, HeldRun, Place, is_root, need_own_mounts};

/// Makes a place with a small tree called `src`.
fn place() -> Place {
    let place = Place::new();
    place.write("src/file", "contents\n");
    place.write("src/sub/other", "other contents\n");
    place
}

#[test]
fn a_destination_is_made_if_only_its_last_component_is_missing() {
    let place = place();
    let ended = place.run(["backup", "--dest=a/b", "src"]);
    ended.assert_one_line(
        1,
        &[
            "a/b",
            "the directory above it does not exist",
            "make it first",
        ],
    );
    let ended = place.run(["backup", "--dest=src/file", "src"]);
    ended.assert_one_line(1, &["src/file is not a directory"]);
    let ended = place.run(["backup", "--dest=src/file/x", "src"]);
    ended.assert_one_line(1, &["src/file/x"]);
    assert_eq!(place.names("."), ["src"]);
    place.succeed(["backup", "--store=made", "src"]);
    assert_eq!(place.sh("stat -c %a made"), "700\n");
}

#[test]
fn a_destination_that_may_not_be_written_is_named() {
    let place = place();
    place.sh("mkdir store && chmod 555 store");
    for dest in ["store", "store/inner"] {
        let ended = Ended::of(&mut place.command_as_other(["backup", "--dest", dest, "src"]));
        ended.assert_one_line(1, &[dest, "Permission denied"]);
    }
    assert!(place.names("store").is_empty());
}

#[test]
fn a_destination_to_which_files_may_only_be_added_takes_a_backup() {
    let place = place();
    place.sh("mkdir store && chmod 733 store && mkdir state && chmod 777 state");
    let backup = ["backup", "--dest=store", "--localdb=state", "src"];
    for _ in 0..2 {
        let ended = Ended::of(&mut place.command_as_other(backup));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    place.sh("chmod 700 store && chown -R $(id -u) store");
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

/// Runs commands where `full` is a file system of one megabyte that no other process sees.
fn on_a_small_disk(place: &Place, commands: &str) -> Ended {
    need_own_mounts();
    place.sh("mkdir -p full");
    let flags = if is_root() { "-m" } else { "-rm" };
    let script = format!("mount -t tmpfs -o size=1m tmpfs full || exit 99\n{commands}");
    let mut command = place.command_under(&["unshare", flags, "sh", "-uc", &script], [""; 0]);
    let ended = Ended::of(&mut command);
    assert_ne!(ended.code, Some(99), "{ended:?}");
    ended
}

#[test]
fn a_full_disk_fails_the_run_and_the_next_one_after_making_room_works() {
    let place = place();
    place.sh("head -c 700000 /dev/urandom >src/random; cp -r src small; rm small/random");
    let ended = on_a_small_disk(
        &place,
        "mkdir full/lost+found; head -c 500000 /dev/zero >full/lost+found/ballast
        pileus backup --dest=full src; echo $?
        ls -A full
        rm full/lost+found/ballast
        pileus backup --dest=full src && pileus verify --dest=full --level=files; echo $?
        ls -A full | grep -c 'snapshot.*lbs'",
    );
    ended.assert_one_line(0, &["cannot write full/", "No space left on device"]);
    assert!(ended.stdout.starts_with("1\n"), "{ended:?}");
    assert!(ended.stdout.ends_with("\n0\n1\n"), "{ended:?}");
    assert!(!ended.stdout.contains(".part"), "{ended:?}");
    assert!(!ended.stdout.contains("snapshot"), "{ended:?}");
}

#[test]
fn a_disk_without_room_for_local_state_does_not_fail_a_snapshot_that_exists() {
    let place = Place::new();
    place.sh("mkdir src; i=0; while [ $i -lt 3000 ]; do echo $i >src/$i; i=$((i+1)); done");
    let ended = on_a_small_disk(
        &place,
        "head -c 860000 /dev/zero >full/ballast
        pileus backup --dest=store --localdb=full src; echo $?",
    );
    let published = !place.names_ending("store", ".lbs").is_empty();
    let code = if published { "3\n" } else { "1\n" };
    assert_eq!(ended.stdout, code, "{ended:?}");
}

/// How much room is too little shows only when it is tried; each run that has published and could not tell its local state gives advice.
#[test]
fn what_is_said_where_local_state_has_no_room_lets_the_next_run_store_nothing_again() {
    let place = Place::new();
    place.sh("mkdir src; head -c 3000000 /dev/urandom >src/a; for i in $(seq 300); do head -c 4000 /dev/urandom >src/$i; done");
    let ended = on_a_small_disk(
        &place,
        "for room in 60 80 100 120 140 160 180; do
            rm -rf full/* store; head -c $(((1024 - room) * 1024)) /dev/zero >full/ballast
            pileus backup --dest=store --localdb=full src 2>told; [ $? = 3 ] || continue
            advice=$(sed -n 's/.*make room there.* unless \\(pileus rebuild .*\\) comes first/\\1/p' told)
            [ \"$advice\" ] || continue
            rm full/ballast; eval \"$advice\"; before=$(ls store | grep -c tar)
            pileus backup --dest=store --localdb=full src; code=$?
            pileus verify --dest=store --level=files && echo $code $(($(ls store | grep -c tar) - before))
        done",
    );
    let runs: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(ended.stderr, "", "{ended:?}");
    // A segment of metadata.
    assert!(
        !runs.is_empty() && runs.iter().all(|run| *run == "0 1"),
        "{ended:?}"
    );
}

#[test]
fn a_restore_onto_a_full_disk_tells_of_it_once_and_the_next_one_brings_the_rest() {
    let place = Place::new();
    place.sh("mkdir src; for n in 1 2 3 4 5 6 7 8 9; do head -c 200000 /dev/urandom >src/$n; done; : >src/empty");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = on_a_small_disk(
        &place,
        "pileus restore --dest=store --target=full; echo $?
        find full -name '*.damaged'; for file in full/src/*; do cmp $file src/${file##*/}; done
        mount -o remount,size=4m full
        pileus restore --dest=store --target=full --overwrite=if-changed && diff -r src full/src; echo $?",
    );
    assert_eq!(ended.stdout, "3\n0\n", "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [_, whole] = lines[..] else {
        panic!("{ended:?}");
    };
    assert!(
        whole.contains("more files are left out: make room"),
        "{ended:?}"
    );
}

#[test]
fn of_a_file_of_many_parts_nothing_takes_the_room_of_others() {
    let place = Place::new();
    place.sh("mkdir src; head -c 9000000 /dev/urandom >src/big; for n in 1 2 3; do head -c 90000 /dev/urandom >src/$n; done");
    place.succeed(["backup", "--dest=store", "--segment-size=1M", "src"]);
    let ended = on_a_small_disk(
        &place,
        "pileus restore --dest=store --target=full; echo $?
        find full -name 'big*' -o -name '*.part' -o -name '*.damaged'
        pileus restore --dest=store --target=full --overwrite=if-changed src/1 src/2 src/3; echo $?
        for n in 1 2 3; do cmp src/$n full/src/$n; done",
    );
    assert_eq!(ended.stdout, "3\n0\n", "{ended:?}");
    let told = ended.stderr.matches("src/big: ").count();
    assert!(told <= 1, "{ended:?}");
    assert!(
        ended.stderr.contains("make room, and run the same again"),
        "{ended:?}"
    );
}

#[test]
fn no_room_for_temporary_files_is_not_told_as_damage_nor_remembered() {
    let place = place();
    place.succeed(["backup", "--dest=store", "--localdb=state", "src"]);
    let ended = on_a_small_disk(
        &place,
        "head -c 2000000 /dev/zero >full/ballast 2>/dev/null
        export TMPDIR=$PWD/full; sha1sum state/localdb.sqlite state/statcache >before
        pileus verify --dest=store --level=objects; echo $?
        pileus rebuild --dest=store --localdb=state 2>last; echo $?; tail -n 1 last >&2
        sha1sum --quiet --check before
        pileus restore --dest=store --target=back; echo $?
        pileus find --dest=store 's*'; echo $?
        pileus diff --dest=store --root=. latest; echo $?
        pileus ls --dest=store; echo $?
        unset TMPDIR; pileus verify --dest=store --level=files; echo $?",
    );
    assert_eq!(ended.stdout, "1\n1\n1\n1\n1\n1\n0\n", "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 6, "{ended:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("/full (TMPDIR says where): No space")),
        "{ended:?}"
    );
}

#[test]
fn a_second_run_that_finds_the_lock_held_says_who_holds_it() {
    let place = place();
    place.sh("head -c 5000000 /dev/urandom >src/random");
    let held = HeldRun::start(&place, &["src"]);
    let ended = place.run(["backup", "--dest=store", "src"]);
    ended.assert_one_line(4, &["store", "in use by process", "try again"]);
    let ended = place.run(["backup", "--dest=store", "--json", "src"]);
    ended.assert_one_line(4, &["in use by process"]);
    assert_eq!(ended.summary()["type"], "error");
    place.succeed(["backup", "--dest=store", "--localdb=own-state", "src/sub"]);
    let ended = held.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_run_that_was_killed_is_no_hindrance_to_the_next() {
    let place = place();
    place.sh("head -c 5000000 /dev/urandom >src/random");
    HeldRun::start(&place, &["src"]).kill();
    assert!(
        !place
            .names("store")
            .iter()
            .any(|n| n.starts_with("snapshot"))
    );
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn snapshots_of_one_second_get_different_names() {
    let place = place();
    for _ in 0..3 {
        place.succeed(["backup", "--dest=store", "src"]);
    }
    assert_eq!(place.names_ending("store", ".lbs").len(), 3);
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
}

/// Makes files with this ending, as if a snapshot of this second and of the next had them.
fn take_names(place: &Place, ending: &str) -> Vec<String> {
    fs::create_dir(place.join("store")).expect("the store is made");
    let stamps = "import time; [print(time.strftime('%Y%m%dT%H%M%S', time.gmtime(time.time() + i))) for i in range(2)]";
    let names = |stamp| format!("store/snapshot-{stamp}.{ending}");
    let taken: Vec<_> = place.python(stamps, &[]).lines().map(names).collect();
    for name in &taken {
        place.write(name, "taken");
    }
    taken
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let place = place();
    let taken = take_names(&place, "sha1sums");
    let summary = place
        .succeed(["backup", "--dest=store", "--json", "src"])
        .summary();
    for name in taken {
        assert_eq!(fs::read(place.join(&name)).expect("is read"), b"taken");
        assert!(!name.contains(summary["snapshot"].as_str().expect("text")));
    }
}

#[test]
fn a_descriptor_without_its_sums_file_takes_the_name_too() {
    let place = place();
    take_names(&place, "lbs");
    // It looks like a store whose local state is lost, and that is told.
    let ended = place.run(["backup", "--dest=store", "src"]);
    ended.assert_one_line(0, &["there is no local state yet"]);
}
