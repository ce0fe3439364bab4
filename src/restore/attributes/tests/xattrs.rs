use super::*;
use std::process::Command;
use xattr::FileExt as _;

/// An access control list as the kernel takes it: the owner's, one named user's, the group's, the mask and everybody's.
fn acl(owner: u8, named: u8, group: u8, mask: u8, other: u8) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, owner, NOBODY),
        (0x02, named, 4711),
        (0x04, group, NOBODY),
        (0x10, mask, NOBODY),
        (0x20, other, NOBODY),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::from(permissions).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

#[test]
fn attributes_for_root_alone_are_counted_and_not_tried() {
    let place = Place::new();
    let (user, group) = me();
    let list = acl(6, 4, 4, 4, 0);
    let mut entry = file(0o640, user, group);
    for (name, value) in [
        ("security.selinux", &b"label"[..]),
        (ACCESS, &list),
        ("trusted.t", b"t"),
        ("user.u", b"u"),
    ] {
        entry = with_xattr(entry, name, value);
    }
    let attributes = attributes(OwnerPolicy::Keep, false);
    assert_eq!(place.restore(&attributes, "f", &entry), [""; 0]);
    assert_eq!(place.restore(&attributes, "g", &entry), [""; 0]);
    assert_eq!(attributes.skipped_xattrs(), 4);
    let of = |name: &str| xattr::get(place.dir.path().join("f"), name).expect("reads");
    assert_eq!(of("trusted.t"), None);
    assert_eq!(of("user.u"), Some(b"u".to_vec()));
    assert_eq!(of(ACCESS), Some(list));
}

#[test]
fn attributes_are_left_out_if_the_policy_says_so() {
    let place = Place::new();
    let entry = with_xattr(file(0o640, 0, 0), "user.u", b"u");
    let attributes = Attributes::new(AttributePolicy {
        owner: OwnerPolicy::Keep,
        xattrs: false,
        privileged: is_root(),
    });
    assert_eq!(place.restore(&attributes, "f", &entry), [""; 0]);
    let stored = xattr::get(place.dir.path().join("f"), "user.u").expect("reads");
    assert_eq!(stored, None);
    assert_eq!(attributes.skipped_xattrs(), 0);
}

#[test]
fn a_refused_attribute_is_named_and_does_not_stop_the_others() {
    let place = Place::new();
    let mut entry = with_xattr(file(0o600, 0, 0), "nonsense\n.x", b"");
    entry = with_xattr(entry, ACCESS, b"no list");
    entry = with_xattr(entry, &format!("user.{}", "n".repeat(300)), b"");
    entry = with_xattr(entry, "user.u", b"u");
    let problems = place.restore(&attributes(OwnerPolicy::Keep, true), "f", &entry);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(
        problems[0],
        "cannot set extended attribute \"nonsense\\x0a.x\": Operation not supported (os error 95)"
    );
    assert!(problems[1].starts_with("cannot set extended attribute \"system.posix_acl_access\": "));
    let stored = xattr::get(place.dir.path().join("f"), "user.u").expect("reads");
    assert_eq!(stored, Some(b"u".to_vec()));

    // The kernel has user attributes on files and directories only.
    let fifo = with_xattr(entry_of_fifo(), "user.u", b"u");
    let problems = place.restore(&attributes(OwnerPolicy::Keep, true), "p", &fifo);
    assert_eq!(
        problems,
        ["cannot set extended attribute \"user.u\": Operation not permitted (os error 1)"]
    );
}

#[test]
fn attributes_are_set_while_the_file_may_still_be_written() {
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Numbers, false);
    as_another_user(|| {
        for (name, kind) in [
            ("f", EntryKind::File(FileContents::default())),
            ("d", EntryKind::Directory),
        ] {
            let entry = with_xattr(entry(kind, 0o500, 0, 0), "user.u", b"u");
            assert_eq!(place.restore(&attributes, name, &entry), [""; 0], "{name}");
            assert_eq!(place.stat(name).mode() & 0o7777, 0o500);
        }
    });
}

