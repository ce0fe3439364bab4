//! Reads the metadata logs of all snapshots, oldest first: how many bytes of each segment a snapshot uses, and which segments hold
//! metadata.
//!
//! Most of a log is that of the snapshot before. What a piece uses is therefore remembered until the next snapshot of the same scheme,
//! and a piece that is named again is not read: some hundred bytes for each piece of one snapshot of each scheme.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;

use super::Subject;
use super::contents::portable;
use super::remember::CacheBuilder;
use crate::file_reader::{self, Expanded};
use crate::format::BLOCK_BYTES;
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::object_ref::{DataRef, ObjectRef, SegmentId};
use crate::metadata_log::{LogError, MetadataLogReader};
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// Bytes of objects that are referred to, by segment.
type Uses = BTreeMap<SegmentId, u64>;

/// What the pieces of a snapshot use.
type Pieces = HashMap<ObjectRef, Uses>;

/// Reads logs one after the other.
pub(super) struct Logs<'r> {
    objects: ObjectCache<'r>,
    /// For what the entries lead to, so that it does not drive the log out.
    lists: ObjectCache<'r>,
    monitor: &'r Counter<'r>,
    /// The pieces of each scheme's last snapshot.
    pieces: HashMap<String, Pieces>,
    metadata: HashSet<SegmentId>,
    has_read: bool,
}

impl<'r> Logs<'r> {
    pub(super) fn new(
        catalog: &'r Catalog,
        unfilter: Option<&str>,
        monitor: &'r Counter<'r>,
    ) -> Result<Self> {
        Ok(Self {
            objects: ObjectCache::new(catalog, unfilter)?,
            lists: ObjectCache::new(catalog, unfilter)?,
            monitor,
            pieces: HashMap::new(),
            metadata: HashSet::new(),
            has_read: false,
        })
    }

    /// Tells whether a segment holds a part of a log.
    pub(super) fn is_metadata(&self, id: SegmentId) -> bool {
        self.metadata.contains(&id)
    }

    /// Tells whether the root of any log could be read. If not, it is more likely that the filter is undone wrongly than that all is lost.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Reads the log of a snapshot and returns what it uses of each segment that its descriptor lists. With a cache, every entry goes
    /// into it; what cannot be read is a problem.
    pub(super) fn read(
        &mut self,
        subject: &Subject<'_>,
        mut cache: Option<&mut CacheBuilder>,
    ) -> Result<Uses> {
        let known = self
            .pieces
            .remove(subject.name.scheme())
            .unwrap_or_default();
        let mut pieces = Pieces::new();
        let mut own = Uses::new();
        let visited = RefCell::new(Vec::new());
        let mut watch = |reference: &ObjectRef| visited.borrow_mut().push(*reference);
        let mut reader =
            MetadataLogReader::new(&mut self.objects, subject.descriptor.root).watch(&mut watch);
        let references = reader.root_references();
        add_metadata(&visited, &mut own, &mut self.metadata);
        let marks: Vec<_> = references
            .iter()
            .flatten()
            .filter(|piece| cache.is_none() && known.contains_key(piece))
            .copied()
            .collect();
        match references {
            Ok(_) => self.has_read = true,
            Err(error) => tell_lost(self.monitor, subject, &error),
        }
        reader.stop_before(marks.clone().into());
        let mut marks = marks.into_iter();
        loop {
            while let Some(item) = reader.next() {
                let piece = reader.piece().copied();
                let uses = piece.map_or(&mut own, |piece| pieces.entry(piece).or_default());
                add_metadata(&visited, uses, &mut self.metadata);
                match item {
                    Ok(entry) => {
                        let file = read_file(&entry, subject, &mut self.lists, uses, self.monitor);
                        if let Some(cache) = &mut cache {
                            let portable = file.and_then(|f| {
                                portable(&f, subject.is_by_pileus(), &mut self.lists)
                            });
                            cache.add(&entry, portable)?;
                        }
                    }
                    Err(error) => tell_lost(self.monitor, subject, &error),
                }
            }
            let Some(mark) = marks.next().filter(|_| reader.pass_mark()) else {
                break;
            };
            let uses = known.get(&mark).cloned().unwrap_or_default();
            pieces.insert(mark, uses);
        }
        drop(reader);
        self.objects.ensure_had_room()?;
        self.lists.ensure_had_room()?;
        add_metadata(&visited, &mut own, &mut self.metadata);
        let uses = sum(subject, &own, &pieces);
        self.pieces.insert(subject.name.scheme().to_owned(), pieces);
        Ok(uses)
    }
}

