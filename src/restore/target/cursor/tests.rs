use super::*;
use crate::format::path::EntryPath;
use crate::restore::target::tests::{as_another_user, error_of, inode, target};
use crate::restore::target::{Made, create_file, make_directory, open_file};
use nix::unistd::{self, UnlinkatFlags};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// Makes `depth` directories below one another and returns the innermost one's path.
fn make_chain(cursor: &mut DirCursor<'_>, name: &[u8], depth: usize) -> EntryPath {
    let mut path = EntryPath::scan_root();
    for _ in 0..depth {
        let parent = cursor.enter(path.as_bytes()).expect("enters");
        assert_eq!(make_directory(parent, name).expect("makes"), Made::Created);
        path = path.join(name);
    }
    path
}

#[test]
fn a_symbolic_link_in_a_path_is_refused() {
    let (dir, target) = target();
    let outside = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(outside.path().join("b/c")).expect("makes");
    fs::create_dir(dir.path().join("real")).expect("makes");
    symlink(outside.path(), dir.path().join("a")).expect("links");
    symlink("real", dir.path().join("inside")).expect("links");

    let mut cursor = DirCursor::new(&target);
    for (path, link) in [
        ("a", "a"),
        ("a/b", "a"),
        ("a/b/c", "a"),
        ("inside", "inside"),
    ] {
        let (kind, text) = error_of(cursor.enter(path.as_bytes()));
        assert_eq!(kind, ErrorKind::NotADirectory, "{path}: {text}");
        assert_eq!(
            text,
            format!("\"{link}\" is a symbolic link, which a restore does not follow")
        );
    }
    cursor
        .enter(b"real")
        .expect("a refusal leaves the cursor usable");
}

#[test]
fn errors_name_the_component_that_is_at_fault() {
    let (dir, target) = target();
    fs::create_dir_all(dir.path().join("a/b")).expect("makes");
    fs::write(dir.path().join("a/b/file\n"), "").expect("writes");
    let mut cursor = DirCursor::new(&target);

    let (kind, text) = error_of(cursor.enter(b"a/b/c/d/e"));
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(text, "directory \"a/b/c\" does not exist");
    let (kind, text) = error_of(cursor.enter(b"a/b/file\n/d"));
    assert_eq!(kind, ErrorKind::NotADirectory);
    assert_eq!(text, "\"a/b/file\\x0a\" is not a directory");
    let overlong = [b"a/", [b'n'; 300].as_slice()].concat();
    let (_, text) = error_of(cursor.enter(&overlong));
    assert!(text.starts_with("cannot open directory \"a/nnn"), "{text}");
}

#[test]
fn a_directory_that_may_not_be_searched_is_named() {
    let (dir, target) = target();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opens to all");
    fs::create_dir_all(dir.path().join("a/closed/below")).expect("makes");
    let closed = dir.path().join("a/closed");
    // Whatever the umask is, the directories above are open to the other user.
    let above = dir.path().join("a");
    fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).expect("opens to all");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).expect("closes");
    as_another_user(|| {
        let (kind, text) = error_of(DirCursor::new(&target).enter(b"a/closed/below"));
        assert_eq!(kind, ErrorKind::PermissionDenied);
        assert_eq!(
            text,
            "directory \"a/closed\" may not be searched: Permission denied (os error 13)"
        );
    });
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o600)).expect("closes");
    as_another_user(|| {
        let (_, text) = error_of(DirCursor::new(&target).enter(b"a"));
        assert!(
            text.starts_with("target directory may not be searched"),
            "{text}"
        );
    });
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("opens");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("opens");
}

#[test]
fn a_directory_needs_no_read_permission() {
    let (dir, target) = target();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o733)).expect("hides the names");
    as_another_user(|| {
        let root = target.root.as_fd();
        make_directory(root, b"mine").expect("makes");
        let mut cursor = DirCursor::new(&target);
        let mine = cursor.enter(b"mine").expect("enters");
        create_file(mine, b"file").expect("creates");
    });
}

