//! What a restore does about files that are already there.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::harness::{Ended, Place, is_root};
use crate::made_store::MadeStore;

/// Makes a place with a tree that is backed up and restored, and then changed where it was restored to.
fn changed_after_restore(change: &str) -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/dir; for f in a b dir/c; do echo stored > tree/$f; done
        touch -d 2020-01-01T00:00:00Z tree/a tree/b tree/dir/c; ln -s a tree/link; mkfifo tree/pipe");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh(&format!("cd back/tree; {change}"));
    place
}

fn restore(place: &Place, arguments: &[&str]) -> Ended {
    let fixed = ["restore", "--dest=store", "--target=back"];
    place.survive(fixed.iter().chain(arguments))
}

fn contents(place: &Place, name: &str) -> String {
    fs::read_to_string(place.join("back/tree").join(name)).expect("is there")
}

#[test]
fn existing_files_are_problems_and_stay_as_they_are() {
    let place = changed_after_restore("echo mine > a; rm b");
    for never in [&[][..], &["--overwrite=never"]] {
        let ended = restore(&place, never);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        for name in [
            "tree/a: exists already",
            "tree/dir/c: exists already",
            "tree/link: exists",
            "tree/pipe: exists",
        ] {
            assert!(ended.stderr.contains(name), "{name} in {ended:?}");
        }
        assert!(
            ended.stderr.contains("--overwrite=if-changed or always"),
            "{ended:?}"
        );
        assert_eq!(contents(&place, "a"), "mine\n");
        assert_eq!(
            contents(&place, "b"),
            "stored\n",
            "what is missing is restored"
        );
        place.sh("rm back/tree/b");
    }
}

#[test]
fn of_what_looks_the_same_ten_are_named_and_the_others_counted() {
    let place = Place::new();
    place.sh("mkdir tree; for n in $(seq 40); do echo $n > tree/$n; done");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("echo mine > back/tree/7; touch back/tree/9; rm back/tree/30");
    for more in ["--dry-run", "--json"] {
        let ended = restore(&place, &[more]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        for name in ["tree/7", "tree/9"] {
            let told = format!("{name}: exists already");
            assert!(ended.stderr.contains(&told), "{ended:?}");
        }
        let told =
            "--overwrite=never: 27 more files exist already, of the snapshot's size and time";
        assert!(ended.stderr.contains(told), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 2 + 10 + 1, "{ended:?}");
    }
    assert_eq!(contents(&place, "7"), "mine\n");
    assert_eq!(contents(&place, "30"), "30\n");
}

#[test]
fn no_link_is_made_to_what_only_looks_the_same() {
    let place = Place::new();
    place.sh("mkdir tree; echo good > tree/a; ln tree/a tree/b");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.sh("mkdir -p back/tree; echo baad > back/tree/a; touch -r tree/a back/tree/a");
    let ended = restore(&place, &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(contents(&place, "a"), "baad\n");
    assert_eq!(contents(&place, "b"), "good\n");
}

#[test]
fn overwriting_always_replaces_everything_but_directories() {
    let place = changed_after_restore(
        "echo mine > a; ln -sf /etc/passwd b; rm link pipe; echo file > link; ln -s /nowhere pipe; touch dir/more",
    );
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=always",
    ]);
    place.sh(
        "test -e back/tree/dir/more && rm back/tree/dir/more && touch -r tree/dir back/tree/dir",
    );
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
}

#[test]
fn restoring_twice_gives_the_same_tree() {
    let place = Place::new();
    place.sample_tree("tree", 5);
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    for when in ["always", "if-changed", "if-newer"] {
        let overwrite = format!("--overwrite={when}");
        place.succeed(["restore", "--dest=store", "--target=back", &overwrite]);
        assert_eq!(
            place.manifest("back/tree", ""),
            place.manifest("tree", ""),
            "{when}"
        );
    }
}

