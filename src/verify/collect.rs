//! Gathers what has to be checked from the logs: references by segment, and the contents of files.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;

use super::contents::{ContentsWriter, contents_key};
use super::findings::Findings;
use super::logs::{Found, Part};
use super::packed::{PackedRef, four};
use super::sample::Drawn;
use super::segments::Segments;
use super::snapshots::SnapshotSet;
use crate::file_reader::{self, Expanded};
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::object_ref::{DataRef, ObjectRef};
use crate::format::path::EntryPath;
use crate::metadata_log::LogError;
use crate::sorter::{Record, Sorted, Sorter};
use crate::store::object_cache::ObjectCache;

/// Different contents that are remembered, some 4 MB; beyond that all are forgotten, and some are gathered twice. It only saves work:
/// a piece of which an entry has changed has all the others again.
const SEEN_MAX: usize = 1 << 17;

/// A reference to be compared with its object, ordered by the number of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Check {
    pub(super) segment: u32,
    pub(super) reference: PackedRef,
    /// Whether it is one of a log, which was followed when the log was read.
    pub(super) of_log: bool,
}

/// Takes what the logs have.
pub(super) struct Collector<'a, 'c> {
    noted: Noted<'a>,
    findings: &'a mut Findings,
    contents: Option<ContentsWriter>,
    lists: ObjectCache<'c>,
    seen: HashSet<[u8; 16]>,
    text: Vec<u8>,
    order: PathOrder,
}

/// Whether the entries of a part are in path order, as whoever reads a log takes for granted.
#[derive(Default)]
struct PathOrder {
    last: Option<EntryPath>,
    is_broken: bool,
}

impl PathOrder {
    /// Takes the next path; says of the first one that is out of order, what is wrong with it.
    fn next(&mut self, path: &EntryPath) -> Option<&'static str> {
        let wrong = match &self.last {
            Some(last) if !self.is_broken && path == last => {
                Some("is in the metadata log twice, which readers do not expect")
            }
            Some(last) if !self.is_broken && path < last => {
                Some("is not in path order in the metadata log, which readers do not expect")
            }
            _ => None,
        };
        self.is_broken |= wrong.is_some();
        match &mut self.last {
            Some(last) => last.copy_from(path.as_bytes()),
            none => *none = Some(path.clone()),
        }
        wrong
    }
}

/// References that were met.
struct Noted<'a> {
    segments: &'a mut Segments,
    drawn: &'a Drawn,
    checks: Sorter<Check>,
    gathered: Numbers,
    /// Segments that the present part needs.
    of_part: BTreeSet<u32>,
}

/// Segments of different kinds.
#[derive(Default)]
struct Numbers {
    needed: BTreeSet<u32>,
    with_data: BTreeSet<u32>,
    suspect: BTreeSet<u32>,
    unlisted: BTreeMap<u32, SnapshotSet>,
}

/// What the logs have.
pub(super) struct Gathered {
    pub(super) checks: Sorted<Check>,
    pub(super) contents: Option<ContentsWriter>,
    /// Segments that were drawn and have something that is needed.
    pub(super) needed: BTreeSet<u32>,
    /// Of these: in which something other than a log is needed.
    pub(super) with_data: BTreeSet<u32>,
    /// Segments of logs in which an object was lost.
    pub(super) suspect: BTreeSet<u32>,
    /// Segments that snapshots need without listing them.
    pub(super) unlisted: BTreeMap<u32, SnapshotSet>,
}

impl<'a, 'c> Collector<'a, 'c> {
    /// Begins with nothing; `lists` reads lists of references.
    pub(super) fn new(
        segments: &'a mut Segments,
        drawn: &'a Drawn,
        findings: &'a mut Findings,
        lists: ObjectCache<'c>,
        contents: Option<ContentsWriter>,
    ) -> Self {
        Self {
            noted: Noted {
                segments,
                drawn,
                checks: Sorter::new(&std::env::temp_dir()),
                gathered: Numbers::default(),
                of_part: BTreeSet::new(),
            },
            findings,
            contents,
            lists,
            seen: HashSet::new(),
            text: Vec::new(),
            order: PathOrder::default(),
        }
    }

    /// Returns everything that was gathered.
    pub(super) fn finish(self) -> Result<Gathered> {
        self.lists.ensure_had_room()?;
        let Numbers {
            needed,
            with_data,
            suspect,
            unlisted,
        } = self.noted.gathered;
        Ok(Gathered {
            checks: self.noted.checks.finish()?,
            contents: self.contents,
            needed,
            with_data,
            suspect,
            unlisted,
        })
    }

    /// Takes what stands in a log.
    pub(super) fn take(&mut self, part: &Part, found: Found<'_>) -> Result<()> {
        match found {
            Found::Entry(entry) => {
                if let Some(reason) = self.order.next(&entry.path) {
                    self.out_of_order(part, entry, reason)?;
                }
                self.entry(part, entry)
            }
            Found::Lost(error) => self.lost(part, error),
            Found::Object(reference) => self.noted.check(&reference, true),
            Found::End => {
                self.order = PathOrder::default();
                self.end(part);
                Ok(())
            }
        }
    }

