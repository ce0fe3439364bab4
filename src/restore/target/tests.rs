use super::*;
use crate::format::entry::FileContents;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

pub(super) fn target() -> (TempDir, Target) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = Target::open(dir.path()).expect("opens");
    (dir, target)
}

pub(super) fn error_of<T>(result: io::Result<T>) -> (ErrorKind, String) {
    let error = result.err().expect("fails");
    (error.kind(), error.to_string())
}

/// Tells which directory a descriptor means.
pub(super) fn inode(fd: BorrowedFd<'_>) -> u64 {
    sys_stat::fstat(fd).expect("stats").st_ino
}

/// Runs `body` with the file permissions of another user, who has no capabilities, if the tests run as root.
///
/// The file system user id belongs to the thread alone.
pub(in crate::restore) fn as_another_user(body: impl FnOnce() + Send) {
    let body = || {
        if unistd::Uid::effective().is_root() {
            unistd::setfsgid(unistd::Gid::from_raw(4711));
            unistd::setfsuid(unistd::Uid::from_raw(4711));
        }
        body();
    };
    std::thread::scope(|scope| scope.spawn(body).join().expect("the body holds"));
}

#[test]
fn the_target_is_created_if_only_its_last_component_is_missing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let new = dir.path().join("new");
    Target::open(&new).expect("creates");
    assert_eq!(fs::metadata(&new).expect("is there").mode() & 0o7777, 0o700);
    Target::open(&new).expect("opens again");
    Target::open(&dir.path().join("other/")).expect("a slash at the end does no harm");

    let error = Target::open(&dir.path().join("no/such"))
        .err()
        .expect("fails");
    let text = format!("{error:#}");
    assert!(
        text.contains("/no/such\"") && text.contains("mkdir -p"),
        "{text}"
    );
}

#[test]
fn the_target_is_a_directory_or_a_link_to_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("real")).expect("makes");
    fs::write(at("file"), "").expect("writes");
    symlink("real", at("link")).expect("links");
    symlink("nowhere", at("dangling")).expect("links");

    let linked = Target::open(&at("link")).expect("the user's own path may lead through links");
    let real = Target::open(&at("real")).expect("opens");
    assert_eq!(inode(linked.root.as_fd()), inode(real.root.as_fd()));
    for (name, part) in [
        ("file", "is not a directory"),
        ("dangling", "leads nowhere"),
        ("file/below", "is not a directory"),
    ] {
        let error = Target::open(&at(name)).err().expect(name);
        assert!(format!("{error:#}").contains(part), "{name}: {error:#}");
    }
    assert!(!at("nowhere").exists());
}

#[test]
fn a_directory_may_exist_but_nothing_else_in_its_place() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    assert_eq!(make_directory(root, b"new").expect("makes"), Made::Created);
    assert_eq!(
        make_directory(root, b"new").expect("is there"),
        Made::Existed
    );
    let new = fs::metadata(dir.path().join("new")).expect("is there");
    assert_eq!(new.mode() & 0o7777, 0o700);

    create_file(root, b"file").expect("creates");
    symlink("new", dir.path().join("link")).expect("links");
    symlink("nowhere", dir.path().join("dangling")).expect("links");
    for taken in [&b"file"[..], b"link", b"dangling"] {
        let (kind, text) = error_of(make_directory(root, taken));
        assert_eq!(kind, ErrorKind::AlreadyExists);
        assert_eq!(text, "something that is not a directory is there");
    }
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_file_is_private_and_never_replaces_anything() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    let file = create_file(root, b"file").expect("creates");
    assert_eq!(file.metadata().expect("is open").mode() & 0o7777, 0o600);
    let flags = fcntl::fcntl(&file, fcntl::FcntlArg::F_GETFD).expect("is open");
    assert_eq!(flags, fcntl::FdFlag::FD_CLOEXEC.bits());

    make_directory(root, b"directory").expect("makes");
    symlink("nowhere", dir.path().join("dangling")).expect("links");
    for taken in [&b"file"[..], b"directory", b"dangling"] {
        let (kind, _) = error_of(create_file(root, taken));
        assert_eq!(kind, ErrorKind::AlreadyExists);
        let target = b"/etc/passwd".to_vec();
        let link = EntryKind::Symlink { target };
        for special in [link, EntryKind::Fifo, EntryKind::Socket] {
            let (kind, _) = error_of(make_special(root, taken, &special));
            assert_eq!(kind, ErrorKind::AlreadyExists);
        }
    }
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn only_a_regular_file_is_continued() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    write!(create_file(root, b"file").expect("creates"), "one").expect("writes");
    let mut file = open_file(root, b"file").expect("opens");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("reads");
    write!(file, ", two").expect("writes");
    assert_eq!(
        fs::read(dir.path().join("file")).expect("reads"),
        b"one, two"
    );

    make_directory(root, b"directory").expect("makes");
    make_special(root, b"fifo", &EntryKind::Fifo).expect("makes");
    make_special(root, b"socket", &EntryKind::Socket).expect("makes");
    symlink("file", dir.path().join("link")).expect("links");
    for other in [&b"directory"[..], b"fifo", b"socket", b"link"] {
        let (kind, text) = error_of(open_file(root, other));
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert_eq!(text, "not a regular file any more");
    }
    assert_eq!(error_of(open_file(root, b"none")).0, ErrorKind::NotFound);
}

