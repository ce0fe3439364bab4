//! The header of one member of a pax archive (POSIX.1-2017, pax(1), "pax Interchange Format").
//!
//! A ustar header alone where that says everything; before it, extended records for what it has no room for: long or unusual names,
//! nanoseconds, large numbers, extended attributes (`SCHILY.xattr.`, as star, GNU tar and bsdtar know them, and [`acl`] for access control lists) and the map of a sparse file
//! (GNU's format 1.0). Nothing of the clock or the process gets into a header, so the same entry always gives the same bytes.

use super::acl;
use crate::format::entry::{DeviceNumber, Entry, FileTime, Owner};

/// The unit of a tar file.
pub(super) const BLOCK_BYTES: usize = 512;

/// Largest number in a field of eight bytes, and in one of twelve.
const SHORT_MAX: u64 = 0o777_7777;
const LONG_MAX: u64 = 0o777_7777_7777;

/// Room for a name, and for the name of an owner with its NUL.
const NAME_BYTES: usize = 100;
const OWNER_BYTES: usize = 32;

/// What stands in the header of a member beside the entry's attributes.
pub(super) struct Member<'a> {
    /// The entry, for its attributes.
    pub(super) entry: &'a Entry,
    /// The type flag.
    pub(super) flag: u8,
    /// The name; a directory's ends in `/`.
    pub(super) name: &'a [u8],
    /// What a link points to.
    pub(super) link: &'a [u8],
    /// Number of bytes behind the header.
    pub(super) stored_bytes: u64,
    /// The number of a device.
    pub(super) device: Option<DeviceNumber>,
    /// The length of a sparse file with all its holes.
    pub(super) sparse_bytes: Option<u64>,
}

/// Tells whether a header has room for a device's number.
pub(super) fn fits(device: DeviceNumber) -> bool {
    u64::from(device.major.max(device.minor)) <= SHORT_MAX
}

/// Returns the headers of a member.
pub(super) fn headers(member: &Member<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    let owners = [&member.entry.user, &member.entry.group];
    let names = owners.iter().filter_map(|owner| owner.name.as_deref());
    let mut texts = [member.name, member.link].into_iter().chain(names);
    if texts.any(|text| std::str::from_utf8(text).is_err()) {
        // bsdtar would take the bytes for damaged UTF-8 and fail behind them; GNU tar says that it does not need to be told.
        record(&mut records, b"hdrcharset", b"BINARY");
    }
    let short_name = if let Some(bytes) = member.sparse_bytes {
        record(&mut records, b"GNU.sparse.major", b"1");
        record(&mut records, b"GNU.sparse.minor", b"0");
        record(&mut records, b"GNU.sparse.name", member.name);
        record(
            &mut records,
            b"GNU.sparse.realsize",
            decimal(bytes).as_bytes(),
        );
        // Whoever does not know sparse files sees at least what this is.
        [b"GNUSparseFile.0/", member.name].concat()
    } else {
        text(&mut records, b"path", member.name, NAME_BYTES);
        member.name.to_vec()
    };
    text(&mut records, b"linkpath", member.link, NAME_BYTES);
    let entry = member.entry;
    let user = owner(&mut records, *b"uname", &entry.user);
    let group = owner(&mut records, *b"gname", &entry.group);
    number(&mut records, b"uid", entry.user.id.into(), SHORT_MAX);
    number(&mut records, b"gid", entry.group.id.into(), SHORT_MAX);
    number(&mut records, b"size", member.stored_bytes, LONG_MAX);
    let mtime = u64::try_from(entry.mtime.seconds)
        .ok()
        .filter(|&s| s <= LONG_MAX);
    if mtime.is_none() || entry.mtime.nanoseconds != 0 {
        record(&mut records, b"mtime", time(entry.mtime).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &xattr_key(name), value);
        if let Some((key, list)) = acl::record(name, value) {
            record(&mut records, key, &list);
        }
    }
    let mut headers = Vec::new();
    if !records.is_empty() {
        let mut extended = Fields::new(b"PaxHeaders/extended", b'x', 0o644);
        extended.number(124, 12, records.len() as u64);
        headers.extend(extended.finish());
        pad(&mut records);
        headers.extend(records);
    }
    let mut fields = Fields::new(&short_name, member.flag, entry.mode);
    fields.number(108, 8, entry.user.id.into());
    fields.number(116, 8, entry.group.id.into());
    fields.number(124, 12, member.stored_bytes);
    fields.number(136, 12, mtime.unwrap_or(0));
    fields.bytes(157, NAME_BYTES, member.link);
    fields.bytes(265, OWNER_BYTES, user);
    fields.bytes(297, OWNER_BYTES, group);
    if let Some(device) = member.device {
        fields.number(329, 8, device.major.into());
        fields.number(337, 8, device.minor.into());
    }
    headers.extend(fields.finish());
    headers
}

