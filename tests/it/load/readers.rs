//! Readers beside backups, cleanings and prunes of the same store. They take no lock: what a prune removes may go while they read it, and nothing
//! else may be amiss with what they see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{assert_nothing_left_over, length};
use crate::harness::{Ended, HeldRun, Place, need};

/// Makes a place with a store whose first snapshot is pinned; returns its name.
fn place() -> (Place, String) {
    let place = Place::new();
    place.sh("mkdir tree; for n in 1 2 3 4 5 6 7 8; do head -c 20000 /dev/urandom >tree/$n; done");
    backup(&place, "kept");
    let kept = snapshots(&place).remove(0);
    let pin = format!("--pin={kept}");
    place.succeed(["prune", "--dest=store", "--localdb=state", &pin]);
    (place, kept)
}

fn backup(place: &Place, scheme: &str) {
    let scheme = format!("--scheme={scheme}");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--compression=none",
        "--segment-size=16K",
        &scheme,
        "tree",
    ]);
}

/// Returns the names of the snapshots that are there, in the order of their names.
fn snapshots(place: &Place) -> Vec<String> {
    let name = |file: String| file.replace("snapshot-", "").replace(".lbs", "");
    let files = place.names_ending("store", ".lbs");
    files.into_iter().map(name).collect()
}

/// Backs up, cleans and prunes again and again; of each series only the last snapshot stays.
fn write(place: &Place) {
    for round in 0..12 * length() {
        let file = 1 + round % 8;
        place.sh(&format!(
            "head -c 20000 /dev/urandom >tree/{file}; cp tree/{file} tree/copy-{file}"
        ));
        backup(place, &format!("s{}", round % 3));
        place.succeed(["clean", "--localdb=state", "--below=0.9"]);
        place.succeed([
            "prune",
            "--dest=store",
            "--localdb=state",
            "--keep-last=1",
            "--orphan-age=0",
        ]);
    }
}

/// Restores the pinned snapshot, which has to come back exactly, and the newest of all, which may be pruned meanwhile.
fn restore(place: &Place, kept: &str, manifest: &str) {
    place.sh("rm -rf back");
    let option = format!("--snapshot={kept}");
    place.succeed(["restore", "--dest=store", "--target=back", &option]);
    assert_eq!(place.manifest("back/tree", ""), manifest);
    let newest = snapshots(place).pop().expect("there is one");
    let option = format!("--snapshot={newest}");
    place.sh("rm -rf newest");
    let ended = place.run(["restore", "--dest=store", "--target=newest", &option]);
    let is_good = (ended.code, &*ended.stderr) == (Some(0), "");
    assert!(is_good || !snapshots(place).contains(&newest), "{ended:?}");
}

/// Verifies everything: what is removed meanwhile is no damage.
fn verify(place: &Place, kept: &str) {
    let option = format!("--snapshot={kept}");
    place.succeed(["verify", "--dest=store", "--level=files", &option]);
    for level in ["files", "objects", "sums"] {
        let level = format!("--level={level}");
        place.succeed(["verify", "--dest=store", &level]);
    }
}

/// Looks at everything; only a snapshot that is gone by then may be amiss.
fn look(place: &Place, kept: &str) {
    let option = format!("--snapshot={kept}");
    let list = place.succeed(["ls", "--dest=store", &option]).stdout;
    assert_eq!(list.lines().count(), 9);
    for verb in [
        &["list"][..],
        &["stats"],
        &["find", "*"],
        &["ls"],
        &["diff", kept, "latest"],
    ] {
        let before = snapshots(place);
        let ended = place.run([&verb[..1], &["--dest=store"], &verb[1..]].concat());
        let is_difference = verb[0] == "diff" && ended.code == Some(3);
        let is_good = ended.code == Some(0) || is_difference;
        let after = snapshots(place);
        let is_pruned = before.iter().any(|name| !after.contains(name));
        assert!(
            is_good && ended.stderr.is_empty() || is_pruned,
            "{verb:?} {ended:?}"
        );
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
}

#[test]
fn readers_beside_backups_and_prunes_see_every_kept_snapshot_whole() {
    let (place, kept) = place();
    let manifest = place.manifest("tree", "");
    let is_over = AtomicBool::new(false);
    let again = |read: &dyn Fn()| {
        let mut times = 0;
        while !is_over.load(Ordering::Relaxed) || times == 0 {
            read();
            times += 1;
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| again(&|| restore(&place, &kept, &manifest)));
        scope.spawn(|| again(&|| verify(&place, &kept)));
        scope.spawn(|| again(&|| look(&place, &kept)));
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&place)));
        is_over.store(true, Ordering::Relaxed);
        written.expect("backs up, cleans and prunes");
    });
    assert_eq!(snapshots(&place).len(), 4);
    assert_nothing_left_over(&place);
    restore(&place, &kept, &manifest);
}

