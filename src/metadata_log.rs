//! The metadata log of a snapshot: a stream of entries in path order, stored as pieces that a root object lists.
//!
//! docs/format.md, "Metadata log". Writing: stanzas gather to a piece of about 64 KiB, each piece is one object, and the root has
//! one `@reference` line for each. Reading follows references three deep, as every reader of the lineage does, and is total: a
//! damaged piece or stanza is one [`LogError`], and the entries behind it are still read.

use anyhow::{Result, ensure};

use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::{Entry, EntryKind, FileContents, encode_data, stanza_path};
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, Slice};
use crate::format::stanza::{LogItem, LogItems, Stanza};
use crate::store::object_cache::ObjectCache;
use crate::store::pool::Pool;
use crate::store::segment_reader::OBJECT_BYTES_MAX;
use crate::store::segment_writer::SegmentWriter;

/// A piece is stored once it has at least this many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Most references that stand in a stanza itself, about 60 KB of text; a file of more than a gigabyte has more.
const REFERENCES_MAX: usize = 1024;

/// Most bytes of an unusable name that are repeated in a message.
const SHOWN_BYTES: usize = 200;

/// Deepest nesting of references, the root counted: root, piece, reused piece.
const DEPTH_MAX: usize = 3;

/// Writes the metadata log of one snapshot.
pub struct MetadataLogWriter {
    segments: SegmentWriter,
    piece: Vec<u8>,
    root: Vec<u8>,
}

impl MetadataLogWriter {
    /// Starts a log whose objects go into `segments`.
    #[must_use]
    pub fn new(segments: SegmentWriter) -> Self {
        Self {
            segments,
            piece: Vec::with_capacity(2 * PIECE_BYTES),
            root: Vec::new(),
        }
    }

    /// Appends an entry; the caller keeps path order.
    pub fn append(&mut self, pool: &Pool, entry: &Entry) -> Result<()> {
        match &entry.kind {
            EntryKind::File(contents) if contents.data.len() > REFERENCES_MAX => {
                let mut shortened = entry.clone();
                shortened.kind = EntryKind::File(self.store_references(pool, contents)?);
                shortened.encode(&mut self.piece);
            }
            _ => entry.encode(&mut self.piece),
        }
        if self.piece.len() >= PIECE_BYTES {
            self.store_piece(pool)
        } else {
            Ok(())
        }
    }

    /// Stores what is left and the root; returns the reference to the root and the group's writer, closed.
    pub fn finish(mut self, pool: &Pool) -> Result<(ObjectRef, SegmentWriter)> {
        if !self.piece.is_empty() {
            self.store_piece(pool)?;
        }
        let root = store_object(&mut self.segments, pool, &self.root)?;
        self.segments.close(pool)?;
        Ok((root, self.segments))
    }

    /// Puts a long list of references into objects of its own, so that no stanza outgrows an object.
    fn store_references(&mut self, pool: &Pool, contents: &FileContents) -> Result<FileContents> {
        let mut data = Vec::new();
        for references in contents.data.chunks(REFERENCES_MAX) {
            let mut text = Vec::new();
            encode_data(references, &mut text);
            text.push(b'\n');
            data.push(DataRef::Indirect(store_object(
                &mut self.segments,
                pool,
                &text,
            )?));
        }
        Ok(FileContents {
            data,
            ..contents.clone()
        })
    }

    fn store_piece(&mut self, pool: &Pool) -> Result<()> {
        let reference = store_object(&mut self.segments, pool, &self.piece)?;
        self.piece.clear();
        self.root.push(b'@');
        reference.encode(&mut self.root);
        self.root.push(b'\n');
        Ok(())
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

/// Most bytes of a log that are read without finding an entry: what leads nowhere has to end.
const FRUITLESS_BYTES_MAX: usize = 256 << 20;

/// A part of a metadata log that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    /// The path of the entry, or the object, as bytes.
    pub subject: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// Reads the entries of a metadata log in the order they stand.
pub struct MetadataLogReader<'a, 'c> {
    objects: &'a mut ObjectCache<'c>,
    stack: Vec<Open>,
    next: Option<ObjectRef>,
    fruitless_bytes: usize,
    visited: Option<&'a mut dyn FnMut(&ObjectRef)>,
}

/// An object that is being read.
struct Open {
    object: ObjectId,
    text: Vec<u8>,
    position: usize,
}

impl<'a, 'c> MetadataLogReader<'a, 'c> {
    /// Starts at the root that a descriptor names.
    pub fn new(objects: &'a mut ObjectCache<'c>, root: ObjectRef) -> Self {
        Self {
            objects,
            stack: Vec::new(),
            next: Some(root),
            fruitless_bytes: 0,
            visited: None,
        }
    }

    /// Calls `visited` with the reference of every object of the log, the root first.
    #[must_use]
    pub fn watch(self, visited: &'a mut dyn FnMut(&ObjectRef)) -> Self {
        Self {
            visited: Some(visited),
            ..self
        }
    }

    fn descend(&mut self, reference: &ObjectRef) -> Result<(), LogError> {
        let error = |reason| LogError {
            subject: reference.object.to_string().into_bytes(),
            reason,
        };
        if self
            .stack
            .iter()
            .any(|open| open.object == reference.object)
        {
            return Err(error(
                "this part of the metadata log is nested in itself".to_owned(),
            ));
        }
        if self.stack.len() >= DEPTH_MAX {
            return Err(error(format!(
                "metadata references are nested more than {DEPTH_MAX} deep"
            )));
        }
        if let Some(visited) = &mut self.visited {
            visited(reference);
        }
        let text = self
            .objects
            .get(reference)
            .map_err(|e| error(format!("part of the metadata log is lost: {e:#}")))?;
        self.fruitless_bytes += text.len();
        if self.fruitless_bytes > FRUITLESS_BYTES_MAX {
            self.stack.clear();
            return Err(error(
                "the metadata log leads nowhere; the rest of it is left out".to_owned(),
            ));
        }
        self.stack.push(Open {
            object: reference.object,
            text,
            position: 0,
        });
        Ok(())
    }
}

impl Iterator for MetadataLogReader<'_, '_> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reference) = self.next.take()
                && let Err(error) = self.descend(&reference)
            {
                return Some(Err(error));
            }
            let open = self.stack.last_mut()?;
            let mut items = LogItems::new(&open.text[open.position..]);
            let item = items.next();
            open.position = open.text.len() - items.rest().len();
            match item {
                None => drop(self.stack.pop()),
                Some(Ok(LogItem::Reference(reference))) => self.next = Some(reference),
                Some(Ok(LogItem::Stanza(stanza))) => {
                    self.fruitless_bytes = 0;
                    return Some(interpret(&stanza));
                }
                Some(Err(e)) => {
                    return Some(Err(LogError {
                        subject: b"metadata log".to_vec(),
                        reason: e.to_string(),
                    }));
                }
            }
        }
    }
}

fn interpret(stanza: &Stanza<'_>) -> Result<Entry, LogError> {
    Entry::from_stanza(stanza).map_err(|e| {
        let named = || {
            stanza
                .get("name")
                .or_else(|| stanza.get("path"))
                .unwrap_or(b"metadata log")
        };
        let subject = match stanza_path(stanza) {
            Ok(path) => path.as_bytes().to_vec(),
            Err(_) => named().iter().take(SHOWN_BYTES).copied().collect(),
        };
        LogError {
            subject,
            reason: format!("cannot use its entry: {e}"),
        }
    })
}
