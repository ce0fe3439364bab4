//! The small texts of the format: percent-encoded names, paths, names of snapshots, dates, checksums, numbers, inodes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pileus::format::checksum::Checksum;
use pileus::format::inode::InodeName;
use pileus::format::path::{self, EntryPath};
use pileus::format::snapshot_name::SnapshotName;
use pileus::format::{date, escape, integer, percent};

fuzz_target!(|text: &[u8]| {
    let shown = escape(text);
    assert!(
        !shown.chars().any(char::is_control),
        "what is shown is harmless"
    );
    let mut encoded = Vec::new();
    percent::encode(text, &mut encoded);
    assert_eq!(percent::decode(&encoded).as_deref(), Ok(text));
    if let Ok(name) = percent::decode(text)
        && let Ok(path) = EntryPath::new(name)
    {
        let bad =
            |part: &[u8]| part.is_empty() || part == b".." || part == b"." || part.contains(&0);
        assert!(
            path.is_scan_root() || !path.components().any(bad),
            "{path} leads out of the target"
        );
    }
    let (a, b) = text.split_at(text.len() / 2);
    assert_eq!(path::compare(a, b), path::compare(b, a).reverse());
    if let Ok(checksum) = Checksum::parse(text) {
        assert_eq!(
            Checksum::from_hex(checksum.algorithm(), checksum.hex().as_bytes()),
            Some(checksum)
        );
    }
    let _ = (
        integer::parse_u32(text),
        integer::parse_u64(text),
        integer::parse_i64(text),
        InodeName::parse(text),
    );
    if let Ok(instant) = date::parse_date(text) {
        let _ = (
            date::format_stamp(instant),
            date::next_second(instant),
            date::format_date(instant),
        );
    }
    if let Some(name) = std::str::from_utf8(text).ok().and_then(SnapshotName::parse) {
        assert_eq!(name.to_string().as_bytes(), text);
        assert_eq!(SnapshotName::parse(&name.to_string()).as_ref(), Some(&name));
        let _ = name.instant();
    }
});
