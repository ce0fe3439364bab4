//! Writes the metadata log of one snapshot, and the stat cache in step with it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::old::{OldBlock, OldEntry, OldLog};
use super::piece::{Piece, encode_line};
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::{Entry, EntryKind, FileContents, encode_data};
use crate::format::object_ref::{DataRef, ObjectRef, SegmentId, Slice};
use crate::format::path::EntryPath;
use crate::local::stat_cache::{
    Block, FinishedCache, NONSENSE, Remembered, SegmentUse, StatCacheReader, StatCacheWriter,
};
use crate::monitor::Counter;
use crate::store::pool::Pool;
use crate::store::segment_reader::OBJECT_BYTES_MAX;
use crate::store::segment_writer::{OpenedSegment, SegmentWriter};

/// A piece is stored once its stanzas have at least this many bytes.
const PIECE_BYTES: u64 = 64 << 10;

/// Smaller pieces are joined with their neighbour when one of both changes, so that the root does not fill with small ones.
const PIECE_BYTES_MIN: u64 = 16 << 10;

/// Room for a stanza without a list of references; most need some 350 bytes.
const STANZA_BYTES: usize = 512;

/// Most references that stand in a stanza itself, about 60 KB of text; a file of more than a gigabyte has more.
const REFERENCES_MAX: usize = 1024;

/// What a problem with the stat cache is called by.
const STAT_CACHE: &[u8] = b"stat cache";

/// Where the log of the last snapshot is known from.
pub struct OldLogOptions<'r> {
    /// Directory of local state.
    pub local: &'r Path,
    /// Scheme, whose last snapshot it is.
    pub scheme: &'r str,
    /// Whether to write every stanza anew all the same.
    pub renew_all: bool,
    /// Whether the stat cache is written at all.
    pub keep_cache: bool,
    /// Is told when the stat cache is damaged.
    pub monitor: &'r Counter<'r>,
}

/// Writes the metadata log of one snapshot.
///
/// For each path in order: [`find`](Self::find), then [`keep`](Self::keep) if the entry found is still true, or
/// [`append`](Self::append), or neither if the path cannot be backed up.
pub struct MetadataLogWriter<'r> {
    segments: SegmentWriter,
    piece: Piece,
    root: Vec<u8>,
    uses: BTreeMap<SegmentId, u64>,
    old: OldLog<'r>,
    /// Whether something of the last snapshot was found to be gone.
    gone: bool,
    /// None once it could not be written, or if it is not to be.
    cache: Option<StatCacheWriter>,
    monitor: &'r Counter<'r>,
}

/// What a complete log is.
pub struct FinishedLog {
    /// The reference to the root.
    pub root: ObjectRef,
    /// Every segment that the snapshot needs, and how many bytes of its objects.
    pub uses: BTreeMap<SegmentId, u64>,
    /// The stat cache, to be put in place when the snapshot is durable; none if it could not be, or was not to be written.
    pub cache: Option<FinishedCache>,
}

impl<'r> MetadataLogWriter<'r> {
    /// Starts a log whose objects go into `segments`.
    #[must_use]
    pub fn new(segments: SegmentWriter, options: &OldLogOptions<'r>) -> Self {
        // Losing it is harmless.
        let reader = StatCacheReader::open(options.local, options.scheme).unwrap_or_else(|error| {
            let reason = format!("{error:#}: every file is read");
            options.monitor.problem_of_state(STAT_CACHE, reason);
            None
        });
        Self {
            segments,
            piece: Piece::default(),
            root: Vec::new(),
            uses: BTreeMap::new(),
            old: OldLog::new(reader, options.renew_all, options.monitor),
            gone: false,
            cache: options
                .keep_cache
                .then(|| StatCacheWriter::new(options.local, options.scheme)),
            monitor: options.monitor,
        }
    }

    /// Tells whether there was a stat cache to begin with.
    #[must_use]
    pub fn has_old(&self) -> bool {
        self.old.reader().is_some()
    }

    /// Tells whether all that the last snapshot had is known.
    #[must_use]
    pub fn knows_last(&self) -> bool {
        self.has_old() && !self.old.is_lost()
    }

    /// Returns what the last snapshot had under `path`; what it had before that path and was not found is gone. `usable` tells
    /// whether a segment may be referred to again.
    pub fn find(
        &mut self,
        pool: &Pool,
        path: &EntryPath,
        usable: &mut dyn FnMut(SegmentId) -> Result<bool>,
    ) -> Result<Option<OldEntry>> {
        loop {
            match self.old.block.as_ref().map(|block| block.compare(path)) {
                Some(Some(Ordering::Equal)) => {
                    return Ok(self.old.block.as_ref().and_then(OldBlock::entry));
                }
                Some(Some(Ordering::Greater)) => return Ok(None),
                Some(Some(Ordering::Less)) => {
                    self.gone = true;
                    self.dissolve(pool)?;
                    self.advance(pool)?;
                }
                Some(None) | None => {
                    // The last block stays: an entry that comes behind it may have to be joined with it.
                    let Some(next) = self.old.next_block(usable)? else {
                        return Ok(None);
                    };
                    self.close_block(pool)?;
                    self.old.block = Some(next);
                }
            }
        }
    }

