//! Targets that have not room for everything.

use crate::harness::Place;

#[test]
fn a_large_file_that_does_not_fit_stops_none_of_the_small_ones() {
    let place = Place::new();
    place.sh("mkdir src; head -c 9000000 /dev/urandom >src/big; head -c 8000000 /dev/urandom >src/m; for n in $(seq 200); do head -c 9000 /dev/urandom >src/$n; done");
    for jobs in ["1", "4"] {
        place.sh("rm -rf store");
        place.succeed(["backup", "--dest=store", "--segment-size=1M", "src"]);
        let ended = place.in_own_mounts(&format!(
            "mkdir -p full; mount -t tmpfs -o size=4m tmpfs full
            pileus restore --dest=store --target=full --jobs={jobs} || echo $?
            for n in $(seq 200); do cmp src/$n full/src/$n; done
            find full -name 'big*' -o -name 'm*' -o -name '*.part' -o -name '*.damaged'
            mount -o remount,size=40m full; pileus restore --dest=store --target=full --overwrite=if-changed; diff -r src full/src"
        ));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), "3\n"),
            "{ended:?}"
        );
        let lines: Vec<_> = ended
            .stderr
            .lines()
            .filter(|line| !line.contains("keep"))
            .collect();
        assert!(
            lines.len() == 2
                && lines[1].ends_with("1 more file is left out: make room, and run the same again"),
            "{ended:?}"
        );
    }
}

#[test]
fn without_inodes_what_is_left_out_is_counted() {
    let place = Place::new();
    place.sh("mkdir src; for n in $(seq 50); do echo $n >src/$n; ln -s x src/l$n; mkdir src/z$n; : >src/z$n/empty; done");
    place.succeed(["backup", "--dest=store", "src"]);
    let ended = place.in_own_mounts(
        "mkdir -p full; mount -t tmpfs -o nr_inodes=30 tmpfs full
        pileus restore --dest=store --target=full || echo $?
        mount -o remount,nr_inodes=1000 full; pileus restore --dest=store --target=full --overwrite=if-changed; diff -r --no-dereference src full/src",
    );
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "3\n"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:?}");
    assert!(
        ended.stderr.contains("more files are left out"),
        "{ended:?}"
    );
}
