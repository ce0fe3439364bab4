//! The stat cache of a hundred thousand files: written by a first backup, read by every night.

use std::path::Path;

use divan::Bencher;
use divan::counter::ItemsCount;
use pileus::format::entry::EntryKind;
use pileus::local::stat_cache::{
    Attributes, BlockBuilder, Doubts, Given, Remembered, StanzaPlace, StatCacheReader,
    StatCacheWriter, StatKey,
};

use crate::{made, place};

const ENTRIES: usize = 100_000;

/// Entries whose stanzas fill a piece of the metadata log.
const ENTRIES_A_PIECE: usize = 200;

const STANZA_BYTES: u32 = 330;

/// Returns paths with what is remembered of them.
fn remembered() -> Vec<(Vec<u8>, Remembered)> {
    let entries = made::entries(ENTRIES).into_iter();
    entries
        .zip(10_000_000..)
        .map(|(entry, inode)| {
            let (kind, contents) = match entry.kind {
                EntryKind::File(contents) => (8, Some(contents)),
                _ => (4, None),
            };
            let key = StatKey {
                kind,
                size: contents.as_ref().map_or(4096, |contents| contents.size),
                mtime: entry.mtime,
                ctime: entry.ctime.expect("was made with one"),
                inode,
                given: Some(Given {
                    mode: entry.mode,
                    user: entry.user.id,
                    group: entry.group.id,
                    links: 1,
                    device: 0,
                }),
            };
            let remembered = Remembered {
                key,
                device: None,
                doubts: Doubts::default(),
                attributes: Attributes::default(),
                seen: None,
                contents,
                lists: Vec::new(),
            };
            (entry.path.as_bytes().to_vec(), remembered)
        })
        .collect()
}

fn write_all(directory: &Path, all: &[(Vec<u8>, Remembered)]) {
    let mut writer = StatCacheWriter::new(directory, "");
    for (piece, entries) in (0..).zip(all.chunks(ENTRIES_A_PIECE)) {
        let mut block = BlockBuilder::default();
        for (at, (path, remembered)) in (0..).zip(entries) {
            let place = StanzaPlace {
                object: None,
                start: at * STANZA_BYTES,
                length: STANZA_BYTES,
            };
            block.push(path, remembered, place);
        }
        let bytes = block.text_bytes();
        let block = block.finish(made::piece(piece, bytes), bytes, 0);
        writer.append(&block, None).expect("appends");
    }
    let finished = writer.finish(None, true).expect("finishes");
    finished.replace().expect("takes its place");
}

/// Passes over all entries, and returns the sum of what `look` says of each.
fn read_all(directory: &Path, look: impl Fn(Remembered) -> u64) -> u64 {
    let mut reader = StatCacheReader::open(directory, "")
        .expect("opens")
        .expect("is there");
    let mut sum = 0;
    while let Some(block) = reader.next_block().expect("is whole") {
        let mut cursor = block.cursor();
        while cursor.advance(&block) {
            let Some(record) = cursor.record() else {
                break;
            };
            sum += look(block.remembered(record).expect("makes sense"));
        }
    }
    sum
}

#[divan::bench(sample_size = 1)]
fn write(bencher: Bencher) {
    let all = remembered();
    bencher
        .with_inputs(place::empty)
        .counter(ItemsCount::new(ENTRIES))
        .bench_refs(|place| write_all(place.path(), &all));
}

#[divan::bench(sample_size = 1)]
fn read(bencher: Bencher) {
    let place = place::empty();
    write_all(place.path(), &remembered());
    assert_eq!(read_all(place.path(), |_| 1), ENTRIES as u64);
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .bench(|| read_all(place.path(), |remembered| remembered.key.size));
}
