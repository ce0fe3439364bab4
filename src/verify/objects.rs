//! Level *objects*: every reference of every metadata log against the object that it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use anyhow::Result;

use super::Subject;
use super::sample::Drawn;
use crate::file_reader;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::entry::EntryKind;
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, SegmentId, Slice};
use crate::metadata_log::MetadataLogReader;
use crate::monitor::Counter;
use crate::sorter::{Record, Sorted, Sorter};
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// A reference in a fixed number of bytes, ordered by object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Check {
    object: ObjectId,
    slice: (u8, u64, u64),
    checksum: Option<(u8, [u8; 32])>,
}

/// Objects that cannot be used, and why.
type Damage = BTreeMap<ObjectId, String>;

/// Looks at every object that the snapshots refer to in the segments drawn, each segment once; returns how many.
pub(super) fn verify(
    catalog: &Catalog,
    subjects: &[Subject],
    drawn: &Drawn,
    unfilter: Option<&str>,
    monitor: &Counter<'_>,
) -> Result<u64> {
    let mut checks = Sorter::new(&std::env::temp_dir());
    let mut objects = ObjectCache::new(catalog, unfilter)?;
    let mut lists = ObjectCache::new(catalog, unfilter)?;
    for subject in subjects {
        collect(
            subject,
            &mut objects,
            &mut lists,
            &mut checks,
            drawn,
            monitor,
        )?;
    }
    drop((objects, lists));
    let mut damage = Damage::new();
    let count = read_segments(catalog, checks.finish()?, unfilter, &mut damage, monitor)?;
    if !damage.is_empty() {
        tell_paths(catalog, subjects, unfilter, &damage, monitor)?;
    }
    Ok(count)
}

/// Gathers the references of one metadata log, its own pieces and lists of references included.
fn collect(
    subject: &Subject,
    objects: &mut ObjectCache<'_>,
    lists: &mut ObjectCache<'_>,
    checks: &mut Sorter<Check>,
    drawn: &Drawn,
    monitor: &Counter<'_>,
) -> Result<()> {
    let mut pieces = Vec::new();
    let mut segments = BTreeSet::new();
    let mut watch = |reference: &ObjectRef| pieces.push(*reference);
    for item in MetadataLogReader::new(objects, subject.descriptor.root).watch(&mut watch) {
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                let reason = format_args!("in snapshot {}: {}", subject.name, error.reason);
                monitor.problem(&error.subject, reason);
                continue;
            }
        };
        let EntryKind::File(contents) = entry.kind else {
            continue;
        };
        let outer = contents
            .data
            .iter()
            .filter(|data| matches!(data, DataRef::Indirect(_)))
            .copied()
            .collect::<Vec<_>>();
        let inner = file_reader::expand(contents.data, lists).unwrap_or_else(|error| {
            let reason = format_args!("in snapshot {}: {error:#}", subject.name);
            monitor.problem(entry.path.as_bytes(), reason);
            Vec::new()
        });
        for data in outer.into_iter().chain(inner) {
            if let DataRef::Object(reference) | DataRef::Indirect(reference) = data {
                segments.insert(reference.object.segment);
                if drawn.has(reference.object.segment) {
                    checks.add(Check::new(&reference))?;
                }
            }
        }
    }
    for reference in pieces {
        segments.insert(reference.object.segment);
        if drawn.has(reference.object.segment) {
            checks.add(Check::new(&reference))?;
        }
    }
    // Whoever copies or thins out a store goes by the descriptor's list.
    for segment in segments {
        if subject.descriptor.segments.binary_search(&segment).is_err() {
            let reason =
                format_args!("needs segment {segment}, which its descriptor does not list");
            monitor.problem(subject.name.to_string().as_bytes(), reason);
        }
    }
    Ok(())
}

fn read_segments(
    catalog: &Catalog,
    mut checks: Sorted<Check>,
    unfilter: Option<&str>,
    damage: &mut Damage,
    monitor: &Counter<'_>,
) -> Result<u64> {
    let mut count = 0;
    while let Some(first) = checks.take()? {
        let segment = first.object.segment;
        let mut wanted: BTreeMap<u32, Vec<Check>> =
            BTreeMap::from([(first.object.sequence, vec![first])]);
        while let Some(check) = checks.take_if(|check| check.object.segment == segment)? {
            let of_object = wanted.entry(check.object.sequence).or_default();
            // Sorted, so that the same reference of another file or snapshot comes directly behind.
            if of_object.last() != Some(&check) {
                of_object.push(check);
            }
        }
        count += wanted.len() as u64;
        read_segment(catalog, segment, wanted, unfilter, damage, monitor);
    }
    Ok(count)
}

