//! The log of the scheme's last snapshot, as the stat cache tells it, read in step with the new one.

use std::cmp::Ordering;

use anyhow::{Context, Result};

use crate::format::object_ref::SegmentId;
use crate::format::path::{EntryPath, compare};
use crate::local::stat_cache::{
    Attributes, Block, Cursor, Damaged, Doubts, NONSENSE, Remembered, SegmentUse, StanzaPlace,
    StatCacheReader, StatKey,
};
use crate::monitor::Counter;

/// Pieces of more slices than this are written anew: reading them takes that many objects from as many segments.
const SLICES_MAX: u32 = 16;

/// What the last snapshot of the scheme had under a path.
#[derive(Clone, Copy, Debug)]
pub struct OldEntry {
    /// The stat that the entry was made from.
    pub key: StatKey,
    /// What speaks against trusting it.
    pub doubts: Doubts,
    /// What is known of its extended attributes.
    pub attributes: Attributes,
    /// When it was looked at, in seconds since 1970; of volatile entries only.
    pub seen: Option<i64>,
    /// The device number, of a file with several hard links.
    pub device: Option<u64>,
    /// Whether its stanza has to be written anew, even if nothing changed.
    pub renew: bool,
    /// Whether something that entries near it need is in a segment that may not be used again.
    pub suspect: bool,
}

/// Blocks of the stat cache, one at a time.
pub(super) struct OldLog<'r> {
    reader: Option<StatCacheReader>,
    pub(super) block: Option<OldBlock>,
    renew_all: bool,
    /// Whether an entry made no sense: then nothing behind it is believed.
    lost: bool,
    monitor: &'r Counter<'r>,
}

/// The block that the walk is in.
pub(super) struct OldBlock {
    pub(super) block: Block,
    pub(super) cursor: Cursor,
    /// Whether so far every entry was kept and nothing came between.
    pub(super) whole: bool,
    renew: bool,
    suspect: bool,
}

impl<'r> OldLog<'r> {
    pub(super) fn new(
        reader: Option<StatCacheReader>,
        renew_all: bool,
        monitor: &'r Counter<'r>,
    ) -> Self {
        Self {
            reader,
            block: None,
            renew_all,
            lost: false,
            monitor,
        }
    }

    /// Tells whether some of the old entries are not known.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn reader(&self) -> Option<&StatCacheReader> {
        self.reader.as_ref()
    }

    /// Reads the next block, to take the place of the present one; `usable` tells whether a segment may be referred to again.
    pub(super) fn next_block(
        &mut self,
        usable: &mut dyn FnMut(SegmentId) -> Result<bool>,
    ) -> Result<Option<OldBlock>> {
        let Some(reader) = self.reader.as_mut().filter(|_| !self.lost) else {
            return Ok(None);
        };
        let block = match reader.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(None),
            Err(damaged) => {
                self.tell(&damaged);
                self.lost = true;
                return Ok(None);
            }
        };
        let mut suspect = false;
        for SegmentUse { segment, .. } in block.segments() {
            suspect |= !usable(*segment)?;
        }
        let mut renew = self.renew_all || block.slices() > SLICES_MAX;
        for text in block.texts().iter().filter(|_| suspect) {
            renew |= !usable(text.object.segment)?;
        }
        let mut cursor = block.cursor();
        if !cursor.advance(&block) {
            self.lose();
            return Ok(None);
        }
        Ok(Some(OldBlock {
            cursor,
            block,
            whole: true,
            renew,
            suspect,
        }))
    }

    /// Goes to the next entry of the present block; `false` if that makes no sense.
    pub(super) fn advance(&mut self) -> bool {
        let advanced = self
            .block
            .as_mut()
            .is_none_or(|old| old.cursor.advance(&old.block));
        if !advanced {
            self.lose();
        }
        advanced
    }

    /// Forgets everything that is still to come.
    fn lose(&mut self) {
        self.lost = true;
        if let Some(reader) = &self.reader {
            self.tell(&reader.damaged("has an entry that makes no sense"));
        }
    }

    fn tell(&self, damaged: &Damaged) {
        use std::os::unix::ffi::OsStrExt;
        let reason = format_args!(
            "{}: all files that it can tell nothing of are read again",
            damaged.reason
        );
        self.monitor
            .problem_of_state(damaged.path.as_os_str().as_bytes(), reason);
    }
}

impl OldBlock {
    /// Compares the present entry's path with another; none behind the last entry.
    pub(super) fn compare(&self, path: &EntryPath) -> Option<Ordering> {
        self.cursor.record()?;
        Some(compare(self.cursor.path(), path.as_bytes()))
    }

    pub(super) fn entry(&self) -> Option<OldEntry> {
        let record = self.cursor.record()?;
        Some(OldEntry {
            key: record.key,
            doubts: record.doubts,
            attributes: record.attributes,
            seen: record.seen,
            device: record.device,
            renew: self.renew,
            suspect: self.suspect,
        })
    }

    /// Returns a block of the entries from the present one on.
    pub(super) fn rest(&self) -> Option<Block> {
        self.block.rest(&self.cursor)
    }

    /// Returns everything that is remembered of the present entry.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        self.block.remembered(self.cursor.record()?)
    }

    /// Calls `keep` for every entry before the present one.
    pub(super) fn replay(
        &self,
        mut keep: impl FnMut(&[u8], Remembered, StanzaPlace) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = self.block.cursor();
        for _ in 0..self.cursor.passed() {
            cursor
                .advance(&self.block)
                .then_some(())
                .context(NONSENSE)?;
            let (remembered, place) = at(&self.block, &cursor).context(NONSENSE)?;
            keep(cursor.path(), remembered, place)?;
        }
        Ok(())
    }

    /// Returns what is remembered of the present entry, and where its stanza is.
    pub(super) fn present(&self) -> Option<(Remembered, StanzaPlace)> {
        at(&self.block, &self.cursor)
    }
}

fn at(block: &Block, cursor: &Cursor) -> Option<(Remembered, StanzaPlace)> {
    let record = cursor.record()?;
    Some((block.remembered(record)?, block.stanza_place(record)?))
}
