//! What was found to be damaged, gathered until all is known and then told as a chain: the segment, its objects, the files that
//! need them, and the snapshots that have these files.
//!
//! Gathering is on disk, since all files of a store may be damaged: texts in a spool, findings in a sorter. Findings that are the same but
//! for the part of a log that they came from are one line, with the snapshots of all these parts. Only what is known of each damaged
//! segment is in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use anyhow::Result;

use super::Damage;
use super::packed::{eight, four};
use super::segments::Segments;
use super::snapshots::SnapshotSet;
use crate::format::object_ref::ObjectId;
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::LogError;
use crate::monitor::{Counter, Reach};
use crate::sorter::{Record, Sorter};
use crate::spool::{Place, Spool};
use crate::store::catalog::Catalog;

/// Stands for a segment where none is known; behind all others.
const NO_SEGMENT: u32 = u32::MAX;

/// What a line is about; in this order below their segment.
const LOG: u8 = 0;
const OBJECT: u8 = 1;
const FILE: u8 = 2;

/// What is known of a damaged segment.
#[derive(Clone, Debug, Default)]
pub(super) struct SegmentDamage {
    /// What is wrong with its file.
    pub(super) file: Option<String>,
    /// Why it could not be read to its end.
    pub(super) reading: Option<String>,
    /// Of these: not found in it, or not reached.
    pub(super) absent: u64,
    /// Of these: found, and other than they should be.
    pub(super) wrong: u64,
}

/// A line that may have to be joined with others of the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    segment: u32,
    kind: u8,
    key: [u8; 16],
    line: Line,
}

/// A line, ordered as it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    segment: u32,
    kind: u8,
    order: (u32, u32, u32),
    /// The object, if the segment is known; else nothing.
    sequence: Option<u32>,
    /// Subject and reason, one behind the other.
    text: Place,
    snapshots: Place,
}

/// Takes what is found.
pub(super) struct Findings {
    spool: Spool,
    findings: Sorter<Finding>,
    segments: BTreeMap<u32, SegmentDamage>,
    /// How many objects are needed of each segment that was read.
    needed: HashMap<u32, u64>,
    /// The set that was spooled last.
    last_set: Option<(SnapshotSet, Place)>,
}

/// A file that is damaged.
pub(super) struct DamagedFile<'f> {
    pub(super) path: &'f EntryPath,
    /// What tells this state of the file from others.
    pub(super) key: [u8; 16],
    /// Its place in the first snapshot that has it.
    pub(super) order: (u32, u32, u32),
    /// The segment that is the reason.
    pub(super) segment: Option<u32>,
    /// The damaged object in it.
    pub(super) object: Option<ObjectId>,
    pub(super) reason: String,
}

impl Findings {
    pub(super) fn new() -> Result<Self> {
        let directory = std::env::temp_dir();
        Ok(Self {
            spool: Spool::create(&directory)?,
            findings: Sorter::new(&directory),
            segments: BTreeMap::new(),
            needed: HashMap::new(),
            last_set: None,
        })
    }

    /// Takes how many objects are needed of a segment, damaged or not: of the sums nothing is known yet.
    pub(super) fn needed(&mut self, number: u32, objects: u64) {
        self.needed.insert(number, objects);
    }

    /// Returns the segments that could not be read to their end, though nothing is wrong with their files, and why.
    pub(super) fn unread(&self) -> impl Iterator<Item = (u32, &str)> {
        let segments = self.segments.iter();
        let whole = segments.filter(|(_, damage)| damage.file.is_none());
        whole.filter_map(|(number, damage)| Some((*number, damage.reading.as_deref()?)))
    }

    /// Returns the segments that were read to their end.
    pub(super) fn read(&self) -> impl Iterator<Item = u32> {
        let is_unread = |number: &u32| {
            let damage = self.segments.get(number);
            damage.is_some_and(|damage| damage.reading.is_some())
        };
        self.needed.keys().copied().filter(move |n| !is_unread(n))
    }