#[test]
fn a_directory_that_was_there_keeps_its_attributes_unless_it_may_be_overwritten() {
    let place = Place::new();
    place.sh("mkdir -p tree/dir/made; echo x >tree/dir/file; chmod 0755 tree/dir; chmod 0751 tree/dir/made
        touch -d 2001-02-03T04:05:06Z tree/dir/made tree/dir");
    place.succeed(["backup", "--dest=store", "tree"]);
    for (when, is_kept) in [
        ("never", true),
        ("always", false),
        ("if-changed", false),
        ("if-newer", false),
    ] {
        place.sh("rm -rf back; mkdir -p back/tree/dir; chmod 0700 back/tree/dir");
        place.python(
            "import os; os.setxattr('back/tree/dir', 'user.mine', b'')",
            &[],
        );
        if is_root() {
            place.sh("chown 12:34 back/tree/dir");
        }
        let seen = || {
            let stat = fs::metadata(place.join("back/tree/dir")).expect("is there");
            (stat.mode() & 0o7777, stat.uid(), stat.gid())
        };
        let before = seen();
        let overwrite = format!("--overwrite={when}");
        let dry = restore(&place, &[&overwrite, "--dry-run", "-v"]);
        let wet = restore(&place, &[&overwrite, "-v"]);
        for ended in [&dry, &wet] {
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let note = "2 directories that were there keep their own mode";
            assert_eq!(ended.stdout.contains(note), is_kept, "{ended:?}");
            let told = ended.stdout.contains("[restored] tree/dir\n");
            assert_eq!(told, !is_kept, "{ended:?}");
        }
        assert_eq!(contents(&place, "dir/file"), "x\n");
        assert_eq!(seen() == before, is_kept, "{when}");
        let stat = fs::metadata(place.join("back/tree/dir")).expect("is there");
        assert_eq!(stat.mtime() == 981_173_106, !is_kept, "{when}");
        let stat = fs::metadata(place.join("back/tree/dir/made")).expect("is there");
        assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o751, 981_173_106));
    }
}

#[test]
fn a_directory_whose_entry_comes_after_what_is_below_it_is_one_that_the_restore_made() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.file("dir/below/file", "x");
    store.entry("dir/below", "d", "mode: 0751");
    store.entry("dir", "d", "mode: 0715");
    store.write(&place.join("store"));
    let ended = restore(&place, &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for (name, bits) in [("back/dir", 0o715), ("back/dir/below", 0o751)] {
        let stat = fs::metadata(place.join(name)).expect("is there");
        assert_eq!(stat.mode() & 0o7777, bits, "{name}");
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_is_replaced_only_by_deleting() {
    let place = changed_after_restore("rm a; mkdir a; echo mine > a/below");
    for when in ["never", "always", "if-changed", "if-newer"] {
        let ended = restore(&place, &[&format!("--overwrite={when}"), "tree/a"]);
        ended.assert_one_line(3, &["tree/a: a directory is in its place: move it away"]);
        assert_eq!(contents(&place, "a/below"), "mine\n");
    }
    let delete = ["--overwrite=always", "--delete"];
    let told = "tree/a: a directory is in its place, where --delete leaves it: move it away\n";
    restore(&place, &[&delete[..], &["tree/a"]].concat()).assert_one_line(3, &[told]);
    // What is said of the whole tree is true.
    for dry in [&["--dry-run"][..], &[]] {
        let ended = restore(&place, &[&["--overwrite=always"], dry].concat());
        let told = "tree/a: a directory is in its place: --delete with --overwrite=always would";
        ended.assert_one_line(3, &[told]);
    }
    let ended = restore(&place, &delete);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(contents(&place, "a"), "stored\n");
}

#[test]
fn a_file_in_the_place_of_a_directory_is_replaced_only_if_asked() {
    let place = changed_after_restore("rm -r dir; echo mine > dir");
    let ended = restore(&place, &["tree/dir"]);
    ended.assert_one_line(3, &["tree/dir: ", "1 entry below it"]);
    assert_eq!(contents(&place, "dir"), "mine\n");
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=always",
        "tree/dir",
    ]);
    assert_eq!(contents(&place, "dir/c"), "stored\n");
}

