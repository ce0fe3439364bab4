use std::fs;

use proptest::prelude::*;

use super::*;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, SegmentId, Slice};

fn object(segment: u8, sequence: u32) -> ObjectId {
    let segment = SegmentId::from_bytes([segment; 16]);
    ObjectId { segment, sequence }
}

fn text(segment: u8, sequence: u32, bytes: u64) -> ObjectRef {
    ObjectRef {
        object: object(segment, sequence),
        checksum: Some(Checksum::of(Algorithm::Sha1, &sequence.to_le_bytes())),
        slice: Slice::First(bytes),
    }
}

fn key(size: u64, inode: u64) -> StatKey {
    let time = |nanoseconds| FileTime {
        seconds: 1_795_288_702,
        nanoseconds,
    };
    StatKey {
        kind: 8,
        size,
        mtime: time(5),
        ctime: time(999_999_999),
        inode,
        given: Some(given(1)),
    }
}

fn given(links: u64) -> Given {
    Given {
        mode: 0o640,
        user: 1000,
        group: 100,
        links,
        device: 0,
    }
}

fn file(size: u64, inode: u64, data: Vec<DataRef>) -> Remembered {
    Remembered {
        key: key(size, inode),
        device: None,
        doubts: Doubts::default(),
        attributes: Attributes::default(),
        seen: None,
        contents: Some(FileContents {
            size,
            checksum: Some(Checksum::of(Algorithm::Sha1, &inode.to_le_bytes())),
            data,
        }),
        lists: Vec::new(),
    }
}

/// Builds a block whose entries have their stanzas one after the other in the piece.
fn block(piece: u32, entries: &[(&str, Remembered)]) -> Block {
    let mut builder = BlockBuilder::default();
    for (i, (path, remembered)) in entries.iter().enumerate() {
        let place = StanzaPlace {
            object: None,
            start: u32::try_from(i).expect("few") * 300,
            length: 300,
        };
        builder.push(path.as_bytes(), remembered, place);
    }
    builder.finish(text(1, piece, 5000), 5000, 0)
}

fn entries(block: &Block) -> Vec<(String, Remembered)> {
    let mut cursor = block.cursor();
    let mut entries = Vec::new();
    while cursor.advance(block) && cursor.record().is_some() {
        let record = cursor.record().expect("was asked for");
        let remembered = block.remembered(record).expect("makes sense");
        let path = String::from_utf8(cursor.path().to_vec()).expect("is text");
        entries.push((path, remembered));
    }
    entries
}

fn small(path: &str, inode: u64) -> (&str, Remembered) {
    let whole = ObjectRef {
        object: object(2, u32::try_from(inode).expect("small")),
        checksum: None,
        slice: Slice::First(10),
    };
    (path, file(10, inode, vec![DataRef::Object(whole)]))
}

#[test]
fn what_is_written_is_read_again_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let blocks = [
        block(0, &[small("a", 7), small("a/b", 9)]),
        block(1, &[small("a/c", 8)]),
    ];
    let mut writer = StatCacheWriter::new(dir.path(), "home");
    for block in &blocks {
        writer.append(block, None).expect("appends");
    }
    writer
        .finish(None, true)
        .expect("finishes")
        .replace()
        .expect("replaces");
    assert!(dir.path().join("statcache-home").exists());
    let mut reader = StatCacheReader::open(dir.path(), "home")
        .expect("opens")
        .expect("is there");
    for block in &blocks {
        let read = reader.next_block().expect("is whole").expect("is there");
        assert_eq!(entries(&read), entries(block));
        assert_eq!(read.segments(), block.segments());
        assert_eq!(read.piece(), block.piece());
    }
    assert!(reader.next_block().expect("is the end").is_none());
    assert!(
        StatCacheReader::open(dir.path(), "")
            .expect("looks")
            .is_none()
    );
}

#[test]
fn an_unchanged_tree_leaves_the_file_as_it_is_and_a_change_keeps_what_stood_before_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("statcache");
    let large = |path, inode| (path, file(1 << 20, inode, vec![DataRef::Zero(1 << 20)]));
    let first = [large("a", 77), large("b", 5)].map(|entry| block(0, &[entry]));
    let mut writer = StatCacheWriter::new(dir.path(), "");
    for block in &first {
        writer.append(block, None).expect("appends");
    }
    writer
        .finish(None, true)
        .expect("finishes")
        .replace()
        .expect("replaces");
    let written = fs::read(&path).expect("is read");

    let run = |change: bool| {
        let mut reader = StatCacheReader::open(dir.path(), "")
            .expect("opens")
            .expect("is there");
        let mut writer = StatCacheWriter::new(dir.path(), "");
        while let Some(block) = reader.next_block().expect("is whole") {
            writer.append(&block, Some(&reader)).expect("appends");
        }
        if change {
            let third = block(2, &[large("c", 33)]);
            writer.append(&third, Some(&reader)).expect("appends");
        }
        writer
            .finish(Some(&reader), true)
            .expect("finishes")
            .replace()
            .expect("replaces");
    };
    run(false);
    assert!(!dir.path().join("statcache~part").exists());
    assert_eq!(fs::read(&path).expect("is read"), written);
    run(true);
    let reader = StatCacheReader::open(dir.path(), "")
        .expect("opens")
        .expect("is there");
    for inode in [77, 5, 33] {
        let found = reader.find_inode(inode).expect("is in the index");
        assert_eq!(found.key.inode, inode);
    }
    assert!(reader.find_inode(6).is_none());
}

