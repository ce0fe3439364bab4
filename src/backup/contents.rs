//! Reads a regular file into blocks.
//!
//! The file is opened so that whatever took its place since the scan saw it can neither be followed (a symbolic link) nor block
//! the run (a FIFO). No more is read than the size at opening: a file that grows without end
//! does not hold the run. (Of a pipe, [`super::pipe`], all is read.) What was read is what is recorded, so the snapshot is true even of a file that changed meanwhile.
//!
//! Whole blocks of a sparse file that lie in a hole are not read ([`crate::holes`]); what is recorded is the same. A file system has told of
//! holes where data was just written and not yet on the disk (<https://github.com/openzfs/zfs/issues/15526>), so a file that changed
//! in the last minute is read whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::scan::file_type;
use super::tally::BlockCounts;
use crate::format::BLOCK_BYTES;
use crate::format::checksum::{Algorithm, Hasher};
use crate::format::entry::FileContents;
use crate::format::object_ref::DataRef;
use crate::holes;

/// Neighbouring zero blocks become one `zero[n]` up to this size: older readers make the bytes in memory.
const ZERO_RUN_BYTES_MAX: u64 = 16 << 20;

/// For how long a file must not have changed for its holes to be believed: the kernel begins to write after 30 seconds, and looks every 5.
const SETTLED_SECONDS: i64 = 60;

/// An open regular file, with its stat from after the opening.
pub(super) struct OpenFile {
    /// The descriptor.
    pub file: File,
    /// What `fstat` said: the attributes that belong to the contents.
    pub stat: FileStat,
    /// How far the last hole goes that was asked for; none if holes are read like anything else.
    hole_end: Option<u64>,
}

/// What is read into blocks.
pub(super) trait Contents: Read {
    /// Passes over the block at `at`, where the next byte would be read, if it is known to be null bytes; `false` if it has to be read.
    fn skip_block(&mut self, at: u64) -> io::Result<bool>;
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Contents for OpenFile {
    fn skip_block(&mut self, at: u64) -> io::Result<bool> {
        let end = at.saturating_add(BLOCK_BYTES as u64);
        let Some(known) = self.hole_end.filter(|_| end <= self.size()) else {
            return Ok(false);
        };
        let hole_end = if known >= end {
            known
        } else {
            holes::hole_end(&self.file, at)
        };
        self.hole_end = Some(hole_end);
        let in_hole = hole_end >= end;
        self.file
            .seek(SeekFrom::Start(if in_hole { end } else { at }))?;
        Ok(in_hole)
    }
}

impl OpenFile {
    /// Takes an open file whose holes are read.
    pub(super) fn new(file: File, stat: FileStat) -> Self {
        Self {
            file,
            stat,
            hole_end: None,
        }
    }

    /// Lets holes be passed over, if at the time `now`, in seconds since 1970, the file has not changed for long enough.
    pub(super) fn skip_holes_at(&mut self, now: i64) {
        let blocks = u64::try_from(self.stat.st_blocks).unwrap_or(u64::MAX);
        let is_settled = now.saturating_sub(self.stat.st_ctime) >= SETTLED_SECONDS;
        if is_settled && holes::may_have_holes(self.size(), blocks) {
            self.hole_end = Some(0);
        }
    }