    /// Tells, when all paths were walked, whether the last snapshot has an entry that is not in this log, or may have one.
    pub fn lacks_old(&mut self) -> Result<bool> {
        let is_cut = |block: &OldBlock| block.cursor.record().is_some();
        self.gone |= !self.has_old() || self.old.is_lost();
        self.gone |= self.old.block.as_ref().is_some_and(is_cut);
        self.gone |= self.old.next_block(&mut |_| Ok(true))?.is_some();
        Ok(self.gone)
    }

    /// Returns everything that is remembered of the entry found.
    #[must_use]
    pub fn remembered(&self) -> Option<Remembered> {
        self.old.block.as_ref()?.remembered()
    }

    /// Looks for a large file of the last snapshot by its inode number, whatever its path was.
    #[must_use]
    pub fn find_inode(&self, inode: u64) -> Option<Remembered> {
        self.old.reader()?.find_inode(inode)
    }

    /// Keeps the entry found as it is.
    pub fn keep(&mut self, pool: &Pool) -> Result<()> {
        let block = self
            .old
            .block
            .as_ref()
            .expect("an entry was found in a block");
        if !block.whole {
            let (remembered, place) = block.present().context(NONSENSE)?;
            self.piece
                .push_kept(block.cursor.path(), &remembered, place);
            self.store_full_piece(pool)?;
        }
        self.advance(pool)
    }

    /// Appends a new entry, which takes the place of the one found, if any; the caller keeps path order. Of what is to be
    /// `remembered`, contents and lists are filled in here.
    pub fn append(&mut self, pool: &Pool, entry: &Entry, mut remembered: Remembered) -> Result<()> {
        self.make_room(pool, &entry.path)?;
        let mut stanza = Vec::with_capacity(STANZA_BYTES);
        match &entry.kind {
            EntryKind::File(contents) if contents.data.len() > REFERENCES_MAX => {
                let mut shortened = entry.clone();
                let (contents, lists) = self.store_references(pool, contents)?;
                shortened.kind = EntryKind::File(contents);
                shortened.encode(&mut stanza);
                remembered.lists = lists;
            }
            _ => entry.encode(&mut stanza),
        }
        if let EntryKind::File(contents) = &entry.kind {
            remembered.contents = Some(contents.clone());
        }
        self.piece
            .push_new(entry.path.as_bytes(), &stanza, &remembered)?;
        self.store_full_piece(pool)
    }

    /// Stores a root for what was written so far, for a snapshot of it, and closes the group's segment. The log goes on.
    pub fn checkpoint(&mut self, pool: &Pool) -> Result<(ObjectRef, BTreeMap<SegmentId, u64>)> {
        self.dissolve(pool)?;
        self.store_piece(pool)?;
        let root = store_object(&mut self.segments, pool, &self.root)?;
        self.segments.close(pool)?;
        let mut uses = self.uses.clone();
        *uses.entry(root.object.segment).or_default() += self.root.len() as u64;
        Ok((root, uses))
    }

    /// Completes the group's segment, so that all that was stored can be published.
    pub fn close_segment(&mut self, pool: &Pool) -> Result<()> {
        self.segments.close(pool)
    }

    /// Puts a stat cache in place for the case that the run goes no further than the checkpoint, which has to be durable.
    pub fn checkpoint_cache(&mut self) {
        let rest = self.old.block.as_ref().and_then(OldBlock::rest);
        self.write_cache(|cache, old| cache.checkpoint(rest.as_ref(), old));
    }

    /// Stores what is left and the root, and closes the group's segment. Nothing may be appended after it.
    pub fn finish(&mut self, pool: &Pool) -> Result<FinishedLog> {
        let is_cut = |block: &OldBlock| block.cursor.record().is_some();
        if self.old.block.as_ref().is_some_and(is_cut) {
            self.dissolve(pool)?;
        }
        self.close_block(pool)?;
        self.store_piece(pool)?;
        // Blocks that nothing led to are gone. Looking for one tells whether the stat cache ends here.
        let nothing_more = self.old.next_block(&mut |_| Ok(true))?.is_none() && !self.gone;
        let root = store_object(&mut self.segments, pool, &self.root)?;
        *self.uses.entry(root.object.segment).or_default() += self.root.len() as u64;
        self.segments.close(pool)?;
        Ok(FinishedLog {
            root,
            uses: std::mem::take(&mut self.uses),
            cache: self.write_cache(|cache, old| cache.finish(old, nothing_more)),
        })
    }

