//! Hard links that a target cannot make.

use crate::harness::{Place, is_root};

#[test]
fn where_there_can_be_no_links_every_name_is_a_copy_and_that_is_said_once() {
    let place = Place::new();
    place.sh("mkdir src; echo contents >src/a; ln src/a src/b; ln src/a src/c; head -c 3000000 /dev/urandom >src/large; ln src/large src/large2");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir real full; faulty real full NOLINK=1; pileus restore --dest=store --target=full; echo $?; diff -r src full/src",
    );
    assert_eq!(ended.stdout, "0\n", "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("cannot keep these hard links, so there are copies: 3 entries"),
        "{ended:?}"
    );
}

#[test]
fn a_link_into_a_file_system_that_is_mounted_in_the_target_is_a_copy_that_others_there_are_linked_to()
 {
    let place = Place::new();
    place.sh("mkdir -p src/inner; echo contents >src/a; ln src/a src/b; ln src/a src/inner/c; ln src/a src/inner/d; ln src/a src/z");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir -p back/src/inner; mount -t tmpfs tmpfs back/src/inner; pileus restore --dest=store --target=back; echo $?; diff -r src back/src
        test back/src/a -ef back/src/b; test back/src/a -ef back/src/z; test back/src/inner/c -ef back/src/inner/d; echo linked",
    );
    assert_eq!(ended.stdout, "0\nlinked\n", "{ended:?}");
    assert!(
        ended.stderr.contains("so there are copies: 1 entry"),
        "{ended:?}"
    );
}

#[test]
fn where_the_first_name_cannot_be_made_the_next_one_becomes_the_first() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh("mkdir src; echo contents >src/a:b; ln src/a:b src/ok; ln src/a:b src/third; head -c 3000000 /dev/urandom >src/l:x; ln src/l:x src/large");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir full; exfat image 32M full; pileus restore --dest=store --target=full || echo $?; ls full/src; for name in ok third large; do cmp src/$name full/src/$name; done",
    );
    assert_eq!(ended.stdout, "3\nlarge\nok\nthird\n", "{ended:?}");
}

#[test]
fn more_links_than_a_file_system_allows_go_on_with_a_copy() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    // As many as on ext4 take minutes: XFS of version 4 and others differ, so Btrfs, which has few in one directory with long names, does.
    place.sh("mkdir src; echo contents >src/first; n=$(printf '%0200d' 0); for i in $(seq 1000 1400); do ln src/first src/$n$i; done");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir full; disk image 128M full mkfs.btrfs -O ^extref; pileus restore --dest=store --target=full; echo $?; diff -r src full/src; stat -c %i full/src/* | sort -u | wc -l",
    );
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines[0], "0", "{ended:?}");
    assert!(
        (2..50).contains(&lines[1].parse::<usize>().unwrap_or(0)),
        "{ended:?}"
    );
}

#[test]
fn a_first_name_that_is_missing_is_linked_to_the_name_that_is_there() {
    let place = Place::new();
    place.sh("mkdir src; echo contents >src/a; for n in b c d; do ln src/a src/$n; done");
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    for (missing, overwrite) in [
        ("a", "if-changed"),
        ("a b", "if-changed"),
        ("a d", "if-newer"),
        ("b", "if-changed"),
    ] {
        place.sh(&format!(
            "cd back/src; stat -c %i c >../../inode; rm {missing}"
        ));
        place.succeed([
            "restore",
            "--dest=store",
            "--target=back",
            &format!("--overwrite={overwrite}"),
        ]);
        let inodes = place.sh(
            "stat -c %i back/src/* | sort -u | cmp - inode; ls back/src | wc -l; cat back/src/a",
        );
        assert_eq!(inodes, "4\ncontents\n");
    }
}

#[test]
fn a_newer_name_that_stays_gives_its_contents_to_no_other() {
    let place = Place::new();
    place.sh("mkdir src; echo contents >src/a; ln src/a src/b; touch -d 2020-01-01 src/a");
    place.succeed(["backup", "--dest=store", "src"]);
    place.sh("mkdir -p back/src; echo newer >back/src/a");
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=if-newer",
    ]);
    assert_eq!(place.sh("cat back/src/a back/src/b"), "newer\ncontents\n");
}
