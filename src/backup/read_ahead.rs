//! Reads small files ahead of the conductor, in a thread between the scan and it.
//!
//! In a first backup every file is read, so nobody has to be asked before one is opened. Opening, reading and hashing then go on
//! beside the conductor's work, which is the block index, the metadata log and the tar stream; with a million small files each of
//! both takes about as long as the other. Once there is a stat cache, only the conductor knows what has to be read, and reads it
//! itself.
//!
//! A file is read ahead only if all is well with it: a regular file with one name, not larger than [`FILE_BYTES_MAX`], that could
//! be opened, read to its end and did not change meanwhile. Of any other the conductor gets what it gets without this, and
//! [`super::read`] decides. What was read ahead is recorded as it was, with the stat and the attributes of that moment, which may
//! be some hundred paths ago.

use std::ops::Range;
use std::os::fd::BorrowedFd;

use anyhow::Result;
use jiff::Timestamp;
use nix::sys::stat::{FileStat, SFlag};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::Clock;
use super::block_sink::LookUp;
use super::contents::{self, OpenFile, is_zero};
use super::describe;
use super::look_ahead::Found;
use super::run::Run;
use super::scan::file_type;
use super::store_file::SIGNED_BYTES_MIN;
use super::tally::BlockCounts;
use super::xattrs::{self, ReadXattrs};
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::FileContents;
use crate::format::object_ref::DataRef;
use crate::local::database::BlockDigest;
use crate::local::stat_cache::Doubts;

/// Larger files are read by the conductor. It bounds what waits: see [`super::look_ahead`].
pub(super) const FILE_BYTES_MAX: usize = 128 << 10;

/// Files with more bytes of extended attributes, or with some that cannot be read, are left to the conductor too.
const XATTR_BYTES_MAX: usize = 1 << 10;

/// A small file as it was read.
pub(super) struct ReadAhead {
    /// What `fstat` said before the reading.
    stat: FileStat,
    /// A moment after which a change may have gone unseen.
    opened: Timestamp,
    xattrs: ReadXattrs,
    checksum: Checksum,
    digest: BlockDigest,
    /// Where its bytes are in the buffer that it was read into.
    range: Range<usize>,
}

/// A small file as the conductor gets it.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'s> {
    read: &'s ReadAhead,
    bytes: &'s [u8],
}

impl ReadAhead {
    /// Returns the file with its bytes, which are in the buffer that it was read into.
    pub(super) fn in_buffer<'s>(&'s self, buffer: &'s [u8]) -> Ahead<'s> {
        Ahead {
            read: self,
            bytes: &buffer[self.range.clone()],
        }
    }
}

/// Reads a file to the end of `buffer` if it is small and all is well with it.
pub(super) fn read(
    parent: BorrowedFd<'_>,
    name: &[u8],
    seen: &FileStat,
    buffer: &mut Vec<u8>,
    clock: &dyn Clock,
) -> Option<ReadAhead> {
    expected_bytes(seen)?;
    let open = contents::open(parent, name).ok()?;
    let opened = clock.now();
    let xattrs = xattrs::of_file(&open.file);
    let pairs = xattrs.xattrs.iter();
    let xattr_bytes: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
    if xattrs.problem.is_some() || xattr_bytes > XATTR_BYTES_MAX {
        return None;
    }
    let start = buffer.len();
    let size = small_size(&open.stat)?;
    let is_whole = append(&open, size, buffer)
        .is_ok_and(|bytes| bytes == size && open.what_changed(bytes as u64).is_none());
    if !is_whole {
        buffer.truncate(start);
        return None;
    }
    let end = buffer.len();
    Some(ReadAhead {
        stat: open.stat,
        opened,
        xattrs,
        checksum: Checksum::of(Algorithm::Sha1, &buffer[start..]),
        digest: BlockDigest::of(&buffer[start..]),
        range: start..end,
    })
}

/// Appends the bytes of a file, of which one read gets all: what is short is not read ahead. Returns their number, which is not `size`
/// if there are more or fewer: the read asks for more than that, so no second one is needed to see that the file ends there. No byte
/// is written before the kernel writes it.
fn append(open: &OpenFile, size: usize, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    buffer.reserve(size + 1);
    rustix::io::read(&open.file, spare_capacity(buffer))
}

/// Returns the size of a file that is read ahead, as the scan saw it; none of any other.
pub(super) fn expected_bytes(seen: &FileStat) -> Option<usize> {
    let is_plain = file_type(seen) == SFlag::S_IFREG && seen.st_nlink == 1;
    small_size(seen).filter(|_| is_plain)
}

fn small_size(stat: &FileStat) -> Option<usize> {
    let size = usize::try_from(stat.st_size).ok()?;
    (size <= FILE_BYTES_MAX).then_some(size)
}

impl Run<'_> {
    /// Stores and records a file that was read ahead.
    pub(super) fn record_ahead(&mut self, found: &Found<'_>, ahead: Ahead<'_>) -> Result<()> {
        let ReadAhead { stat, opened, .. } = ahead.read;
        let mut counts = BlockCounts::default();
        let contents = FileContents {
            size: ahead.bytes.len() as u64,
            checksum: Some(ahead.read.checksum),
            data: self.store_ahead(ahead, &mut counts)?.into_iter().collect(),
        };
        self.chunker.count_read(ahead.bytes.len());
        let mut entry = describe::regular(found.path, stat, contents, &mut self.owners);
        entry.volatile = self.is_racy_at(stat, *opened);
        let status = counts.status(false);
        let xattrs = ahead.read.xattrs.clone();
        self.record(entry, xattrs, stat, status, Doubts::default())
    }

    /// Stores the one block that the file is; none if it is empty.
    fn store_ahead(
        &mut self,
        ahead: Ahead<'_>,
        counts: &mut BlockCounts,
    ) -> Result<Option<DataRef>> {
        let block = ahead.bytes;
        if block.is_empty() {
            return Ok(None);
        }
        if is_zero(block) {
            return Ok(Some(DataRef::Zero(block.len() as u64)));
        }
        let object = match self.sink.look_up(block, ahead.read.digest)? {
            LookUp::Known(object) => {
                counts.old += 1;
                object
            }
            LookUp::Unknown(unknown) => {
                counts.add_stored(unknown.is_expired());
                self.sink
                    .store(&self.pool, block, &unknown, SIGNED_BYTES_MIN)?
            }
        };
        Ok(Some(DataRef::Object(object)))
    }
}
