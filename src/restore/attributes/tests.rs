mod xattrs;

use super::*;
use crate::format::entry::{DeviceNumber, FileContents, Owner};
use crate::format::path::EntryPath;
use crate::restore::target::tests::as_another_user;
use crate::restore::target::{DirCursor, Target};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

const TIME: FileTime = FileTime {
    seconds: 1_600_000_000,
    nanoseconds: 123_456_789,
};

/// A target directory, open; not everything in it needs a cursor.
struct Place {
    dir: TempDir,
    fd: File,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("opens to all");
        let fd = File::open(dir.path()).expect("opens");
        Self { dir, fd }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn stat(&self, name: &str) -> Metadata {
        fs::symlink_metadata(self.dir.path().join(name)).expect("is there")
    }

    /// Creates what the entry describes and gives it its attributes, through a descriptor if it is a file.
    fn restore(&self, attributes: &Attributes, name: &str, entry: &Entry) -> Vec<String> {
        let (parent, name) = (self.fd(), name.as_bytes());
        let file = match &entry.kind {
            EntryKind::File(_) => Some(target::create_file(parent, name).expect("creates")),
            EntryKind::Directory => {
                target::make_directory(parent, name).expect("makes");
                None
            }
            special => {
                target::make_special(parent, name, special).expect("makes");
                None
            }
        };
        attributes.apply(parent, name, file.as_ref().map(AsFd::as_fd), entry)
    }
}

fn attributes(owner: OwnerPolicy, privileged: bool) -> Attributes {
    Attributes::new(AttributePolicy {
        owner,
        xattrs: true,
        privileged,
    })
}

fn owner(id: u32) -> Owner {
    Owner { id, name: None }
}

fn entry(kind: EntryKind, mode: u32, user: u32, group: u32) -> Entry {
    Entry {
        path: EntryPath::new("x").expect("a valid path"),
        kind,
        mode,
        user: owner(user),
        group: owner(group),
        mtime: TIME,
        ctime: None,
        inode: None,
        links: 1,
        volatile: false,
        partial: false,
        incomplete: false,
        xattrs: Vec::new(),
    }
}

fn file(mode: u32, user: u32, group: u32) -> Entry {
    entry(EntryKind::File(FileContents::default()), mode, user, group)
}

fn with_xattr(mut entry: Entry, name: &str, value: &[u8]) -> Entry {
    entry.xattrs.push((name.into(), value.to_vec()));
    entry
}

fn owner_and_mode(found: &Metadata) -> (u32, u32, u32) {
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

fn me() -> (u32, u32) {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    (user.as_raw(), group.as_raw())
}

fn is_root() -> bool {
    me().0 == 0
}

fn entry_of_fifo() -> Entry {
    entry(EntryKind::Fifo, 0o600, 0, 0)
}

#[test]
fn a_file_gets_everything() {
    if !is_root() {
        return;
    }
    // A change of owner clears the set-id bits and the capability, so both show that it came first.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut entry = with_xattr(file(0o6751, 4711, 4712), "security.capability", &capability);
    entry = with_xattr(entry, "trusted.t", b"");
    entry = with_xattr(entry, "user.u", b"\0\xff");
    let place = Place::new();
    let problems = place.restore(&attributes(OwnerPolicy::Numbers, true), "f", &entry);
    assert_eq!(problems, [""; 0]);
    let found = place.stat("f");
    assert_eq!(owner_and_mode(&found), (4711, 4712, 0o6751));
    assert_eq!(
        (found.mtime(), found.mtime_nsec()),
        (TIME.seconds, i64::from(TIME.nanoseconds))
    );
    for (name, value) in entry.xattrs {
        let stored = xattr::get(place.dir.path().join("f"), OsStr::from_bytes(&name));
        assert_eq!(stored.expect("reads"), Some(value));
    }
}

#[test]
fn every_type_gets_its_attributes_without_being_opened() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Numbers, true);
    // No driver has this number: opening the device would fail.
    let number = DeviceNumber {
        major: 4000,
        minor: 4000,
    };
    for kind in [
        EntryKind::File(FileContents::default()),
        EntryKind::Directory,
        EntryKind::Fifo,
        EntryKind::Socket,
        EntryKind::CharDevice(number),
        EntryKind::BlockDevice(number),
    ] {
        let name = kind.letter().to_string();
        let entry = with_xattr(entry(kind, 0o3720, 4711, 4712), "trusted.t", b"value");
        assert_eq!(place.restore(&attributes, &name, &entry), [""; 0]);
        let again = attributes.apply(place.fd(), name.as_bytes(), None, &entry);
        assert_eq!(again, [""; 0]);
        let found = place.stat(&name);
        assert_eq!(owner_and_mode(&found), (4711, 4712, 0o3720), "{name}");
        assert_eq!(
            (found.mtime(), found.mtime_nsec()),
            (TIME.seconds, i64::from(TIME.nanoseconds))
        );
        let stored = xattr::get(place.dir.path().join(&name), "trusted.t");
        assert_eq!(stored.expect("reads"), Some(b"value".to_vec()), "{name}");
    }
}

