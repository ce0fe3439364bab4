//! What is backed up from file systems that do what they should not, and restored to them.

use crate::harness::Place;

#[test]
fn a_tree_behind_a_pass_through_file_system_is_backed_up_as_it_is() {
    let place = Place::new();
    place.write("real/file", "contents");
    place.sh_in_own_mounts(
        "mkdir mnt; faulty real mnt; pileus backup --dest=store mnt; pileus restore --dest=store --target=back; cmp back/mnt/file real/file",
    );
}

/// A tree of files that are named after their sizes, and a copy of it.
const FILES_OF_MANY_SIZES: &str = "
mkdir real mnt
for size in 0 1 4096 100000 1048576 3000001; do
    head -c $size /dev/urandom >real/$size
done
cp -a real wanted
";

#[test]
fn a_file_is_read_until_its_end_whatever_its_size_says() {
    for fault in ["SIZE0=1", "SIZEM=4", "SIZEM=-5", "SIZEM=-2000000"] {
        let place = Place::new();
        place.sh_in_own_mounts(&format!(
            "{FILES_OF_MANY_SIZES}
            faulty real mnt DIRECT=1 {fault}
            sleep 1.1
            pileus backup --dest=store mnt
            pileus diff --dest=store --root=. latest
            pileus diff --dest=store --root=. --contents latest
            pileus restore --dest=store --target=first
            diff -r first/mnt wanted
            head -c 3000002 /dev/urandom >real/3000001; cp real/3000001 wanted
            printf x >>real/0; cp real/0 wanted
            pileus backup --dest=store mnt
            pileus restore --dest=store --target=later
            diff -r later/mnt wanted
            pileus backup --dest=other mnt/0 mnt/100000
            pileus backup --dest=other --reread mnt
            pileus restore --dest=other --target=reread
            diff -r reread/mnt wanted
            pileus verify --dest=store; pileus verify --dest=other"
        ));
    }
}

#[test]
fn files_that_the_kernel_makes_up_are_backed_up_if_they_are_named() {
    let place = Place::new();
    // One has a size of 0, one that of a page.
    let named = "/proc/version /proc/sys/kernel/ostype /sys/kernel/mm/transparent_hugepage/enabled";
    place.sh_in_own_mounts(&format!(
        "pileus backup --dest=store {named}
        pileus restore --dest=store --target=back
        for file in {named}; do test -s back$file; cmp $file back$file; done
        pileus diff --dest=store latest >differences || test $? = 1
        ! grep contents differences"
    ));
    let ended = place.in_own_mounts("pileus backup --dest=store /proc/version /proc/self/mem");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("proc/self/mem: cannot read it"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_without_an_end_does_not_hold_the_run() {
    let place = Place::new();
    // It has 8 bytes for each page of all addresses that a process could use: 256 GiB.
    let ended = place.in_own_mounts("pileus backup --dest=store /proc/self/pagemap");
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let told = "goes on and on, though its size is said to be 0: its first 1073741824 bytes";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}

#[test]
fn a_name_that_a_directory_lists_twice_is_recorded_once() {
    let place = Place::new();
    place.write("real/file", "contents");
    place.write("real/sub/other", "more");
    let listed = place.sh_in_own_mounts(
        "mkdir mnt; faulty real mnt DUP=1
        pileus backup --dest=store mnt
        pileus diff --dest=store --root=. latest
        pileus restore --dest=store --target=back >&2
        diff -r back/mnt real
        pileus ls --dest=store",
    );
    assert_eq!(listed, "mnt\nmnt/file\nmnt/sub\nmnt/sub/other\n");
}

#[test]
fn one_file_system_leaves_out_what_is_mounted_in_a_second_place() {
    let place = Place::new();
    place.write("tree/file", "contents");
    place.write("elsewhere/other", "more");
    place.sh("mkdir tree/bound tree/named");
    let listed = place.sh_in_own_mounts(
        "mount --bind elsewhere tree/bound; mount --bind elsewhere tree/named
        pileus backup --dest=store --one-file-system tree tree/named 2>notes
        pileus ls --dest=store",
    );
    assert_eq!(
        listed,
        "tree\ntree/bound\ntree/file\ntree/named\ntree/named/other\n"
    );
}

#[test]
fn small_holes_come_back_as_holes() {
    let place = Place::new();
    place.write("tree/small", "");
    let write = "
with open('tree/islands', 'wb') as f:
    for block in range(0, 4096, 8):
        f.seek(block * 4096); f.write(b'data' * 1024)
    f.truncate(4096 * 4096)
";
    place.python(write, &[]);
    place.sh("mkdir back");
    place.succeed(["backup", "--dest=store", "tree"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp tree/islands back/tree/islands");
    let kilobytes = place.sh("du -k back/tree/islands | cut -f1");
    let kilobytes: u32 = kilobytes.trim().parse().expect("is a number");
    assert!(kilobytes <= 2048 + 64, "{kilobytes} KiB of 2048 with data");
}
