//! One block of the stat cache: the entries of one piece of the metadata log, packed.
//!
//! A block needs no other block to be understood, so that an unchanged one is copied as it is. Its head says which segments the
//! snapshot needs for the sake of the piece, so that an unchanged piece costs no look at its entries' references either.
//! docs/local-state.md, "Stat cache", has the layout.

use super::builder::BlockBuilder;
use super::code::Source;
use super::data::{decode_contents, is_rebuilt};
use super::head::Head;
use super::known::{Known, Owned};
use super::{Attributes, Doubts, Remembered, StatKey};
use crate::format::entry::FileTime;
use crate::format::object_ref::{ObjectRef, SegmentId};

/// A segment, and how many bytes of its objects are referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes before the filter.
    pub bytes: u64,
}

/// Where the stanza of an entry is: a stretch of an object of the metadata log. Without an object it is the piece under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StanzaPlace {
    /// The object, with its checksum and its whole length; `None` for the piece that the block is built for.
    pub object: Option<ObjectRef>,
    /// First byte.
    pub start: u32,
    /// Number of bytes, the blank line included.
    pub length: u32,
}

/// A block that was read or finished.
#[derive(Clone, Debug)]
pub struct Block {
    pub(super) body: Vec<u8>,
    /// Where it begins in the file; `None` if it is new.
    pub(super) offset: Option<u64>,
    pub(super) head: Head,
    pub(super) entries_at: usize,
    /// Whether its entries say what [`Known`] has: those of layout 2 do not.
    pub(super) has_known: bool,
}

/// The fixed part of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The stat that the entry was made from.
    pub key: StatKey,
    /// The device number, of a file with several hard links.
    pub device: Option<u64>,
    /// What speaks against trusting it.
    pub doubts: Doubts,
    /// What is known of its extended attributes.
    pub attributes: Attributes,
    /// When it was looked at, in seconds since 1970; of volatile entries only.
    pub seen: Option<i64>,
    /// Index in the head's `texts`, start, length.
    text: (u32, u32, u32),
    /// Where its contents are described: start in the body, length.
    contents: (usize, usize),
}

/// Walks over the entries of a block.
#[derive(Clone, Debug)]
pub struct Cursor {
    at: usize,
    index: u32,
    path: Vec<u8>,
    delta: Delta,
    record: Option<Record>,
}

/// What an entry is told relative to: fields of the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    pub(super) ctime_seconds: i64,
    pub(super) inode: i64,
    pub(super) text: u32,
    pub(super) text_end: u32,
    pub(super) owned: Owned,
}

pub(super) const KIND: u8 = 0x0f;
pub(super) const VOLATILE: u8 = 0x10;
/// Of regular files; of directories it says that they are partial.
pub(super) const UNSTABLE: u8 = 0x20;
/// It has several hard links.
pub(super) const LINKED: u8 = 0x40;
/// The type of regular files, which alone have contents.
const REGULAR: u8 = 8;
/// The type of directories.
const DIRECTORY: u8 = 4;
/// The stanza does not follow that of the entry before.
pub(super) const PLACED: u8 = 0x80;

/// The first bytes of a block of layout 3. One of layout 2 begins with the number of its texts, which is never 0.
pub(super) const LAYOUT: [u8; 2] = [0, 3];

impl Block {
    /// Understands a block's bytes; none if they make no sense.
    pub(super) fn parse(body: Vec<u8>, offset: u64) -> Option<Self> {
        let has_known = body.first() == Some(&LAYOUT[0]);
        let begun = body.strip_prefix(&LAYOUT);
        let mut source = Source::new(if has_known { begun? } else { &body });
        let head = Head::decode(&mut source)?;
        let entries_at = body.len() - source.left();
        Some(Self {
            body,
            offset: Some(offset),
            head,
            entries_at,
            has_known,
        })
    }

    /// Returns how many bytes the block takes in the file.
    pub(super) fn file_bytes(&self) -> u64 {
        (super::BLOCK_HEADER_BYTES + self.body.len()) as u64
    }

    /// Returns a block of the entries from the present one of `cursor` on, for a stat cache in which it stands for less than the
    /// piece: it claims more slices than any piece may have, so that its entries are written anew.
    #[must_use]
    pub fn rest(&self, cursor: &Cursor) -> Option<Self> {
        let mut builder = BlockBuilder::default();
        let mut cursor = cursor.clone();
        while let Some(record) = cursor.record {
            builder.push(
                &cursor.path,
                &self.remembered(&record)?,
                self.stanza_place(&record)?,
            );
            if !cursor.advance(self) {
                return None;
            }
        }
        (builder.entries() > 0).then(|| builder.finish(*self.piece(), 0, u32::MAX))
    }

    /// Returns the reference to the piece.
    #[must_use]
    pub fn piece(&self) -> &ObjectRef {
        &self.head.texts[0]
    }

