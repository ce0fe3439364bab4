//! Targets that take names for the same where case or normal form are other.

use crate::harness::{Place, is_root};

/// Pairs of names that are one in such a target.
const TREE: &str = "mkdir -p src/Dir src/dir src/D src/d
    echo one >src/README; echo second >src/readme; head -c 3000000 /dev/urandom >src/BIG; head -c 3000000 /dev/urandom >src/big
    echo a >src/Dir/a; echo AA >src/dir/A; echo b >src/dir/b; echo x >src/F; echo y >src/f; ln src/F src/G; ln src/f src/g; echo 1 >src/D/x; echo 22 >src/d/x";

/// Compares each file that is there under its own name with that of the source; `Dir` has what is in `dir`, too.
const COMPARE: &str = "cd full; find src -type f | while read -r file; do test ! -e ../\"$file\" || cmp \"$file\" ../\"$file\"; done; cd ..";

#[test]
fn what_a_restore_placed_is_not_replaced_by_another_path_of_it_in_any_mode() {
    let place = Place::new();
    place.sh(TREE);
    place.sh("ln -s 1 src/LINK; ln -s 2 src/link; mkfifo src/PIPE src/pipe; ln -s 3 src/File; echo f >src/file; echo 4 >src/sub; mkdir src/Sub");
    place.succeed(["backup", "--dest=store", "src"]);
    for first in ["never", "always"] {
        let ended = place.in_own_mounts(&format!(
            "rm -rf real; mkdir -p real full; faulty real full CASEI=1
            for when in {first} never if-changed always if-newer; do
                pileus restore --dest=store --target=full --overwrite=$when 2>said || echo $?
                [ $when = never ] || for path in readme big link pipe dir dir/A f g d/x; do grep -q \"^pileus: src/$path: \" said || {{ echo $when $path; cat said; }}; done
                {COMPARE}; readlink full/src/LINK; test -p full/src/PIPE; readlink full/src/File; test full/src/F -ef full/src/G
                cat full/src/README full/src/Dir/a full/src/F full/src/D/x
            done"
        ));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(
            ended.stdout,
            "3\n1\n3\none\na\nx\n1\n".repeat(5),
            "{ended:?}"
        );
    }
}

#[test]
fn names_of_another_normal_form_are_two_paths_and_the_second_replaces_nothing() {
    let place = Place::new();
    place.sh("mkdir src; echo one >\"src/$(printf 'cafe\\314\\201')\"; echo second >\"src/$(printf 'caf\\303\\251')\"; echo other >src/CAFE; echo plain >src/cafe");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir real full; faulty real full NFC=1
        for when in never if-changed always if-newer; do
            pileus restore --dest=store --target=full --overwrite=$when 2>said || echo $?
            cat full/src/*; ls full/src | wc -l
        done",
    );
    assert_eq!(
        ended.stdout,
        "3\nother\nplain\none\n3\n".repeat(4),
        "{ended:?}"
    );
}

#[test]
fn on_exfat_no_name_has_the_contents_of_another() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.sh(TREE);
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(&format!(
        "mkdir full; exfat image 64M full
        for when in never if-changed always if-newer; do
            pileus restore --dest=store --target=full --overwrite=$when 2>said || echo $?
            {COMPARE}; ls full/src full/src/Dir | wc -l
        done"
    ));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "3\n11\n".repeat(4), "{ended:?}");
}

#[test]
fn where_names_are_told_apart_pairs_of_them_are_restored_over_each_other() {
    let place = Place::new();
    place.sh(TREE);
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    for when in ["always", "if-changed"] {
        place.sh("echo changed >back/src/readme; echo changed >back/src/README; rm back/src/f; echo changed >back/src/dir/A");
        place.succeed([
            "restore",
            "--dest=store",
            "--target=back",
            &format!("--overwrite={when}"),
        ]);
        place.sh("diff -r src back/src");
    }
}
