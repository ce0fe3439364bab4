//! Takes a file for what an entry says that was rebuilt from a metadata log, if its checksum agrees.
//!
//! After `rebuild` without `--deep` the block index is empty: it says of no block that the store has it. What is known of a file is its
//! entry, with the checksum of all its contents. So a file that has the size and modification time of such an entry is read once for its
//! checksum alone; if that agrees, the entry's references are as good as ever, and nothing is stored. If not, the file is read once more,
//! as any changed file is.
//!
//! The checksum is the format's, not BLAKE3: who can make collisions of it could have a file of his own taken for an older one that he
//! made, of the same path or inode, size and time. Nothing of what is recognized gets into the block index, so no other file is touched
//! by it; and the entry stays marked, until the file is stored anew.

use std::io;

use anyhow::Result;

use super::block_sink::Deduplicate;
use super::contents::OpenFile;
use super::describe;
use super::run::Run;
use super::tally::BlockCounts;
use crate::format::BLOCK_BYTES;
use crate::format::checksum::{Checksum, Hasher};
use crate::format::entry::{FileContents, FileTime};
use crate::local::stat_cache::{Remembered, StatKey};
use crate::metadata_log::OldEntry;

impl Run<'_> {
    /// Reads a file if a rebuilt entry may be its own, and returns what is known of it if it is. Otherwise the file stands at its
    /// beginning again. The inner error is the file's alone.
    pub(super) fn recognize(
        &mut self,
        open: &mut OpenFile,
        old: Option<&OldEntry>,
    ) -> Result<io::Result<Option<(FileContents, BlockCounts)>>> {
        let Some((contents, wanted)) = self.rebuilt_contents(open, old)? else {
            return Ok(Ok(None));
        };
        let read = match self.checksums(open, wanted)? {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        if read.same_kind != wanted || read.bytes != contents.size {
            return Ok(open.rewind().map(|()| None));
        }
        let counts = BlockCounts {
            old: contents.data.len() as u64,
            ..BlockCounts::default()
        };
        let contents = FileContents {
            checksum: Some(read.sha1),
            ..contents
        };
        Ok(Ok(Some((contents, counts))))
    }

    /// Returns the contents of the rebuilt entry that may be the file's, with its checksum, if all of it may be referred to.
    fn rebuilt_contents(
        &mut self,
        open: &OpenFile,
        old: Option<&OldEntry>,
    ) -> Result<Option<(FileContents, Checksum)>> {
        if self.options.deduplicate != Deduplicate::Always {
            return Ok(None);
        }
        let key = describe::stat_key(&open.stat);
        let by_path = old.and_then(|_| self.log.remembered());
        let candidate = by_path
            .filter(|remembered| may_be(remembered, &key))
            .or_else(|| {
                let renamed = self.log.find_inode(key.inode);
                renamed.filter(|remembered| may_be(remembered, &key))
            });
        let Some(remembered) = candidate else {
            return Ok(None);
        };
        let (usable, _) = self.are_usable(&remembered)?;
        let contents = remembered.contents.filter(|_| usable);
        Ok(contents.and_then(|contents| contents.checksum.map(|wanted| (contents, wanted))))
    }

    /// Reads a file for nothing but its checksums.
    fn checksums(&mut self, open: &mut OpenFile, wanted: Checksum) -> Result<io::Result<Read>> {
        let mut reading = self.chunker.begin();
        let mut hasher = Hasher::new(wanted.algorithm());
        let mut bytes = 0;
        loop {
            let filled = self.chunker.fill(open, &mut reading, BLOCK_BYTES);
            if let Err(error) = filled {
                return Ok(Err(error));
            }
            let window = self.chunker.window();
            if window.is_empty() {
                break;
            }
            hasher.update(window);
            let count = window.len();
            bytes += count as u64;
            self.chunker.consume(count);
            self.pause()?;
        }
        let (contents, _) = reading.finish();
        let same_kind = hasher.finish();
        Ok(Ok(Read {
            sha1: contents.checksum.unwrap_or(same_kind),
            same_kind,
            bytes,
        }))
    }
}

/// What is known of a file after reading it for its checksums.
struct Read {
    /// What the new entry will say.
    sha1: Checksum,
    /// By the algorithm of the rebuilt entry.
    same_kind: Checksum,
    bytes: u64,
}

/// Tells whether a file may be the one of a rebuilt entry. Older programs know no nanoseconds.
fn may_be(remembered: &Remembered, key: &StatKey) -> bool {
    let same_time = |old: FileTime, new: FileTime| {
        old.seconds == new.seconds && (old.nanoseconds == 0 || old.nanoseconds == new.nanoseconds)
    };
    remembered.doubts.rebuilt
        && remembered.key.size == key.size
        && same_time(remembered.key.mtime, key.mtime)
}
