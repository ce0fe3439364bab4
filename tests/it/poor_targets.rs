//! Restores to file systems that cannot keep everything: nothing wrong stands under a true name, everything that fits comes back, and
//! what cannot be kept is said once.

mod folding;
mod links;
mod room;

use crate::harness::{Place, is_root};

#[test]
fn exfat_keeps_contents_and_times_and_each_thing_that_it_cannot_keep_is_said_once() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh("mkdir -p src/dir; head -c 3000000 /dev/urandom >src/large; echo small >src/small; echo other >src/dir/other; chmod 600 src/small
        setfattr -n user.x -v y src/small; setfattr -n user.x -v y src/dir/other; chown 1234:55 src/small src/large
        touch -d '2020-01-01 10:00:01.5' src/large src/small; touch -d '2020-01-01 10:00:02' src/dir/other src/dir src");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir full; exfat image 32M full
        pileus restore --dest=store --target=full; echo $?
        diff -r src full/src; stat -c '%Y %n' full/src/large full/src/small full/src/dir/other
        find full -name '*.part'
        pileus restore --dest=store --target=full --overwrite=if-changed -v | grep -v '/dir$\\|src$' | grep -c restored.*src/ || true",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let times =
        "1577872801 full/src/large\n1577872801 full/src/small\n1577872802 full/src/dir/other\n";
    assert_eq!(ended.stdout, format!("0\n{times}0\n"), "{ended:?}");
    let first: Vec<_> = ended.stderr.lines().take(4).collect();
    for (said, what) in first
        .iter()
        .zip(["owners", "extended attributes", "modes", "times"])
    {
        assert!(said.contains(&format!("cannot keep {what}")), "{ended:?}");
    }
}

#[test]
fn what_could_not_be_made_leaves_nothing_under_its_name() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh("mkdir src; mkfifo src/pipe; ln -s x src/link; echo x >src/file");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir full; exfat image 32M full
        for when in never always; do pileus restore --dest=store --target=full --overwrite=$when || echo $?; done; ls -A full/src",
    );
    assert_eq!(ended.stdout, "3\n3\nfile\n", "{ended:?}");
}

#[test]
fn foreign_attributes_of_a_directory_that_was_there_are_removed() {
    let place = Place::new();
    place.sh("mkdir -p src/dir; setfattr -n user.own -v 1 src/dir");
    place.succeed(["backup", "--dest=store", "src"]);
    place.sh("mkdir -p back/src/dir; setfattr -n user.foreign -v 1 back/src/dir; setfattr -n user.own -v 2 back/src/dir");
    let listed = "getfattr -d back/src/dir | grep user";
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert!(place.sh(listed).contains("foreign"));
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--overwrite=always",
    ]);
    assert_eq!(place.sh(listed), "user.own=\"1\"\n");
}

#[test]
fn without_its_access_control_list_a_file_gives_its_group_no_more_than_the_list_did() {
    let place = Place::new();
    place.sh(
        "mkdir src; echo x >src/file; chmod 700 src/file; setfacl -m u:1234:rwx,g::--- src/file",
    );
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["restore", "--dest=store", "--target=bare", "--no-xattrs"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(
        place.sh("stat -c %a bare/src/file back/src/file"),
        "700\n770\n"
    );
}

#[test]
fn where_times_are_whole_seconds_what_is_unchanged_is_not_restored_again() {
    let place = Place::new();
    place.sh("mkdir src real full; for n in 1 2 3; do echo $n >src/$n; touch -d \"2020-01-01 10:00:0$n.7\" src/$n; done");
    place.succeed(["backup", "--dest=store", "src"]);
    for seconds in [1, 2] {
        let restored = place.sh_in_own_mounts(&format!(
            "rm -rf real/*; faulty real full COARSE={seconds}; pileus restore --dest=store --target=full 2>/dev/null
            echo changed >full/src/2; touch -d '2020-01-01 10:00:40' full/src/2
            pileus restore --dest=store --target=full --overwrite=if-changed -v 2>/dev/null | grep 'restored.*src/[0-9]'"
        ));
        assert_eq!(restored.lines().count(), 1, "{restored}");
        assert!(restored.contains("src/2"), "{restored}");
    }
}

#[test]
fn a_temporary_file_that_cannot_be_removed_is_named() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh("mkdir src; head -c 3000000 /dev/urandom >src/large");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir full; disk image 32M full mkfs.ext4; mkdir full/src; chattr +a full/src
        pileus restore --dest=store --target=full || echo $?; ls -A full/src; chattr -a full/src",
    );
    let left: Vec<_> = ended.stdout.lines().skip(1).collect();
    assert!(
        ended.stdout.starts_with("3\n") && left.len() == 1,
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains(&format!("\"{}\"", left[0])),
        "{ended:?}"
    );
}

#[test]
fn a_user_restores_over_an_own_tree_of_directories_that_nobody_may_write_to() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh("mkdir -p src/a/b; echo 1 >src/a/b/file; echo 2 >src/a/file; chmod 555 src/a/b src/a; mkdir back; chown -R 1234 . ; chmod 755 .");
    let ended = place.in_own_mounts(
        "as_user() { HOME=$PWD setpriv --reuid=1234 --clear-groups \"$PILEUS\" \"$@\"; }
        as_user backup --dest=store --localdb=state src; as_user restore --dest=store --target=back
        for when in 'always src' 'if-changed src' 'never src' 'always src/a/b/file'; do
            rm -f back/src/a/b/file; set -- $when; echo $when >&2
            as_user restore --dest=store --target=back --overwrite=$1 $2 2>said || [ $1 = never ]
            cmp src/a/b/file back/src/a/b/file; test $(stat -c %a back/src/a/b) = 555; test $(stat -c %a back/src/a) = 555
        done",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
