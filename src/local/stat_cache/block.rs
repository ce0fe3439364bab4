//! One block of the stat cache: the entries of one piece of the metadata log, packed.
//!
//! A block needs no other block to be understood, so that an unchanged one is copied as it is. Its head says which segments the
//! snapshot needs for the sake of the piece, so that an unchanged piece costs no look at its entries' references either.
//! docs/local-state.md, "Stat cache", has the layout.

use std::collections::HashMap;

use super::code::{Source, put, put_signed};
use super::data::{decode_contents, encode_contents, is_rebuilt};
use super::head::Head;
use super::{Doubts, Remembered, StatKey};
use crate::format::entry::{FileContents, FileTime};
use crate::format::object_ref::{DataRef, ObjectRef, SegmentId};

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
    head: Head,
    entries_at: usize,
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
struct Delta {
    ctime_seconds: i64,
    inode: i64,
    text: u32,
    text_end: u32,
}

const KIND: u8 = 0x0f;
const VOLATILE: u8 = 0x10;
/// Of regular files; of directories it says that they are partial.
const UNSTABLE: u8 = 0x20;
/// It has several hard links.
const LINKED: u8 = 0x40;
/// The type of regular files, which alone have contents.
const REGULAR: u8 = 8;
/// The type of directories.
const DIRECTORY: u8 = 4;
/// The stanza does not follow that of the entry before.
const PLACED: u8 = 0x80;

impl Block {
    /// Understands a block's bytes; none if they make no sense.
    pub(super) fn parse(body: Vec<u8>, offset: u64) -> Option<Self> {
        let mut source = Source::new(&body);
        let head = Head::decode(&mut source)?;
        let entries_at = body.len() - source.left();
        Some(Self {
            body,
            offset: Some(offset),
            head,
            entries_at,
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
        (builder.count > 0).then(|| builder.finish(*self.piece(), 0, u32::MAX))
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
        let record = self.decode(&mut source, block.body.len());
        self.at = block.body.len() - source.left();
        self.index += u32::from(record.is_some());
        self.record = record;
        self.record.is_some()
    }

    fn decode(&mut self, source: &mut Source<'_>, body_bytes: usize) -> Option<Record> {
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
        let mut contents = (0, 0);
        let mut rebuilt = false;
        let device = match flags & LINKED {
            0 => None,
            _ => Some(source.number()?),
        };
        if flags & KIND == REGULAR {
            let length = usize::try_from(source.number()?).ok()?;
            contents = (body_bytes - source.left(), length);
            rebuilt = is_rebuilt(source.take(length)?);
        }
        let is_directory = flags & KIND == DIRECTORY;
        Some(Record {
            key: StatKey {
                kind: flags & KIND,
                size,
                mtime,
                ctime,
                inode: delta.inode.cast_unsigned(),
            },
            device,
            doubts: Doubts {
                volatile: flags & VOLATILE != 0,
                unstable: !is_directory && flags & UNSTABLE != 0,
                partial: is_directory && flags & UNSTABLE != 0,
                rebuilt,
            },
            text,
            contents,
        })
    }
}

/// Builds the block of a piece, entry by entry in path order.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    entries: Vec<u8>,
    path: Vec<u8>,
    delta: Delta,
    count: u32,
    /// Objects but for the piece itself, which has index 0 and is known last.
    texts: Vec<ObjectRef>,
    segments: Vec<SegmentUse>,
    indexes: HashMap<SegmentId, u32>,
    large: Vec<u64>,
    text_bytes: u64,
}

impl BlockBuilder {
    /// Returns the number of entries so far.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.count
    }

    /// Returns the length of all stanzas so far, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Appends an entry.
    pub fn push(&mut self, path: &[u8], remembered: &Remembered, place: StanzaPlace) {
        let text = self.text_index(place.object);
        let contents = remembered
            .contents
            .as_ref()
            .map(|contents| self.encode(contents, remembered));
        let shared = self
            .path
            .iter()
            .zip(path)
            .take_while(|(a, b)| a == b)
            .count();
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);

