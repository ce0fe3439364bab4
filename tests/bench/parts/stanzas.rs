//! Stanzas of the metadata log: what a first backup writes of each file, and `ls`, `restore` and `verify` read.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use pileus::format::entry::Entry;
use pileus::format::stanza::{LogItem, LogItems};

use crate::made;

const ENTRIES: usize = 1000;

fn text(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::new();
    for entry in entries {
        entry.encode(&mut text);
    }
    text
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let entries = made::entries(ENTRIES);
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .counter(BytesCount::of_slice(&text(&entries)))
        .bench(|| text(&entries));
}

/// Fields only, without their meaning.
#[divan::bench]
fn split(bencher: Bencher) {
    let text = text(&made::entries(ENTRIES));
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .counter(BytesCount::of_slice(&text))
        .bench(|| {
            assert_eq!(LogItems::new(&text).flatten().count(), ENTRIES);
        });
}

#[divan::bench]
fn parse(bencher: Bencher) {
    let text = text(&made::entries(ENTRIES));
    let parse = || {
        let items = LogItems::new(&text).map(|item| match item.expect("is well formed") {
            LogItem::Stanza(stanza) => Entry::from_stanza(&stanza).expect("is an entry"),
            LogItem::Reference(_) => panic!("only stanzas were written"),
        });
        items.collect::<Vec<_>>()
    };
    assert_eq!(parse(), made::entries(ENTRIES));
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .counter(BytesCount::of_slice(&text))
        .bench(parse);
}