/// Reads a segment to its end and compares the objects that are wanted of it.
fn read_segment(
    catalog: &Catalog,
    segment: SegmentId,
    mut wanted: BTreeMap<u32, Vec<Check>>,
    unfilter: Option<&str>,
    damage: &mut Damage,
    monitor: &Counter<'_>,
) {
    let mut seen = HashMap::new();
    let read = catalog.open_segment(segment, unfilter).and_then(|reader| {
        reader.read(
            |_| true,
            |sequence, data| {
                if *seen
                    .entry(sequence)
                    .and_modify(|n| *n += 1)
                    .or_insert(1_u32)
                    == 1
                    && let Some(checks) = wanted.remove(&sequence)
                {
                    for error in checks.iter().filter_map(|check| check.compare(data).err()) {
                        damage.insert(ObjectId { segment, sequence }, format!("{error:#}"));
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )
    });
    let reason = match read {
        Ok(_) => "is missing from its segment".to_owned(),
        Err(error) => {
            monitor.problem(
                segment.to_string().as_bytes(),
                format_args!("the segment cannot be read: {error:#}"),
            );
            "cannot be reached in its damaged segment".to_owned()
        }
    };
    for sequence in wanted.into_keys() {
        damage.insert(ObjectId { segment, sequence }, reason.clone());
    }
}

/// Names every damaged object, and every path of every snapshot that needs one.
fn tell_paths(
    catalog: &Catalog,
    subjects: &[Subject],
    unfilter: Option<&str>,
    damage: &Damage,
    monitor: &Counter<'_>,
) -> Result<()> {
    for (object, reason) in damage {
        monitor.problem(
            object.to_string().as_bytes(),
            format_args!("the object {reason}"),
        );
    }
    let mut objects = ObjectCache::new(catalog, unfilter)?;
    for subject in subjects {
        for entry in MetadataLogReader::new(&mut objects, subject.descriptor.root).flatten() {
            let EntryKind::File(contents) = &entry.kind else {
                continue;
            };
            let damaged = contents.data.iter().find_map(|reference| match reference {
                DataRef::Object(r) | DataRef::Indirect(r) => {
                    damage.contains_key(&r.object).then_some(r.object)
                }
                DataRef::Zero(_) => None,
            });
            if let Some(object) = damaged {
                monitor.problem(
                    entry.path.as_bytes(),
                    format_args!(
                        "in snapshot {}: needs the damaged object {object}",
                        subject.name
                    ),
                );
            }
        }
    }
    Ok(())
}

impl Check {
    fn new(reference: &ObjectRef) -> Self {
        let slice = match reference.slice {
            Slice::Whole => (0, 0, 0),
            Slice::First(n) => (1, n, 0),
            Slice::Exactly(n) => (2, n, 0),
            Slice::Part { start, length } => (3, start, length),
        };
        let checksum = reference
            .checksum
            .map(|sum| (algorithm_code(sum.algorithm()), *sum.padded_digest()));
        Self {
            object: reference.object,
            slice,
            checksum,
        }
    }

    fn compare(&self, object: &[u8]) -> Result<()> {
        let reference = self.reference();
        reference.range(object.len() as u64)?;
        reference
            .checksum
            .map_or(Ok(()), |wanted| Ok(wanted.verify(object)?))
    }

    fn reference(&self) -> ObjectRef {
        let slice = match self.slice {
            (0, _, _) => Slice::Whole,
            (1, n, _) => Slice::First(n),
            (2, n, _) => Slice::Exactly(n),
            (_, start, length) => Slice::Part { start, length },
        };
        let checksum = self
            .checksum
            .map(|(code, digest)| Checksum::from_padded_digest(algorithm(code), digest));
        ObjectRef {
            object: self.object,
            checksum,
            slice,
        }
    }
}

fn algorithm_code(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha1 => 1,
        Algorithm::Sha224 => 2,
        Algorithm::Sha256 => 3,
    }
}

fn algorithm(code: u8) -> Algorithm {
    match code {
        1 => Algorithm::Sha1,
        2 => Algorithm::Sha224,
        _ => Algorithm::Sha256,
    }
}

impl Record for Check {
    const BYTES: usize = 70;

    fn encode(&self, bytes: &mut [u8]) {
        bytes[..16].copy_from_slice(self.object.segment.as_bytes());
        bytes[16..20].copy_from_slice(&self.object.sequence.to_le_bytes());
        bytes[20] = self.slice.0;
        bytes[21..29].copy_from_slice(&self.slice.1.to_le_bytes());
        bytes[29..37].copy_from_slice(&self.slice.2.to_le_bytes());
        let (code, digest) = self.checksum.unwrap_or((0, [0; 32]));
        bytes[37] = code;
        bytes[38..70].copy_from_slice(&digest);
    }

    fn decode(bytes: &[u8]) -> Self {
        let eight =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let segment = SegmentId::from_bytes(bytes[..16].try_into().expect("sixteen bytes"));
        let sequence = u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes"));
        let digest = bytes[38..70].try_into().expect("thirty-two bytes");
        Self {
            object: ObjectId { segment, sequence },
            slice: (bytes[20], eight(21), eight(29)),
            checksum: (bytes[37] != 0).then_some((bytes[37], digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_the_sorter() {
        let id = "90b3367e-c348-47df-8e3c-4f2b64714d8c/0000001f";
        for text in [
            id.to_owned(),
            format!("{id}[5]"),
            format!("{id}[=5]"),
            format!("{id}(sha1=a9993e364706816aba3e25717850c26c9cd0d89d)[2+3]"),
            format!("{id}(sha224=23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7)"),
        ] {
            let reference = ObjectRef::parse(text.as_bytes()).expect("parses");
            let mut bytes = [0; Check::BYTES];
            Check::new(&reference).encode(&mut bytes);
            assert_eq!(Check::decode(&bytes).reference().to_string(), text);
        }
    }
}
