//! `restore --delete`: the target becomes what the snapshot is, and nothing else is touched.

mod folding;
mod partial;
mod refused;

use std::fs;

use crate::harness::{Ended, Place, need_own_mounts, root_for};
use crate::made_store::MadeStore;

const DELETE: [&str; 5] = [
    "restore",
    "--dest=store",
    "--target=back",
    "--overwrite=always",
    "--delete",
];

fn delete(place: &Place, arguments: &[&str]) -> Ended {
    place.survive(DELETE.iter().chain(arguments))
}

/// Runs a restore that has to succeed, after a dry run of it that has to name the same paths and to leave everything as it is.
fn delete_as_foretold(place: &Place, arguments: &[&str]) -> Ended {
    let state = || place.sh("find back -printf '%p %y %m %s %T@ %i %l\n' 2>&1 | LC_ALL=C sort");
    let before = state();
    let dry = delete(place, &[arguments, &["--dry-run", "-v"]].concat());
    assert_eq!(state(), before, "{dry:?}");
    let wet = delete(place, &[arguments, &["-v"]].concat());
    assert_eq!((wet.code, wet.stderr.as_str()), (Some(0), ""), "{wet:?}");
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""), "{dry:?}");
    assert_eq!(deleted(&dry), deleted(&wet));
    wet
}

/// Returns the paths that a run with `-v` named as deleted, sorted.
fn deleted(ended: &Ended) -> Vec<&str> {
    let lines = ended.stdout.lines();
    let mut paths: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("[deleted] "))
        .collect();
    paths.sort_unstable();
    paths
}

/// Makes a place with a tree that was backed up and restored, and a directory that nothing may happen to.
fn restored() -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/a/sub tree/b outside; for f in a/one a/sub/two b/three; do echo $f >tree/$f; done; echo x >outside/x");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place
}