#[test]
fn a_checkpoint_has_what_was_appended_and_what_is_still_to_be_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut writer = StatCacheWriter::new(dir.path(), "");
    let old = [
        block(0, &[small("a", 1), small("b", 2), small("c", 3)]),
        block(1, &[small("d", 4)]),
        block(2, &[small("e", 5)]),
    ];
    for block in &old {
        writer.append(block, None).expect("appends");
    }
    let finished = writer.finish(None, true).expect("finishes");
    finished.replace().expect("replaces");

    let open = || {
        let reader = StatCacheReader::open(dir.path(), "").expect("opens");
        reader.expect("is there")
    };
    let mut reader = open();
    let mut writer = StatCacheWriter::new(dir.path(), "");
    let new = block(7, &[small("a", 9)]);
    writer.append(&new, Some(&reader)).expect("appends");
    let first = reader.next_block().expect("is whole").expect("is there");
    let mut cursor = first.cursor();
    assert!(cursor.advance(&first) && cursor.advance(&first));
    let rest = first.rest(&cursor);
    writer
        .checkpoint(rest.as_ref(), Some(&reader))
        .expect("is put in place");
    let paths = || {
        let mut reader = open();
        let mut paths = Vec::new();
        while let Some(block) = reader.next_block().expect("is whole") {
            let entries = entries(&block).into_iter();
            paths.extend(entries.map(|(path, entry)| (path, entry.key.inode, block.slices())));
        }
        paths
    };
    let entry = |path: &str, inode, slices| (path.to_owned(), inode, slices);
    let rest = u32::MAX;
    let expected = [
        entry("a", 9, 0),
        entry("b", 2, rest),
        entry("c", 3, rest),
        entry("d", 4, 0),
        entry("e", 5, 0),
    ];
    assert_eq!(paths(), expected);
    // The run goes on with what it had.
    let next = reader.next_block().expect("is whole").expect("is there");
    assert_eq!(entries(&next)[0].0, "d");
    writer.append(&next, Some(&reader)).expect("appends");
    let finished = writer.finish(Some(&reader), false).expect("finishes");
    finished.replace().expect("replaces");
    assert_eq!(paths(), [entry("a", 9, 0), entry("d", 4, 0)]);
}

