//! Reads a stat cache front to back, and looks up single files by inode.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    BLOCK_HEADER_BYTES, Block, DIGEST_BYTES, INDEX_ENTRY_BYTES, MAGIC, MAGIC_BEFORE, Remembered,
    digest,
};
use crate::local::open_existing;

/// Large enough for a dozen blocks at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Something in the file is wrong: nothing behind it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// An open stat cache.
pub struct StatCacheReader {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    /// Where the next block would begin, once the end of the blocks was met undamaged.
    end: Option<u64>,
}

impl StatCacheReader {
    /// Opens the stat cache of a scheme; none if there is none, as before a first run.
    pub fn open(directory: &Path, scheme: &str) -> Result<Option<Self>> {
        let path = directory.join(super::file_name(scheme));
        match open_existing(&path) {
            Ok(file) => Ok(Some(Self {
                file: BufReader::with_capacity(BUFFER_BYTES, file),
                path,
                offset: 0,
                end: None,
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// Reads the next block; none at the end. After damage there is nothing more.
    pub fn next_block(&mut self) -> Result<Option<Block>, Damaged> {
        if self.end.is_some() {
            return Ok(None);
        }
        let read = self.read_block();
        if !matches!(read, Ok(Some(_))) {
            self.end = Some(if read.is_ok() { self.offset } else { u64::MAX });
        }
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("is damaged: it ends too early"),
            _ => self.damaged(&error.to_string()),
        })
    }

    /// Says of the file what is wrong with it.
    #[must_use]
    pub fn damaged(&self, reason: &str) -> Damaged {
        Damaged {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }

    fn read_block(&mut self) -> io::Result<Option<Block>> {
        if self.offset == 0 {
            let mut magic = [0; MAGIC.len()];
            self.file.read_exact(&mut magic)?;
            if &magic != MAGIC && &magic != MAGIC_BEFORE {
                return Err(invalid("is damaged, or of another version"));
            }
            self.offset = MAGIC.len() as u64;
        }
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.file.read_exact(&mut header)?;
        let (length, wanted) = split_header(&header);
        if length == 0 {
            return Ok(None);
        }
        let mut body = Vec::new();
        // Grows as bytes come: a wrong length asks for no more memory than the file has bytes.
        (&mut self.file).take(length).read_to_end(&mut body)?;
        if body.len() as u64 != length || digest(&body) != wanted {
            return Err(invalid("is damaged"));
        }
        let begin = self.offset;
        self.offset += BLOCK_HEADER_BYTES as u64 + length;
        Block::parse(body, begin)
            .map(Some)
            .ok_or_else(|| invalid("has a block that makes no sense"))
    }

    /// Returns where the next block begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset.max(MAGIC.len() as u64)
    }

    /// Returns where the blocks end, once all of them were read without damage.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.end.filter(|&end| end != u64::MAX)
    }

    /// Returns where the blocks end, going by the trailer, with the mark that ends them; none if that cannot be.
    pub(super) fn blocks_end(&self) -> Option<u64> {
        if self.end == Some(u64::MAX) {
            return None;
        }
        let (_, _, index_begin) = index_bounds(self.file.get_ref())?;
        let end = index_begin.checked_sub(BLOCK_HEADER_BYTES as u64)?;
        (end >= self.offset()).then_some(end)
    }

    /// Opens the file once more, for copying what stays as it is.
    pub(super) fn reopen(&self) -> io::Result<File> {
        self.file.get_ref().try_clone()
    }

    /// Looks for a large file by its inode number, whatever its path was. The index is a hint; the block that it leads to is
    /// checked like every other, and damage finds nothing.
    #[must_use]
    pub fn find_inode(&self, inode: u64) -> Option<Remembered> {
        let file = self.file.get_ref();
        let (mut low, mut high, begin) = index_bounds(file)?;
        while low < high {
            let middle = low + (high - low) / 2;
            if index_entry(file, begin, middle)?.0 < inode {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (found, offset) = index_entry(file, begin, low)?;
        if found != inode {
            return None;
        }
        let block = block_at(file, offset)?;
        let mut cursor = block.cursor();
        while cursor.advance(&block) {
            let record = cursor.record()?;
            if record.key.inode == inode && record.key.size >= super::LARGE_FILE_BYTES {
                return block.remembered(record);
            }
        }
        None
    }
}

/// Reads the entries of the index whose blocks begin before `end`, for a file that shares them.
pub(super) fn index_before(file: &File, end: u64) -> Option<Vec<(u64, u64)>> {
    let (low, high, begin) = index_bounds(file)?;
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4096 * INDEX_ENTRY_BYTES];
    let mut at = low;
    while at < high {
        let count = usize::try_from(high - at).map_or(4096, |left| left.min(4096));
        let bytes = &mut buffer[..count * INDEX_ENTRY_BYTES];
        file.read_exact_at(bytes, begin + at * INDEX_ENTRY_BYTES as u64)
            .ok()?;
        let entries = bytes.chunks_exact(INDEX_ENTRY_BYTES).map(split_entry);
        kept.extend(entries.filter(|(_, offset)| *offset < end));
        at += count as u64;
    }
    Some(kept)
}

/// Returns the first and the last index of the entries, and where they begin: the last 16 bytes of the file say it.
fn index_bounds(file: &File) -> Option<(u64, u64, u64)> {
    let length = file.metadata().ok()?.len();
    let mut trailer = [0; INDEX_ENTRY_BYTES];
    let trailer_at = length.checked_sub(INDEX_ENTRY_BYTES as u64)?;
    file.read_exact_at(&mut trailer, trailer_at).ok()?;
    let (count, begin) = split_entry(&trailer);
    let end = begin.checked_add(count.checked_mul(INDEX_ENTRY_BYTES as u64)?)?;
    (end == trailer_at).then_some((0, count, begin))
}

fn index_entry(file: &File, begin: u64, index: u64) -> Option<(u64, u64)> {
    let mut entry = [0; INDEX_ENTRY_BYTES];
    file.read_exact_at(&mut entry, begin + index * INDEX_ENTRY_BYTES as u64)
        .ok()?;
    Some(split_entry(&entry))
}

fn block_at(file: &File, offset: u64) -> Option<Block> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    file.read_exact_at(&mut header, offset).ok()?;
    let (length, wanted) = split_header(&header);
    let file_bytes = file.metadata().ok()?.len();
    if length > file_bytes {
        return None;
    }
    let mut body = vec![0; usize::try_from(length).ok()?];
    let body_at = offset.checked_add(BLOCK_HEADER_BYTES as u64)?;
    file.read_exact_at(&mut body, body_at).ok()?;
    (digest(&body) == wanted)
        .then(|| Block::parse(body, offset))
        .flatten()
}

fn split_header(header: &[u8; BLOCK_HEADER_BYTES]) -> (u64, [u8; DIGEST_BYTES]) {
    let (length, wanted) = header.split_at(8);
    (number(length), wanted.try_into().expect("has the length"))
}

fn split_entry(entry: &[u8]) -> (u64, u64) {
    let (first, second) = entry.split_at(8);
    (number(first), number(second))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("is cut to 8 bytes"))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