#[test]
fn a_file_gives_way_to_a_directory_as_it_would_to_a_file_of_its_time() {
    for (overwrite, age, is_replaced) in [
        ("--overwrite=if-changed", "1 day", true),
        ("--overwrite=if-changed", "-1 day", true),
        ("--overwrite=if-newer", "-1 day", true),
        ("--overwrite=if-newer", "1 day", false),
    ] {
        let change = format!("rm -r dir; echo mine >dir; touch -d '{age}' dir");
        let place = changed_after_restore(&change);
        let dry = restore(&place, &[overwrite, "--dry-run", "-v", "tree/dir"]);
        let ended = restore(&place, &[overwrite, "-v", "tree/dir"]);
        let expected = if is_replaced { Some(0) } else { Some(3) };
        assert_eq!((dry.code, ended.code), (expected, expected), "{ended:?}");
        let told = |ended: &Ended| ended.stdout.contains("[restored] tree/dir\n");
        assert_eq!((told(&dry), told(&ended)), (is_replaced, is_replaced));
        if is_replaced {
            assert_eq!(contents(&place, "dir/c"), "stored\n");
        } else {
            assert_eq!(contents(&place, "dir"), "mine\n");
        }
    }
}

#[test]
fn if_changed_looks_at_size_and_time() {
    let place = changed_after_restore(
        "echo longer than it was > a; printf 'STORED\\n' > b; touch -d 2020-01-01T00:00:00Z a b; touch dir/c",
    );
    let ended = restore(&place, &["--overwrite=if-changed"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(contents(&place, "a"), "stored\n", "another size");
    assert_eq!(
        contents(&place, "b"),
        "STORED\n",
        "size and time are the same"
    );
    let mtime = fs::metadata(place.join("back/tree/dir/c"))
        .expect("is there")
        .mtime();
    assert_eq!(mtime, 1_577_836_800, "another time");
}

#[test]
fn if_newer_replaces_only_what_is_older_than_the_snapshots_version() {
    let place = changed_after_restore(
        "echo older > a; touch -d 2019-01-01T00:00:00Z a; echo newer > b; touch -d 2021-01-01T00:00:00Z b
        echo same > dir/c; touch -d 2020-01-01T00:00:00Z dir/c",
    );
    let ended = restore(&place, &["--overwrite=if-newer"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(contents(&place, "a"), "stored\n");
    assert_eq!(contents(&place, "b"), "newer\n");
    assert_eq!(contents(&place, "dir/c"), "same\n");
}

#[test]
fn a_wrong_word_is_answered_with_the_right_ones() {
    let place = changed_after_restore("echo mine > a");
    for word in ["yes", "", "Always", "never "] {
        let ended = restore(&place, &[&format!("--overwrite={word}")]);
        ended.assert_one_line(2, &["--overwrite", "never, always, if-changed or if-newer"]);
    }
    assert_eq!(contents(&place, "a"), "mine\n");
}

#[test]
fn a_file_that_is_replaced_loses_its_other_names_not_their_contents() {
    let place = changed_after_restore("ln a ../other-name; echo mine > a");
    restore(&place, &["--overwrite=always"]);
    assert_eq!(contents(&place, "a"), "stored\n");
    assert_eq!(contents(&place, "../other-name"), "mine\n");
}

#[test]
fn hard_links_are_made_to_files_that_are_left_as_they_are() {
    let place = Place::new();
    place.sh("mkdir tree; echo x > tree/first; ln tree/first tree/second");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("rm back/tree/second");
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=if-changed",
    ]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
}

#[test]
fn a_damaged_store_destroys_nothing_that_is_there() {
    let place = Place::new();
    place.sh("mkdir tree; head -c 2500000 /dev/urandom > tree/big; echo stored > tree/small; ln tree/small tree/linked");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    place.sh("mkdir -p back/tree; for f in big small linked; do echo mine > back/tree/$f; done");
    // Of every segment but that of the log, which is the one that names files, the second half is lost.
    place.sh("for s in store/*.tar store/*.tar.bz2; do
            if { bzip2 -dc $s 2>/dev/null || cat $s; } | grep -aq ^name:; then continue; fi
            size=$(stat -c %s $s); truncate -s $((size / 2)) $s; truncate -s $size $s
        done");
    let ended = restore(&place, &["--overwrite=always"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for name in ["big", "small", "linked"] {
        assert!(
            ended.stderr.contains(&format!("tree/{name}: ")),
            "{ended:?}"
        );
        assert_eq!(contents(&place, name), "mine\n", "{ended:?}");
    }
    let small = ended
        .stderr
        .lines()
        .find(|line| line.contains("tree/linked: object"));
    assert!(
        small.is_some_and(|line| line.ends_with("; it is left out")),
        "{ended:?}"
    );
    assert_eq!(
        place.names("back/tree"),
        ["big", "big.damaged", "linked", "small"]
    );
}

#[test]
fn a_file_in_one_piece_whose_contents_are_wrong_is_said_to_be_left_out() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.object("evil");
    let sum = "0".repeat(40);
    let lines = format!("data: {object}\nsize: 4\nchecksum: sha1={sum}");
    store.entry("small", "f", &lines);
    store.write(&place.join("store"));
    let ended = restore(&place, &[]);
    ended.assert_one_line(
        3,
        &[
            "small: its contents are damaged: ",
            &format!("wanted sha1={sum}; it is left out\n"),
        ],
    );
    assert!(!place.join("back/small").exists());
}

#[test]
fn a_restore_that_is_killed_leaves_no_half_file_under_its_name() {
    let place = Place::new();
    place.sh("mkdir tree; for i in $(seq 30); do head -c 1300000 /dev/urandom > tree/$i; done");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--compression=none",
        "tree",
    ]);
    for enough in [1, 5, 15] {
        place.sh("rm -rf back");
        let mut command = place.command(["restore", "--dest=store", "--target=back"]);
        let mut child = command.spawn().expect("pileus starts");
        let made = || fs::read_dir(place.join("back/tree")).map_or(0, Iterator::count);
        while made() < enough && child.try_wait().expect("can be asked").is_none() {
            std::thread::yield_now();
        }
        child.kill().expect("is killed");
        child.wait().expect("ends");
        for name in place.names("back/tree") {
            if !name.starts_with('.') {
                place.sh(&format!("cmp tree/{name} back/tree/{name}"));
            }
        }
    }
    // What the dead run left does not stand in the way of the next.
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=always",
    ]);
    place.sh("for f in tree/*; do cmp $f back/$f; done");
}

#[test]
fn what_is_below_a_directory_that_something_is_in_the_way_of_is_told_in_one_line_with_it() {
    let place = Place::new();
    place.sh("mkdir -p tree/dir/deep tree/dirt; touch tree/a tree/dir/b tree/dir/deep/c tree/dirt/d; ln tree/a tree/dir/linked");
    place.succeed(["backup", "--dest=store", "tree"]);
    for (words, told) in [
        (
            &[][..],
            "tree/dir: cannot make the directory: something that is not a directory is there; --overwrite=if-changed or always would replace it; left out with it: 4 entries below it",
        ),
        (&["tree/dir/deep/c"], "left out with it: 2 entries below it"),
        (
            &["--exclude=deep", "--exclude=linked"],
            "left out with it: 1 entry below it",
        ),
        (&["--exclude=/tree/dir/*"], "would replace it\n"),
    ] {
        place.sh("rm -rf back; mkdir -p back/tree; echo mine >back/tree/dir");
        let dry = restore(&place, &[words, &["--dry-run"]].concat());
        let wet = restore(&place, &[words, &["--json"]].concat());
        for ended in [&dry, &wet] {
            ended.assert_one_line(3, &[told]);
        }
        assert_eq!(wet.summary()["problems"], 1, "{words:?}");
        let problems = wet.stdout.matches("\"type\":\"problem\"");
        assert_eq!(problems.count(), 1, "{wet:?}");
        assert_eq!(contents(&place, "dir"), "mine\n");
        let has_rest = place.join("back/tree/dirt/d").exists();
        assert_eq!(has_rest, words != ["tree/dir/deep/c"], "{words:?}");
    }
}
