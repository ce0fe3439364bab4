//! Checks a store without changing it: the conductor of `pileus verify`.
//!
//! Three levels, each including those before it. *sums*: every file that the sums files name is there and has its checksum.
//! *objects*: each segment opens, and every reference of every metadata log resolves to an object that matches it; each segment is
//! read once, however many snapshots share it. *files*: the whole contents of every file match its checksum.
//!
//! With a sample, segments outside it are neither hashed nor read, but for those of metadata; of the files, those are read whose first
//! object is in the sample.
//!
//! The work goes by segments, not by files: [`logs`] reads every part of every log once, [`collect`] sorts references and files by
//! segment, and [`objects`] and [`contents`] look at both while each segment is read ([`ahead`]). So a store of a thousand snapshots
//! costs its descriptors, its roots and its segments, once each, and memory is bounded whatever the store has.
//!
//! Damage is gathered ([`findings`]) and told at the end as a chain, from segments to snapshots; the files in it come from a second
//! reading of the logs, which only damage makes necessary ([`reach`]). Everything undamaged is still checked. What belongs to snapshots alone
//! that a prune removed meanwhile is not damage.

mod ahead;
mod bad_contents;
mod collect;
mod contents;
mod findings;
mod logs;
mod objects;
mod packed;
mod reach;
mod sample;
mod segments;
mod snapshots;
mod sums;
mod unfilter;

use std::path::PathBuf;

use anyhow::Result;

use crate::format::object_ref::{ObjectRef, SegmentId};
use crate::format::snapshot_name::SnapshotName;
use crate::monitor::{Counter, Monitor};
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;
use crate::store::segment_reader::SegmentReader;

use ahead::Opening;
use bad_contents::BadContents;
use collect::Collector;
use contents::ContentsWriter;
use findings::{Findings, Telling};
use objects::{Damaged, Objects};
use reach::Reached;
use sample::Drawn;
pub use sample::Sample;
use segments::{Listed, Segments};
use snapshots::SnapshotSet;
use sums::Sums;

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
    /// Number of threads that read segments.
    pub jobs: usize,
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
    /// What they lead back to.
    pub damage: Damage,
}

/// Damaged segments, and who needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The segments: what of them is lost can be stored again, once local state knows of it.
    pub segments: Vec<SegmentId>,
    /// The snapshots that list them, which stay as they are.
    pub snapshots: Vec<SnapshotName>,
    /// Those of them after which there is a complete one of the scheme that lists none of them.
    pub superseded: Vec<SnapshotName>,
}

/// A snapshot that is being verified.
struct Subject {
    name: SnapshotName,
    root: ObjectRef,
}

/// Verifies snapshots. An error means that it could not be done; damage is counted in the report.
pub fn run(options: &VerifyOptions, monitor: &dyn Monitor) -> Result<VerifyReport> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let mut report = VerifyReport::default();
    let mut sums = Sums::new(&catalog);
    let (subjects, listed) = read_descriptors(options, &catalog, &mut sums, &monitor);
    report.snapshots = subjects.len() as u64;
    let drawn = Drawn::new(options.sample, &listed);
    report.sampled_segments = drawn.count();
    sums.keep(&drawn);
    let mut verifier = Verifier {
        options,
        catalog: &catalog,
        subjects: &subjects,
        drawn: &drawn,
        sums: &sums,
        monitor: &monitor,
        segments: Segments::new(listed, &catalog),
        findings: Findings::new()?,
    };
    if options.level >= Level::Objects {
        let ids = verifier.segments.ids();
        catalog.ensure_readable(&ids, options.unfilter.as_deref())?;
        verifier.check_contents(&mut report)?;
    }
    report.store_files = sums.compare_rest(&monitor);
    report.damage = verifier.tell()?;
    report.problems = monitor.problems();
    Ok(report)
}

/// Reads every descriptor and what it says of files of the store.
fn read_descriptors(
    options: &VerifyOptions,
    catalog: &Catalog,
    sums: &mut Sums<'_>,
    monitor: &Counter<'_>,
) -> (Vec<Subject>, Listed) {
    let (mut subjects, mut listed) = (Vec::new(), Listed::new());
    for (done, name) in (0..).zip(&options.snapshots) {
        monitor.progress(done, options.snapshots.len() as u64, "descriptors");
        match snapshot::open(catalog, name, options.verify_signature.as_deref()) {
            Ok(descriptor) => {
                sums.gather(name, &descriptor, monitor);
                for segment in &descriptor.segments {
                    listed.entry(*segment).or_default().insert(subjects.len());
                }
                subjects.push(Subject {
                    name: name.clone(),
                    root: descriptor.root,
                });
            }
            Err(_) if catalog.has_gone(name) => note_gone(name, monitor),
            Err(error) => {
                monitor.problem(
                    name.to_string().as_bytes(),
                    snapshot::way_out(&error, &options.store, name),
                );
            }
        }
    }
    (subjects, listed)
}

