//! Paths that are longer than the kernel takes in one piece, and trees that are deeper than a process may open files.

use crate::harness::Place;

/// Makes directories of one name inside one another, some with a file, and one of everything at the bottom.
const MAKE: &str = r#"
import os, sys
name, depth = sys.argv[1], int(sys.argv[2])
os.mkdir("from"); top = os.open("from", os.O_RDONLY); os.chdir(top)
for i in range(depth):
    os.mkdir(name); os.chmod(name, 0o700 + i % 64); os.chdir(name)
    if i % 50 == 0:
        open("z-file", "w").write(str(i))
open("bottom", "w").write("end"); os.link("bottom", "second"); os.symlink("bottom", "link"); os.mkfifo("fifo")
os.setxattr("bottom", "user.deep", b"1"); os.setxattr(".", "user.deep", b"2"); os.utime(".", ns=(1, 1))
os.fchdir(top); open("zz-after", "w").write("seen after the way back")
"#;

/// Prints what a tree holds, going into directories one step at a time.
const DESCRIBE: &str = r#"
import os, stat, sys
sys.setrecursionlimit(100_000)
def describe(depth):
    for name in sorted(os.listdir(b".")):
        st = os.lstat(name)
        text = open(name, "rb").read() if stat.S_ISREG(st.st_mode) else b""
        xattrs = [] if stat.S_ISLNK(st.st_mode) else [(n, os.getxattr(name, n)) for n in os.listxattr(name)]
        links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
        print(depth, name, oct(st.st_mode), st.st_uid, st.st_mtime_ns, links, text, xattrs)
        if stat.S_ISDIR(st.st_mode):
            os.chdir(name); describe(depth + 1); os.chdir(b"..")
os.chdir(sys.argv[1]); describe(0)
"#;

fn assert_comes_back(name: &str, depth: usize) {
    let place = Place::new();
    place.python(MAKE, &[name, &depth.to_string()]);
    let before = place.python(DESCRIBE, &["from"]);
    let few_files = ["prlimit", "--nofile=128"];
    for arguments in [
        &["backup", "--dest=store", "--compression=zstd", "from"][..],
        &["restore", "--dest=store", "--target=back"],
        &["verify", "--dest=store", "--level=files"],
    ] {
        let mut command = place.command_under(&few_files, arguments);
        let ended = crate::harness::Ended::of(&mut command);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(place.python(DESCRIBE, &["back/from"]), before);
    // The library that removes a place opens all directories of a path at once.
    place.sh("rm -rf from back");
}

#[test]
fn a_path_of_far_more_than_4096_bytes_comes_back() {
    assert_comes_back(&"long-name-".repeat(20), 60);
}

#[test]
fn a_path_of_longest_names_comes_back() {
    assert_comes_back(&"\u{e9}".repeat(127), 100);
}

#[test]
fn a_tree_of_1500_levels_comes_back_with_few_open_files() {
    assert_comes_back("d", 1500);
}