#[test]
fn the_mode_leaves_an_access_control_list_as_it_was() {
    let place = Place::new();
    let attributes = attributes(OwnerPolicy::Keep, false);
    // The group's bits of a mode are the list's mask: here less, the same and more than the group's own.
    for (name, mode, list) in [
        ("less", 0o610, acl(6, 7, 5, 1, 0)),
        ("same", 0o754, acl(7, 6, 5, 5, 4)),
        ("more", 0o1674, acl(6, 6, 0, 7, 4)),
    ] {
        for kind in [
            EntryKind::File(FileContents::default()),
            EntryKind::Directory,
        ] {
            let name = format!("{name}-{}", kind.letter());
            let entry = with_xattr(entry(kind, mode, 0, 0), ACCESS, &list);
            assert_eq!(place.restore(&attributes, &name, &entry), [""; 0]);
            assert_eq!(place.stat(&name).mode() & 0o7777, mode, "{name}");
            let stored = xattr::get(place.dir.path().join(&name), ACCESS).expect("reads");
            assert_eq!(stored.as_deref(), Some(list.as_slice()), "{name}");
        }
    }
}

#[test]
fn a_list_of_setfacl_comes_back_as_getfacl_shows_it() {
    let place = Place::new();
    let at = |name: &str| place.dir.path().join(name);
    fs::create_dir(at("source")).expect("makes");
    let set = Command::new("setfacl")
        .args(["-m", "u:4711:rwx,g:4712:r,m:rx,d:u:4711:rw"])
        .arg(at("source"))
        .status();
    // The tool belongs to a package of its own; the list is set as bytes in the tests above.
    if !set.is_ok_and(|status| status.success()) {
        return;
    }
    let mut entry = entry(EntryKind::Directory, 0, 0, 0);
    entry.mode = place.stat("source").mode() & 0o7777;
    for name in [ACCESS, DEFAULT] {
        let list = xattr::get(at("source"), name).expect("reads");
        entry = with_xattr(entry, name, &list.expect("is set"));
    }
    let attributes = attributes(OwnerPolicy::Keep, false);
    assert_eq!(place.restore(&attributes, "copy", &entry), [""; 0]);
    let shown = ["source", "copy"].map(|name| {
        let arguments = ["--absolute-names", "--omit-header", "--numeric"];
        let output = Command::new("getfacl")
            .args(arguments)
            .arg(at(name))
            .output();
        String::from_utf8(output.expect("runs").stdout).expect("text")
    });
    assert!(shown[0].contains("user:4711:rwx"), "{}", shown[0]);
    assert_eq!(shown[0], shown[1]);
}

#[test]
fn a_list_that_the_target_gives_to_new_files_does_not_stay() {
    let place = Place::new();
    place
        .fd
        .set_xattr(DEFAULT, &acl(7, 7, 7, 7, 7))
        .expect("a default list");
    let attributes = attributes(OwnerPolicy::Keep, false);
    let plain = file(0o640, 0, 0);
    let list = acl(7, 5, 5, 5, 0);
    let listed = with_xattr(file(0o750, 0, 0), ACCESS, &list);
    let directory = entry(EntryKind::Directory, 0o750, 0, 0);
    for (name, entry) in [
        ("plain", &plain),
        ("listed", &listed),
        ("directory", &directory),
        ("fifo", &entry_of_fifo()),
    ] {
        assert_eq!(place.restore(&attributes, name, entry), [""; 0], "{name}");
        assert_eq!(place.stat(name).mode() & 0o7777, entry.mode, "{name}");
    }
    let of = |file: &str, name: &str| xattr::get(place.dir.path().join(file), name).expect("reads");
    assert_eq!(of("listed", ACCESS), Some(list));
    for name in ["plain", "directory", "fifo"] {
        assert_eq!(of(name, ACCESS), None, "{name}");
    }
    assert_eq!(of("directory", DEFAULT), None);
}
