//! What an access control list says of the mode.
//!
//! The group bits of a file with a list are its mask: the most that anyone named in it gets. Where the list is not set, the same bits would
//! be rights of the owning group.

use crate::format::entry::Entry;

/// The extended attribute with the list that grants access.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";

/// The entry of the owning group, and the mask.
const GROUP_OBJECT: u16 = 0x04;
const MASK: u16 = 0x10;

/// Returns the mode of an entry as it is to be set, with its access control list or without.
pub(super) fn mode(entry: &Entry, has_list: bool) -> u32 {
    let list = entry.xattrs.iter().find(|(name, _)| name == ACCESS);
    match list.and_then(|(_, value)| group_rights(value)) {
        Some(group) if !has_list => entry.mode & !0o070 | (entry.mode & 0o070 & (group << 3)),
        _ => entry.mode,
    }
}

/// Tells whether a value has the form of a list, of version 2.
pub(super) fn is_list(value: &[u8]) -> bool {
    value.starts_with(&[2, 0, 0, 0]) && value.len() % 8 == 4
}

/// Returns what a list gives the owning group; none if it says nothing.
fn group_rights(list: &[u8]) -> Option<u32> {
    let entries = list.get(4..)?.chunks_exact(8);
    let rights = |wanted: u16| {
        let mut entries = entries.clone();
        let found = entries.find(|entry| entry[..2] == wanted.to_le_bytes())?;
        Some(u32::from(u16::from_le_bytes([found[2], found[3]])) & 7)
    };
    rights(GROUP_OBJECT).map(|group| group & rights(MASK).unwrap_or(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_the_owning_group_may() {
        let entry = |tag: u16, rights: u16| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &[0xff; 4]].concat()
        };
        let list = |entries: &[(u16, u16)]| {
            let entries = entries.iter().flat_map(|&(tag, rights)| entry(tag, rights));
            [2, 0, 0, 0].into_iter().chain(entries).collect::<Vec<u8>>()
        };
        let with_mask = list(&[(0x01, 7), (0x02, 7), (0x04, 0), (0x10, 7), (0x20, 0)]);
        assert_eq!(group_rights(&with_mask), Some(0));
        assert_eq!(group_rights(&list(&[(0x04, 6), (0x10, 5)])), Some(4));
        assert_eq!(group_rights(&list(&[(0x04, 6)])), Some(6));
        for broken in [&b""[..], b"abc", &[2, 0, 0, 0, 4, 0]] {
            assert_eq!(group_rights(broken), None);
        }
    }
}