    pub(super) fn segment(&mut self, number: u32) -> &mut SegmentDamage {
        self.segments.entry(number).or_default()
    }

    /// Takes a part of a log that is lost; the segment is that of the object, if it is one that is lost.
    pub(super) fn lost(
        &mut self,
        segment: Option<u32>,
        error: &LogError,
        order: (u32, u32),
        snapshots: &SnapshotSet,
    ) -> Result<()> {
        let line = Line {
            segment: segment.unwrap_or(NO_SEGMENT),
            kind: LOG,
            order: (order.0, order.1, 0),
            sequence: error.object.map(|object| object.sequence),
            text: 0,
            snapshots: self.set(snapshots)?,
        };
        let key = key(&[&error.subject, error.reason.as_bytes()]);
        self.add(line, key, &error.subject, &error.reason)
    }

    /// Takes an object that is not what references say of it.
    pub(super) fn object(&mut self, segment: u32, object: ObjectId, reason: &str) -> Result<()> {
        let line = Line {
            segment,
            kind: OBJECT,
            order: (0, 0, object.sequence),
            sequence: Some(object.sequence),
            text: 0,
            snapshots: self.set(&SnapshotSet::default())?,
        };
        let name = object.to_string();
        self.add(line, key(&[name.as_bytes()]), name.as_bytes(), reason)
    }

    /// Takes a file whose contents cannot be right.
    pub(super) fn file(&mut self, file: &DamagedFile<'_>, snapshots: &SnapshotSet) -> Result<()> {
        let line = Line {
            segment: file.segment.unwrap_or(NO_SEGMENT),
            kind: FILE,
            order: file.order,
            sequence: file.object.map(|object| object.sequence),
            text: 0,
            snapshots: self.set(snapshots)?,
        };
        let path = file.path.as_bytes();
        self.add(line, key(&[path, &file.key]), path, &file.reason)
    }

    fn add(&mut self, line: Line, key: [u8; 16], subject: &[u8], reason: &str) -> Result<()> {
        let text = self.spool.add_sized(subject)?;
        self.spool.add_sized(reason.as_bytes())?;
        self.findings.add(Finding {
            segment: line.segment,
            kind: line.kind,
            key,
            line: Line { text, ..line },
        })
    }

    fn set(&mut self, snapshots: &SnapshotSet) -> Result<Place> {
        if let Some((last, place)) = &self.last_set
            && last == snapshots
        {
            return Ok(*place);
        }
        let place = self.spool.add_sized(&snapshots.encode())?;
        self.last_set = Some((snapshots.clone(), place));
        Ok(place)
    }

    /// Tells everything, segment by segment, and returns the damaged segments with the snapshots that need them.
    pub(super) fn tell(self, telling: &Telling<'_>) -> Result<Damage> {
        let Self {
            mut spool,
            findings,
            mut segments,
            needed,
            ..
        } = self;
        segments.retain(|number, _| !telling.is_moot(*number));
        let damage = telling.damage(segments.keys().copied());
        let needed = |number| needed.get(&number).copied().unwrap_or(0);
        let (mut findings, mut lines) = (findings.finish()?, Sorter::new(&std::env::temp_dir()));
        while let Some(first) = findings.take()? {
            let mut snapshots = SnapshotSet::decode(&spool.sized(first.line.snapshots)?);
            let mut line = first.line;
            let same = |other: &Finding| {
                (other.segment, other.kind, other.key) == (first.segment, first.kind, first.key)
            };
            let mut joined = false;
            while let Some(other) = findings.take_if(same)? {
                joined |= other.line.snapshots != line.snapshots;
                snapshots.add(&SnapshotSet::decode(&spool.sized(other.line.snapshots)?));
            }
            if joined {
                line.snapshots = spool.add_sized(&snapshots.encode())?;
            }
            lines.add(line)?;
        }
        let (mut lines, mut segments) = (lines.finish()?, segments.into_iter().peekable());
        while let Some(line) = lines.take()? {
            while let Some((number, damage)) =
                segments.next_if(|(number, _)| *number <= line.segment)
            {
                telling.segment(number, &damage, needed(number));
            }
            if !telling.is_moot(line.segment) {
                telling.line(&line, &spool)?;
            }
        }
        for (number, damage) in segments {
            telling.segment(number, &damage, needed(number));
        }
        Ok(damage)
    }
}

