//! Disks without room: each verb that frees room works there, and the next run after room was made needs no help.

use crate::harness::Place;

/// Shell functions: `fill` takes all room of the disk `m` but so many KiB; `night` backs up a file that is new each time.
const FUNCTIONS: &str = "
fill() {
    for block in 1M 4k 1k; do dd if=/dev/zero of=m/fill$block bs=$block 2>/dev/null || true; sync; done
    : >m/last; if [ $1 -gt 0 ]; then truncate -s -${1}K m/fill1M; fi; sync
}
night() {
    head -c 3000000 /dev/urandom >src/new
    pileus backup -q --compression=none \"$@\" src
}
ends_with() {
    code=0; wanted=$1; shift; \"$@\" || code=$?
    case $wanted in *$code*) ;; *) echo \"$* ended with $code\" >&2; exit 1;; esac
}
mkdir m src; echo same >src/same
";

fn run(script: &str) {
    Place::new().sh_in_own_mounts(&format!("{FUNCTIONS}{script}"));
}

#[test]
fn a_full_disk_is_pruned_by_the_local_state_that_lies_on_it() {
    for (block_bytes, free_kib) in [(4096, 0), (1024, 0), (1024, 4), (1024, 8), (1024, 40)] {
        run(&format!(
            "disk image 20M m mkfs.ext4 -m 0 -b {block_bytes}; mkdir m/store
            for i in 1 2 3; do night --dest=m/store; done
            fill {free_kib}
            pileus prune --dest=m/store --keep-last=1
            [ $(ls m/store | grep -c '\\.lbs$') = 1 ]
            echo more >src/more; pileus backup --dest=m/store src
            pileus prune --dest=m/store --keep-last=1
            pileus verify --dest=m/store --level=files"
        ));
    }
}

#[test]
fn a_disk_without_inodes_is_pruned_by_the_local_state_that_lies_on_it() {
    run("disk image 64M m mkfs.ext4 -m 0 -N 64; mkdir m/store m/many
        for i in 1 2 3; do night --dest=m/store; done
        i=0; while (: >m/many/$i) 2>/dev/null; do i=$((i+1)); done
        ends_with 1 pileus backup --dest=m/store src 2>told; grep -q 'has room' told
        pileus stats --dest=m/store >stats
        pileus prune --dest=m/store --keep-last=1
        [ $(ls m/store | grep -c '\\.lbs$') = 1 ]
        pileus backup --dest=m/store src
        pileus verify --dest=m/store --level=files");
}

#[test]
fn where_blocks_are_small_a_backup_onto_a_full_disk_fails_and_is_not_killed() {
    run("disk image 20M m mkfs.ext4 -m 0 -b 1024; mkdir m/store
        night --dest=m/store
        for free in 0 4 8 16 24 32 40 64; do
            fill $free; echo $free >src/more
            ends_with 013 pileus backup -q --dest=m/store src 2>told
            rm m/fill*
        done
        pileus backup --dest=m/store src
        pileus verify --dest=m/store --level=files");
}

/// The first two nights have a file in common with the third one, or nothing.
#[test]
fn local_state_that_had_no_room_for_a_snapshot_nor_for_a_prune_is_mended_by_the_next_run() {
    for (common, prunes) in [("src/same", "does not know"), ("", "was removed")] {
        run(&format!(
            "disk image 20M m mkfs.ext4 -m 0; rm src/same
            for i in 1 2; do test -z '{common}' || seq 30000 >src/same; night --dest=store --localdb=m; done
            mkdir src/d; for i in $(seq 2000); do : >src/d/$i; done; for i in $(seq 150); do head -c 9000 /dev/urandom >src/d/r$i; done
            fill 0
            ends_with 3 night --dest=store --localdb=m 2>told; grep -q 'local state does not know it' told
            ends_with 3 pileus prune --dest=store --localdb=m --keep-last=1 2>told; grep -q '{prunes}' told
            [ $(ls store | grep -c '\\.lbs$') = 1 ]
            rm m/fill*
            pileus backup --dest=store --localdb=m src
            pileus prune --dest=store --localdb=m --keep-last=1
            pileus rebuild --dest=store --localdb=m
            pileus backup --dest=store --localdb=m src
            pileus verify --dest=store --level=files"
        ));
    }
}

/// A prune that removed the descriptors and then failed leaves segments that nothing names, and that are young.
#[test]
fn what_a_prune_that_failed_left_goes_with_the_next_one_however_young_it_is() {
    let place = Place::new();
    place.sh("mkdir src");
    for _ in 0..2 {
        place.sh("head -c 100000 /dev/urandom >src/new");
        place.succeed(["backup", "--dest=store", "--compression=none", "src"]);
    }
    let before = place.names_ending("store", ".tar");
    let oldest = place.names_ending("store", ".lbs").remove(0);
    place.sh(&format!("rm store/{oldest}"));
    place.succeed(["prune", "--dest=store", "--keep-last=1"]);
    assert_eq!(place.names_ending("store", ".tar").len(), before.len() / 2);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}
