//! `export`: archives that GNU tar and bsdtar extract to exactly what was backed up.

use std::fs;

use crate::fixtures::STORES;
use crate::harness::{Place, is_root, need, project, without_owners};
use crate::made_store::MadeStore;

/// One of everything, without sockets, which no archive has.
const TREE: &str = "mkdir -p tree/dir/deep tree/closed; cd tree; head -c 3000000 /dev/urandom > random; seq 1 9 > small; : > empty
    printf n > 'new
line'; printf b > \"$(printf 'by\\377te')\"; printf u > naïve; ln small dir/hard; ln small dir/hard2
    ln -s \"$(printf '%0200d' 7)\" long-target; ln -s 'to
where' odd-target; mkfifo pipe; ln -s x xx; ln -P xx dir/xx
    long=$(printf '%0120d' 1); printf l > $long; mkdir -p $long-d/$long/$long; printf d > $long-d/$long/$long/$long; ln $long-d/$long/$long/$long dir/$long
    truncate -s 20M hole; printf middle | dd of=hole bs=1 seek=5000000 conv=notrunc status=none; truncate -s 9M all-hole
    head -c 2000000 /dev/urandom > starts; truncate -s 12M starts
    truncate -s 5M ends; printf e >> ends; chmod 4755 small; chmod 2755 dir; chmod 1777 dir/deep
    if test $(id -u) = 0; then mknod null c 1 3; mknod loop b 7 200; mknod big b 259 70000; chown 4711:4712 random; chown 3000000000:2999999999 empty
        chown -h 7:8 xx; setfattr -n user.text -v 'a=b' small; setfattr -n user.bin -v 0x000a25ff3d00 random
        setfattr -n trusted.t -v t dir; fi
    touch -d 2001-02-03T04:05:06.123456789Z random; touch -d 1960-01-01T00:00:01Z small; touch -h -d 1999-01-01T00:00:00.5Z xx
    touch -d 2500-01-01T00:00:00Z empty; touch -d 1970-01-01T00:00:00Z pipe; touch -d 2001-01-01T00:00:00.001Z dir; chmod 555 closed; cd ..";

fn exported() -> (Place, String) {
    for program in ["bsdtar", "tar", "setfattr"] {
        need(program);
    }
    let place = Place::new();
    place.sh(TREE);
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("pileus export --dest=store > all.tar");
    let manifest = manifest(&place, "tree");
    (place, manifest)
}

fn manifest(place: &Place, tree: &str) -> String {
    let manifest = place.manifest(tree, "");
    if is_root() {
        manifest
    } else {
        without_owners(&manifest)
    }
}

#[test]
fn gnu_tar_extracts_exactly_what_was_backed_up() {
    let (place, manifest_before) = exported();
    let told = place.sh("mkdir back; tar x -p --xattrs --xattrs-include='*' --same-owner -C back -f all.tar 2>&1 || test $(id -u) != 0");
    // It doubts times before 1970 and after today, and sets them all the same.
    let odd: Vec<_> = told
        .lines()
        .filter(|line| !line.contains("time stamp") && !line.contains("hdrcharset"))
        .collect();
    assert_eq!(odd, Vec::<&str>::new());
    assert_eq!(manifest(&place, "back/tree"), manifest_before);
    let used = place.sh("du -k back/tree/hole | cut -f1");
    assert!(
        used.trim().parse::<u32>().expect("a number") < 5000,
        "the hole is one: {used}"
    );
}

#[test]
fn gnu_tar_extracts_even_what_bsdtar_gets_wrong() {
    need("setfattr");
    let place = Place::new();
    place.sh("mkdir tree back; printf x > tree/a; setfattr -n user.od=d%41 -v x tree/a; touch -d 1960-01-01T00:00:00.25Z tree/a");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("pileus export --dest=store > all.tar; tar x -p --xattrs --xattrs-include='*' -C back -f all.tar 2> told");
    assert_eq!(manifest(&place, "back/tree"), manifest(&place, "tree"));
}

#[test]
fn bsdtar_extracts_exactly_what_was_backed_up() {
    let (place, manifest_before) = exported();
    place.sh("mkdir back; bsdtar -x -p --xattrs -C back -f all.tar");
    assert_eq!(manifest(&place, "back/tree"), manifest_before);
}

#[test]
fn python_reads_the_archive_to_its_end() {
    let (place, _) = exported();
    let count = place.python("import tarfile; print(len(tarfile.open('all.tar', errors='surrogateescape').getmembers()))", &[]);
    let listed = place.succeed(["ls", "--dest=store"]).stdout.lines().count();
    assert_eq!(count.trim(), listed.to_string());
}

#[test]
fn the_same_snapshot_always_gives_the_same_bytes_in_whole_records() {
    let (place, _) = exported();
    place.sh("pileus export --dest=store > again.tar; cmp all.tar again.tar");
    assert_eq!(
        fs::metadata(place.join("all.tar")).expect("is there").len() % 10240,
        0
    );
}