fn key(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = *hasher.finalize().as_bytes();
    digest[..16].try_into().expect("sixteen bytes")
}

/// What telling needs besides the findings.
pub(super) struct Telling<'t> {
    pub(super) names: &'t [SnapshotName],
    /// Snapshots that were removed meanwhile: of what only they need, nothing is damage.
    pub(super) gone: SnapshotSet,
    pub(super) segments: &'t Segments,
    pub(super) catalog: &'t Catalog,
    pub(super) monitor: &'t Counter<'t>,
}

impl Telling<'_> {
    /// Tells whether a segment is one that only snapshots need which are gone.
    fn is_moot(&self, number: u32) -> bool {
        let listed_by = (number != NO_SEGMENT).then(|| self.segments.listed_by(number));
        listed_by.is_some_and(|listed| !listed.is_empty() && listed.without(&self.gone).is_empty())
    }

    /// Says what damaged segments lead back to.
    fn damage(&self, segments: impl Iterator<Item = u32>) -> Damage {
        let (mut ids, mut snapshots) = (Vec::new(), SnapshotSet::default());
        for number in segments {
            ids.push(self.segments.id(number));
            snapshots.add(self.segments.listed_by(number));
        }
        let damaged = self.names(&snapshots.without(&self.gone));
        let mut whole = SnapshotSet::default();
        (0..self.names.len()).for_each(|number| whole.insert(number));
        let whole = self.names(&whole.without(&snapshots).without(&self.gone));
        let is_superseded = |name: &&SnapshotName| {
            let by = |later: &SnapshotName| {
                later.scheme() == name.scheme() && later.instant() > name.instant()
            };
            whole
                .iter()
                .any(|other| !other.is_checkpoint() && by(other))
        };
        Damage {
            segments: ids,
            superseded: damaged.iter().filter(is_superseded).cloned().collect(),
            snapshots: damaged,
        }
    }

    fn names(&self, snapshots: &SnapshotSet) -> Vec<SnapshotName> {
        let names = snapshots.iter().filter_map(|at| self.names.get(at));
        names.cloned().collect()
    }

    fn segment(&self, number: u32, damage: &SegmentDamage, needed: u64) {
        let id = self.segments.id(number);
        let snapshots = &self.segments.listed_by(number).without(&self.gone);
        let reach = Reach {
            segment: Some(id),
            snapshots: self.names(snapshots),
            ..Reach::default()
        };
        let reason = format!(
            "{}; needed by {}",
            damage.told(needed),
            snapshots.told(self.names)
        );
        let file = self.catalog.segment_file(id);
        let subject = file.map_or_else(|| id.to_string(), |file| file.display().to_string());
        self.monitor.damage(subject.as_bytes(), reason, reach);
    }

    fn line(&self, line: &Line, spool: &Spool) -> Result<()> {
        let subject = spool.sized(line.text)?;
        let reason = spool.sized(line.text + 4 + subject.len() as u64)?;
        let mut reason = String::from_utf8_lossy(&reason).into_owned();
        let snapshots = SnapshotSet::decode(&spool.sized(line.snapshots)?).without(&self.gone);
        if line.kind != OBJECT && snapshots.is_empty() {
            return Ok(());
        }
        let told = snapshots.told(self.names);
        let segment = (line.segment != NO_SEGMENT).then(|| self.segments.id(line.segment));
        match line.kind {
            LOG if line.sequence.is_some() => {
                write!(reason, "; an unknown number of entries of {told} is lost")
            }
            LOG | FILE => write!(reason, "; in {told}"),
            _ => Ok(()),
        }
        .expect("a String takes all text");
        let reach = Reach {
            segment,
            object: segment
                .zip(line.sequence)
                .map(|(segment, sequence)| ObjectId { segment, sequence }),
            path: (line.kind == FILE)
                .then(|| EntryPath::new(subject.clone()).ok())
                .flatten(),
            snapshots: self.names(&snapshots),
        };
        self.monitor.damage(&subject, reason, reach);
        Ok(())
    }
}

