//! A piece of the metadata log under way: new stanzas, and slices of older objects where stanzas stay as they are.

use anyhow::{Context, Result};

use crate::format::object_ref::{ObjectRef, Slice};
use crate::local::stat_cache::{Block, BlockBuilder, Remembered, StanzaPlace};

/// Gathers the entries of one piece, and what the stat cache is to know of them.
#[derive(Default)]
pub(super) struct Piece {
    text: Vec<u8>,
    entries: BlockBuilder,
    /// The slice that the next unchanged stanza may continue.
    run: Option<Run>,
    slices: u32,
}

struct Run {
    object: ObjectRef,
    start: u32,
    length: u32,
}

impl Piece {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.entries() == 0
    }

    /// Returns the length of all stanzas, those in slices too, in bytes.
    pub(super) fn stanza_bytes(&self) -> u64 {
        self.entries.text_bytes()
    }

    /// Appends a new stanza.
    pub(super) fn push_new(
        &mut self,
        path: &[u8],
        stanza: &[u8],
        remembered: &Remembered,
    ) -> Result<()> {
        self.end_run();
        let place = StanzaPlace {
            object: None,
            start: u32::try_from(self.text.len()).context("a piece of more than 4 GiB")?,
            length: u32::try_from(stanza.len()).context("an entry of more than 4 GiB")?,
        };
        self.text.extend_from_slice(stanza);
        self.entries.push(path, remembered, place);
        Ok(())
    }

    /// Appends a stanza that is stored already.
    pub(super) fn push_kept(&mut self, path: &[u8], remembered: &Remembered, place: StanzaPlace) {
        let object = place.object.expect("a kept stanza has an object");
        let continues =
            |run: &Run| run.object.object == object.object && run.start + run.length == place.start;
        if let Some(run) = self.run.as_mut().filter(|run| continues(run)) {
            run.length += place.length;
        } else {
            self.end_run();
            self.run = Some(Run {
                object,
                start: place.start,
                length: place.length,
            });
        }
        self.entries.push(path, remembered, place);
    }

    /// Writes the reference to the stretch of unchanged stanzas that has just ended.
    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let (start, length) = (u64::from(run.start), u64::from(run.length));
        // `[n]` is true of whole objects only, in both of its readings.
        let whole = Slice::First(length);
        let slice = if run.start == 0 && run.object.slice == whole {
            whole
        } else {
            Slice::Part { start, length }
        };
        let reference = ObjectRef {
            slice,
            ..run.object
        };
        encode_line(&reference, &mut self.text);
        self.slices += 1;
        self.entries.add_use(run.object.object.segment, length);
    }

    /// Completes the piece: `store` stores its text, and the block for the stat cache knows the reference to it.
    pub(super) fn finish(
        mut self,
        store: impl FnOnce(&[u8]) -> Result<ObjectRef>,
    ) -> Result<Block> {
        self.end_run();
        let reference = store(&self.text)?;
        Ok(self
            .entries
            .finish(reference, self.text.len() as u64, self.slices))
    }
}

/// Appends a line that stands for the part of the log at `reference`.
pub(super) fn encode_line(reference: &ObjectRef, out: &mut Vec<u8>) {
    out.push(b'@');
    reference.encode(out);
    out.push(b'\n');
}
