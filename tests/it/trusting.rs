//! What a later run believes of an entry: what a stat shows is compared, and what was not complete is looked at again until it is.

use crate::harness::{Place, need};

/// Shell lines of most tests here: `settled` waits until what was written is old enough to be believed, and `older` until something else, the root
/// of the tree, is newer: then the clock has passed it.
const SETTLED: &str = "settled() { sleep 2.1; }\nolder() { settled; touch real; settled; }\n";

fn script(place: &Place, script: &str) -> String {
    place.sh_in_own_mounts(&format!("{SETTLED}{script}"))
}

#[test]
fn a_change_of_mode_owner_or_links_without_a_change_time_is_backed_up_without_reading_the_file() {
    let place = Place::new();
    place.write("real/file", "contents");
    place.write("real/sub/other", "contents");
    let told = script(
        &place,
        "
        mkdir mnt; chmod 644 real/file; ln -s to real/link; older; faulty real mnt CTIMEM=1
        pileus backup --dest=store mnt
        chmod 600 mnt/file; chmod 700 mnt/sub
        pileus --json backup --dest=store mnt | tail -1
        pileus backup --dest=store -v mnt
        pileus diff --root=. --dest=store latest
        test \"$(id -u)\" != 0 || { chown -h 1234:55 real/file real/link; pileus backup --dest=store mnt; pileus diff --root=. --dest=store latest; }
        ",
    );
    let summary = told.lines().next().expect("is there");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("is JSON");
    assert_eq!(
        (&summary["metadata"], &summary["read_bytes"]),
        (&2.into(), &0.into()),
        "{told}"
    );
    let rest: Vec<&str> = told
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with("[old] "))
        .collect();
    assert_eq!(rest, [""; 0]);
}