    /// Returns its size when it was opened.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

/// Opens a file that the scan saw as a regular file; the error says why it cannot be backed up.
pub(super) fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OpenFile, String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = match openat(parent, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::EPERM) => openat(parent, name, flags, Mode::empty()),
        opened => opened,
    };
    let replaced = || "was replaced by something else while it was being backed up".to_owned();
    let file: File = match opened {
        Ok(fd) => fd.into(),
        Err(Errno::ENOENT) => return Err("vanished while it was being backed up".to_owned()),
        Err(Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => return Err(replaced()),
        Err(errno) => return Err(format!("cannot open it: {}", errno.desc())),
    };
    let stat = fstat(&file).map_err(|errno| format!("cannot look at it: {}", errno.desc()))?;
    // Another regular file of that name, put there by a rename, is as good: what is recorded is what fstat says of it.
    if file_type(&stat) != SFlag::S_IFREG {
        return Err(replaced());
    }
    Ok(OpenFile::new(file, stat))
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
    /// Most bytes that are still to be read.
    unread_bytes: u64,
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

    /// Begins a file, of which no more than so many bytes are read.
    pub(super) fn begin(&mut self, bytes_max: u64) -> Reading {
        self.window = 0..0;
        Reading {
            unread_bytes: bytes_max,
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
    ) -> std::io::Result<()> {
        if self.window.start > 0 {
            self.buffer.copy_within(self.window.clone(), 0);
            self.window = 0..self.window.len();
        }
        let missing = wanted_bytes.saturating_sub(self.window.len());
        let unread = usize::try_from(reading.unread_bytes).unwrap_or(usize::MAX);
        let end = self.window.end + missing.min(unread);
        let count = fill(file, &mut self.buffer[self.window.end..end])?;
        reading
            .hasher
            .update(&self.buffer[self.window.end..self.window.end + count]);
        self.window.end += count;
        self.bytes_read += count as u64;
        reading.unread_bytes = if self.window.end < end {
            0
        } else {
            reading.unread_bytes - count as u64
        };
        Ok(())
    }

    /// Takes a block of null bytes that was passed over. The window must be empty.
    pub(super) fn take_zero_block(&mut self, reading: &mut Reading) {
        let bytes = BLOCK_BYTES as u64;
        for zeros in holes::zeros(bytes) {
            reading.hasher.update(zeros);
        }
        self.bytes_read += bytes;
        reading.unread_bytes -= bytes;
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
pub(super) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
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
pub(super) fn cannot_read(error: &std::io::Error) -> String {
    format!("cannot read it: {error}")
}

/// Compares a file's stat with that from before the reading.
pub(super) fn what_changed(open: &OpenFile, read_bytes: u64) -> Option<String> {
    let Ok(now) = fstat(&open.file) else {
        return Some("cannot look at it after reading".to_owned());
    };
    let before = &open.stat;
    if i64::try_from(read_bytes) != Ok(before.st_size) || now.st_size < before.st_size {
        return Some(format!(
            "shrank while it was being read: {read_bytes} bytes are stored"
        ));
    }
    if now.st_size > before.st_size {
        return Some(format!(
            "grew while it was being read: its first {read_bytes} bytes are stored"
        ));
    }
    let times = |s: &FileStat| (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    (times(&now) != times(before))
        .then(|| "changed while it was being read: what was read is stored".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const BLOCK: u64 = BLOCK_BYTES as u64;

    /// Opens a file of four blocks and a half, of which the second alone has data.
    fn sparse() -> OpenFile {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(4 * BLOCK + 100).expect("is lengthened");
        file.write_all_at(&[7; 4096], BLOCK + BLOCK / 2)
            .expect("writes");
        let stat = fstat(&file).expect("is looked at");
        OpenFile::new(file, stat)
    }

    /// Returns which blocks were passed over; what is not passed over is read.
    fn skipped(open: &mut OpenFile) -> Vec<bool> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = 0;
        let mut skipped = Vec::new();
        while at < open.size() {
            let skips = open.skip_block(at).expect("seeks");
            if !skips {
                let count = fill(open, &mut block).expect("reads");
                assert_eq!(is_zero(&block[..count]), at != BLOCK, "at {at}");
            }
            at += BLOCK;
            skipped.push(skips);
        }
        skipped
    }

    #[test]
    fn whole_blocks_in_holes_are_passed_over_and_all_else_is_read() {
        let mut open = sparse();
        open.skip_holes_at(open.stat.st_ctime + SETTLED_SECONDS);
        assert_eq!(skipped(&mut open), [true, false, true, true, false]);
    }

    #[test]
    fn the_holes_of_a_file_that_has_just_changed_are_read() {
        let mut open = sparse();
        open.skip_holes_at(open.stat.st_ctime + SETTLED_SECONDS - 1);
        assert_eq!(skipped(&mut open), [false; 5]);
    }
}