/// Counts the objects of the log that were read since the last call.
fn add_metadata(
    visited: &RefCell<Vec<ObjectRef>>,
    uses: &mut Uses,
    metadata: &mut HashSet<SegmentId>,
) {
    for reference in visited.borrow_mut().drain(..) {
        metadata.insert(reference.object.segment);
        add_use(uses, &reference, 0);
    }
}

/// Counts the bytes that a reference means, or as many as `otherwise` says; a store may claim more than there are numbers for.
fn add_use(uses: &mut Uses, reference: &ObjectRef, otherwise: u64) {
    let bytes = uses.entry(reference.object.segment).or_default();
    *bytes = bytes.saturating_add(reference.length().unwrap_or(otherwise));
}

/// Counts what a file uses and returns its contents, lists of references expanded; none of what is no file or is lost.
fn read_file(
    entry: &Entry,
    subject: &Subject<'_>,
    lists: &mut ObjectCache<'_>,
    uses: &mut Uses,
    monitor: &Counter<'_>,
) -> Option<FileContents> {
    let EntryKind::File(contents) = &entry.kind else {
        return None;
    };
    let mut add = |reference: &DataRef| {
        if let DataRef::Object(object) | DataRef::Indirect(object) = reference {
            // Objects of the oldest logs do not say how long they are: a block, or the whole file.
            let block = contents.size.min(BLOCK_BYTES as u64);
            add_use(uses, object, block);
        }
    };
    let is_list = |reference: &&DataRef| matches!(reference, DataRef::Indirect(_));
    contents.data.iter().filter(is_list).for_each(&mut add);
    let expanded = file_reader::expand(contents.data.clone(), contents.size, lists);
    let counted = expanded.and_then(|expanded| match expanded {
        Expanded::All(data) => {
            data.iter().for_each(add);
            Ok(Some(FileContents {
                data,
                ..contents.clone()
            }))
        }
        // Too much to be remembered: the next backup reads the file, and stores nothing of it twice.
        Expanded::TooMany(_) => {
            file_reader::for_each(contents.into(), lists, &mut |reference, _| {
                add(&reference);
                Ok(())
            })
            .map(|()| None)
        }
    });
    match counted {
        Ok(contents) => contents,
        Err(error) => {
            tell(
                monitor,
                subject,
                entry.path.as_bytes(),
                &format!("{error:#}"),
            );
            None
        }
    }
}

/// Sums up what a snapshot uses. A segment that only its descriptor names is needed as well.
fn sum(subject: &Subject<'_>, own: &Uses, pieces: &Pieces) -> Uses {
    let mut total: Uses = subject
        .descriptor
        .segments
        .iter()
        .map(|id| (*id, 0))
        .collect();
    for (segment, bytes) in pieces.values().flatten().chain(own) {
        let used = total.entry(*segment).or_default();
        *used = used.saturating_add(*bytes);
    }
    total
}

fn tell_lost(monitor: &Counter<'_>, subject: &Subject<'_>, error: &LogError) {
    if !error.is_repeated {
        tell(monitor, subject, &error.subject, &error.reason);
    }
}

fn tell(monitor: &Counter<'_>, subject: &Subject<'_>, what: &[u8], reason: &str) {
    monitor.problem(what, format_args!("in snapshot {}: {reason}", subject.name));
}