        let (out, key, delta) = (&mut self.entries, &remembered.key, &mut self.delta);
        put(out, shared as u64);
        put(out, (path.len() - shared) as u64);
        out.extend_from_slice(&path[shared..]);
        let placed = (text, place.start) != (delta.text, delta.text_end);
        let doubts = remembered.doubts;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            key.kind & KIND
                | flag(doubts.volatile, VOLATILE)
                | flag(doubts.unstable || doubts.partial, UNSTABLE)
                | flag(remembered.device.is_some(), LINKED)
                | flag(placed, PLACED),
        );
        put(out, place.length.into());
        if placed {
            put(out, text.into());
            put(out, place.start.into());
        }
        put_signed(out, key.mtime.seconds);
        put(out, key.mtime.nanoseconds.into());
        put_signed(out, key.ctime.seconds.wrapping_sub(delta.ctime_seconds));
        put(out, key.ctime.nanoseconds.into());
        let inode = key.inode.cast_signed();
        put_signed(out, inode.wrapping_sub(delta.inode));
        put(out, key.size);
        if let Some(device) = remembered.device {
            put(out, device);
        }
        if let Some(contents) = contents {
            put(out, contents.len() as u64);
            out.extend_from_slice(&contents);
        }
        *delta = Delta {
            ctime_seconds: key.ctime.seconds,
            inode,
            text,
            text_end: place.start + place.length,
        };
        self.count += 1;
        self.text_bytes += u64::from(place.length);
    }

    /// Completes the block of a piece that was stored as `piece`, whose own length is `piece_bytes` and which has `slices`.
    #[must_use]
    pub fn finish(mut self, piece: ObjectRef, piece_bytes: u64, slices: u32) -> Block {
        self.add_use(piece.object.segment, piece_bytes);
        let mut texts = vec![piece];
        texts.append(&mut self.texts);
        let head = Head {
            texts,
            segments: self.segments,
            large: self.large,
            slices,
            text_bytes: self.text_bytes,
            entries: self.count,
        };
        let mut body = Vec::with_capacity(self.entries.len() + 256);
        head.encode(&mut body);
        let entries_at = body.len();
        body.extend_from_slice(&self.entries);
        Block {
            body,
            offset: None,
            head,
            entries_at,
        }
    }

    /// Takes note that the block needs bytes of a segment.
    pub fn add_use(&mut self, segment: SegmentId, bytes: u64) {
        let index = self.segment_index(segment) as usize;
        // Lengths of references may come from a store, by way of a rebuild.
        let used = &mut self.segments[index].bytes;
        *used = used.saturating_add(bytes);
    }

    fn encode(&mut self, contents: &FileContents, remembered: &Remembered) -> Vec<u8> {
        let Remembered { key, lists, .. } = remembered;
        for list in lists {
            self.add_use(list.segment, list.bytes);
        }
        for reference in &contents.data {
            if let DataRef::Object(object) = reference {
                self.add_use(object.object.segment, object.length().unwrap_or(0));
            }
        }
        if key.size >= super::LARGE_FILE_BYTES {
            self.large.push(key.inode);
        }
        let rebuilt = remembered.doubts.rebuilt;
        encode_contents(contents, rebuilt, key.size, lists, &mut |segment| {
            self.segment_index(segment)
        })
    }

    fn segment_index(&mut self, segment: SegmentId) -> u32 {
        let segments = &mut self.segments;
        *self.indexes.entry(segment).or_insert_with(|| {
            segments.push(SegmentUse { segment, bytes: 0 });
            u32::try_from(segments.len() - 1).expect("a block needs fewer segments")
        })
    }

    /// Returns the index of the object that holds a stanza; 0 for the piece under way.
    fn text_index(&mut self, object: Option<ObjectRef>) -> u32 {
        let Some(object) = object else { return 0 };
        let known = self.texts.iter().rposition(|text| *text == object);
        let index = known.unwrap_or_else(|| {
            self.texts.push(object);
            self.texts.len() - 1
        });
        u32::try_from(index + 1).expect("a piece has fewer slices")
    }
}
