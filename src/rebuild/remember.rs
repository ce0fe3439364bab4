//! Entries of a metadata log as the stat cache of their scheme.
//!
//! The cache gets everything that a backup would have put into it, but for where the stanzas are: the next backup writes all of them
//! anew. Of regular files a log has what tells whether they changed; anything else is looked at each time anyway.

use std::cmp::Ordering;
use std::path::Path;

use anyhow::Result;
use nix::sys::stat::makedev;

use super::{RebuildOptions, Subject};
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::inode::InodeName;
use crate::format::object_ref::{ObjectRef, Slice};
use crate::format::path::compare;
use crate::local::stat_cache::{
    Attributes, BlockBuilder, Doubts, FinishedCache, Given, Remembered, StanzaPlace,
    StatCacheWriter, StatKey,
};

/// Entries of a block: about as many as a piece of a log has.
const BLOCK_ENTRIES: u32 = 256;

/// More slices than any piece may have: a block that claims them is written anew by the next backup.
const RENEWED: u32 = u32::MAX;

/// Builds the stat cache of one scheme.
pub(super) struct CacheBuilder {
    writer: StatCacheWriter,
    block: BlockBuilder,
    /// What stands for the piece of each block: nothing of the root, which the next backup does not read.
    piece: ObjectRef,
    by_pileus: bool,
    indexed: bool,
    last: Vec<u8>,
    entries: u64,
}

impl CacheBuilder {
    pub(super) fn new(local: &Path, subject: &Subject<'_>, options: &RebuildOptions) -> Self {
        Self {
            writer: StatCacheWriter::new(local, subject.name.scheme()),
            block: BlockBuilder::default(),
            piece: ObjectRef {
                checksum: Some(Checksum::of(Algorithm::Sha1, b"")),
                slice: Slice::First(0),
                ..subject.descriptor.root
            },
            by_pileus: subject.is_by_pileus(),
            indexed: options.deep,
            last: Vec::new(),
            entries: 0,
        }
    }

    /// Returns how many entries are remembered.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Remembers an entry; `contents` are those of a regular file as pileus would write them. What does not come in path order is
    /// left out, so that it is read again.
    pub(super) fn add(&mut self, entry: &Entry, contents: Option<FileContents>) -> Result<()> {
        let path = entry.path.as_bytes();
        let is_file = matches!(entry.kind, EntryKind::File(_));
        let in_order = self.entries == 0 || compare(&self.last, path) == Ordering::Less;
        if !in_order || is_file != contents.is_some() {
            return Ok(());
        }
        let place = StanzaPlace {
            object: None,
            start: 0,
            length: 0,
        };
        self.block
            .push(path, &self.remembered(entry, contents), place);
        self.last.clear();
        self.last.extend_from_slice(path);
        self.entries += 1;
        if self.block.entries() >= BLOCK_ENTRIES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Completes the stat cache, which is not in place yet.
    pub(super) fn finish(mut self) -> Result<FinishedCache> {
        if self.block.entries() > 0 {
            self.end_block()?;
        }
        self.writer.finish(None, false)
    }

    fn end_block(&mut self) -> Result<()> {
        let block = std::mem::take(&mut self.block);
        self.writer
            .append(&block.finish(self.piece, 0, RENEWED), None)
    }

    fn remembered(&self, entry: &Entry, contents: Option<FileContents>) -> Remembered {
        let name = entry.inode.as_deref().and_then(InodeName::parse);
        let device = name.map(|name| makedev(name.major.into(), name.minor.into()));
        let key = StatKey {
            kind: file_type(&entry.kind),
            size: contents.as_ref().map_or(0, |contents| contents.size),
            mtime: entry.mtime,
            ctime: entry.ctime.unwrap_or(StatKey::UNKNOWN_CTIME),
            inode: name.map_or(0, |name| name.inode),
            // Other programs recorded no extended attributes: what else they recorded is not believed either.
            given: self.by_pileus.then(|| given(entry)),
        };
        Remembered {
            key,
            device: device.filter(|_| entry.may_be_hard_link()),
            doubts: Doubts {
                // Whole seconds prove little, and the stanza of another program is not one of ours.
                volatile: entry.volatile || entry.ctime.is_none() || !self.by_pileus,
                unstable: false,
                partial: entry.partial,
                rebuilt: contents.is_some() && !(self.indexed && self.by_pileus),
            },
            attributes: Attributes {
                digest: Attributes::digest_of(&entry.xattrs),
                incomplete: entry.incomplete,
                ..Attributes::default()
            },
            seen: None,
            contents,
            lists: Vec::new(),
        }
    }
}

/// Returns what a stat gave for an entry.
fn given(entry: &Entry) -> Given {
    let device = match &entry.kind {
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
            makedev(device.major.into(), device.minor.into())
        }
        _ => 0,
    };
    Given {
        mode: entry.mode,
        user: entry.user.id,
        group: entry.group.id,
        links: entry.links,
        device,
    }
}

/// Returns the upper 4 bits of `st_mode`.
fn file_type(kind: &EntryKind) -> u8 {
    match kind {
        EntryKind::Fifo => 1,
        EntryKind::CharDevice(_) => 2,
        EntryKind::Directory => 4,
        EntryKind::BlockDevice(_) => 6,
        EntryKind::File(_) => 8,
        EntryKind::Symlink { .. } => 10,
        EntryKind::Socket => 12,
    }
}