/// Fills the last block of what is in `bytes`.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
}

/// A ustar header that is being filled.
struct Fields {
    block: [u8; BLOCK_BYTES],
}

impl Fields {
    fn new(name: &[u8], flag: u8, mode: u32) -> Self {
        let mut fields = Self {
            block: [0; BLOCK_BYTES],
        };
        fields.bytes(0, NAME_BYTES, name);
        fields.number(100, 8, mode.into());
        for (at, length) in [(108, 8), (116, 8), (124, 12), (136, 12), (329, 8), (337, 8)] {
            fields.number(at, length, 0);
        }
        fields.block[156] = flag;
        fields.bytes(257, 8, b"ustar\x0000");
        fields
    }

    /// Writes as much of a text as there is room for.
    fn bytes(&mut self, at: usize, room: usize, text: &[u8]) {
        let length = text.len().min(room);
        self.block[at..at + length].copy_from_slice(&text[..length]);
    }

    /// Writes an octal number; one that has no room stands in a record, and 0 here.
    fn number(&mut self, at: usize, room: usize, number: u64) {
        let digits = room - 1;
        let max = if room == 8 { SHORT_MAX } else { LONG_MAX };
        let number = if number > max { 0 } else { number };
        self.bytes(at, room, format!("{number:0digits$o}\0").as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK_BYTES] {
        self.bytes(148, 8, b"        ");
        let sum: u32 = self.block.iter().map(|&byte| u32::from(byte)).sum();
        self.bytes(148, 8, format!("{sum:06o}\0 ").as_bytes());
        self.block
    }
}

/// Appends `length key=value`, in which the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + decimal(length as u64).len() > length {
        length += 1;
    }
    records.extend_from_slice(decimal(length as u64).as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

/// Appends a record if the header has no room for a text, or programs differ in how they read it there.
fn text(records: &mut Vec<u8>, key: &[u8], text: &[u8], room: usize) {
    let is_plain = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if text.len() > room || !is_plain {
        record(records, key, text);
    }
}

/// Appends a record for an owner's name if the header has no room for it; returns what the header gets.
fn owner<'a>(records: &mut Vec<u8>, key: [u8; 5], owner: &'a Owner) -> &'a [u8] {
    let name = owner.name.as_deref().unwrap_or_default();
    let before = records.len();
    text(records, &key, name, OWNER_BYTES - 1);
    if records.len() == before { name } else { b"" }
}

fn number(records: &mut Vec<u8>, key: &[u8], number: u64, max: u64) {
    if number > max {
        record(records, key, decimal(number).as_bytes());
    }
}

fn decimal(number: u64) -> String {
    number.to_string()
}

/// Returns seconds as a decimal fraction; nanoseconds count forward, so before 1970 they have to be turned round.
fn time(time: FileTime) -> String {
    let (seconds, nanoseconds) = (i128::from(time.seconds), i128::from(time.nanoseconds));
    let all = seconds * 1_000_000_000 + nanoseconds;
    let sign = if all < 0 { "-" } else { "" };
    let (whole, part) = (
        all.unsigned_abs() / 1_000_000_000,
        all.unsigned_abs() % 1_000_000_000,
    );
    if part == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:09}")
    }
}

/// A key ends at its first `=`: GNU tar writes and reads one in a name as `%3D`, and `%` as `%25`.
fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = b"SCHILY.xattr.".to_vec();
    for &byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            byte => key.push(byte),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for (value, length) in [
            (5, 9),
            (90, 95),
            (91, 96),
            (92, 97),
            (93, 98),
            (94, 99),
            (95, 101),
            (993, 999),
            (994, 1001),
        ] {
            let mut records = Vec::new();
            record(&mut records, b"", &vec![b'x'; value]);
            assert!(
                records.starts_with(format!("{length} =").as_bytes()),
                "{value}"
            );
            assert_eq!(records.len(), length);
        }
    }

    #[test]
    fn times_before_1970_are_turned_round() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (1, 5, "1.000000005"),
            (-2, 500_000_000, "-1.500000000"),
            (-1, 999_999_999, "-0.000000001"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            assert_eq!(
                time(FileTime {
                    seconds,
                    nanoseconds
                }),
                text
            );
        }
    }
}