#[test]
fn special_files_are_what_the_entry_says() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    let text = b"../\xff where".to_vec();
    make_special(root, b"l", &EntryKind::Symlink { target: text }).expect("makes");
    make_special(root, b"p", &EntryKind::Fifo).expect("makes");
    make_special(root, b"s", &EntryKind::Socket).expect("makes");
    let link = fs::read_link(dir.path().join("l")).expect("a link");
    assert_eq!(link.as_os_str().as_bytes(), b"../\xff where");
    let of = |name: &str| fs::symlink_metadata(dir.path().join(name)).expect("is there");
    assert!(of("p").file_type().is_fifo() && of("s").file_type().is_socket());
    assert_eq!((of("p").mode() | of("s").mode()) & 0o7777, 0o600);
    for kind in [
        EntryKind::Directory,
        EntryKind::File(FileContents::default()),
    ] {
        assert_eq!(
            error_of(make_special(root, b"x", &kind)).0,
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn devices_are_made_by_root_alone_and_only_with_numbers_that_linux_has() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    for (major, minor) in [(4096, 0), (0, 1 << 20), (u32::MAX, u32::MAX)] {
        let number = DeviceNumber { major, minor };
        for kind in [
            EntryKind::CharDevice(number),
            EntryKind::BlockDevice(number),
        ] {
            let (kind, text) = error_of(make_special(root, b"huge", &kind));
            assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
            assert!(
                text.contains(&format!("{major}/{minor} is out of range")),
                "{text}"
            );
        }
    }
    let (major, minor) = (4095, (1 << 20) - 1);
    let kind = EntryKind::BlockDevice(DeviceNumber { major, minor });
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("opens to all");
    as_another_user(|| {
        let (kind, _) = error_of(make_special(root, b"refused", &kind));
        assert_eq!(kind, ErrorKind::PermissionDenied);
    });
    if unistd::Uid::effective().is_root() {
        make_special(root, b"b", &kind).expect("makes");
        let null = EntryKind::CharDevice(DeviceNumber { major: 1, minor: 3 });
        make_special(root, b"c", &null).expect("makes");
        let of = |name: &str| fs::symlink_metadata(dir.path().join(name)).expect("is there");
        assert!(of("b").file_type().is_block_device() && of("c").file_type().is_char_device());
        assert_eq!(
            of("b").rdev(),
            sys_stat::makedev(major.into(), minor.into())
        );
        assert_eq!(of("c").rdev(), sys_stat::makedev(1, 3));
        // A device is refused before it is opened, so this holds for devices without a driver, too.
        for name in [&b"b"[..], b"c"] {
            assert_eq!(error_of(open_file(root, name)).0, ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_of_the_link_itself() {
    let (dir, target) = target();
    fs::write(dir.path().join("file"), "").expect("writes");
    symlink("file", dir.path().join("link")).expect("links");
    fs::create_dir(dir.path().join("d")).expect("makes");
    let root = target.root.as_fd();
    let (mut from, mut to) = (DirCursor::new(&target), DirCursor::new(&target));
    let from_parent = from.enter(b".").expect("enters");
    let to_parent = to.enter(b"d").expect("enters");
    hard_link(from_parent, b"link", to_parent, b"again").expect("links");
    let of = |name: &str| fs::symlink_metadata(dir.path().join(name)).expect("is there");
    assert!(of("d/again").is_symlink());
    assert_eq!(of("d/again").ino(), of("link").ino());
    assert_eq!(of("file").nlink(), 1);

    let (kind, _) = error_of(hard_link(root, b"file", root, b"link"));
    assert_eq!(kind, ErrorKind::AlreadyExists);
    let (kind, _) = error_of(hard_link(root, b"none", root, b"new"));
    assert_eq!(kind, ErrorKind::NotFound);
    error_of(hard_link(root, b"d", root, b"new"));
}

#[test]
fn removing_takes_links_themselves_and_no_directories() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    fs::write(dir.path().join("file"), "").expect("writes");
    fs::DirBuilder::new()
        .mode(0o700)
        .create(dir.path().join("d"))
        .expect("makes");
    symlink("file", dir.path().join("link")).expect("links");
    remove(root, b"link").expect("removes");
    assert!(stat(root, b"link").expect("answers").is_none());
    assert!(stat(root, b"file").expect("answers").is_some());
    assert_eq!(error_of(remove(root, b"d")).0, ErrorKind::IsADirectory);
    assert_eq!(error_of(remove(root, b"none")).0, ErrorKind::NotFound);
}

#[test]
fn stat_and_pin_see_the_link_and_not_where_it_leads() {
    let (dir, target) = target();
    let root = target.root.as_fd();
    symlink("/", dir.path().join("link")).expect("links");
    let found = stat(root, b"link").expect("answers").expect("is there");
    assert_eq!(file_type(&found), SFlag::S_IFLNK);
    let pinned = pin(root, b"link").expect("pins");
    assert_eq!(inode(pinned.as_fd()), found.st_ino);
    assert_eq!(inode(pin(root, b".").expect("pins").as_fd()), inode(root));
    assert!(stat(root, b"none").expect("answers").is_none());
    let overlong = [b'n'; 300];
    assert!(stat(root, &overlong).is_err());
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "\"..\" is not one component")]
fn more_than_a_name_is_a_mistake_of_the_caller() {
    let (_dir, target) = target();
    let made = make_directory(target.root.as_fd(), b"..");
    assert!(made.is_err());
}