#[test]
fn the_target_becomes_what_the_snapshot_is() {
    let place = Place::new();
    place.sample_tree("tree", 3);
    place.sh("mkdir outside; echo x >outside/x");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh(
        "cd back/tree; mkdir -p 'new dir/deep/er' zzz; echo x >'new dir/deep/er/file'; mkfifo 'new dir/pipe'
        ln -s ../../outside link-to-outside; ln -s nowhere zzz/dangling; touch .hidden \"$(printf 'odd\\377\\nname')\"
        first=$(find . -type f | LC_ALL=C sort | head -n 1); rm \"$first\"; mkdir -p \"$first/now/a/directory\"
        emptied=$(find . -mindepth 1 -type d | LC_ALL=C sort | tail -n 1); rm -rf \"$emptied\"; ln -s ../../outside \"$emptied\"",
    );
    delete_as_foretold(&place, &[]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
    assert_eq!(place.names("outside"), ["x"]);
    let again = delete(&place, &["--json"]);
    assert_eq!(again.summary()["deleted"], 0);
}

#[test]
fn what_stands_beside_a_source_stays() {
    let place = Place::new();
    place.sh("mkdir -p home/anna home/berta; touch home/anna/one home/berta/two home/file");
    place.succeed(["backup", "--dest=store", "home/anna", "home/file"]);
    place.sh("mkdir -p back/home/berta back/home/anna/more; touch back/home/berta/kept back/beside back/home/anna/gone back/home/other");
    let ended = delete_as_foretold(&place, &[]);
    assert_eq!(deleted(&ended), ["home/anna/gone", "home/anna/more"]);
    // A PATH above the sources means no more than they do.
    place.sh("touch back/home/anna/gone");
    let ended = delete_as_foretold(&place, &["home"]);
    assert_eq!(deleted(&ended), ["home/anna/gone"]);
    place.sh("test -e back/home/berta/kept; test -e back/beside; test -e back/home/other");
}

#[test]
fn only_what_paths_select_is_emptied() {
    let place = restored();
    place.sh("touch back/tree/a/sub/x back/tree/a/x back/tree/b/x back/tree/x back/x");
    let ended = delete_as_foretold(&place, &["tree/a/sub", "tree/b/three"]);
    assert_eq!(deleted(&ended), ["tree/a/sub/x"]);
    let ended = delete(&place, &["tree/b", "tree/gone"]);
    ended.assert_one_line(3, &["tree/gone", "is not in snapshot"]);
    let left = place.sh("cd back; find . -name x | LC_ALL=C sort");
    assert_eq!(left, "./tree/a/x\n./tree/x\n./x\n");
}

#[test]
fn a_snapshot_of_the_working_directory_is_about_all_of_the_target() {
    let place = Place::new();
    place.sh("mkdir tree; touch tree/file");
    let mut command = place.command(["backup", "--dest=../store", "."]);
    assert_eq!(
        Ended::of(command.current_dir(place.join("tree"))).code,
        Some(0)
    );
    place.sh("mkdir -p back/dir; touch back/beside back/dir/in");
    let ended = delete_as_foretold(&place, &[]);
    assert_eq!(deleted(&ended), ["beside", "dir", "dir/in"]);
}

#[test]
fn what_rules_leave_out_stays_with_the_directories_above_it() {
    let place = restored();
    place.sh("cd back/tree; mkdir -p new/deep other; touch new/deep/x.keep new/deep/y new/z a/k.keep a/sub/gone other/x");
    let ended = delete_as_foretold(&place, &["--exclude=*.keep"]);
    let all = [
        "tree/a/sub/gone",
        "tree/new/deep/y",
        "tree/new/z",
        "tree/other",
        "tree/other/x",
    ];
    assert_eq!(deleted(&ended), all);
    // Of a directory that is passed through, only what is included.
    place.sh("cd back/tree; touch a/x a/sub/x b/x");
    let rules = ["--include=/tree/a/sub/**", "--exclude=/tree/**"];
    let ended = delete_as_foretold(&place, &rules);
    assert_eq!(deleted(&ended), ["tree/a/sub/x"]);
}

#[test]
fn any_tree_becomes_what_a_naive_model_says() {
    let place = Place::new();
    place.write("model.py", MODEL);
    let mut checked = 0;
    for seed in 0..30 {
        place.sh(&format!(
            "rm -rf tree store back; python3 model.py make {seed} tree; cp -a tree back0; rm -rf back; mkdir back; mv back0 back/tree"
        ));
        place.succeed(["backup", "--dest=store", "tree"]);
        place.sh(&format!(
            "python3 model.py change {seed} back/tree; python3 model.py expect {seed} tree back/tree >expected"
        ));
        let expected = fs::read_to_string(place.join("expected")).expect("is read");
        if expected.is_empty() {
            continue;
        }
        delete_as_foretold(&place, &["--exclude=*k", "tree"]);
        assert_eq!(
            place.sh("cd back/tree; find . -mindepth 1 -printf '%P %y\n' | LC_ALL=C sort"),
            expected,
            "seed {seed}"
        );
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} seeds could be checked");
}

/// Makes trees of short names; says what is to be left: what the snapshot has, what `*k` excludes, and the directories above.
const MODEL: &str = r#"
import os, random, shutil, sys
what, seed, tree = sys.argv[1], int(sys.argv[2]), sys.argv[3]
chance = random.Random(f"{what} {seed}")
def put(path):
    if os.path.lexists(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    kind = chance.randrange(4)
    if kind < 2:
        os.mkdir(path)
    elif kind == 2:
        open(path, "w").write(path)
    else:
        os.symlink("/", path)
def grow(count):
    for _ in range(count):
        directories = [d for d, _, _ in os.walk(tree)]
        put(os.path.join(chance.choice(directories), chance.choice(["a", "a-", "a.b", "b", "bk", "k", "z"])))
def kinds(root):
    found = {}
    for d, below, files in os.walk(root):
        for name in below + files:
            path = os.path.join(d, name)
            letter = "l" if os.path.islink(path) else "d" if os.path.isdir(path) else "f"
            found[os.path.relpath(path, root)] = letter
    return found
def excluded(path):
    return any(part.endswith("k") for part in path.split("/"))
if what == "make":
    os.mkdir(tree); grow(25)
elif what == "change":
    grow(25)
else:
    snapshot, there = kinds(tree), kinds(sys.argv[4])
    left = {path: kind for path, kind in snapshot.items() if not excluded(path)}
    kept = {path: kind for path, kind in there.items() if excluded(path)}
    for path in list(kept):
        while path := os.path.dirname(path):
            if left.get(path, "d") != "d":
                sys.exit() # A directory that is kept stands where the snapshot has something else, which is a problem.
            kept[path] = "d"
    for path, kind in sorted({**left, **kept}.items(), key=lambda item: os.fsencode(item[0] + " " + item[1])):
        print(path, kind)
"#;

#[test]
fn a_damaged_log_does_not_look_like_an_empty_directory() {
    let place = Place::new();
    place.sh("mkdir -p tree/many; cd tree/many; seq 3000 | xargs touch");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    place.sh("mkdir -p back/tree; touch back/tree/superfluous");
    let damage = "import sys, glob\nname = max(glob.glob('store/*.tar'), key=lambda n: open(n, 'rb').read().count(b'name: '))\n\
        data = bytearray(open(name, 'rb').read())\nat = data.find(b'name: tree/many/2000')\nassert at > 0\ndata[at] ^= 1\nopen(name, 'wb').write(data)";
    place.python(damage, &[]);
    let ended = delete(&place, &["--dry-run"]);
    assert!(!ended.stdout.contains("would delete"), "{ended:?}");
    let ended = delete(&place, &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("nothing is deleted: not all metadata can be read"),
        "{ended:?}"
    );
    place.sh("test -e back/tree/superfluous; test -e back/tree/many/1");
}

#[test]
fn entries_out_of_order_delete_nothing() {
    let place = Place::new();
    place.sh("mkdir -p store back/tree; touch back/tree/gone");
    let mut made = MadeStore::new();
    for name in ["tree", "tree/z", "tree/a"] {
        made.directory(name);
    }
    made.write(&place.join("store"));
    place.sh(
        "sed -i 's/^Producer: .*/Producer: pileus 0.1.0/; /^Segments:/i Problems: 0' store/*.lbs",
    );
    let ended = delete(&place, &["tree"]);
    ended.assert_one_line(3, &["nothing is deleted: tree/a is not in path order"]);
    place.sh("test -e back/tree/gone");
}

#[test]
fn what_is_more_likely_a_slip_than_a_wish_is_refused() {
    let place = restored();
    place.sh("touch back/tree/x; ln -s / top");
    for (arguments, parts) in [
        (
            &["--target=back", "--delete"][..],
            &["--delete", "--overwrite"][..],
        ),
        (
            &["--target=back", "--delete", "--overwrite=never"],
            &["--overwrite=always"],
        ),
        (
            &["--target=top", "--delete", "--overwrite=always"],
            &["--target=/", "PATHs"],
        ),
    ] {
        let ended = place.survive(["restore", "--dest=store"].iter().chain(arguments));
        ended.assert_one_line(2, parts);
    }
    place.sh("test -e back/tree/x");
    place.sh("cd store; for f in snapshot-*; do mv $f ${f%.*}.checkpoint.${f##*.}; done");
    delete(&place, &["--snapshot=2"]).assert_one_line(1, &["is a checkpoint", "--delete"]);
    place.sh("test -e back/tree/x");
}

#[test]
fn the_store_in_the_target_stays() {
    let place = Place::new();
    place.sh("mkdir -p tree/file back/tree/new/deep");
    place.succeed(["backup", "--dest=back/tree/new/deep/store", "tree"]);
    place.sh("touch back/tree/new/gone");
    let arguments = [
        "restore",
        "--dest=back/tree/new/deep/store",
        "--target=back",
        "--overwrite=always",
        "--delete",
        "-v",
    ];
    let ended = place.succeed(arguments);
    assert_eq!(deleted(&ended), ["tree/new/gone"]);
    assert!(ended.stdout.contains("it is the store"), "{ended:?}");
    place.succeed(["verify", "--dest=back/tree/new/deep/store", "--level=files"]);
}

#[test]
fn what_cannot_be_deleted_is_named_and_the_rest_goes() {
    let place = restored();
    place.sh("mkdir -p back/tree/closed; touch back/tree/closed/x back/tree/x; chmod 0777 back back/tree; chmod 0555 back/tree/closed
        chmod -R a+rX store; if [ $(id -u) = 0 ]; then chown -R 65534 back; fi");
    let mut command = place.command_as_other(DELETE);
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let denied = "tree/closed/x: cannot be deleted: Permission denied";
    assert!(ended.stderr.contains(denied), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    place.sh("test ! -e back/tree/x; test -e back/tree/closed/x");
}

#[test]
fn a_tree_of_any_depth_goes() {
    let place = restored();
    place.python(
        "import os\nos.chdir('back/tree')\nfor _ in range(1500):\n    os.mkdir('d' * 20); os.chdir('d' * 20)\nopen('x', 'w')",
        &[],
    );
    let mut command =
        place.command_under(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""], DELETE);
    let ended = Ended::of(command.arg("--json"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.summary()["deleted"], 1501);
    assert_eq!(place.names("back/tree"), ["a", "b"]);
}

#[test]
fn nothing_is_deleted_across_a_mount() {
    if !root_for("mount what it likes") {
        return;
    }
    need_own_mounts();
    let place = restored();
    place.sh("mkdir -p back/tree/new/mounted; touch back/tree/new/gone");
    // In a namespace of its own, so that nothing stays mounted; a bind mount has the device of what is around it.
    let script = "mount -t tmpfs tmpfs back/tree/new/mounted; touch back/tree/new/mounted/x
        mount --bind outside back/tree/b; \"$0\" \"$@\"
        test -e back/tree/new/mounted/x; test -e outside/x
        \"$0\" restore --dest=store --target=back --overwrite=always --delete tree/b; test ! -e outside/x; test -e outside/three";
    let mut command = place.command_under(&["unshare", "-m", "sh", "-euc", script], DELETE);
    let ended = Ended::of(command.arg("-v"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(deleted(&ended), ["tree/new/gone"]);
    for kept in ["tree/b: nothing in it", "tree/new/mounted: nothing in it"] {
        assert!(ended.stdout.contains(kept), "{ended:?}");
    }
}
