//! Reads a regular file into blocks.
//!
//! The file is opened so that whatever took its place since the scan saw it can neither be followed (a symbolic link) nor block
//! the run (a FIFO). No more is read than the size at opening: a file that grows without end
//! does not hold the run. What was read is what is recorded, so the snapshot is true even of a file that changed meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::block_sink::{BlockSink, BlockStatus};
use super::scan::file_type;
use crate::format::BLOCK_BYTES;
use crate::format::checksum::{Algorithm, Hasher};
use crate::format::entry::FileContents;
use crate::format::object_ref::DataRef;
use crate::store::pool::Pool;

/// Neighbouring zero blocks become one `zero[n]` up to this size: older readers make the bytes in memory.
const ZERO_RUN_BYTES_MAX: u64 = 16 << 20;

/// An open regular file, with its stat from after the opening.
pub(super) struct OpenFile {
    /// The descriptor.
    pub file: File,
    /// What `fstat` said: the attributes that belong to the contents.
    pub stat: FileStat,
}

/// A file's contents as they were read.
pub(super) struct ReadFile {
    /// Size, checksum and references of exactly what was read.
    pub contents: FileContents,
    /// Whether any block was new to the store.
    pub status: BlockStatus,
    /// Why the contents may not be those of one moment, if so.
    pub unstable: Option<String>,
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
    Ok(OpenFile { file, stat })
}

/// Cuts files into blocks; keeps its buffer from file to file.
pub(super) struct Chunker {
    buffer: Vec<u8>,
    bytes_read: u64,
}

impl Chunker {
    /// Makes a chunker with an empty count.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BLOCK_BYTES],
            bytes_read: 0,
        }
    }

    /// Returns the bytes read from files so far.
    #[must_use]
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Reads a file to the size it had when it was opened and stores its blocks. The inner error is the file's alone; the outer
    /// one ends the run.
    pub(super) fn store(
        &mut self,
        open: &mut OpenFile,
        sink: &mut BlockSink,
        pool: &Pool,
    ) -> Result<Result<ReadFile, String>> {
        let expected = u64::try_from(open.stat.st_size).unwrap_or(0);
        let mut hasher = Hasher::new(Algorithm::Sha1);
        let mut contents = FileContents::default();
        let mut status = BlockStatus::Old;
        while contents.size < expected {
            let wanted = usize::try_from(expected - contents.size)
                .unwrap_or(usize::MAX)
                .min(BLOCK_BYTES);
            let block = match fill(&mut open.file, &mut self.buffer[..wanted]) {
                Ok(0) => break,
                Ok(count) => &self.buffer[..count],
                Err(error) => return Ok(Err(format!("cannot read it: {error}"))),
            };
            hasher.update(block);
            contents.size += block.len() as u64;
            self.bytes_read += block.len() as u64;
            if is_zero(block) {
                push_zero(&mut contents.data, block.len() as u64);
                continue;
            }
            let (reference, block_status) = sink.put(pool, block)?;
            contents.data.push(DataRef::Object(reference));
            if block_status == BlockStatus::New {
                status = BlockStatus::New;
            }
        }
        contents.checksum = Some(hasher.finish());
        let unstable = what_changed(open, contents.size);
        Ok(Ok(ReadFile {
            contents,
            status,
            unstable,
        }))
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
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

fn is_zero(block: &[u8]) -> bool {
    // The first bytes decide for nearly every block; the rest is compared in steps that the compiler turns into vectors.
    block.iter().take(16).all(|&b| b == 0)
        && block
            .chunks(4096)
            .all(|chunk| chunk.iter().fold(0, |or, &b| or | b) == 0)
}

fn push_zero(data: &mut Vec<DataRef>, bytes: u64) {
    match data.last_mut() {
        Some(DataRef::Zero(run)) if *run + bytes <= ZERO_RUN_BYTES_MAX => *run += bytes,
        _ => data.push(DataRef::Zero(bytes)),
    }
}

/// Compares a file's stat with that from before the reading.
fn what_changed(open: &OpenFile, read_bytes: u64) -> Option<String> {
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
