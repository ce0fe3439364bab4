//! Checks a store without changing it: the conductor of `pileus verify`.
//!
//! Three levels, each including those before it. *sums*: every file that the sums files name is there and has its checksum.
//! *objects*: each segment opens, and every reference of every metadata log resolves to an object that matches it; each segment is
//! read once, however many snapshots share it. *files*: the whole contents of every file match its checksum.
//!
//! With a sample, segments outside it are neither hashed nor read, but for those of metadata; of the files, those are read whose first
//! object is in the sample.
//!
//! Damage is told where it is (a file of the store, an object) and then, in a second reading of the metadata logs that only damage
//! makes necessary, for every path that it touches. Everything undamaged is still checked.

mod objects;
mod sample;
mod sums;

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Result;

use crate::file_reader;
use crate::format::descriptor::Descriptor;
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::object_ref::DataRef;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Counter, Monitor};
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

use sample::Drawn;
pub use sample::Sample;

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The files of the store against their sums.
    Sums,
    /// Also every object that is referred to.
    Objects,
    /// Also the contents of every file.
    Files,
}

/// What a verification does.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The store.
    pub store: PathBuf,
    /// The snapshots; each must exist.
    pub snapshots: Vec<SnapshotName>,
    /// How much is checked.
    pub level: Level,
    /// Which part of the segments is read; all if there is nothing.
    pub sample: Option<Sample>,
    /// Shell command that has to accept every descriptor's signature.
    pub verify_signature: Option<String>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

/// What a verification did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Snapshots whose descriptors could be used.
    pub snapshots: u64,
    /// Segments in the sample, if there was one.
    pub sampled_segments: Option<u64>,
    /// Files of the store whose checksums were compared.
    pub store_files: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Files whose contents were compared.
    pub files: u64,
    /// Number of problems told.
    pub problems: u64,
}

/// A snapshot that is being verified.
struct Subject {
    name: SnapshotName,
    descriptor: Descriptor,
}

/// Verifies snapshots. An error means that it could not be done; damage is counted in the report.
pub fn run(options: &VerifyOptions, monitor: &dyn Monitor) -> Result<VerifyReport> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let mut report = VerifyReport::default();
    let mut subjects = Vec::new();
    for name in &options.snapshots {
        match snapshot::open(&catalog, name, options.verify_signature.as_deref()) {
            Ok(descriptor) => subjects.push(Subject {
                name: name.clone(),
                descriptor,
            }),
            Err(error) => monitor.problem(name.to_string().as_bytes(), format_args!("{error:#}")),
        }
    }
    report.snapshots = subjects.len() as u64;
    let drawn = Drawn::new(options.sample, &subjects);
    report.sampled_segments = drawn.count();
    report.store_files = sums::verify(&catalog, &subjects, &drawn, &monitor);
    if options.level >= Level::Objects {
        for subject in &subjects {
            catalog.ensure_readable(&subject.descriptor.segments, options.unfilter.as_deref())?;
        }
        let unfilter = options.unfilter.as_deref();
        report.objects = objects::verify(&catalog, &subjects, &drawn, unfilter, &monitor)?;
    }
    if options.level >= Level::Files {
        let unfilter = options.unfilter.as_deref();
        report.files = verify_files(&catalog, &subjects, &drawn, unfilter, &monitor)?;
    }
    report.problems = monitor.problems();
    Ok(report)
}

/// Most different contents that are remembered, some 20 MB. Beyond that all are forgotten, and some are read twice.
const SEEN_MAX: usize = 1 << 19;

/// Reads every file's contents once, also if several snapshots share them. Damaged metadata was told by the level before.
fn verify_files(
    catalog: &Catalog,
    subjects: &[Subject],
    drawn: &Drawn,
    unfilter: Option<&str>,
    monitor: &Counter<'_>,
) -> Result<u64> {
    let mut objects = ObjectCache::new(catalog, unfilter)?;
    let mut data_objects = ObjectCache::new(catalog, unfilter)?;
    let mut seen = HashSet::new();
    let mut files = 0;
    for subject in subjects {
        for entry in MetadataLogReader::new(&mut objects, subject.descriptor.root).flatten() {
            let EntryKind::File(contents) = &entry.kind else {
                continue;
            };
            if !begins_in(drawn, contents) || !seen.insert(contents_key(&entry)) {
                continue;
            }
            files += 1;
            if seen.len() >= SEEN_MAX {
                seen.clear();
            }
            if let Err(error) = file_reader::read(contents, &mut data_objects, &mut |_| Ok(())) {
                monitor.problem(
                    entry.path.as_bytes(),
                    format_args!("in snapshot {}: {error:#}", subject.name),
                );
            }
        }
    }
    Ok(files)
}

/// Tells whether the first object of a file is in the sample; a file of zeros alone costs nothing.
fn begins_in(drawn: &Drawn, contents: &FileContents) -> bool {
    let mut segments = contents.data.iter().filter_map(|data| match data {
        DataRef::Object(reference) | DataRef::Indirect(reference) => Some(reference.object.segment),
        DataRef::Zero(_) => None,
    });
    segments.next().is_none_or(|first| drawn.has(first))
}

/// Identifies size, checksum and references of a file in 16 bytes.
fn contents_key(entry: &Entry) -> [u8; 16] {
    let EntryKind::File(contents) = &entry.kind else {
        return [0; 16];
    };
    let mut text = format!("{} {:?} ", contents.size, contents.checksum).into_bytes();
    for reference in &contents.data {
        reference.encode(&mut text);
        text.push(b' ');
    }
    let digest = *blake3::hash(&text).as_bytes();
    digest[..16].try_into().expect("sixteen bytes")
}
