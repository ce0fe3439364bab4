//! The path of an entry: bytes, relative, and with one total order used everywhere.
//!
//! The order compares component by component as bytes, a directory directly before its contents: `a`, `a/b`, `a-b`. The scan,
//! the metadata log and every merge of two sorted streams rely on it (docs/format.md, "Metadata log").

use std::cmp::Ordering;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{FormatError, escape};

/// Length of a name that no system call takes. Most file systems stop at 255 bytes; that is for them to say.
const COMPONENT_BYTES_MAX: usize = 4096;

/// A path that is safe to restore: relative, without empty, `.` or `..` components and without NUL; or `.`, the scan root.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath {
    bytes: Vec<u8>,
}

impl EntryPath {
    /// Returns `.`, the scan root itself.
    #[must_use]
    pub fn scan_root() -> Self {
        Self {
            bytes: b".".to_vec(),
        }
    }

    /// Checks bytes that come from a store; anything that could lead out of a restore's target is refused.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, FormatError> {
        let bytes = bytes.into();
        let problem = if bytes == b"." {
            return Ok(Self { bytes });
        } else if bytes.is_empty() {
            "empty path"
        } else if bytes[0] == b'/' {
            "absolute path"
        } else if bytes.contains(&0) {
            "NUL in path"
        } else if let Some(problem) = bytes.split(|&b| b == b'/').find_map(bad_component) {
            problem
        } else {
            return Ok(Self { bytes });
        };
        Err(FormatError::new(problem, &bytes))
    }

    /// Interprets a PATH argument: without leading or doubled `/` and without `.` components. The error says what to type instead.
    ///
    /// `..` is refused: leaving it out textually would name another file where a symbolic link stands before it.
    pub fn from_argument(path: &Path) -> Result<Self, String> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err("an empty PATH names nothing: use . for the working directory".to_owned());
        }
        let mut stored = Self::scan_root();
        for component in bytes
            .split(|&b| b == b'/')
            .filter(|c| !matches!(*c, b"" | b"."))
        {
            if component == b".." {
                return Err(format!(
                    "\"..\" cannot be stored: in place of \"{}\" write the directory's own name or an absolute path",
                    path.display()
                ));
            }
            stored = stored.join(component);
        }
        Ok(stored)
    }

    /// Becomes the path with the bytes of another one, in place.
    pub(crate) fn copy_from(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the bytes, without a leading `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells whether this is `.`, the scan root.
    #[must_use]
    pub fn is_scan_root(&self) -> bool {
        self.bytes == b"."
    }

    /// Returns the path of `name` in this directory; `name` is one component as the kernel gave it.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 1 + name.len());
        if !self.is_scan_root() {
            bytes.extend_from_slice(&self.bytes);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self { bytes }
    }

    /// Returns the directory part and the last component; the directory of a top-level path is `.`.
    #[must_use]
    pub fn split(&self) -> (&[u8], &[u8]) {
        match self.bytes.iter().rposition(|&b| b == b'/') {
            Some(at) => (&self.bytes[..at], &self.bytes[at + 1..]),
            None => (b".", &self.bytes),
        }
    }

    /// Returns the components from the top; none for the scan root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|&b| b == b'/').filter(|c| *c != b".")
    }

    /// Tells whether `self` is `other` or lies below it; everything lies below the scan root.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_scan_root()
            || self
                .bytes
                .strip_prefix(other.bytes.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

fn bad_component(component: &[u8]) -> Option<&'static str> {
    match component {
        b"" => Some("empty component in path"),
        b"." | b".." => Some("\".\" or \"..\" in path"),
        name if name.len() >= COMPONENT_BYTES_MAX => Some("name too long in path"),
        _ => None,
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.bytes, &other.bytes)
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two paths in path order; `.` comes before everything.
#[must_use]
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match (a == b".", b == b".") {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => {
            let differs = a.iter().zip(b).position(|(x, y)| x != y);
            match differs {
                None => a.len().cmp(&b.len()),
                // `/` ends a component, and a shorter component sorts first: it ranks below every byte of a name.
                Some(at) => rank(a[at]).cmp(&rank(b[at])),
            }
        }
    }
}

fn rank(byte: u8) -> u16 {
    if byte == b'/' { 0 } else { u16::from(byte) + 1 }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.bytes))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text).expect("a valid path")
    }

    #[test]
    fn a_directory_comes_directly_before_its_contents() {
        let mut paths: Vec<_> = ["a-b", "a/b", "b", "a", "a.b", ".", "a/b/c", "a/b-c", ".x"]
            .map(path)
            .into();
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(
            sorted,
            [".", ".x", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "b"]
        );
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for bad in [
            "", "/", "/etc", "..", "a/..", "../a", "a//b", "a/", "./a", "a/./b", "a\0b",
        ] {
            assert!(EntryPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn within_means_at_or_below() {
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(path("a").is_within(&EntryPath::scan_root()));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
    }

    proptest! {
        #[test]
        fn order_is_that_of_component_lists(a in "[a/.-]{1,8}", b in "[a/.-]{1,8}") {
            if let (Ok(a), Ok(b)) = (EntryPath::new(a), EntryPath::new(b)) {
                let lists = a.components().collect::<Vec<_>>().cmp(&b.components().collect());
                prop_assert_eq!(a.cmp(&b), lists);
            }
        }
    }
}
