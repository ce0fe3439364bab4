//! The logs of all snapshots, each part of them read once, however many snapshots share it.
//!
//! The roots are read one by one. What they refer to is sorted by object, so that a piece comes once, together with the snapshots
//! that have it, and pieces come in the order in which they lie in their segments. A thousand nights of an unchanged tree cost a
//! thousand roots and one tree.

use std::cell::RefCell;

use anyhow::Result;

use super::Subject;
use super::packed::{PackedRef, four};
use super::snapshots::SnapshotSet;
use crate::format::entry::Entry;
use crate::format::object_ref::{ObjectId, ObjectRef};
use crate::metadata_log::{FRUITLESS_BYTES_MAX, LogError, LogPart, MetadataLogReader, REPEATS_MAX};
use crate::monitor::Counter;
use crate::sorter::{Record, Sorter};
use crate::store::object_cache::ObjectCache;

/// A part of one or more logs: what stands in a root itself, or a piece.
pub(super) struct Part {
    pub(super) snapshots: SnapshotSet,
    /// The first of these snapshots, and the place in its root.
    pub(super) order: (u32, u32),
}

/// What is found in a part.
#[derive(Clone, Copy)]
pub(super) enum Found<'e> {
    /// An entry.
    Entry(&'e Entry),
    /// Something that could not be used.
    Lost(&'e LogError),
    /// An object of the log itself.
    Object(ObjectRef),
    /// The part ends.
    End,
}

/// A line of a root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RootLine {
    piece: PackedRef,
    snapshot: u32,
    line: u32,
}

/// Reads all logs and hands what is in them to `visit`, part by part.
pub(super) fn walk(
    subjects: &[Subject],
    objects: &mut ObjectCache<'_>,
    monitor: &Counter<'_>,
    visit: &mut dyn FnMut(&Part, Found<'_>) -> Result<()>,
) -> Result<()> {
    let mut lines = Sorter::new(&std::env::temp_dir());
    let mut count = 0_u64;
    for (snapshot, subject) in (0..).zip(subjects) {
        monitor.progress(u64::from(snapshot), subjects.len() as u64, "logs");
        count += read_root(snapshot, subject, objects, &mut lines, visit)?;
    }
    let (mut lines, mut done) = (lines.finish()?, 0);
    let mut fruitless = Fruitless::default();
    while let Some(first) = lines.take()? {
        let mut part = Part {
            snapshots: SnapshotSet::default(),
            order: (first.snapshot, first.line),
        };
        part.snapshots.insert(first.snapshot as usize);
        done += 1;
        while let Some(same) = lines.take_if(|line| line.piece == first.piece)? {
            part.snapshots.insert(same.snapshot as usize);
            done += 1;
        }
        monitor.progress(done, count, "pieces of metadata");
        let piece = first.piece.reference();
        if is_repeated(objects, subjects.len()) {
            tell_repeated(&part, piece.object, visit)?;
            break;
        }
        if fruitless.may_read(piece.object) {
            fruitless.bytes = read_piece(&part, piece, fruitless.bytes, objects, visit)?;
        }
    }
    objects.ensure_had_room()
}

/// Reads what stands in a root itself, and keeps its references for later; returns how many.
fn read_root(
    snapshot: u32,
    subject: &Subject,
    objects: &mut ObjectCache<'_>,
    lines: &mut Sorter<RootLine>,
    visit: &mut dyn FnMut(&Part, Found<'_>) -> Result<()>,
) -> Result<u64> {
    let mut part = Part {
        snapshots: SnapshotSet::default(),
        order: (snapshot, 0),
    };
    part.snapshots.insert(snapshot as usize);
    visit(&part, Found::Object(subject.root))?;
    let mut reader = MetadataLogReader::new(objects, subject.root);
    let mut count = 0;
    let mut line = 0;
    while let Some(found) = reader.next_part() {
        part.order = (snapshot, line);
        match found {
            Ok(LogPart::Entry(entry)) => visit(&part, Found::Entry(&entry))?,
            Ok(LogPart::Reference(piece)) => {
                count += 1;
                lines.add(RootLine {
                    piece: PackedRef::new(&piece),
                    snapshot,
                    line,
                })?;
            }
            Err(error) => visit(&part, Found::Lost(&error))?,
        }
        line = line.saturating_add(1);
    }
    visit(&part, Found::End)?;
    Ok(count)
}

/// Reads a piece with all that it refers to; returns how many bytes were read since the last entry.
fn read_piece(
    part: &Part,
    piece: ObjectRef,
    fruitless_bytes: usize,
    objects: &mut ObjectCache<'_>,
    visit: &mut dyn FnMut(&Part, Found<'_>) -> Result<()>,
) -> Result<usize> {
    let visited = RefCell::new(Vec::new());
    let mut watch = |reference: &ObjectRef| visited.borrow_mut().push(*reference);
    let mut reader = MetadataLogReader::of_piece(objects, piece, fruitless_bytes).watch(&mut watch);
    loop {
        let found = reader.next();
        for object in visited.borrow_mut().drain(..) {
            visit(part, Found::Object(object))?;
        }
        match found {
            Some(Ok(entry)) => visit(part, Found::Entry(&entry))?,
            Some(Err(error)) => visit(part, Found::Lost(&error))?,
            None => break,
        }
    }
    visit(part, Found::End)?;
    Ok(reader.fruitless_bytes())
}

/// Tells whether more was read of the logs than is in them. In each snapshot a byte of a log stands once, in parts that others have or have
/// not; but any number of pieces may refer to one object, each for all of it.
fn is_repeated(objects: &ObjectCache<'_>, snapshots: usize) -> bool {
    let work = objects.work();
    let most = work.opened_bytes.saturating_mul(snapshots as u64);
    work.given_bytes > most.saturating_mul(u64::from(REPEATS_MAX) + 1)
}

fn tell_repeated(
    part: &Part,
    object: ObjectId,
    visit: &mut dyn FnMut(&Part, Found<'_>) -> Result<()>,
) -> Result<()> {
    let error = LogError {
        subject: object.to_string().into_bytes(),
        object: None,
        reason: "the metadata logs have the same again and again; the rest of them is left out"
            .to_owned(),
        no_room: None,
        is_repeated: false,
    };
    visit(part, Found::Lost(&error))?;
    visit(part, Found::End)
}

/// Ends the reading of an object whose slices lead nowhere.
#[derive(Default)]
struct Fruitless {
    object: Option<ObjectId>,
    bytes: usize,
}

impl Fruitless {
    fn may_read(&mut self, object: ObjectId) -> bool {
        if self.object != Some(object) {
            self.object = Some(object);
            self.bytes = 0;
        }
        self.bytes <= FRUITLESS_BYTES_MAX
    }
}

impl Record for RootLine {
    const BYTES: usize = PackedRef::BYTES + 8;

    fn encode(&self, bytes: &mut [u8]) {
        self.piece.encode(bytes);
        let rest = &mut bytes[PackedRef::BYTES..];
        rest[..4].copy_from_slice(&self.snapshot.to_le_bytes());
        rest[4..8].copy_from_slice(&self.line.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            piece: PackedRef::decode(bytes),
            snapshot: four(bytes, PackedRef::BYTES),
            line: four(bytes, PackedRef::BYTES + 4),
        }
    }
}
