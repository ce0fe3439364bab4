//! Where a restore writes, what it leaves alone there, and with which attributes files come back.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::harness::{Ended, Place, is_root, need};
use crate::made_store::MadeStore;

/// Makes a place with a small tree, already backed up.
fn backed_up(script: &str) -> Place {
    let place = Place::new();
    place.sh(script);
    place.succeed(["backup", "--dest=store", "tree"]);
    place
}

fn restore(place: &Place, arguments: &[&str]) -> Ended {
    let fixed = ["restore", "--dest=store", "--target=back"];
    place.survive(fixed.iter().chain(arguments))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("is there").mode() & 0o7777
}

#[test]
fn a_target_has_to_be_named() {
    let place = backed_up("mkdir tree");
    let ended = place.run(["restore", "--dest=store"]);
    ended.assert_one_line(2, &["--target"]);
}

#[test]
fn the_target_is_made_if_only_its_last_component_is_missing() {
    let place = backed_up("mkdir tree there; echo x > tree/file");
    place.succeed(["restore", "--dest=store", "--target=there/new"]);
    assert!(place.join("there/new/tree/file").exists());
    let ended = place.run(["restore", "--dest=store", "--target=missing/new"]);
    ended.assert_one_line(1, &["missing/new", "create that one first"]);
    assert!(!place.join("missing").exists());
}

#[test]
fn a_target_that_is_no_directory_is_refused() {
    let place = backed_up("mkdir tree real; echo x > tree/file; echo keep > plain");
    symlink("nowhere", place.join("dangling")).expect("a link is made");
    for name in ["plain", "dangling", "plain/below"] {
        let ended = place.run(["restore", "--dest=store", &format!("--target={name}")]);
        ended.assert_one_line(1, &[name]);
    }
    assert_eq!(
        fs::read_to_string(place.join("plain")).expect("is there"),
        "keep\n"
    );
    assert!(!place.join("nowhere").exists());
    let ended = place.run(["restore", "--dest=store", "--target=./store/"]);
    ended.assert_one_line(2, &["--target=./store/", "the store itself"]);
    for (directory, dest, target) in [
        (".", "store", "store/a"),
        ("store", ".", "b"),
        ("store", "../store", "./c"),
    ] {
        let (dest, target) = (format!("--dest={dest}"), format!("--target={target}"));
        let mut command = place.command(["restore", "-v", &dest, &target]);
        let ended = Ended::of(command.current_dir(place.join(directory)));
        let told = format!("{target} lies in the store");
        assert!(ended.stdout.contains(&told), "{ended:?}");
    }
    // What the user names may be a link to a directory.
    symlink("real", place.join("link")).expect("a link is made");
    place.succeed(["restore", "--dest=store", "--target=link"]);
    assert!(place.join("real/tree/file").exists());
}

#[test]
fn the_target_keeps_its_own_attributes() {
    let place = Place::new();
    place.sh("mkdir tree back; echo x > tree/file; chmod 0700 tree; chmod 0751 back");
    let own = "import os; os.setxattr('back', 'user.mine', b'mine'); os.setxattr('tree', 'user.its', b'x')";
    place.python(own, &[]);
    if is_root() {
        place.sh("chown 12:34 back");
    }
    let before = fs::metadata(place.join("back")).expect("is there");
    // Run in the tree, so that the scan root itself is an entry of the snapshot.
    place.sh("cd tree && pileus backup --dest=../store .");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert!(place.join("back/file").exists());
    let after = fs::metadata(place.join("back")).expect("is there");
    let seen = |stat: &fs::Metadata| (stat.ino(), stat.mode(), stat.uid(), stat.gid());
    assert_eq!(seen(&after), seen(&before));
    let names = place.python("import os; print(os.listxattr('back'))", &[]);
    assert_eq!(names, "['user.mine']\n");
}

#[test]
fn a_target_that_the_restore_makes_gets_what_the_scan_root_had() {
    let place = Place::new();
    place.sh(
        "mkdir -p tree/sub; echo x >tree/file; chmod 0705 tree; touch -d 2001-02-03T04:05:06Z tree",
    );
    let words = "backup --dest=../store .";
    place.sh(&format!("cd tree && pileus {words}"));
    let all = ["restore", "--dest=store", "--target=back", "--json"];
    let dry = place.succeed(all.iter().chain(&["--dry-run"])).summary();
    let wet = place.succeed(all).summary();
    assert_eq!(dry["entries"], wet["entries"]);
    assert_eq!(wet["entries"], 3);
    let stat = fs::metadata(place.join("back")).expect("is there");
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o705, 981_173_106));
    // Of a PATH, the target is no part.
    place.succeed(["restore", "--dest=store", "--target=part", "file"]);
    assert_eq!(mode(&place.join("part")), 0o700);
}

