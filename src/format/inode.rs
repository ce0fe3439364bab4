//! The `inode` of an entry: `major/minor/inode` of the file at the time of the snapshot.
//!
//! To the format it is an opaque string: equal ones are hard links of one another. All programs of the lineage write these three
//! numbers, and `rebuild` reads them again.

use std::fmt;

use super::integer::{parse_u32, parse_u64};

/// Device and inode number of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeName {
    /// Major number of the device that the file system is on.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Inode number.
    pub inode: u64,
}

impl InodeName {
    /// Reads the three numbers; none if the string is something else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|&byte| byte == b'/');
        let name = Self {
            major: parse_u32(parts.next()?).ok()?,
            minor: parse_u32(parts.next()?).ok()?,
            inode: parse_u64(parts.next()?).ok()?,
        };
        parts.next().is_none().then_some(name)
    }
}

impl fmt::Display for InodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.major, self.minor, self.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_there_and_back_and_nothing_else() {
        let name = InodeName::parse(b"254/0/1001").expect("parses");
        assert_eq!((name.major, name.minor, name.inode), (254, 0, 1001));
        assert_eq!(name.to_string(), "254/0/1001");
        for other in ["", "1/2", "1/2/3/4", "a/b/c", "1/2/-3", "4294967296/0/1"] {
            assert_eq!(InodeName::parse(other.as_bytes()), None, "{other}");
        }
    }
}
