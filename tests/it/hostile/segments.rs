//! Segments: members of other names and kinds, sizes that are not there, files that are no tar at all.

use super::Case;
use crate::harness::Place;
use crate::made_store::{DATA, MadeStore, Member, file_lines};

const CONTENTS: &str = "what the file holds";

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(NAMES.iter().map(|name| named(name)));
    cases.extend(unusable_members());
    cases.extend(
        HEADERS
            .iter()
            .map(|(kind, data)| header_before(*kind, data)),
    );
    cases.extend(duplicates());
    cases.extend(whole_files());
    cases
}

/// Names of members that are no objects of the segment.
const NAMES: &[&str] = &[
    "",
    "evil",
    "/tmp/evil",
    "../../evil",
    "dddddddd-0000-4000-8000-000000000002/00000000",
    "dddddddd-0000-4000-8000-000000000001/0000000000000000",
    "dddddddd-0000-4000-8000-000000000001/0",
    "dddddddd-0000-4000-8000-000000000001/",
    "./dddddddd-0000-4000-8000-000000000001/00000000",
    "dddddddd-0000-4000-8000-000000000001/0000000\u{1b}[2J",
];

/// Adds the file "x" and a member that should be its object.
fn with_member(store: &mut MadeStore, change: impl FnOnce(Member) -> Member) {
    let name = store.next_name(DATA);
    store.entry("x", "f", &file_lines(&name, CONTENTS));
    store.member(DATA, change(Member::new(name, CONTENTS)));
}

fn lost(name: impl Into<String>, change: impl Fn(Member) -> Member + Copy + 'static) -> Case {
    let case = Case::new(name, move |store, _| with_member(store, change));
    case.told("x: ").absent("x")
}

fn named(name: &'static str) -> Case {
    lost(format!("a member called {name:?}"), move |member| Member {
        name: name.to_owned(),
        ..member
    })
}

fn unusable_members() -> Vec<Case> {
    let linked = |member: Member, kind: u8| Member {
        link_name: "/etc/passwd".to_owned(),
        data: Vec::new(),
        ..member.kind(kind)
    };
    let size = |bytes: [u8; 12]| move |member: Member| member.raw_size(bytes);
    vec![
        lost("a member that is a symbolic link", move |member| {
            linked(member, b'2')
        }),
        lost("a member that is a hard link", move |member| {
            linked(member, b'1')
        }),
        lost("a member that is a directory", move |member| {
            linked(member, b'5')
        }),
        lost("a member that is a device", move |member| {
            linked(member, b'3')
        }),
        lost("a member that is sparse", |member| member.kind(b'S')),
        lost("a member that is a pax header", |member| member.kind(b'x')),
        lost("a member of unknown kind", |member| member.kind(b'Z')),
        lost("a member that claims eight gigabytes", |member| {
            member.size((1 << 33) - 1)
        })
        .told("claims 8589934591 bytes"),
        lost("a member that is cut short", |member| member.size(100_000)),
        lost(
            "a size in base 256",
            size([0x80, 0, 0, 0, 0x7f, 0xff, 255, 255, 255, 255, 255, 255]),
        ),
        lost("a negative size", size([0xff; 12])),
        lost("a size that is no number", size(*b"\x1b[2Jrubbish\0")),
        lost("a size of nothing", size([0; 12])),
        lost("a size with nothing but spaces", size([b' '; 12])),
    ]
}

/// Kinds and contents of headers that other tar programs take as saying something of the next member.
const HEADERS: &[(u8, &str)] = &[
    (b'L', "../../../../evil\0"),
    (b'K', "/etc/passwd\0"),
    (b'x', "24 path=../../../../evil\n"),
    (b'x', "15 size=999999\n"),
    (b'x', "22 GNU.sparse.major=1\n"),
    (b'x', "999999 path\u{1b}=="),
    (b'g', "24 path=../../../../evil\n"),
    (b'V', "a volume"),
    (b'0', "a member that has nothing to do with it"),
];

fn header_before(kind: u8, data: &'static str) -> Case {
    let name = format!("{data:?} as {:?} before an object", char::from(kind));
    Case::new(name, move |store, _| {
        store.member(DATA, Member::new("././@LongLink", data).kind(kind));
        store.file("x", CONTENTS);
    })
    .code(0)
    .after(|target| {
        let restored = std::fs::read_to_string(target.join("x"));
        assert_eq!(restored.expect("x is restored"), CONTENTS);
    })
}

fn duplicates() -> Vec<Case> {
    let twice = |first: &'static str, second: &'static str| {
        let name = format!("an object that is there as {first:?} and as {second:?}");
        Case::new(name, move |store, _| {
            let object = store.object(first);
            store.member(DATA, Member::new(object.clone(), second));
            store.entry("x", "f", &file_lines(&object, CONTENTS));
        })
    };
    vec![
        twice(CONTENTS, CONTENTS).code(0),
        twice(CONTENTS, "something else").code(0),
        twice("something else", "and something else again")
            .told("x: ")
            .absent("x"),
    ]
}

/// Files that are not what their names say.
fn whole_files() -> Vec<Case> {
    let file = |name: &str, extension: &'static str, bytes: fn(Vec<u8>) -> Vec<u8>| {
        let case = Case::new(name, move |store, _| {
            store.file("x", CONTENTS);
            let segment = store.segment(DATA);
            segment.bytes = Some(bytes(segment.tar()));
            extension.clone_into(&mut segment.extension);
        });
        case.told("x: ").told(DATA).absent("x")
    };
    vec![
        file("an empty segment", "", |_| Vec::new()),
        file("a segment of null bytes", "", |tar| vec![0; tar.len()]),
        file("a segment of noise", "", |tar| noise(tar.len())),
        file("half a header", "", |tar| tar[..300].to_vec()),
        file("a header and no more", "", |tar| tar[..512].to_vec()),
        file("a header with a wrong checksum", "", |mut tar| {
            tar[0] ^= 1;
            tar
        }),
        file("a tar that is called bzip2", ".bz2", |tar| tar),
        file("a tar that is called gzip", ".gz", |tar| tar),
        file("a tar that is called zstd", ".zst", |tar| tar),
        file("an empty bzip2 file", ".bz2", |_| Vec::new()),
        file("an empty zstd file", ".zst", |_| Vec::new()),
        file("the beginning of a bzip2 file", ".bz2", |_| {
            b"BZh91AY&SY".to_vec()
        }),
        file("the beginning of a gzip file", ".gz", |_| {
            vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]
        }),
        file("the beginning of a zstd file", ".zst", |_| {
            vec![0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x20]
        }),
        file(
            "a zstd file that wants a window of many terabytes",
            ".zst",
            |_| vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0, 0],
        ),
        file("a segment of an unknown filter", ".rot13", |tar| tar).told("--unfilter"),
        file("a segment of two filters", ".bz2.gpg", |tar| tar).told("--unfilter"),
    ]
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn restore_and_verify_agree_on_an_object_that_is_longer_than_its_file() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.object([CONTENTS, " and more"].concat());
    store.entry("x", "f", &file_lines(&object, CONTENTS));
    store.write(place.path());
    let restored = place.survive(["restore", "--dest=.", "--target=target"]);
    let verified = place.survive(["verify", "--dest=.", "--level=files"]);
    assert_eq!(restored.code, verified.code, "{restored:?}\n{verified:?}");
}