#[test]
fn damage_anywhere_is_noticed_before_anything_behind_it_is_believed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("statcache");
    let mut writer = StatCacheWriter::new(dir.path(), "");
    for piece in 0..3 {
        let block = block(piece, &[small("x", 1), small("y", 2)]);
        writer.append(&block, None).expect("appends");
    }
    writer
        .finish(None, true)
        .expect("finishes")
        .replace()
        .expect("replaces");
    let good = fs::read(&path).expect("is read");
    let read_all = || {
        let mut reader = StatCacheReader::open(dir.path(), "")
            .expect("opens")
            .expect("is there");
        let mut read = Vec::new();
        let end = loop {
            match reader.next_block() {
                Ok(Some(block)) => read.push(entries(&block)),
                end => break end,
            }
        };
        assert_eq!(reader.end().is_some(), end.is_ok());
        (read, end.map(drop))
    };
    let (whole, end) = read_all();
    assert_eq!((whole.len(), end), (3, Ok(())));
    // The trailer and the index are hints only.
    let blocks_end = good.len() - INDEX_ENTRY_BYTES;
    for at in 0..blocks_end {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).expect("is written");
        let (read, end) = read_all();
        assert!(end.is_err() || at >= blocks_end - DIGEST_BYTES, "byte {at}");
        assert_eq!(read[..], whole[..read.len()], "byte {at}");
    }
    for length in 0..blocks_end - BLOCK_HEADER_BYTES {
        fs::write(&path, &good[..length]).expect("is written");
        assert!(read_all().1.is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_block_of_the_layout_before_is_understood() {
    let block = block(0, &[]);
    let mut body = Vec::new();
    block.head.encode(&mut body);
    // The number of entries is the last of the head.
    *body.last_mut().expect("is there") = 2;
    for (path, flags, length) in [(b'a', 4, 10), (b'b', 4 | 0x10, 10)] {
        // Path, flags and length; times of 5 s and 3 ns, 0 s after the one before; inode 1 more than the one before; size.
        body.extend_from_slice(&[0, 1, path, flags, length, 10, 3, 0, 3, 2, 0]);
    }
    let read = entries(&Block::parse(body, 16).expect("makes sense"));
    let names: Vec<&str> = read.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let (_, last) = &read[1];
    assert!(last.doubts.volatile && last.seen.is_none());
    assert_eq!((last.key.inode, last.key.mtime.seconds), (2, 5));
    assert_eq!(
        (last.key.given, last.attributes),
        (None, Attributes::default())
    );
    assert!(last.key.agrees_with(&StatKey {
        given: Some(given(1)),
        ..last.key
    }));
}

#[test]
fn names_of_the_files() {
    for name in [
        "statcache",
        "statcache-home",
        "statcache-a.b",
        "statcache-home~part",
        "statcache~checkpoint",
    ] {
        assert!(is_stat_cache(name), "{name}");
    }
    for name in ["statcaches", "statcache-", "statcache-.x", "xstatcache"] {
        assert!(!is_stat_cache(name), "{name}");
    }
}

fn references() -> impl Strategy<Value = Vec<DataRef>> {
    let one = (0..4_u8, 0..4_u8, 0..6_u32, 0..5_u64).prop_map(|(kind, segment, sequence, n)| {
        let length = [1, 4096, 1 << 20, 77, 1 << 40][usize::try_from(n).expect("small")];
        let slice = if kind == 2 {
            Slice::Part {
                start: n * 4096,
                length,
            }
        } else {
            Slice::First(length)
        };
        if kind == 0 {
            return DataRef::Zero(length);
        }
        DataRef::Object(ObjectRef {
            object: object(segment, sequence),
            checksum: None,
            slice,
        })
    });
    proptest::collection::vec(one, 0..20)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let any = (any::<u64>(), any::<bool>(), any::<bool>(), any::<bool>());
    any.prop_map(|(digest, incomplete, unsupported, hidden)| Attributes {
        digest,
        incomplete,
        unsupported,
        hidden,
    })
}

proptest! {
    #[test]
    fn what_a_stat_gives_and_what_is_known_of_attributes_comes_back(
        entries_of in proptest::collection::vec(
            (0..16_u8, any::<Option<(u32, u32, u32, u64, u64)>>(), attributes(), any::<Option<i64>>(), any::<bool>()), 1..9),
    ) {
        let all: Vec<(String, Remembered)> = entries_of.into_iter().enumerate().map(|(i, (kind, given, attributes, seen, is_linked))| {
            let given = given.map(|(mode, user, group, links, device)| Given {
                mode: mode & 0o7777, user, group,
                links: if is_linked { links } else { 1 },
                device: if matches!(kind, 2 | 6) { device } else { 0 },
            });
            let contents = (kind == 8).then(FileContents::default);
            let key = StatKey { kind, given, ..key(0, 7) };
            let device = is_linked.then_some(77);
            let remembered = Remembered { key, device, attributes, seen, contents, doubts: Doubts::default(), lists: Vec::new() };
            (format!("{i}"), remembered)
        }).collect();
        let named: Vec<_> = all.iter().map(|(path, remembered)| (path.as_str(), remembered.clone())).collect();
        let block = block(0, &named);
        let read = Block::parse(block.body.clone(), 16).expect("makes sense");
        prop_assert_eq!(entries(&read), all);
    }

    #[test]
    fn contents_of_any_shape_come_back(data in references(), lists: Vec<u8>, inode: u64, other: Option<u64>) {
        let size = data.iter().filter_map(DataRef::length).sum();
        let mut remembered = file(size, inode, data);
        remembered.key.size = other.unwrap_or(size);
        remembered.device = other;
        remembered.lists = lists
            .iter()
            .map(|&n| SegmentUse { segment: SegmentId::from_bytes([n; 16]), bytes: n.into() })
            .collect();
        let block = block(0, &[("a", remembered.clone()), small("b", 3)]);
        let read = Block::parse(block.body.clone(), 16).expect("makes sense");
        prop_assert_eq!(&entries(&read)[0].1, &remembered);
        prop_assert_eq!(entries(&read).len(), 2);
    }

    #[test]
    fn nonsense_never_panics(body: Vec<u8>) {
        if let Some(block) = Block::parse(body, 16) {
            let mut cursor = block.cursor();
            for _ in 0..100 {
                if !cursor.advance(&block) {
                    break;
                }
                if let Some(record) = cursor.record() {
                    drop((block.remembered(record), block.stanza_place(record)));
                }
            }
        }
    }
}
