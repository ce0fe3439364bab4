//! Tar headers of a segment's members, which differ in three fields: the number in the name, the size and the checksum.
//!
//! The first one is made by the `tar` crate. For those that follow, only these fields are written: with small blocks, making each header
//! from the beginning took a sixth of the conductor's time.

use tar::{EntryType, Header};

use crate::format::object_ref::{ObjectId, SegmentId};

/// Where a ustar header has the size of its member, and its own checksum (POSIX.1-2017, pax, "ustar Interchange Format").
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The headers of one segment.
pub(super) struct MemberHeaders {
    segment: SegmentId,
    header: Header,
    name: Vec<u8>,
}

impl MemberHeaders {
    /// Begins with those of a segment whose members carry `mtime`, in seconds since 1970.
    pub(super) fn new(segment: SegmentId, mtime: u64) -> Self {
        let mut header = Header::new_ustar();
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime);
        header.set_entry_type(EntryType::Regular);
        Self {
            segment,
            header,
            name: Vec::new(),
        }
    }

    /// Returns the header of a member that holds so many bytes.
    pub(super) fn next(&mut self, sequence: u32, bytes: u64) -> &[u8] {
        let segment = self.segment;
        self.name.clear();
        ObjectId { segment, sequence }.encode(&mut self.name);
        let header = self.header.as_mut_bytes();
        header[..self.name.len()].copy_from_slice(&self.name);
        write_octal(&mut header[SIZE], bytes);
        // It counts itself as spaces.
        header[CHECKSUM].fill(b' ');
        let sum = header.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        write_octal(&mut header[CHECKSUM], sum.into());
        header
    }
}

/// Writes a number in as many octal digits as there is room for before a null byte.
fn write_octal(field: &mut [u8], mut number: u64) {
    let (end, digits) = field.split_last_mut().expect("a field has bytes");
    *end = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 8).expect("is a digit");
        number /= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_what_the_crate_makes() {
        let segment = SegmentId::from_bytes([0xa7; 16]);
        let mut headers = MemberHeaders::new(segment, 1_800_000_000);
        for (sequence, bytes) in [
            (0, 0),
            (1, 7),
            (0xdead_beef, 1 << 20),
            (2, 8),
            (3, (1 << 33) - 1),
        ] {
            let mut header = Header::new_ustar();
            let name = ObjectId { segment, sequence }.to_string();
            header.set_path(name).expect("it fits");
            header.set_size(bytes);
            header.set_mode(0o600);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1_800_000_000);
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            assert_eq!(headers.next(sequence, bytes), header.as_bytes());
        }
    }
}
