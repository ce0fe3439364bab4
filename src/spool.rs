//! Bytes of any length in an unnamed temporary file, found again by their place.
//!
//! What a run meets in one order and needs in another goes here, so that memory does not grow with it. [`crate::sorter`] sorts the
//! places.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where something lies in a spool.
pub type Place = u64;

/// Bytes that a reader who goes forward reads at once.
const WINDOW_BYTES: usize = 32 << 10;

/// Bytes that a reader who jumps reads at once: most of what is kept is shorter.
const JUMP_BYTES: usize = 512;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// Keeps bytes; once everything is added, any number of threads may read.
pub struct Spool {
    directory: PathBuf,
    file: File,
    /// Number of bytes in the file.
    written: u64,
    /// What comes behind them.
    buffer: Vec<u8>,
}

impl Spool {
    /// Makes an empty spool; its file has no name and is gone when it is closed.
    pub fn create(directory: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(directory)
            .with_context(|| format!("cannot make a temporary file in {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            file,
            written: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        })
    }

    /// Adds bytes in several parts, one behind the other, and returns their place.
    pub fn add(&mut self, parts: &[&[u8]]) -> Result<Place> {
        let place = self.written + self.buffer.len() as u64;
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        if self.buffer.len() >= BUFFER_BYTES {
            let cannot = || {
                format!(
                    "cannot write a temporary file in {}",
                    self.directory.display()
                )
            };
            self.file.write_all(&self.buffer).with_context(cannot)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(place)
    }

    /// Adds bytes together with their length, for [`sized`](Self::sized).
    pub fn add_sized(&mut self, bytes: &[u8]) -> Result<Place> {
        let length = u32::try_from(bytes.len()).context("more than 4 GiB in one piece")?;
        self.add(&[&length.to_le_bytes(), bytes])
    }

    /// Returns bytes that were added; what was added in one call lies together.
    pub fn bytes(&self, place: Place, count: u32) -> Result<Vec<u8>> {
        self.bytes_up_to(place, count as usize, count as usize)
    }

    /// Returns at least `count` bytes that were added in one call, and what follows if it comes from the same read.
    fn bytes_up_to(&self, place: Place, count: usize, count_max: usize) -> Result<Vec<u8>> {
        if let Some(at) = place.checked_sub(self.written) {
            let at = usize::try_from(at).context("no such place in a temporary file")?;
            let found = self.buffer.get(at..at + count);
            return Ok(found.context("no such place in a temporary file")?.to_vec());
        }
        let on_disk = usize::try_from(self.written - place).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count_max.min(on_disk).max(count)];
        self.file
            .read_exact_at(&mut bytes, place)
            .with_context(|| {
                format!(
                    "cannot read a temporary file in {}",
                    self.directory.display()
                )
            })?;
        Ok(bytes)
    }

    /// Returns what [`add_sized`](Self::add_sized) put at a place.
    pub fn sized(&self, place: Place) -> Result<Vec<u8>> {
        let length = self.bytes(place, 4)?;
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        self.bytes(place + 4, length)
    }
}

/// Reads a spool through a window of its own, so that going forward, in steps that may be wide, takes few system calls.
pub struct Reader<'s> {
    spool: &'s Spool,
    /// Where the window begins.
    start: Place,
    window: Vec<u8>,
}

impl<'s> Reader<'s> {
    /// Starts at the beginning of a spool to which nothing is added any more.
    #[must_use]
    pub fn new(spool: &'s Spool) -> Self {
        Self {
            spool,
            start: 0,
            window: Vec::new(),
        }
    }

    /// Returns bytes that were added in one call.
    pub fn bytes(&mut self, place: Place, count: u32) -> Result<&[u8]> {
        let count = count as usize;
        let at = |start: Place| usize::try_from(place.checked_sub(start)?).ok();
        let in_window = at(self.start).filter(|at| at + count <= self.window.len());
        let at = if let Some(at) = in_window {
            at
        } else {
            let is_forward =
                at(self.start).is_some_and(|at| at <= self.window.len() + WINDOW_BYTES);
            let wanted = if is_forward { WINDOW_BYTES } else { JUMP_BYTES };
            self.window = self.spool.bytes_up_to(place, count, wanted.max(count))?;
            self.start = place;
            0
        };
        Ok(&self.window[at..at + count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_in_memory_and_on_disk() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut spool = Spool::create(dir.path()).expect("is made");
        let text = |n: u32| format!("{n}").repeat(n as usize % 700).into_bytes();
        let places: Vec<_> = (0..4000)
            .map(|n| spool.add_sized(&text(n)).expect("is added"))
            .collect();
        assert!(spool.written > 0 && !spool.buffer.is_empty());
        for (n, place) in (0..).zip(places) {
            assert_eq!(spool.sized(place).expect("is read"), text(n));
        }
    }

    #[test]
    fn a_reader_finds_the_same_in_any_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut spool = Spool::create(dir.path()).expect("is made");
        let text = |n: u32| n.to_le_bytes().repeat(1 + n as usize % 700);
        let mut all: Vec<_> = (0..2000)
            .map(|n| (n, spool.add(&[&text(n)]).expect("is added")))
            .collect();
        let mut reader = Reader::new(&spool);
        let mut check = |all: &[(u32, Place)]| {
            for &(n, place) in all {
                let count = u32::try_from(text(n).len()).expect("is short");
                assert_eq!(reader.bytes(place, count).expect("is read"), text(n));
            }
        };
        check(&all);
        all.reverse();
        check(&all);
        all.sort_by_key(|(n, _)| n.wrapping_mul(2_654_435_761));
        check(&all);
        let past_the_end = spool.written + spool.buffer.len() as u64;
        assert!(reader.bytes(past_the_end, 1).is_err());
    }
}