    /// Returns the segments that the piece and its entries need: data, lists of references, and metadata.
    #[must_use]
    pub fn segments(&self) -> &[SegmentUse] {
        &self.head.segments
    }

    /// Returns the objects that hold the stanzas.
    #[must_use]
    pub fn texts(&self) -> &[ObjectRef] {
        &self.head.texts
    }

    /// Returns of how many slices of older objects the piece is made.
    #[must_use]
    pub fn slices(&self) -> u32 {
        self.head.slices
    }

    /// Returns the length of all stanzas, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.head.text_bytes
    }

    pub(super) fn large(&self) -> &[u64] {
        &self.head.large
    }

    /// Begins a walk before the first entry. [`Cursor::advance`] goes to it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor {
            at: self.entries_at,
            index: 0,
            path: Vec::new(),
            delta: Delta::default(),
            record: None,
        }
    }

    /// Returns where the stanza of an entry of this block is.
    #[must_use]
    pub fn stanza_place(&self, record: &Record) -> Option<StanzaPlace> {
        let (text, start, length) = record.text;
        let object = self.head.texts.get(usize::try_from(text).ok()?)?;
        Some(StanzaPlace {
            object: Some(*object),
            start,
            length,
        })
    }

    /// Returns everything that is remembered of an entry of this block.
    #[must_use]
    pub fn remembered(&self, record: &Record) -> Option<Remembered> {
        let mut remembered = Remembered {
            key: record.key,
            device: record.device,
            doubts: record.doubts,
            attributes: record.attributes,
            seen: record.seen,
            contents: None,
            lists: Vec::new(),
        };
        let (start, length) = record.contents;
        if length > 0 {
            let mut source = Source::new(self.body.get(start..start.checked_add(length)?)?);
            let (contents, lists) =
                decode_contents(&mut source, &self.head.segments, record.key.size)?;
            remembered.contents = Some(contents);
            remembered.lists = lists;
        }
        Some(remembered)
    }
}

impl Cursor {
    /// Returns the path of the present entry.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns the present entry; none before the first and behind the last.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Returns how many entries were passed, the present one not counted.
    #[must_use]
    pub fn passed(&self) -> u32 {
        self.index - u32::from(self.record.is_some())
    }

    /// Goes to the next entry. `false` if the block makes no sense there.
    #[must_use]
    pub fn advance(&mut self, block: &Block) -> bool {
        self.record = None;
        if self.index == block.head.entries {
            return true;
        }
        let mut source = Source::new(&block.body[self.at..]);
        let record = self.decode(&mut source, block);
        self.at = block.body.len() - source.left();
        self.index += u32::from(record.is_some());
        self.record = record;
        self.record.is_some()
    }

    fn decode(&mut self, source: &mut Source<'_>, block: &Block) -> Option<Record> {
        let shared = usize::try_from(source.number()?).ok()?;
        let rest = usize::try_from(source.number()?).ok()?;
        if shared > self.path.len() {
            return None;
        }
        self.path.truncate(shared);
        self.path.extend_from_slice(source.take(rest)?);
        let [flags] = source.array()?;
        let delta = &mut self.delta;
        let length = source.small()?;
        if flags & PLACED != 0 {
            delta.text = source.small()?;
            delta.text_end = source.small()?;
        }
        let text = (delta.text, delta.text_end, length);
        delta.text_end = delta.text_end.checked_add(length)?;
        let mtime = FileTime {
            seconds: source.signed()?,
            nanoseconds: source.small()?,
        };
        delta.ctime_seconds = delta.ctime_seconds.wrapping_add(source.signed()?);
        let ctime = FileTime {
            seconds: delta.ctime_seconds,
            nanoseconds: source.small()?,
        };
        delta.inode = delta.inode.wrapping_add(source.signed()?);
        let size = source.number()?;
        let (kind, is_linked) = (flags & KIND, flags & LINKED != 0);
        let device = if is_linked {
            Some(source.number()?)
        } else {
            None
        };
        let known = if block.has_known {
            Known::decode(source, kind, is_linked, &mut delta.owned)?
        } else {
            Known::default()
        };
        let mut contents = (0, 0);
        let mut rebuilt = false;
        if kind == REGULAR {
            let length = usize::try_from(source.number()?).ok()?;
            contents = (block.body.len() - source.left(), length);
            rebuilt = is_rebuilt(source.take(length)?);
        }
        let is_directory = kind == DIRECTORY;
        Some(Record {
            key: StatKey {
                kind,
                size,
                mtime,
                ctime,
                inode: delta.inode.cast_unsigned(),
                given: known.given,
            },
            device,
            doubts: Doubts {
                volatile: flags & VOLATILE != 0,
                unstable: !is_directory && flags & UNSTABLE != 0,
                partial: is_directory && flags & UNSTABLE != 0,
                rebuilt,
            },
            attributes: known.attributes,
            seen: known.seen,
            text,
            contents,
        })
    }
}
