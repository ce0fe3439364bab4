//! Reads a file, or what comes through a pipe, into blocks.
//!
//! All is read until it ends. Of a regular file, [`OpenFile`] says where that is, whatever its size says. What was read is what is
//! recorded, so the snapshot is true even of a file that changed meanwhile.

mod open_file;

use std::io::{self, Read};
use std::ops::Range;

use super::tally::BlockCounts;
use crate::format::BLOCK_BYTES;
use crate::format::checksum::{Algorithm, Hasher};
use crate::format::entry::FileContents;
use crate::format::object_ref::DataRef;
use crate::holes;
pub(super) use open_file::{OpenFile, open};

/// Neighbouring zero blocks become one `zero[n]` up to this size: older readers make the bytes in memory.
const ZERO_RUN_BYTES_MAX: u64 = 16 << 20;

/// What is read into blocks.
pub(super) trait Contents: Read {
    /// Passes over the block at `at`, where the next byte would be read, if it is known to be null bytes; `false` if it has to be read.
    fn skip_block(&mut self, at: u64) -> io::Result<bool>;
}

/// Most bytes that are looked at at once: a block, and as much again for finding back into step behind a change.
pub(super) const WINDOW_BYTES: usize = 2 * BLOCK_BYTES;

/// Reads files through a window; keeps its buffer from file to file.
pub(super) struct Chunker {
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet consumed.
    window: Range<usize>,
    bytes_read: u64,
}

/// A file that is being read.
pub(super) struct Reading {
    /// Whether it ended: it is not asked again.
    ended: bool,
    hasher: Hasher,
    /// Size and references of what was consumed.
    pub(super) contents: FileContents,
    /// What became of its blocks.
    pub(super) counts: BlockCounts,
}

impl Chunker {
    /// Makes a chunker with an empty count.
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; WINDOW_BYTES],
            window: 0..0,
            bytes_read: 0,
        }
    }

    /// Returns the bytes read from files so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Counts bytes that were read elsewhere.
    pub(super) fn count_read(&mut self, bytes: usize) {
        self.bytes_read += bytes as u64;
    }

    /// Begins a file.
    pub(super) fn begin(&mut self) -> Reading {
        self.window = 0..0;
        Reading {
            ended: false,
            hasher: Hasher::new(Algorithm::Sha1),
            contents: FileContents::default(),
            counts: BlockCounts::default(),
        }
    }

    /// Reads until the window has `wanted_bytes`, at most [`WINDOW_BYTES`], or all that is left of the file.
    pub(super) fn fill(
        &mut self,
        file: &mut impl Read,
        reading: &mut Reading,
        wanted_bytes: usize,
    ) -> io::Result<()> {
        if self.window.start > 0 {
            self.buffer.copy_within(self.window.clone(), 0);
            self.window = 0..self.window.len();
        }
        let missing = wanted_bytes.saturating_sub(self.window.len());
        if reading.ended {
            return Ok(());
        }
        let end = self.window.end + missing;
        let count = fill(file, &mut self.buffer[self.window.end..end])?;
        reading
            .hasher
            .update(&self.buffer[self.window.end..self.window.end + count]);
        self.window.end += count;
        self.bytes_read += count as u64;
        reading.ended = self.window.end < end;
        Ok(())
    }

    /// Takes a block of null bytes that was passed over. The window must be empty.
    pub(super) fn take_zero_block(&mut self, reading: &mut Reading) {
        let bytes = BLOCK_BYTES as u64;
        for zeros in holes::zeros(bytes) {
            reading.hasher.update(zeros);
        }
        self.bytes_read += bytes;
        reading.push(DataRef::Zero(bytes));
    }

    /// Returns what is in the window.
    pub(super) fn window(&self) -> &[u8] {
        &self.buffer[self.window.clone()]
    }

    /// Takes bytes from the front of the window: they are stored.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.window.start += bytes;
    }
}

impl Reading {
    /// Appends a reference to what comes next in the file.
    pub(super) fn push(&mut self, reference: DataRef) {
        let bytes = reference
            .length()
            .expect("references to blocks have a length");
        self.contents.size += bytes;
        match (&reference, self.contents.data.last_mut()) {
            (DataRef::Zero(_), Some(DataRef::Zero(run))) if *run + bytes <= ZERO_RUN_BYTES_MAX => {
                *run += bytes;
            }
            _ => self.contents.data.push(reference),
        }
    }

    /// Returns the contents, with the checksum of all that was read.
    pub(super) fn finish(mut self) -> (FileContents, BlockCounts) {
        self.contents.checksum = Some(self.hasher.finish());
        (self.contents, self.counts)
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Tells whether a block is null bytes only.
pub(super) fn is_zero(block: &[u8]) -> bool {
    // The first bytes decide for nearly every block; the rest is compared in steps that the compiler turns into vectors.
    block.iter().take(16).all(|&b| b == 0)
        && block
            .chunks(4096)
            .all(|chunk| chunk.iter().fold(0, |or, &b| or | b) == 0)
}

/// Says of a file why it is left out.
pub(super) fn cannot_read(error: &io::Error) -> String {
    format!("cannot read it: {error}")
}
