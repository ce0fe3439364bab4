//! Text of a metadata log: what is understood must be written as the same thing again, and what is not is an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pileus::format::entry::{Entry, encode_data, parse_data};
use pileus::format::stanza::{LogItem, LogItems, Stanza};

fuzz_target!(|text: &[u8]| {
    let mut items = LogItems::new(text);
    let mut left = text.len();
    while let Some(item) = items.next() {
        assert!(
            items.rest().len() < left,
            "every item is some bytes of the text"
        );
        left = items.rest().len();
        if let Ok(LogItem::Stanza(stanza)) = item
            && let Ok(entry) = Entry::from_stanza(&stanza)
        {
            repeat(&entry);
        }
    }
    if let Ok(references) = parse_data(text) {
        let mut again = Vec::new();
        encode_data(&references, &mut again);
        assert_eq!(
            parse_data(&again).expect("what was written is read"),
            references
        );
    }
});

fn repeat(entry: &Entry) {
    let mut text = Vec::new();
    entry.encode(&mut text);
    let stanza = Stanza::parse(text.trim_ascii_end()).expect("what was written has fields");
    let again = Entry::from_stanza(&stanza).expect("what was written is an entry");
    // No link is as good as one: it is not written.
    let links = entry.links.max(1);
    assert_eq!(
        again,
        Entry {
            links,
            ..entry.clone()
        }
    );
}