#[test]
fn a_swapped_directory_is_neither_followed_nor_confused() {
    let (dir, target) = target();
    let outside = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("a/b")).expect("makes");
    let mut cursor = DirCursor::new(&target);
    cursor.enter(b"a/b").expect("enters");

    fs::rename(at("a"), at("moved")).expect("moves");
    symlink(outside.path(), at("a")).expect("links");
    // The cursor still holds the directory that it opened, and goes on in it.
    create_file(cursor.enter(b"a/b").expect("enters"), b"file").expect("creates");
    assert!(at("moved/b/file").exists());
    // Whoever looks the name up again meets the link.
    let (kind, _) = error_of(DirCursor::new(&target).enter(b"a/b"));
    assert_eq!(kind, ErrorKind::NotADirectory);
    assert_eq!(
        fs::read_dir(outside.path()).expect("a directory").count(),
        0
    );
}

#[test]
fn names_that_begin_alike_are_different_directories() {
    let (dir, target) = target();
    let paths = ["a", "a/b", "a/bc", "a/b/c", "ab", "a/b/c/d", "a-b"];
    for path in paths {
        fs::create_dir_all(dir.path().join(path)).expect("makes");
    }
    let mut cursor = DirCursor::new(&target);
    for first in paths {
        for second in paths {
            cursor.enter(first.as_bytes()).expect("enters");
            let fd = cursor.enter(second.as_bytes()).expect("enters");
            let real = fs::metadata(dir.path().join(second)).expect("is there");
            assert_eq!(inode(fd), real.ino(), "{first} then {second}");
        }
    }
    let root = cursor.enter(b".").expect("enters");
    assert_eq!(
        inode(root),
        fs::metadata(dir.path()).expect("is there").ino()
    );
}

#[test]
fn files_of_one_directory_cost_no_new_walk() {
    let (dir, target) = target();
    fs::create_dir_all(dir.path().join("a/b/c")).expect("makes");
    let mut cursor = DirCursor::new(&target);
    cursor.enter(b"a/b").expect("enters");
    // With the way there gone, only what is open already can be entered.
    fs::rename(dir.path().join("a"), dir.path().join("gone")).expect("moves");
    cursor.enter(b"a/b").expect("enters");
    cursor.enter(b".").expect("enters");
    cursor.enter(b"a/b/c").expect("enters");
    cursor.enter(b"a").expect("enters");
    cursor.enter(b"a/b").expect("enters");
    error_of(cursor.enter(b"gone/c"));
    error_of(cursor.enter(b"a"));
}

#[test]
fn a_path_longer_than_the_kernel_takes() {
    let (_dir, target) = target();
    let mut cursor = DirCursor::new(&target);
    let path = make_chain(&mut cursor, &[b'n'; 250], 20);
    assert!(path.as_bytes().len() > 5000);
    let fd = cursor.enter(path.as_bytes()).expect("enters");
    write!(create_file(fd, b"file").expect("creates"), "deep").expect("writes");

    let mut again = DirCursor::new(&target);
    let fd = again.enter(path.as_bytes()).expect("enters at once");
    let mut text = String::new();
    let mut file = open_file(fd, b"file").expect("opens");
    file.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "deep");
}

#[test]
fn two_thousand_levels_with_few_descriptors() {
    let (_dir, target) = target();
    let mut cursor = DirCursor::new(&target);
    let mut path = make_chain(&mut cursor, b"d", 2000);
    DirCursor::new(&target)
        .enter(path.as_bytes())
        .expect("enters at once");
    // Upwards, as directories get their attributes; and so that the temporary directory can be removed.
    while !path.is_scan_root() {
        let (parent, name) = path.split();
        let parent_fd = cursor.enter(parent).expect("enters");
        unistd::unlinkat(parent_fd, name, UnlinkatFlags::RemoveDir).expect("removes");
        assert!(cursor.open.len() <= DirCursor::KEPT);
        path = if parent == b"." {
            EntryPath::scan_root()
        } else {
            EntryPath::new(parent).expect("a valid path")
        };
    }
}