/// A prune may be under way. It removes descriptors first, so whatever is missing because of it is of a snapshot that is gone.
fn note_gone(name: &SnapshotName, monitor: &Counter<'_>) {
    monitor.note(&format!("{name} was removed while the store was verified"));
}

/// What the parts of a verification share.
struct Verifier<'v> {
    options: &'v VerifyOptions,
    catalog: &'v Catalog,
    subjects: &'v [Subject],
    drawn: &'v Drawn,
    sums: &'v Sums<'v>,
    monitor: &'v Counter<'v>,
    segments: Segments,
    findings: Findings,
}

impl Verifier<'_> {
    /// The levels above that of sums.
    fn check_contents(&mut self, report: &mut VerifyReport) -> Result<()> {
        let (sums, unfilter) = (self.sums, self.options.unfilter.as_deref());
        let compare = |id, reader: &SegmentReader| sums.compare_opened(id, reader);
        let cache = || ObjectCache::new(self.catalog, unfilter).map(|cache| cache.watch(&compare));
        let contents = match self.options.level {
            Level::Files => Some(ContentsWriter::new()?),
            Level::Sums | Level::Objects => None,
        };
        let mut log_objects = cache()?;
        let mut collector = Collector::new(
            &mut self.segments,
            self.drawn,
            &mut self.findings,
            cache()?,
            contents,
        );
        logs::walk(
            self.subjects,
            &mut log_objects,
            self.monitor,
            &mut |part, found| collector.take(part, found),
        )?;
        let gathered = collector.finish()?;
        for (segment, snapshots) in &gathered.unlisted {
            let id = self.segments.id(*segment);
            for snapshot in snapshots.iter() {
                let name = self.subjects[snapshot].name.to_string();
                let reason = format_args!("needs segment {id}, which its descriptor does not list");
                self.monitor.problem(name.as_bytes(), reason);
            }
        }
        let to_read: Vec<_> = gathered
            .needed
            .iter()
            .filter(|number| {
                let read = log_objects.has_read_whole(self.segments.id(**number));
                !read || gathered.with_data.contains(number) || gathered.suspect.contains(number)
            })
            .copied()
            .collect();
        drop(log_objects);
        let contents = gathered.contents;
        let mut objects = Objects {
            segments: &self.segments,
            checks: gathered.checks,
            contents: contents
                .map(|contents| contents.finish(&self.segments, self.drawn))
                .transpose()?,
            findings: &mut self.findings,
            damaged: Damaged::default(),
            count: 0,
        };
        let opening = Opening {
            catalog: self.catalog,
            unfilter,
            sums,
        };
        objects.read(opening, &to_read, self.options.jobs, self.monitor)?;
        report.objects = objects.count;
        let (damaged, mut bad) = (objects.damaged, None);
        if let Some(contents) = objects.contents {
            let (files, found) = contents.finish(&mut cache()?, self.monitor)?;
            report.files = files;
            bad = Some(found).filter(|bad| !bad.is_empty());
        }
        if damaged.is_empty() && bad.is_none() {
            return Ok(());
        }
        self.find_files(&damaged, bad.as_ref())
    }

    /// Reads the logs again, for the files that need what is damaged.
    fn find_files(&mut self, damaged: &Damaged, bad: Option<&BadContents>) -> Result<()> {
        let unfilter = self.options.unfilter.as_deref();
        let cache = || ObjectCache::new(self.catalog, unfilter);
        let (segments, findings) = (&self.segments, &mut self.findings);
        let mut reached = Reached::new(damaged, bad, segments, findings, cache()?);
        logs::walk(
            self.subjects,
            &mut cache()?,
            self.monitor,
            &mut |part, found| reached.take(part, found),
        )?;
        reached.finish()
    }

    /// Tells what is damaged, now that all is known.
    fn tell(mut self) -> Result<Damage> {
        for (id, reason) in self.sums.wrong() {
            let number = self.segments.number(id);
            self.findings.segment(number).file = Some(reason);
        }
        let unread = unfilter::unread(&self.findings, &self.segments, self.catalog, self.sums);
        if let Some(unread) = unread.as_ref().filter(|unread| unread.is_everything()) {
            unread.report(self.catalog, self.sums, self.monitor);
            return Ok(Damage::default());
        }
        let names: Vec<_> = self.subjects.iter().map(|s| s.name.clone()).collect();
        let mut gone = SnapshotSet::default();
        for (number, name) in names.iter().enumerate() {
            if self.catalog.has_gone(name) {
                gone.insert(number);
                note_gone(name, self.monitor);
            }
        }
        let damage = self.findings.tell(&Telling {
            names: &names,
            gone,
            segments: &self.segments,
            catalog: self.catalog,
            monitor: self.monitor,
        })?;
        match unread {
            // What can be read with another key need not be stored again.
            Some(unread) if unread.is_all_of(&damage) => {
                let told = format!("--unfilter {}", unread.told(self.catalog));
                self.monitor.warn(&told);
                Ok(Damage::default())
            }
            _ => Ok(damage),
        }
    }
}
