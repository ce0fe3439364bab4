//! Whether the file of a segment can be whole by its length: the one place that compares lengths.
//!
//! Descriptors by pileus say how long each segment is. Of a segment whose length nobody knows, an empty file is none, and a plain tar file
//! consists of blocks.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use super::catalog::{Catalog, split_segment_file};
use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;

/// Length of a block of a tar file, in bytes. At least two of them end it.
const TAR_BLOCK_BYTES: u64 = 512;

/// The lengths that descriptors name; some 30 bytes for each segment.
#[derive(Debug, Default)]
pub struct Lengths {
    /// Nothing where descriptors contradict each other.
    known: HashMap<SegmentId, Option<u64>>,
}

impl Lengths {
    /// Takes in what a descriptor says.
    pub fn add(&mut self, descriptor: &Descriptor) {
        let lengths = descriptor.segment_bytes.iter().flatten();
        for (&segment, &bytes) in descriptor.segments.iter().zip(lengths) {
            self.learn(segment, bytes);
        }
    }

    /// Takes in the length of a segment.
    pub fn learn(&mut self, segment: SegmentId, bytes: u64) {
        let known = self.known.entry(segment).or_insert(Some(bytes));
        if *known != Some(bytes) {
            *known = None;
        }
    }

    /// Returns the length that a segment must have, if it is known.
    #[must_use]
    pub fn wanted(&self, segment: SegmentId) -> Option<u64> {
        self.known.get(&segment).copied().flatten()
    }

    /// Looks at the file of a segment and returns what is wrong with it, missing included. What cannot be looked at is not judged.
    #[must_use]
    pub fn look(&self, catalog: &Catalog, segment: SegmentId) -> Option<String> {
        let Some(file) = catalog.segment_file(segment) else {
            return Some("is missing from the store".to_owned());
        };
        match fs::metadata(catalog.root().join(file)) {
            Ok(found) => fault(file, found.len(), self.wanted(segment)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some("is missing from the store".to_owned())
            }
            Err(_) => None,
        }
    }
}

/// Returns what is wrong with the file of a segment that has `bytes` bytes, if it cannot be whole.
#[must_use]
pub fn fault(file: &Path, bytes: u64, wanted: Option<u64>) -> Option<String> {
    match wanted {
        Some(wanted) if wanted == bytes => None,
        Some(wanted) => Some(format!("has {bytes} bytes, not {wanted}")),
        None if bytes == 0 => Some("is empty".to_owned()),
        None if is_plain_tar(file) && !bytes.is_multiple_of(TAR_BLOCK_BYTES) => {
            Some(format!("has {bytes} bytes, which no tar file has"))
        }
        None => None,
    }
}

fn is_plain_tar(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let extension = name.and_then(split_segment_file);
    extension.is_some_and(|(_, extension)| extension.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(extension: &str, bytes: u64, wanted: Option<u64>) -> Option<String> {
        let file = format!("segments1/90b3367e-c348-47df-8e3c-4f2b64714d8c.tar{extension}");
        fault(Path::new(&file), bytes, wanted)
    }

    #[test]
    fn a_known_length_decides_alone() {
        for (bytes, wanted) in [(0, 0), (1000, 1000), (1024, 1024)] {
            assert_eq!(fault_of("", bytes, Some(wanted)), None);
        }
        let fault = fault_of(".bz2", 0, Some(7));
        assert_eq!(fault.as_deref(), Some("has 0 bytes, not 7"));
        assert!(fault_of("", 1024, Some(2048)).is_some());
    }

    #[test]
    fn without_a_length_only_what_no_segment_can_be_is_a_fault() {
        assert_eq!(fault_of(".bz2", 0, None).as_deref(), Some("is empty"));
        assert_eq!(fault_of("", 0, None).as_deref(), Some("is empty"));
        assert!(fault_of("", 1_000_000, None).is_some());
        assert_eq!(fault_of("", 1024, None), None);
        assert_eq!(fault_of(".bz2", 1, None), None);
        assert_eq!(fault_of(".gpg", 1_000_001, None), None);
    }
}