    fn out_of_order(&mut self, part: &Part, entry: &Entry, reason: &str) -> Result<()> {
        let error = LogError {
            subject: entry.path.as_bytes().to_vec(),
            object: None,
            reason: reason.to_owned(),
            no_room: None,
            is_repeated: false,
        };
        self.lost(part, &error)
    }

    fn lost(&mut self, part: &Part, error: &LogError) -> Result<()> {
        let segment = error
            .object
            .map(|object| self.noted.segments.number(object.segment));
        self.noted.gathered.suspect.extend(segment);
        self.findings
            .lost(segment, error, part.order, &part.snapshots)
    }

    fn entry(&mut self, part: &Part, entry: &Entry) -> Result<()> {
        let EntryKind::File(contents) = &entry.kind else {
            return Ok(());
        };
        let key = contents_key(contents, &mut self.text);
        let has_lists = contents
            .data
            .iter()
            .any(|data| matches!(data, DataRef::Indirect(_)));
        if !has_lists && self.seen.contains(&key) {
            self.need(contents);
            return Ok(());
        }
        let inner = if has_lists {
            match self.expand(part, entry, contents)? {
                Some(data) => data,
                None => return Ok(()),
            }
        } else {
            contents.data.clone()
        };
        for data in &inner {
            // Of a list that was not put in here, all that it leads to was noted.
            if let DataRef::Object(reference) = data {
                self.noted.check(reference, false)?;
            }
        }
        if let Some(writer) = &mut self.contents
            && begins_in(self.noted.drawn, &inner)
        {
            let expanded = FileContents {
                data: inner,
                ..*contents
            };
            writer.add(&expanded, key, self.noted.segments)?;
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(key);
        Ok(())
    }

    /// Replaces lists of references by what is in them, if that is not too much; nothing if that was told not to be possible.
    fn expand(
        &mut self,
        part: &Part,
        entry: &Entry,
        contents: &FileContents,
    ) -> Result<Option<Vec<DataRef>>> {
        for data in &contents.data {
            if let DataRef::Indirect(list) = data {
                self.noted.check(list, false)?;
            }
        }
        let error = match self.expand_lists(contents) {
            Ok(data) => return Ok(Some(data)),
            Err(error) => LogError {
                subject: entry.path.as_bytes().to_vec(),
                object: None,
                reason: format!("{error:#}"),
                no_room: None,
                is_repeated: false,
            },
        };
        self.lost(part, &error)?;
        Ok(None)
    }

    fn expand_lists(&mut self, contents: &FileContents) -> Result<Vec<DataRef>> {
        let (data, size) = (contents.data.clone(), contents.size);
        let data = match file_reader::expand(data, size, &mut self.lists)? {
            Expanded::All(data) => return Ok(data),
            Expanded::TooMany(data) => data,
        };
        let (lists, noted) = (&mut self.lists, &mut self.noted);
        file_reader::for_each(
            contents.into(),
            lists,
            &mut |reference, _| match reference {
                DataRef::Object(reference) => noted.check(&reference, false),
                _ => Ok(()),
            },
        )?;
        Ok(data)
    }

    /// Notes the segments of contents that were gathered before.
    fn need(&mut self, contents: &FileContents) {
        for data in &contents.data {
            if let DataRef::Object(reference) = data {
                self.noted
                    .of_part
                    .insert(self.noted.segments.number(reference.object.segment));
            }
        }
    }

    /// Ends a part: whoever copies or thins out a store goes by the descriptors' lists, so they have to be complete.
    fn end(&mut self, part: &Part) {
        for segment in std::mem::take(&mut self.noted.of_part) {
            let missing = part
                .snapshots
                .without(self.noted.segments.listed_by(segment));
            if missing.iter().next().is_some() {
                self.noted
                    .gathered
                    .unlisted
                    .entry(segment)
                    .or_default()
                    .add(&missing);
            }
        }
    }
}

impl Noted<'_> {
    /// Notes a reference.
    fn check(&mut self, reference: &ObjectRef, of_log: bool) -> Result<()> {
        let segment = self.segments.number(reference.object.segment);
        self.of_part.insert(segment);
        if !self.drawn.has(reference.object.segment) {
            return Ok(());
        }
        self.gathered.needed.insert(segment);
        if !of_log {
            self.gathered.with_data.insert(segment);
        }
        self.checks.add(Check {
            segment,
            reference: PackedRef::new(reference),
            of_log,
        })
    }
}

/// Tells whether the first object of a file is in the sample; a file of zeros alone costs nothing.
fn begins_in(drawn: &Drawn, data: &[DataRef]) -> bool {
    let mut segments = data.iter().filter_map(|data| match data {
        DataRef::Object(reference) | DataRef::Indirect(reference) => Some(reference.object.segment),
        DataRef::Zero(_) => None,
    });
    segments.next().is_none_or(|first| drawn.has(first))
}

impl Record for Check {
    const BYTES: usize = PackedRef::BYTES + 5;

    fn encode(&self, bytes: &mut [u8]) {
        self.reference.encode(bytes);
        let rest = &mut bytes[PackedRef::BYTES..];
        rest[..4].copy_from_slice(&self.segment.to_le_bytes());
        rest[4] = u8::from(self.of_log);
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            segment: four(bytes, PackedRef::BYTES),
            reference: PackedRef::decode(bytes),
            of_log: bytes[PackedRef::BYTES + 4] != 0,
        }
    }
}