#[test]
fn a_change_of_attributes_without_a_change_time_is_backed_up() {
    need("setfattr");
    let place = Place::new();
    place.write("real/file", "contents");
    place.write("real/sub/other", "contents");
    for fault in ["CTIMEM=1", "CTIME0=1"] {
        let told = script(
            &place,
            &format!(
                "
                mkdir -p mnt; older; faulty real mnt {fault}
                pileus backup --dest=store mnt
                setfattr -n user.new -v {fault} real/file; setfattr -n user.new -v {fault} real/sub
                pileus --json -v backup --dest=store mnt
                pileus -v backup --dest=store mnt
                pileus diff --root=. --dest=store latest
                "
            ),
        );
        assert_eq!(told.matches(r#""status":"metadata""#).count(), 2, "{told}");
        assert!(told.contains(r#""read_bytes":0"#), "{told}");
        assert!(
            told.contains("[old] mnt/file\n") && told.contains("[old] mnt/sub\n"),
            "{told}"
        );
        assert!(!told.contains("xattrs"), "{told}");
    }
}

#[test]
fn attributes_that_could_not_be_read_are_a_problem_until_they_are_read() {
    need("setfattr");
    for fault in ["XERR=5", "XERR=13", "XLERR=7", "XLERR=5", "XLERR=95"] {
        let place = Place::new();
        place.write("real/file", "contents");
        place.write("real/sub/other", "contents");
        let told = script(
            &place,
            &format!(
                "
                mkdir mnt; setfattr -n user.a -v 1 real/file; setfattr -n user.a -v 1 real/sub
                faulty real mnt; pileus backup --dest=store mnt; umount mnt
                chmod 600 real/file; chmod 750 real/sub; older
                faulty real mnt {fault}
                pileus backup --dest=store mnt && exit 1 || test $? = 3
                pileus --json -v backup --dest=store mnt >again && exit 1 || test $? = 3
                umount mnt; faulty real mnt
                pileus -v backup --dest=store mnt
                pileus diff --root=. --dest=store latest; echo $?
                pileus backup --dest=store mnt -v
                "
            ),
        );
        assert!(told.contains("[metadata] mnt/file\n"), "{fault}: {told}");
        assert!(told.contains("[metadata] mnt/sub\n"), "{fault}: {told}");
        assert!(told.contains("[old] mnt/file\n"), "{fault}: {told}");
        assert!(!told.contains("user.a"), "{fault}: {told}");
        let again = place.sh("cat again");
        // Where names cannot be listed, nobody knows who has none.
        let incomplete = if matches!(fault, "XLERR=7" | "XLERR=5") {
            4
        } else {
            2
        };
        assert_eq!(
            again.matches(r#""type":"problem""#).count(),
            incomplete,
            "{fault}: {again}"
        );
        assert!(again.contains(r#""read_bytes":0"#), "{fault}: {again}");
        assert_eq!(
            again.matches(r#""status":"old""#).count(),
            4,
            "{fault}: {again}"
        );
    }
}

#[test]
fn attributes_of_a_file_system_that_has_them_only_later_are_backed_up_then() {
    need("setfattr");
    let place = Place::new();
    place.write("real/file", "contents");
    script(
        &place,
        "
        mkdir mnt; setfattr -n user.a -v 1 real/file
        settled; faulty real mnt XLERR=95
        pileus backup --dest=store mnt; settled; pileus backup --dest=store mnt
        umount mnt; faulty real mnt
        pileus backup --dest=store mnt; pileus diff --root=. --dest=store latest
        ",
    );
}

#[test]
fn more_attributes_than_can_be_stored_are_kept_as_far_as_they_fit_and_the_rest_is_named_each_time()
{
    need("setfattr");
    let place = Place::new();
    let told = script(
        &place,
        "
        mkdir real mnt; echo x >real/file
        disk image 400M real mkfs.xfs || exit 77
        echo x >real/file
        python3 - <<'end'
import os
for number in range(20):
    os.setxattr('real/file', f'user.{number:02}', bytes(60000))
end
        settled
        pileus backup --dest=store real && exit 1 || test $? = 3
        pileus backup --dest=store -v real 2>&1 && exit 1 || test $? = 3
        pileus restore --dest=store --target=real/back >&2; getfattr -m- real/back/real/file
        ",
    );
    assert!(
        told.contains("user.17, user.18, user.19 are left out: at most"),
        "{told}"
    );
    assert_eq!(told.matches("user.0").count(), 10, "{told}");
}

#[test]
fn what_a_night_without_proc_could_not_see_is_backed_up_by_the_next() {
    need("setfacl");
    let place = Place::new();
    place.write("src/sub/file", "contents");
    let told = script(
        &place,
        "
        setfacl -m u:1234:rwx src/sub; settled
        mount -t tmpfs none /proc; pileus backup --dest=store src && exit 1 || test $? = 3
        umount /proc; pileus backup --dest=store -v src
        pileus restore --dest=store --target=back >&2; getfacl -c back/src/sub
        ",
    );
    assert!(told.contains("[metadata] src/sub\n"), "{told}");
    assert!(told.contains("user:1234:rwx"), "{told}");
}

#[test]
fn a_restore_in_place_leaves_attributes_that_the_snapshot_may_lack() {
    need("setfacl");
    let place = Place::new();
    place.write("real/src/sub/file", "contents");
    let told = script(
        &place,
        "
        mkdir mnt; setfacl -m u:1234:rwx real/src/sub real/src/sub/file; setfattr -n user.a -v 1 real/src/sub/file
        settled; faulty real mnt XLERR=5
        (cd mnt; pileus backup --dest=../store src) && exit 1 || test $? = 3
        umount mnt; echo other >real/src/sub/file
        pileus restore --dest=store --target=real --overwrite=always
        cat real/src/sub/file; getfacl -c real/src/sub real/src/sub/file; getfattr real/src/sub/file
        ",
    );
    assert!(told.contains("contents"), "{told}");
    assert_eq!(told.matches("user:1234:rwx").count(), 2, "{told}");
    assert!(told.contains("user.a"), "{told}");
}

#[test]
fn a_change_in_the_same_step_of_a_clock_is_found() {
    for faults in [
        "SKEW=100 COARSE=10",
        "COARSE=30",
        "CTIME0=1 COARSE=10",
        "CTIMEM=1 COARSE=10",
        "SKEW=-500 COARSE=20",
    ] {
        let place = Place::new();
        place.write("real/file", "one");
        let told = script(
            &place,
            &format!(
                "
                mkdir mnt; faulty real mnt {faults}
                pileus backup --dest=store mnt; printf two >real/file
                pileus backup --dest=store mnt; pileus cat --dest=store mnt/file
                "
            ),
        );
        assert_eq!(told, "two", "{faults}");
    }
}

#[test]
fn a_change_time_that_is_still_to_come_is_believed_after_a_second_reading() {
    let place = Place::new();
    place.write("real/file", "contents");
    let told = script(
        &place,
        "
        mkdir mnt; faulty real mnt SKEW=-5000
        pileus --json backup --dest=store mnt; sleep 4.1
        pileus --json backup --dest=store mnt | tail -1; pileus --json backup --dest=store mnt | tail -1
        ",
    );
    assert!(
        told.contains("was changed at a time that is still to come"),
        "{told}"
    );
    let read: Vec<bool> = told
        .lines()
        .filter(|line| line.contains("summary"))
        .map(|line| line.contains(r#""read_bytes":0,"#))
        .collect();
    assert_eq!(read, [false, false, true], "{told}");
}