    /// Returns the bytes of the log written so far, before the filter.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.segments.data_bytes()
    }

    /// Returns the segments begun since the last call.
    pub fn take_opened(&mut self) -> Vec<OpenedSegment> {
        self.segments.take_opened()
    }

    /// Goes to the next old entry. If that makes no sense, the block is not whole: what is behind is unknown.
    fn advance(&mut self, pool: &Pool) -> Result<()> {
        if self.old.advance() {
            Ok(())
        } else {
            self.dissolve(pool)
        }
    }

    /// Leaves the present block as a whole if the new entry belongs before or behind it, else takes it apart.
    fn make_room(&mut self, pool: &Pool, path: &EntryPath) -> Result<()> {
        let Some(block) = &self.old.block else {
            return Ok(());
        };
        match block.compare(path) {
            Some(Ordering::Equal) => {
                self.dissolve(pool)?;
                self.advance(pool)
            }
            Some(_) if block.cursor.passed() > 0 => self.dissolve(pool),
            Some(_) => Ok(()),
            None if block.block.text_bytes() < PIECE_BYTES_MIN => self.dissolve(pool),
            None => self.close_block(pool),
        }
    }

    /// Turns the present block, of which not every entry is kept in its place, into slices of the piece under way.
    fn dissolve(&mut self, pool: &Pool) -> Result<()> {
        let Some(mut block) = self.old.block.take() else {
            return Ok(());
        };
        if block.whole {
            block.whole = false;
            block.replay(|path, remembered, place| {
                self.piece.push_kept(path, &remembered, place);
                self.store_full_piece(pool)
            })?;
        }
        self.old.block = Some(block);
        Ok(())
    }

    /// Leaves the present block, all of whose entries were passed: if it is still whole, the root names its piece again.
    fn close_block(&mut self, pool: &Pool) -> Result<()> {
        let joins = !self.piece.is_empty() && self.piece.stanza_bytes() < PIECE_BYTES_MIN;
        if joins {
            self.dissolve(pool)?;
        }
        if let Some(old) = self.old.block.take().filter(|old| old.whole) {
            self.store_piece(pool)?;
            self.add_block(&old.block);
        }
        Ok(())
    }

    fn store_full_piece(&mut self, pool: &Pool) -> Result<()> {
        if self.piece.stanza_bytes() >= PIECE_BYTES {
            self.store_piece(pool)
        } else {
            Ok(())
        }
    }

    fn store_piece(&mut self, pool: &Pool) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        let block = piece.finish(|text| store_object(&mut self.segments, pool, text))?;
        self.add_block(&block);
        Ok(())
    }

    fn add_block(&mut self, block: &Block) {
        encode_line(block.piece(), &mut self.root);
        for used in block.segments() {
            *self.uses.entry(used.segment).or_default() += used.bytes;
        }
        self.write_cache(|cache, old| cache.append(block, old));
    }

    /// Writes to the stat cache. If that fails, there is none: the next run reads more, and this one goes on.
    fn write_cache<T>(
        &mut self,
        write: impl FnOnce(&mut StatCacheWriter, Option<&StatCacheReader>) -> Result<T>,
    ) -> Option<T> {
        match write(self.cache.as_mut()?, self.old.reader()) {
            Ok(written) => Some(written),
            Err(error) => {
                let reason = format!("{error:#}: the next run reads more");
                self.monitor.problem_of_state(STAT_CACHE, reason);
                self.cache = None;
                None
            }
        }
    }

    /// Puts a long list of references into objects of its own, so that no stanza outgrows an object.
    fn store_references(
        &mut self,
        pool: &Pool,
        contents: &FileContents,
    ) -> Result<(FileContents, Vec<SegmentUse>)> {
        let mut data = Vec::new();
        let mut lists = Vec::new();
        for references in contents.data.chunks(REFERENCES_MAX) {
            let mut text = Vec::new();
            encode_data(references, &mut text);
            text.push(b'\n');
            let list = store_object(&mut self.segments, pool, &text)?;
            lists.push(SegmentUse {
                segment: list.object.segment,
                bytes: text.len() as u64,
            });
            data.push(DataRef::Indirect(list));
        }
        let shortened = FileContents {
            data,
            ..contents.clone()
        };
        Ok((shortened, lists))
    }
}

/// Metadata references carry the checksum of the object, and `[n]` where `n` is its exact length (docs/format.md, "What is written").
fn store_object(segments: &mut SegmentWriter, pool: &Pool, data: &[u8]) -> Result<ObjectRef> {
    let bytes = data.len() as u64;
    ensure!(
        bytes <= OBJECT_BYTES_MAX,
        "the metadata log has an object of {bytes} bytes, readers take {OBJECT_BYTES_MAX}: back up fewer files at once"
    );
    let object = segments.append(pool, data)?;
    let checksum = Some(Checksum::of(Algorithm::Sha1, data));
    Ok(ObjectRef {
        object,
        checksum,
        slice: Slice::First(data.len() as u64),
    })
}
