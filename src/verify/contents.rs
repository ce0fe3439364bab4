//! Level *files*: the contents of every file against the checksum of its entry.
//!
//! Segments are read in their order anyway. A file whose objects come up in just that order is hashed as they pass by; that holds for
//! every file of one object and for nearly every other that was stored in one run. The rest is *deferred*: read at the end through
//! an object cache, sorted by the segment that they begin in.
//!
//! Files are kept on disk until their first object comes, equal ones next to each other, so that each is checked once. In
//! memory are those of one segment, as 40 bytes each, and the files that are under way: their references are bounded by
//! [`WAITING_MAX`], beyond which a file is deferred.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::bad_contents::{Bad, BadContents};
use super::packed::{eight, four};
use super::sample::Drawn;
use super::segments::Segments;
use crate::file_reader::{self, ContentsCheck, Part};
use crate::format::checksum::Checksum;
use crate::format::entry::{FileContents, encode_data};
use crate::format::object_ref::DataRef;
use crate::monitor::Counter;
use crate::sorter::{Record, Sorted, Sorter};
use crate::spool::{Place, Spool};
use crate::store::object_cache::ObjectCache;

/// Most references of files that are under way, some 25 MB.
const WAITING_MAX: usize = 1 << 18;
/// Stands for the segment of a file that has no object.
pub(super) const NO_SEGMENT: u32 = u32::MAX;

/// A file that begins with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    segment: u32,
    pub(super) sequence: u32,
    /// Identifies size, checksum and references.
    key: [u8; 16],
    place: Place,
}

/// Gathers files that are to be checked.
pub(super) struct ContentsWriter {
    starts: Sorter<Start>,
    spool: Spool,
    text: Vec<u8>,
}

impl ContentsWriter {
    pub(super) fn new() -> Result<Self> {
        let directory = std::env::temp_dir();
        Ok(Self {
            starts: Sorter::new(&directory),
            spool: Spool::create(&directory)?,
            text: Vec::new(),
        })
    }

    /// Adds a file, all of whose references are given.
    pub(super) fn add(
        &mut self,
        contents: &FileContents,
        key: [u8; 16],
        segments: &mut Segments,
    ) -> Result<()> {
        let first = contents.data.iter().find_map(|data| match data {
            DataRef::Object(r) | DataRef::Indirect(r) => Some(r.object),
            DataRef::Zero(_) => None,
        });
        self.text.clear();
        encode(contents, &mut self.text);
        self.starts.add(Start {
            segment: first.map_or(NO_SEGMENT, |object| segments.number(object.segment)),
            sequence: first.map_or(0, |object| object.sequence),
            key,
            place: self.spool.add_sized(&self.text)?,
        })
    }

    pub(super) fn finish<'s>(
        self,
        segments: &'s Segments,
        drawn: &'s Drawn,
    ) -> Result<Contents<'s>> {
        let directory = std::env::temp_dir();
        Ok(Contents {
            segments,
            drawn,
            starts: self.starts.finish()?,
            spool: self.spool,
            files: 0,
            last: None,
            waiting: BTreeMap::new(),
            waiting_references: 0,
            deferred: Sorter::new(&directory),
            deferred_count: 0,
            bad: Sorter::new(&directory),
        })
    }
}

/// Checks files as their objects pass by.
pub(super) struct Contents<'s> {
    segments: &'s Segments,
    drawn: &'s Drawn,
    starts: Sorted<Start>,
    spool: Spool,
    files: u64,
    last: Option<[u8; 16]>,
    /// Files by the object that they need next.
    waiting: BTreeMap<(u32, u32), Vec<UnderWay>>,
    waiting_references: usize,
    deferred: Sorter<Start>,
    deferred_count: u64,
    bad: Sorter<Bad>,
}

struct UnderWay {
    start: Start,
    data: Vec<DataRef>,
    next: usize,
    check: ContentsCheck,
}