#[test]
fn a_symbolic_link_gets_its_own_attributes_and_its_target_none() {
    let place = Place::new();
    fs::write(place.dir.path().join("file"), "").expect("writes");
    let before = place.stat("file");
    let target = b"file".to_vec();
    let (user, group) = if is_root() { (4711, 4712) } else { me() };
    let mut entry = entry(EntryKind::Symlink { target }, 0o777, user, group);
    if is_root() {
        entry = with_xattr(entry, "trusted.t", b"value");
    }
    let problems = place.restore(&attributes(OwnerPolicy::Numbers, is_root()), "link", &entry);
    assert_eq!(problems, [""; 0]);
    let link = place.stat("link");
    assert!(link.is_symlink());
    assert_eq!((link.uid(), link.gid()), (user, group));
    assert_eq!(
        (link.mtime(), link.mtime_nsec()),
        (TIME.seconds, 123_456_789)
    );
    let path = place.dir.path().join("link");
    if is_root() {
        let stored = xattr::get(&path, "trusted.t").expect("reads");
        assert_eq!(stored, Some(b"value".to_vec()));
    }
    assert_eq!(xattr::get_deref(&path, "trusted.t").expect("reads"), None);
    let after = place.stat("file");
    assert_eq!(owner_and_mode(&after), owner_and_mode(&before));
    assert_eq!(after.ctime_nsec(), before.ctime_nsec());
}

#[test]
fn a_directory_is_reached_through_the_cursors_descriptor_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = Target::open(dir.path()).expect("opens");
    let mut cursor = DirCursor::new(&target);
    let (user, group) = me();
    let entry = with_xattr(
        entry(EntryKind::Directory, 0o1750, user, group),
        "user.u",
        b"value",
    );
    let attributes = attributes(OwnerPolicy::Numbers, false);
    // The target itself: there is no name to go by.
    let root = cursor.enter(b".").expect("enters");
    assert_eq!(attributes.apply(root, b".", None, &entry), [""; 0]);
    let found = fs::metadata(dir.path()).expect("is there");
    assert_eq!(found.mode() & 0o7777, 0o1750);
    assert_eq!(found.mtime(), TIME.seconds);
    let stored = xattr::get(dir.path(), "user.u").expect("reads");
    assert_eq!(stored, Some(b"value".to_vec()));
}

#[test]
fn set_id_bits_need_the_owner_they_were_stored_with() {
    let (user, group) = me();
    let place = Place::new();
    let keep = attributes(OwnerPolicy::Keep, is_root());
    let numbers = attributes(OwnerPolicy::Numbers, false);
    for (name, attributes, entry, mode) in [
        ("keep", &keep, file(0o7755, user, group), 0o1755),
        ("mine", &numbers, file(0o6755, user, group), 0o6755),
        ("user", &numbers, file(0o6755, user, group + 1), 0o4755),
        ("group", &numbers, file(0o6755, user + 1, group), 0o2755),
        ("none", &numbers, file(0o6755, user + 1, group + 1), 0o755),
    ] {
        assert_eq!(place.restore(attributes, name, &entry), [""; 0], "{name}");
        let found = place.stat(name);
        assert_eq!(owner_and_mode(&found), (user, group, mode), "{name}");
    }
    let shared = entry(EntryKind::Directory, 0o2775, user, group + 1);
    assert_eq!(place.restore(&numbers, "directory", &shared), [""; 0]);
    assert_eq!(place.stat("directory").mode() & 0o7777, 0o775);
}

#[test]
fn an_owner_that_the_kernel_refuses_is_one_problem_and_the_rest_is_set() {
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Numbers, true);
    as_another_user(|| {
        let entry = with_xattr(file(0o6751, 1, 2), "user.u", b"value");
        let problems = place.restore(&attributes, "f", &entry);
        assert_eq!(
            problems,
            ["cannot set owner 1:2: Operation not permitted (os error 1)"]
        );
    });
    let found = place.stat("f");
    assert_eq!(found.mode() & 0o7777, 0o751);
    assert_eq!(found.mtime(), TIME.seconds);
    let stored = xattr::get(place.dir.path().join("f"), "user.u").expect("reads");
    assert_eq!(stored, Some(b"value".to_vec()));
}