impl SegmentDamage {
    /// Says what is wrong with the segment in one sentence.
    fn told(&self, needed: u64) -> String {
        let mut parts = Vec::new();
        parts.extend(self.file.clone());
        // That it is missing was said.
        if let Some(reading) = &self.reading
            && self.file.as_deref() != Some("is missing")
        {
            let reason = reading.strip_prefix("cannot read: ").unwrap_or(reading);
            parts.push(format!("the segment cannot be read: {reason}"));
        }
        let Self { absent, wrong, .. } = *self;
        if (absent, needed) == (1, 1) {
            parts.push("the one object needed of it is lost".to_owned());
        } else if absent > 0 && absent == needed {
            parts.push(format!("all {needed} objects needed of it are lost"));
        } else if absent > 0 {
            parts.push(format!(
                "{absent} of {needed} objects needed of it are lost"
            ));
        }
        if (wrong, needed) == (1, 1) {
            parts.push("the one object needed of it is damaged".to_owned());
        } else if wrong > 0 {
            parts.push(format!(
                "{wrong} of {needed} objects needed of it are damaged"
            ));
        }
        if needed > 0 && absent == 0 && wrong == 0 {
            parts.push("all that is needed of it can be read, perhaps with wrong bytes".to_owned());
        }
        parts.join("; ")
    }
}

impl Record for Finding {
    const BYTES: usize = 21 + Line::BYTES;

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5..21].copy_from_slice(&self.key);
        self.line.encode(&mut bytes[21..]);
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            segment: four(bytes, 0),
            kind: bytes[4],
            key: bytes[5..21].try_into().expect("sixteen bytes"),
            line: Line::decode(&bytes[21..]),
        }
    }
}

impl Record for Line {
    const BYTES: usize = 38;

    fn encode(&self, bytes: &mut [u8]) {
        let numbers = [
            self.segment,
            self.order.0,
            self.order.1,
            self.order.2,
            self.sequence.unwrap_or(0),
        ];
        for (number, bytes) in numbers.iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        bytes[20] = self.kind;
        bytes[21] = u8::from(self.sequence.is_some());
        bytes[22..30].copy_from_slice(&self.text.to_le_bytes());
        bytes[30..38].copy_from_slice(&self.snapshots.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            segment: four(bytes, 0),
            order: (four(bytes, 4), four(bytes, 8), four(bytes, 12)),
            sequence: (bytes[21] != 0).then(|| four(bytes, 16)),
            kind: bytes[20],
            text: eight(bytes, 22),
            snapshots: eight(bytes, 30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_survive_the_sorter() {
        for sequence in [None, Some(0), Some(0x0102_0304)] {
            let line = Line {
                segment: 7,
                kind: FILE,
                order: (1, 2, u32::MAX),
                sequence,
                text: u64::MAX - 1,
                snapshots: 1 << 40,
            };
            let (segment, kind, key) = (line.segment, line.kind, [9; 16]);
            let finding = Finding {
                segment,
                kind,
                key,
                line,
            };
            let mut bytes = [0xff; Finding::BYTES];
            finding.encode(&mut bytes);
            assert!(Finding::decode(&bytes) == finding);
        }
    }
}
