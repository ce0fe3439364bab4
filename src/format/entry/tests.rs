//! Entries and their stanzas: those of the reference programs, and round trips of any.

use super::*;
use crate::format::FormatError;
use crate::format::checksum::Algorithm;
use crate::format::stanza::{LogItem, LogItems};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn parse(text: &[u8]) -> Result<Entry, FormatError> {
    match LogItems::new(text).next() {
        Some(Ok(LogItem::Stanza(stanza))) => Entry::from_stanza(&stanza),
        other => panic!("not a stanza: {other:?}"),
    }
}

#[test]
fn an_entry_of_the_reference_program() {
    let text = b"name: data/docs/third-link\nchecksum: sha1=f572d396fae9206628714fb2ce00f72e94f2258f\nctime: 1795291558\n\
        data: 90b3367e-c348-47df-8e3c-4f2b64714d8c/00000004[6]\ngroup: 0 (root)\ninode: 254/0/10010836\nlinks: 3\n\
        mode: 0644\nmtime: 86400\nsize: 6\ntype: f\nuser: 0 (root)\nvolatile: 1\n\n";
    let entry = parse(text).expect("parses");
    assert_eq!(entry.mode, 0o644);
    assert!(entry.may_be_hard_link() && entry.volatile);
    let mut again = Vec::new();
    entry.encode(&mut again);
    assert_eq!(
        String::from_utf8_lossy(&again),
        String::from_utf8_lossy(text)
    );
}

#[test]
fn keys_of_the_first_generation() {
    let entry = parse(b"path: a%20link\ntype: l\ncontents: to%20there\nmode: 0777\nuser: 1000\ngroup: 100 (users)\nmtime: -5\n").expect("parses");
    assert_eq!(entry.path.as_bytes(), b"a link");
    assert_eq!(
        entry.kind,
        EntryKind::Symlink {
            target: b"to there".to_vec()
        }
    );
    assert_eq!(
        entry.mtime,
        FileTime {
            seconds: -5,
            nanoseconds: 0
        }
    );
}

#[test]
fn errors_name_the_key() {
    for (text, message) in [
        ("type: f\n", "the key \"name\" is missing"),
        ("name: ../x\n", "\".\" or \"..\" in path \"../x\""),
        ("name: x\ntype: q\n", "unknown entry type \"q\""),
        (
            "name: x\ntype: f\nsize: -1\n",
            "size: invalid number \"-1\"",
        ),
        (
            "name: x\ntype: d\nmode: 0755\nuser: 0\ngroup: 0 root\n",
            "group: invalid owner \"0 root\"",
        ),
        (
            "name: x\ntype: d\nmode: 0755\nuser: 0\ngroup: 0\nmtime: 1\nmtime-nsec: 1000000000\n",
            "mtime-nsec 1000000000 is more than 999999999",
        ),
    ] {
        assert_eq!(parse(text.as_bytes()).expect_err(text).to_string(), message);
    }
}

fn kinds() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        Just(EntryKind::Directory),
        Just(EntryKind::Fifo),
        Just(EntryKind::Socket),
        any::<(u32, u32)>()
            .prop_map(|(major, minor)| EntryKind::CharDevice(DeviceNumber { major, minor })),
        any::<(u32, u32)>()
            .prop_map(|(major, minor)| EntryKind::BlockDevice(DeviceNumber { major, minor })),
        vec(1_u8.., 1..20).prop_map(|target| EntryKind::Symlink { target }),
        (any::<u64>(), vec(any::<u64>(), 0..4)).prop_map(|(size, zeros)| EntryKind::File(
            FileContents {
                size,
                checksum: Some(Checksum::of(Algorithm::Sha1, &size.to_le_bytes())),
                data: zeros.into_iter().map(DataRef::Zero).collect(),
            }
        )),
    ]
}

fn owners() -> impl Strategy<Value = Owner> {
    (any::<u32>(), option::of(vec(any::<u8>(), 0..8))).prop_map(|(id, name)| Owner { id, name })
}

fn times() -> impl Strategy<Value = FileTime> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| FileTime {
        seconds,
        nanoseconds,
    })
}

proptest! {
    #[test]
    fn round_trip(
        path in vec(1_u8.., 1..30).prop_filter_map("a valid path", |p| EntryPath::new(p).ok()),
        kind in kinds(), mode in 0..0o10000_u32, user in owners(), group in owners(), mtime in times(),
        ctime in option::of(times()), inode in option::of("[0-9]{1,3}/[0-9]{1,9}"), links in 1_u64.., volatile: bool, partial: bool,
        incomplete: bool, xattrs in vec((vec(1_u8.., 1..9), vec(any::<u8>(), 0..9)), 0..4),
    ) {
        let inode = inode.map(String::into_bytes);
        let entry = Entry { path, kind, mode, user, group, mtime, ctime, inode, links, volatile, partial, incomplete, xattrs };
        let mut text = Vec::new();
        entry.encode(&mut text);
        prop_assert_eq!(parse(&text).expect("parses"), entry);
    }
}