#[test]
fn what_a_prune_removes_while_a_verify_is_under_way_is_no_damage_and_what_else_is_missing_is() {
    for level in ["sums", "objects", "files"] {
        for loses in [false, true] {
            let place = Place::new();
            for n in 0..3 {
                place.sh(&format!("mkdir -p tree; head -c 30000 /dev/urandom >tree/{n}; rm -f tree/only; head -c 90000 /dev/urandom >tree/only"));
                let scheme = format!("--scheme=s{n}");
                place.succeed([
                    "backup",
                    "--dest=store",
                    "--localdb=state",
                    "--filter=cat",
                    "--filter-extension=.x",
                    "--segment-size=16K",
                    &scheme,
                    "tree",
                ]);
            }
            let names = snapshots(&place);
            let level = format!("--level={level}");
            // The filter of the first segment waits; every descriptor has been read by then.
            let unfilter = "--unfilter=[ ! -p gate ] || cat gate; cat";
            let arguments = ["verify", "--dest=store", &level, unfilter, "-v"];
            let held = if level == "--level=sums" {
                None
            } else {
                Some(HeldRun::of(&place, &mut place.command(arguments)))
            };
            let remove = names[..2].iter().map(|name| format!("--remove={name}"));
            let always = ["prune", "--dest=store", "--localdb=state", "--orphan-age=0"];
            let always = always.map(str::to_owned);
            place.succeed(always.into_iter().chain(remove));
            if loses {
                let last = place.names_ending("store", ".x").pop().expect("a segment");
                place.sh(&format!("rm store/{last}"));
            }
            let ended = match held {
                Some(held) => held.finish(),
                None => place.run(arguments),
            };
            if loses {
                assert_eq!(ended.code, Some(3), "{ended:?}");
                assert!(ended.stderr.contains(&names[2]), "{ended:?}");
            } else {
                assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{level}");
            }
            assert!(
                names[..2].iter().all(|gone| !ended.stderr.contains(gone)),
                "{ended:?}"
            );
            if level != "--level=sums" {
                let noted = |name: &&String| ended.stdout.contains(&format!("{name} was removed"));
                assert_eq!(names.iter().filter(noted).count(), 2, "{ended:?}");
            }
        }
    }
}

/// Leaves the segments out of the first listing of a directory, as a kernel may with names that appear while it lists.
const LISTING: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <string.h>

struct dirent64 *readdir64(DIR *directory) {
    static struct dirent64 *(*real)(DIR *);
    static int left_out, is_over;
    if (!real)
        real = dlsym(RTLD_NEXT, "readdir64");
    struct dirent64 *entry = real(directory);
    while (entry && !is_over && strstr(entry->d_name, ".tar")) {
        left_out = 1;
        entry = real(directory);
    }
    if (!entry && left_out)
        is_over = 1;
    return entry;
}
"#;

#[test]
fn a_list_of_the_store_that_was_made_while_a_backup_published_has_the_segments_of_its_snapshots() {
    need("cc");
    let (place, _) = place();
    place.write("listing.c", LISTING);
    place.sh("cc -shared -fPIC -o listing.so listing.c");
    let preload = "LD_PRELOAD=./listing.so";
    place.write("tree/1", "found\n");
    backup(&place, "found");
    let latest = ["cat", "--dest=store", "--scheme=found", "tree/1"];
    let ended = Ended::of(&mut place.command_under(&["env", preload], latest));
    assert_eq!((&*ended.stdout, &*ended.stderr), ("found\n", ""));
}
