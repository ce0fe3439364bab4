//! Access control lists as text, as star, GNU tar and bsdtar keep them in records of their own.
//!
//! The kernel keeps a list as an extended attribute: a version, then a tag, permissions and a number for each entry, all little-endian. GNU tar
//! restores that attribute only if it is asked for by name, and bsdtar never; `SCHILY.acl.access` and `SCHILY.acl.default` they both know.

/// An extended attribute of the kernel and the key of its record.
const LISTS: [(&[u8], &[u8]); 2] = [
    (b"system.posix_acl_access", b"SCHILY.acl.access"),
    (b"system.posix_acl_default", b"SCHILY.acl.default"),
];

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

/// Returns the record of an extended attribute that is a list: its key and its text.
pub(super) fn record(name: &[u8], value: &[u8]) -> Option<(&'static [u8], Vec<u8>)> {
    let (_, key) = LISTS.iter().find(|(attribute, _)| *attribute == name)?;
    Some((key, text(value)?))
}

/// Returns a list as text; none if it is no list, such as one of a later version.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = value.split_at_checked(HEADER_BYTES)?;
    let is_whole = entries.len().is_multiple_of(ENTRY_BYTES);
    if version != VERSION.to_le_bytes() || !is_whole || entries.is_empty() {
        return None;
    }
    let entries = entries.chunks_exact(ENTRY_BYTES).map(entry);
    let entries: Option<Vec<_>> = entries.collect();
    Some(entries?.join(",").into_bytes())
}

/// Returns `TAG:QUALIFIER:rwx`. Numbers stand for owners: the names of this machine are not those of the snapshot.
fn entry(bytes: &[u8]) -> Option<String> {
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let number = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let (tag, permissions) = (short(0), short(2));
    let (word, has_number) = match tag {
        0x01 => ("user", false),
        0x02 => ("user", true),
        0x04 => ("group", false),
        0x08 => ("group", true),
        0x10 => ("mask", false),
        0x20 => ("other", false),
        _ => return None,
    };
    let number = if has_number {
        number.to_string()
    } else {
        String::new()
    };
    let letter = |bit: u16, letter| if permissions & bit == 0 { '-' } else { letter };
    let (read, write, execute) = (letter(4, 'r'), letter(2, 'w'), letter(1, 'x'));
    Some(format!("{word}:{number}:{read}{write}{execute}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_text_with_numbers() {
        let entries: [(u16, u16, u32); 6] = [
            (0x01, 6, u32::MAX),
            (0x02, 7, 1234),
            (0x04, 4, u32::MAX),
            (0x08, 0, 5),
            (0x10, 7, u32::MAX),
            (0x20, 1, u32::MAX),
        ];
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, number) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(number.to_le_bytes());
        }
        let wanted = "user::rw-,user:1234:rwx,group::r--,group:5:---,mask::rwx,other::--x";
        let (key, told) = record(b"system.posix_acl_default", &value).expect("is a list");
        assert_eq!(
            (key, told.as_slice()),
            (&b"SCHILY.acl.default"[..], wanted.as_bytes())
        );
        assert_eq!(record(b"user.x", &value), None);
        for end in [0, 3, 4, 11] {
            assert_eq!(record(b"system.posix_acl_access", &value[..end]), None);
        }
        value[4] = 0x40;
        assert_eq!(record(b"system.posix_acl_access", &value), None);
    }
}