#[test]
fn paths_select_and_hard_links_are_whole_within_the_selection() {
    let (place, _) = exported();
    place.sh("mkdir back; pileus export --dest=store tree/dir /tree/hole | tar x -C back; cmp tree/dir/hard back/tree/dir/hard; cmp tree/hole back/tree/hole");
    assert_eq!(place.names("back/tree"), ["dir", "hole"]);
    let links = place.sh("stat -c %h back/tree/dir/hard");
    assert_eq!(links.trim(), "2");
    let ended = place.run(["export", "--dest=store", "nowhere"]);
    ended.assert_one_line(3, &["nowhere: is not in snapshot"]);
}

#[test]
fn a_socket_is_left_out_with_a_note_that_is_not_in_the_archive() {
    let place = Place::new();
    place.sh("mkdir tree; printf x > tree/a");
    place.python(
        "import socket; socket.socket(socket.AF_UNIX).bind('tree/socket')",
        &[],
    );
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("pileus export -v --dest=store > all.tar 2> told");
    assert_eq!(place.sh("tar tf all.tar"), "tree/\ntree/a\n");
    assert_eq!(
        place.sh("cat told"),
        "pileus: tree/socket: sockets are left out, no archive has them\n"
    );
}

#[test]
fn a_damaged_file_is_left_out_and_the_rest_is_a_good_archive() {
    let place = Place::new();
    let mut made = MadeStore::new();
    made.good_file("a", "first");
    made.entry("b", "f", "data: dddddddd-0000-4000-8000-000000000001/00000000\nsize: 5\nchecksum: sha1=0000000000000000000000000000000000000000");
    made.object("wrong");
    made.entry("c", "f", "mode: nonsense");
    made.entry("d", "f", "data: zero[5]\nsize: 7");
    made.entry("e", "c", "device: 4294967295/1");
    made.good_file("z", "last");
    place.sh("mkdir store");
    made.write(&place.join("store"));
    place.sh("set +e; pileus export --dest=store > all.tar 2> told; test $? = 3; mkdir back; tar x -C back -f all.tar");
    assert_eq!(place.names("back"), ["a", "z"]);
    assert_eq!(place.sh("cat back/a back/z"), "firstlast");
    let told = place.sh("cat told");
    for path in [
        "b: is left out",
        "c: cannot use",
        "d: is left out",
        "e: is left out",
    ] {
        assert!(told.contains(path), "{told}");
    }
}

#[test]
fn an_archive_is_not_written_to_a_terminal_nor_as_json() {
    need("script");
    let place = Place::new();
    place.sh("mkdir tree");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place
        .run(["export", "--dest=store", "--json"])
        .assert_one_line(2, &["leave out --json"]);
    let told = place.sh("script -qec 'pileus export --dest=store' /dev/null || true");
    assert!(told.contains("an archive is not for a terminal"), "{told}");
    assert!(!told.contains("ustar"), "{told}");
}

#[test]
fn stores_of_the_older_programs_are_exported_as_their_manifests_say() {
    need("tar");
    for store in STORES {
        let fixture = project("tests/fixtures").join(store);
        let list = fs::read_dir(&fixture)
            .expect("is listed")
            .map(|e| e.expect("an entry").path());
        for file in list.filter(|file| file.extension().is_some_and(|e| e == "manifest")) {
            let place = Place::new();
            let stem = file.file_stem().and_then(|s| s.to_str()).expect("a name");
            place.sh(&format!(
                "mkdir back; pileus export --dest='{}/store' --snapshot={stem} | tar x -p -C back",
                fixture.display()
            ));
            let wanted = fs::read_to_string(&file).expect("is read");
            let wanted: Vec<_> = wanted
                .lines()
                .filter(|line| !line.contains("\"type\": \"s\""))
                .collect();
            let found = place.manifest("back/data", "--whole-seconds --no-xattrs");
            let found: Vec<_> = found.lines().collect();
            if is_root() {
                assert_eq!(found, wanted, "{stem}");
            }
        }
    }
}

#[test]
fn access_control_lists_come_out_of_an_archive_as_they_went_in() {
    let place = Place::new();
    for program in ["setfacl", "bsdtar", "tar"] {
        need(program);
    }
    place.sh(
        "mkdir -p tree/shared; echo text >tree/file; chmod 640 tree/file; umask 077
        setfacl -m u:1234:rw,g:55:r tree/file; setfacl -m u:1234:rwx -d -m u:1235:rx,o::- tree/shared
        setfacl -R -m u:1236:r tree/shared; getfacl -Rn tree >before",
    );
    place.succeed(["backup", "--dest=store", "tree"]);
    place.sh("pileus export --dest=store >files.tar");
    for extract in ["bsdtar -xp", "tar --acls -xp"] {
        place.sh(&format!(
            "mkdir out; (cd out; {extract} -f ../files.tar; getfacl -Rn tree >../after); diff before after; rm -r out"
        ));
    }
}