#[test]
fn the_number_that_means_no_change_is_not_taken_for_success() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Numbers, true);
    let problems = place.restore(&attributes, "f", &file(0o6755, u32::MAX, 4712));
    assert_eq!(
        problems,
        ["cannot set owner 4294967295:4712: it is still 0:4712"]
    );
    assert_eq!(owner_and_mode(&place.stat("f")), (0, 4712, 0o2755));
}

#[test]
fn names_count_more_than_numbers_only_if_asked_for() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let mut entry = file(0o6755, 4711, 4712);
    entry.user.name = Some(b"root".to_vec());
    entry.group.name = Some(b"no such group".to_vec());
    for (name, policy, user) in [
        ("numbers", OwnerPolicy::Numbers, 4711),
        ("names", OwnerPolicy::Names, 0),
    ] {
        assert_eq!(
            place.restore(&attributes(policy, true), name, &entry),
            [""; 0]
        );
        assert_eq!(owner_and_mode(&place.stat(name)), (user, 4712, 0o6755));
    }
}

#[test]
fn times_before_1970_and_after_2038_keep_their_nanoseconds() {
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Keep, false);
    let times = [
        (-2, 500_000_000), // 1.5 s before 1970
        (-1, 999_999_999),
        (4_102_444_800, 123_456_789), // 2100
        (1 << 31, 1),
        (0, 0),
    ];
    for (i, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        let target = b"f0".to_vec();
        for kind in [
            EntryKind::File(FileContents::default()),
            EntryKind::Directory,
            EntryKind::Symlink { target },
            EntryKind::Fifo,
        ] {
            let name = format!("{}{i}", kind.letter());
            let mut entry = entry(kind, 0o600, 0, 0);
            entry.mtime = FileTime {
                seconds,
                nanoseconds,
            };
            assert_eq!(place.restore(&attributes, &name, &entry), [""; 0], "{name}");
            let found = place.stat(&name);
            let held = (found.mtime(), found.mtime_nsec());
            assert_eq!(held, (seconds, i64::from(nanoseconds)), "{name}");
        }
    }
}

#[test]
fn a_time_that_the_file_system_cannot_hold_is_a_problem() {
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Keep, false);
    for (name, seconds) in [("past", i64::MIN), ("future", i64::MAX)] {
        let mut entry = file(0o600, 0, 0);
        entry.mtime.seconds = seconds;
        let problems = place.restore(&attributes, name, &entry);
        let held = place.stat(name).mtime();
        if held != seconds {
            let text = format!(
                "modification time {seconds} s is out of the file system's range, it is now {held} s"
            );
            assert_eq!(problems, [text]);
        }
    }
}

#[test]
fn the_time_of_the_last_access_is_left_alone() {
    let place = Place::new();
    let (parent, name) = (place.fd(), b"f");
    let created = target::create_file(parent, name).expect("creates");
    let before = place.stat("f");
    let attributes = attributes(OwnerPolicy::Keep, false);
    let problems = attributes.apply(parent, name, Some(created.as_fd()), &file(0o600, 0, 0));
    assert_eq!(problems, [""; 0]);
    let after = place.stat("f");
    assert_eq!(
        (after.atime(), after.atime_nsec()),
        (before.atime(), before.atime_nsec())
    );
}

#[test]
fn what_took_the_place_of_a_file_is_left_alone() {
    let place = Place::new();
    let at = |name: &str| place.dir.path().join(name);
    fs::write(at("secret"), "").expect("writes");
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600)).expect("closes");
    symlink("secret", at("p")).expect("links");
    fs::hard_link(at("secret"), at("s")).expect("links");
    let (before, link_before) = (place.stat("secret"), place.stat("p"));
    let attributes = attributes(OwnerPolicy::Numbers, true);
    for kind in [EntryKind::Fifo, EntryKind::Socket] {
        let name = kind.letter().to_string();
        let problems = attributes.apply(
            place.fd(),
            name.as_bytes(),
            None,
            &entry(kind, 0o666, 4711, 4712),
        );
        assert_eq!(
            problems,
            ["something of another type is in its place, so its attributes are not set"]
        );
    }
    let (after, link_after) = (place.stat("secret"), place.stat("p"));
    assert_eq!(owner_and_mode(&after), owner_and_mode(&before));
    assert_eq!(after.mtime_nsec(), before.mtime_nsec());
    assert_eq!(link_after.mtime_nsec(), link_before.mtime_nsec());

    let problems = attributes.apply(place.fd(), b"gone", None, &entry_of_fifo());
    assert_eq!(
        problems,
        ["cannot reach it to set its attributes: No such file or directory (os error 2)"]
    );
}
