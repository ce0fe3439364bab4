//! Builds one block of the stat cache.

use std::collections::HashMap;

use super::Remembered;
use super::block::{
    Block, Delta, KIND, LAYOUT, LINKED, PLACED, SegmentUse, StanzaPlace, UNSTABLE, VOLATILE,
};
use super::code::{put, put_signed};
use super::data::encode_contents;
use super::head::Head;
use super::known::Known;
use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectRef, SegmentId};

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
        let is_linked = remembered.device.is_some();
        Known::of(remembered).encode(out, key.kind, is_linked, &mut delta.owned);
        if let Some(contents) = contents {
            put(out, contents.len() as u64);
            out.extend_from_slice(&contents);
        }
        *delta = Delta {
            ctime_seconds: key.ctime.seconds,
            inode,
            text,
            text_end: place.start + place.length,
            ..*delta
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
        body.extend_from_slice(&LAYOUT);
        head.encode(&mut body);
        let entries_at = body.len();
        body.extend_from_slice(&self.entries);
        Block {
            body,
            offset: None,
            head,
            entries_at,
            has_known: true,
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