impl Contents<'_> {
    /// Returns the files that begin in a segment, sorted by object; segments come in their order.
    pub(super) fn starting_in(&mut self, segment: u32) -> Result<Vec<Start>> {
        let mut found = Vec::new();
        while let Some(start) = self.starts.take_if(|start| start.segment <= segment)? {
            if start.segment == segment {
                found.push(start);
            } else {
                // Its segment is one that is not read, as it has only objects of logs: nothing but a made store has such a file.
                self.defer(start)?;
            }
        }
        Ok(found)
    }

    /// Takes an object, and the files that begin with it.
    pub(super) fn object(
        &mut self,
        segment: u32,
        sequence: u32,
        data: &[u8],
        starts: &[Start],
    ) -> Result<()> {
        for start in starts {
            if self.last.replace(start.key) != Some(start.key)
                && let Some(file) = self.begin(*start)?
            {
                self.go_on(file, (segment, sequence), data)?;
            }
        }
        for file in self
            .waiting
            .remove(&(segment, sequence))
            .unwrap_or_default()
        {
            self.waiting_references -= file.data.len();
            self.go_on(file, (segment, sequence), data)?;
        }
        Ok(())
    }

    /// Ends a segment: what still waits for an object of it does not get it. `is_lost` tells whether that is told already.
    pub(super) fn end_segment(
        &mut self,
        segment: u32,
        is_lost: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let of_segment = (segment, 0)..=(segment, u32::MAX);
        let left: Vec<_> = self.waiting.range(of_segment).map(|(at, _)| *at).collect();
        for at in left {
            for file in self.waiting.remove(&at).unwrap_or_default() {
                self.waiting_references -= file.data.len();
                if !is_lost(at.1) {
                    self.defer(file.start)?;
                }
            }
        }
        Ok(())
    }

    /// Begins a file; it is deferred if its objects do not come in order.
    fn begin(&mut self, start: Start) -> Result<Option<UnderWay>> {
        self.files += 1;
        let contents = self.load(start.place)?;
        let mut last = (0, 0);
        let in_order = contents.data.iter().all(|data| match data {
            DataRef::Zero(_) => true,
            // What they lead to was too much to be held.
            DataRef::Indirect(_) => false,
            DataRef::Object(r) => {
                let number = self.segments.known(r.object.segment).unwrap_or(NO_SEGMENT);
                let at = (number, r.object.sequence);
                let fits = last <= at && self.drawn.has(r.object.segment);
                last = at;
                fits
            }
        });
        if !in_order || self.waiting_references + contents.data.len() > WAITING_MAX {
            self.defer(start)?;
            return Ok(None);
        }
        match ContentsCheck::new(&contents) {
            Ok(check) => Ok(Some(UnderWay {
                start,
                data: contents.data,
                next: 0,
                check,
            })),
            Err(error) => {
                self.bad(&start, &error)?;
                Ok(None)
            }
        }
    }

    /// Feeds an object to a file that waits for it, and lets it wait for the next one.
    fn go_on(&mut self, mut file: UnderWay, at: (u32, u32), object: &[u8]) -> Result<()> {
        while let Some(data) = file.data.get(file.next) {
            let part = match data {
                DataRef::Zero(count) => Part::Zeros(*count),
                DataRef::Object(r) | DataRef::Indirect(r) => {
                    let number = self.segments.known(r.object.segment).unwrap_or(NO_SEGMENT);
                    let wanted = (number, r.object.sequence);
                    if wanted != at {
                        self.waiting_references += file.data.len();
                        self.waiting.entry(wanted).or_default().push(file);
                        return Ok(());
                    }
                    let range = r.range(object.len() as u64).ok().and_then(|range| {
                        let start = usize::try_from(range.start).ok()?;
                        object.get(start..usize::try_from(range.end).ok()?)
                    });
                    match range {
                        Some(bytes) => Part::Bytes(bytes),
                        // The object was found not to be what the reference says; that is told with the object.
                        None => return Ok(()),
                    }
                }
            };
            file.next += 1;
            if let Err(error) = file.check.add(&part) {
                return self.bad(&file.start, &error);
            }
        }
        match file.check.finish() {
            Ok(()) => Ok(()),
            Err(error) => self.bad(&file.start, &error),
        }
    }

    fn defer(&mut self, start: Start) -> Result<()> {
        self.deferred_count += 1;
        self.deferred.add(start)
    }

    fn bad(&mut self, start: &Start, error: &anyhow::Error) -> Result<()> {
        let reason = self.spool.add_sized(format!("{error:#}").as_bytes())?;
        self.bad.add(Bad {
            key: start.key,
            segment: start.segment,
            reason,
        })
    }

    fn load(&self, place: Place) -> Result<FileContents> {
        decode(&self.spool.sized(place)?).context("a temporary file has changed")
    }

    /// Checks what is left, and returns how many files there were and what is wrong with them.
    pub(super) fn finish(
        mut self,
        objects: &mut ObjectCache<'_>,
        monitor: &Counter<'_>,
    ) -> Result<(u64, BadContents)> {
        while let Some(start) = self.starts.take()? {
            if self.last.replace(start.key) != Some(start.key) {
                self.files += 1;
                self.defer(start)?;
            }
        }
        let deferred = std::mem::replace(&mut self.deferred, Sorter::new(&std::env::temp_dir()));
        let (mut deferred, mut done) = (deferred.finish()?, 0);
        let mut last = None;
        while let Some(start) = deferred.take()? {
            monitor.progress(done, self.deferred_count, "files in several segments");
            done += 1;
            if last.replace(start.key) == Some(start.key) {
                continue;
            }
            let contents = self.load(start.place)?;
            if let Err(error) = file_reader::read(&contents, objects, &mut |_| Ok(())) {
                self.bad(&start, &error)?;
            }
        }
        objects.ensure_had_room()?;
        Ok((
            self.files,
            BadContents::new(self.bad.finish()?, self.spool)?,
        ))
    }
}

/// Identifies size, checksum and references of a file in 16 bytes.
pub(super) fn contents_key(contents: &FileContents, text: &mut Vec<u8>) -> [u8; 16] {
    text.clear();
    encode(contents, text);
    let digest = *blake3::hash(text).as_bytes();
    digest[..16].try_into().expect("sixteen bytes")
}

fn encode(contents: &FileContents, out: &mut Vec<u8>) {
    out.extend_from_slice(&contents.size.to_le_bytes());
    let length = out.len();
    out.push(0);
    if let Some(checksum) = &contents.checksum {
        checksum.encode(out);
        out[length] = u8::try_from(out.len() - length - 1).expect("a checksum is short");
    }
    encode_data(&contents.data, out);
}

fn decode(bytes: &[u8]) -> Result<FileContents> {
    let (head, rest) = bytes.split_at_checked(9).context("too short")?;
    let (checksum, data) = rest
        .split_at_checked(usize::from(head[8]))
        .context("too short")?;
    let checksum = (!checksum.is_empty()).then(|| Checksum::parse(checksum));
    // Lists in lists make more references than a field may have.
    let words = data
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    Ok(FileContents {
        size: eight(head, 0),
        checksum: checksum.transpose()?,
        data: words.map(DataRef::parse).collect::<Result<_, _>>()?,
    })
}

impl Record for Start {
    const BYTES: usize = 32;

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.key);
        bytes[24..32].copy_from_slice(&self.place.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            segment: four(bytes, 0),
            sequence: four(bytes, 4),
            key: bytes[8..24].try_into().expect("sixteen bytes"),
            place: eight(bytes, 24),
        }
    }
}