#[test]
fn directories_above_a_source_get_their_attributes_but_not_their_other_contents() {
    let place = Place::new();
    place.sh(
        "mkdir -p top/mid/tree; echo x > top/mid/tree/file; echo y > top/mid/other
        chmod 0710 top; chmod 0705 top/mid
        touch -d 2001-02-03T04:05:06Z top/mid top",
    );
    place.succeed(["backup", "--dest=store", "top/mid/tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert!(place.join("back/top/mid/tree/file").exists());
    assert!(!place.join("back/top/mid/other").exists());
    for (name, bits) in [("back/top", 0o710), ("back/top/mid", 0o705)] {
        let stat = fs::metadata(place.join(name)).expect("is there");
        assert_eq!(
            (stat.mode() & 0o7777, stat.mtime()),
            (bits, 981_173_106),
            "{name}"
        );
    }
}

#[test]
fn directories_have_the_times_they_were_stored_with() {
    let place = backed_up(
        "mkdir -p tree/a/b/c tree/empty; echo x > tree/a/b/c/file; ln tree/a/b/c/file tree/a/link
        ln -s x tree/a/b/symlink; mkfifo tree/a/b/pipe; chmod 0555 tree/a/b/c
        touch -d 1999-12-31T23:59:59.123456789Z tree/a/b/c tree/a/b tree/a tree/empty tree",
    );
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    for name in ["", "/a", "/a/b", "/a/b/c", "/empty"] {
        let stat = fs::metadata(place.join(format!("back/tree{name}"))).expect("is there");
        assert_eq!(
            (stat.mtime(), stat.mtime_nsec()),
            (946_684_799, 123_456_789),
            "{name}"
        );
    }
}

#[test]
fn as_another_user_owners_are_left_out_without_a_word() {
    let place = Place::new();
    place.sh(
        "mkdir -p tree/sub store back; echo x > tree/sub/file; echo x > tree/setuid
        ln -s file tree/sub/link; mkfifo tree/pipe
        chmod 6755 tree/setuid; chmod 2755 tree/sub; chmod 1700 tree",
    );
    place.python(
        "import os; os.setxattr('tree/sub/file', 'user.kept', b'yes')",
        &[],
    );
    if is_root() {
        need("setcap");
        place.sh("cp tree/sub/file tree/capable; setcap cap_net_raw+ep tree/capable; chown 12:34 tree/sub");
    }
    place.succeed(["backup", "--dest=store", "tree"]);
    if is_root() {
        place.sh("chown -R 65534:65534 store back");
    }
    let mut command = place.command_as_other(["restore", "--dest=store", "--target=back"]);
    let ended = Ended::of(&mut command);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(
        fs::read_to_string(place.join("back/tree/sub/file")).expect("is there"),
        "x\n"
    );
    let kept = place.python(
        "import os; print(os.getxattr('back/tree/sub/file', 'user.kept'))",
        &[],
    );
    assert_eq!(kept, "b'yes'\n");
    if is_root() {
        for name in [
            "back/tree",
            "back/tree/setuid",
            "back/tree/sub/link",
            "back/tree/pipe",
        ] {
            let stat = fs::symlink_metadata(place.join(name)).expect("is there");
            assert_eq!((stat.uid(), stat.gid()), (65534, 65534), "{name}");
        }
        assert_eq!(mode(&place.join("back/tree/setuid")), 0o755);
        assert_eq!(mode(&place.join("back/tree/sub")), 0o755);
        assert_eq!(place.sh("getfattr -d -m security back/tree/capable"), "");
    }
    assert_eq!(mode(&place.join("back/tree")), 0o1700);
}

#[test]
fn as_another_user_devices_are_problems_and_everything_else_is_restored() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.entry("block", "b", "device: 7/200");
    store.entry("char", "c", "device: 1/3");
    store.entry("file", "f", "size: 0\ndata:\nmode: 06777");
    fs::create_dir(place.join("back")).expect("a directory is made");
    store.write(&place.join("store"));
    place.sh("test $(id -u) != 0 || chown -R 65534 store back");
    let mut command = place.command_as_other(["restore", "--dest=store", "--target=back"]);
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(
        lines[0].contains("block: ") && lines[1].contains("char: "),
        "{ended:?}"
    );
    assert_eq!(place.names("back"), ["file"]);
    assert_eq!(mode(&place.join("back/file")), 0o777);
}

#[test]
fn owners_go_by_name_or_by_number_or_not_at_all() {
    let owned = |arguments: &[&str]| {
        let place = Place::new();
        let mut store = MadeStore::new();
        let lines = "size: 0\ndata:\nmode: 06755";
        store.entry(
            "known",
            "f",
            &format!("{lines}\nuser: 4711 (root)\ngroup: 4711 (root)"),
        );
        store.entry(
            "other",
            "f",
            &format!("{lines}\nuser: 4711 (nobody-of-that-name)\ngroup: 4712"),
        );
        store.write(&place.join("store"));
        let ended = restore(&place, arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{ended:?}"
        );
        ["known", "other"].map(|name| {
            let stat = fs::metadata(place.join("back").join(name)).expect("is there");
            (stat.uid(), stat.gid(), stat.mode() & 0o7777)
        })
    };
    if is_root() {
        assert_eq!(owned(&[]), [(0, 0, 0o6755), (4711, 4712, 0o6755)]);
        let by_number = [(4711, 4711, 0o6755), (4711, 4712, 0o6755)];
        assert_eq!(owned(&["--numeric-owner"]), by_number);
    }
    let me = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    assert_eq!(
        owned(&["--no-owner"]),
        [(me.0, me.1, 0o755), (me.0, me.1, 0o755)]
    );
    let place = backed_up("mkdir tree");
    let ended = restore(&place, &["--no-owner", "--numeric-owner"]);
    ended.assert_one_line(2, &["--no-owner", "--numeric-owner"]);
}

#[test]
fn extended_attributes_come_back_unless_they_are_not_wanted() {
    need("setfacl");
    let place = backed_up(
        "mkdir tree; echo x > tree/file; chmod 0640 tree/file; setfacl -m u:4711:rw tree/file",
    );
    place.python("import os; os.setxattr('tree/file', 'user.comment', b'a\\0b'); os.setxattr('tree', 'user.dir', b'')", &[]);
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(
        place.manifest("back", ""),
        place
            .manifest(".", "")
            .lines()
            .filter(|line| line.contains("\"tree"))
            .fold(String::new(), |all, line| all + line + "\n")
    );
    place.succeed(["restore", "--dest=store", "--target=without", "--no-xattrs"]);
    let names = "import os; print(os.listxattr('without/tree'), os.listxattr('without/tree/file'))";
    assert_eq!(place.python(names, &[]), "[] []\n");
}

#[test]
fn holes_stay_holes_unless_they_are_not_wanted() {
    let place = backed_up(
        "mkdir tree; truncate -s 8M tree/all-hole
        truncate -s 8M tree/island; printf island | dd of=tree/island bs=1 seek=5000000 conv=notrunc status=none
        head -c 3M /dev/zero > tree/zeros; printf end >> tree/zeros",
    );
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.succeed(["restore", "--dest=store", "--target=full", "--no-sparse"]);
    for name in ["tree/all-hole", "tree/island", "tree/zeros"] {
        place.sh(&format!("cmp {name} back/{name}; cmp {name} full/{name}"));
        let stat = |above: &str| fs::metadata(place.join(above).join(name)).expect("is there");
        let (sparse, full) = (stat("back"), stat("full"));
        assert!(
            sparse.blocks() * 512 <= 256 << 10,
            "{name}: {} blocks",
            sparse.blocks()
        );
        assert!(
            full.blocks() * 512 >= full.size(),
            "{name}: {} blocks",
            full.blocks()
        );
    }
}

#[test]
fn a_file_whose_blocks_lie_in_many_segments_comes_back_with_any_number_of_jobs() {
    let place = Place::new();
    place.sh(
        "mkdir tree; head -c 3500000 /dev/urandom > tree/random; seq 700000 > tree/numbers
        for i in 1 2 3 4 5 6 7 8 9; do echo $i > tree/small$i; done",
    );
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--segment-size=64K",
        "tree",
    ]);
    let segments = place
        .names("store")
        .iter()
        .filter(|name| name.contains(".tar"))
        .count();
    assert!(segments > 6, "{segments} segments");
    for jobs in ["--jobs=1", "--jobs=2", "--jobs=4"] {
        let target = format!("--target=back{jobs}");
        place.succeed(["restore", "--dest=store", &target, jobs]);
        let restored = place.manifest(&format!("back{jobs}/tree"), "");
        assert_eq!(restored, place.manifest("tree", ""), "{jobs}");
    }
    for jobs in ["--jobs=0", "--jobs=-1", "--jobs=many", "--jobs=99999999"] {
        let ended = restore(&place, &[jobs]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("--jobs"), "{ended:?}");
    }
}
