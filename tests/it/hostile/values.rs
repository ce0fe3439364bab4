//! Values of an entry: numbers that overflow, types that nobody knows, attributes that the kernel refuses.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use super::Case;
use crate::harness::is_root;

/// Lines of an entry that cannot be used, and what the message says.
const UNUSABLE: &[(&str, &str, &str)] = &[
    ("x", "", "unknown entry type"),
    ("", "", "unknown entry type"),
    ("f%1b", "", "unknown entry type"),
    ("d", "mode: 04294967296000", "mode: "),
    ("d", "mode: rwxr-xr-x", "mode: "),
    ("d", "mode: 0999", "mode: "),
    ("d", "mode: -1", "mode: "),
    ("d", "mode:", "mode: "),
    ("d", "user: 4294967296", "user: "),
    ("d", "user: root", "user: "),
    ("d", "user: 0 (unclosed", "user: "),
    ("d", "user: 0 (%zz)", "user: "),
    ("d", "group: -1", "group: "),
    ("d", "group: 0x1ffffffff (x)", "group: "),
    ("d", "mtime: 9223372036854775808", "mtime: "),
    ("d", "mtime: -9223372036854775809", "mtime: "),
    ("d", "mtime: 1.5", "mtime: "),
    ("d", "mtime: 0xfffffffffffffffff", "mtime: "),
    ("d", "mtime-nsec: 1000000000", "mtime-nsec"),
    ("d", "mtime-nsec: -1", "mtime-nsec"),
    ("d", "ctime: tomorrow", "ctime: "),
    ("d", "links: 18446744073709551616", "links: "),
    ("d", "xattrs: user.novalue", "xattrs: "),
    ("d", "xattrs: user.bad%g0=1", "xattrs: "),
    ("d", "xattrs: user.nul%00=1", "xattrs: "),
    ("d", "xattrs: =1", "xattrs: "),
    ("f", "data: zero[1]", "\"size\" is missing"),
    ("f", "size: 1", "\"data\" is missing"),
    (
        "f",
        "size: 1\ndata: zero[1]\nchecksum: sha1=12",
        "checksum: ",
    ),
    (
        "f",
        "size: 1\ndata: zero[1]\nchecksum: md5=12",
        "checksum: ",
    ),
    ("f", "size: 1\ndata: zero[1]\nchecksum:", "checksum: "),
    ("l", "", "\"target\" is missing"),
    ("l", "target:", "invalid link target"),
    ("l", "target: a%00b", "invalid link target"),
    ("c", "", "\"device\" is missing"),
    ("c", "device: 1", "device: "),
    ("c", "device: 1/", "device: "),
    ("b", "device: /1", "device: "),
    ("b", "device: 4294967296/1", "device: "),
    ("b", "device: -1/-1", "device: "),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = UNUSABLE.iter().map(unusable).collect();
    cases.extend(refused_by_the_kernel());
    cases.extend([
        Case::new("entries without most keys", |store, _| {
            for key in ["type", "mode", "user", "group", "mtime"] {
                let stanza = crate::made_store::entry(&format!("no-{key}"), "d", "");
                let lines = stanza
                    .lines()
                    .filter(|line| !line.starts_with(&format!("{key}:")));
                store.stanza(lines.collect::<Vec<_>>().join("\n").trim_end());
            }
        })
        .told("no-type: ")
        .told("\"type\" is missing")
        .told("no-mode: ")
        .told("no-user: ")
        .told("no-group: ")
        .told("no-mtime: ")
        .absent("no-mtime"),
        Case::new("lines that are no fields", |store, _| {
            store.stanza("name: a\nno colon here\ntype: d");
            store.stanza(": no key");
            store.stanza("   a continuation of nothing");
            store.stanza("k\u{e9}y: x");
            store.stanza("\0\u{1}\u{2}");
        })
        .told("no colon here")
        .absent("a"),
        Case::new("a key that is there twice", |store, _| {
            store.entry("a", "d", "name: ../evil\nname: b\nmode: 0700\nmode: 0755");
        })
        .code(0)
        .absent("a")
        .after(|target| assert!(target.join("b").is_dir())),
        Case::new("keys that nobody knows", |store, _| {
            store.entry(
                "a",
                "d",
                "colour: green\nx-y_z: 1\n  and more\nNAME: ../evil",
            );
        })
        .code(0)
        .after(|target| assert!(target.join("a").is_dir())),
        Case::new("numbers in all bases", |store, _| {
            store.entry("a", "d", "mode: 0x1c0\nuser: 00\ngroup: 0x0\nmtime: 0x10");
        })
        .code(0)
        .after(|target| assert!(target.join("a").is_dir())),
    ]);
    cases
}

fn unusable((kind, more, reason): &(&'static str, &'static str, &'static str)) -> Case {
    let (kind, more) = (*kind, *more);
    Case::new(format!("type {kind}, {more:?}"), move |store, _| {
        store.entry("odd", kind, more);
    })
    .told("odd: cannot use its entry: ")
    .told(*reason)
    .absent("odd")
}

/// What the format can say but the kernel does not do. The file itself may be there all the same.
fn refused_by_the_kernel() -> Vec<Case> {
    let odd = |kind: &'static str, more: String, reason: &str| {
        let case = Case::new(format!("type {kind}, {more:.60}"), move |store, _| {
            store.entry("odd", kind, &more);
        });
        case.told("odd: ").told(reason)
    };
    let mut cases = vec![
        odd("l", format!("target: {}", "t".repeat(5000)), "").absent("odd"),
        odd("c", "device: 4096/1".into(), "").absent("odd"),
        odd("b", "device: 1/1048576".into(), "").absent("odd"),
        odd(
            "d",
            "mtime: 9223372036854775807".into(),
            "modification time",
        ),
        odd(
            "d",
            "mtime: -9223372036854775808".into(),
            "modification time",
        ),
        odd(
            "d",
            format!("xattrs: user.big={}", "v".repeat(70_000)),
            "user.big",
        ),
        odd(
            "d",
            format!("xattrs: user.{}=1", "n".repeat(300)),
            "extended attribute",
        ),
    ];
    if is_root() {
        cases.extend([
            odd("d", "xattrs: nowhere.at=all".into(), "nowhere.at"),
            odd(
                "f",
                "size: 0\ndata:\nxattrs: security.capability=rubbish".into(),
                "capability",
            ),
            odd(
                "d",
                "xattrs: system.posix_acl_access=rubbish".into(),
                "posix_acl_access",
            ),
            odd("d", "user: 4294967295".into(), "owner"),
        ]);
        cases.push(
            Case::new("a device that is there", |store, _| {
                store.entry("null", "c", "device: 1/3");
            })
            .code(0)
            .after(|target| {
                let stat = fs::symlink_metadata(target.join("null")).expect("is there");
                assert!(stat.file_type().is_char_device());
            }),
        );
    } else {
        cases.push(odd("c", "device: 1/3".into(), "").absent("odd"));
    }
    cases
}
