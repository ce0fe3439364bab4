//! What changed from one snapshot to another, or to what is on the disk now: the conductor of `pileus diff`.
//!
//! Both sides are read in path order, in step, and nothing is kept but the present entry of each. Pieces of the metadata log that both
//! snapshots name are not read. A part of a log that is lost is a problem; what the other side has there is counted as not compared, and
//! the rest is compared all the same.
//!
//! On the disk, contents are taken for the same if size and time of change are, unless they are asked for; where only the times differ,
//! the checksum decides.

mod disk;
mod sources;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::changes::{self, Aspect, Recorded, Sameness};
use crate::chosen::{Chosen, Relation};
use crate::file_reader;
use crate::format::checksum::{Algorithm, Checksum, Hasher};
use crate::format::descriptor::Descriptor;
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::{EntryStream, Merged, MetadataLogReader, Side, Step};
use crate::monitor::{Counter, Monitor, Progress};
use crate::pattern::Pattern;
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;
use disk::Disk;
use sources::Sources;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct DiffOptions {
    /// The store.
    pub store: PathBuf,
    /// The older side.
    pub old: SnapshotName,
    /// The newer side.
    pub new: Other,
    /// Only these and all below them; everything if empty.
    pub only: Vec<EntryPath>,
    /// What is left out on both sides, with all below it.
    pub excluded: Vec<Pattern>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

/// What a snapshot is compared with.
#[derive(Clone, Debug)]
pub enum Other {
    /// Another one.
    Snapshot(SnapshotName),
    /// Files on the disk.
    Disk {
        /// The directory that stored paths are relative to. If none is named it is `/`, where something of the snapshot has to be.
        root: Option<PathBuf>,
        /// Whether contents are read although size and time of change are the same.
        read_contents: bool,
    },
}

/// One path that is not the same on both sides.
#[derive(Debug)]
pub struct Difference<'a> {
    /// The path.
    pub path: &'a EntryPath,
    /// What the older side has.
    pub old: Option<&'a Entry>,
    /// What the newer side has.
    pub new: Option<&'a Entry>,
    /// What differs, if both have it.
    pub aspects: &'a [Aspect],
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffReport {
    /// Paths of the newer side alone.
    pub added: u64,
    /// Paths of the older side alone.
    pub removed: u64,
    /// Paths whose type or contents changed.
    pub changed: u64,
    /// Paths of which only something else changed.
    pub metadata: u64,
    /// Paths that cannot be compared because something is lost or cannot be read; there may be more that nobody knows of.
    pub not_compared: u64,
    /// Paths that were compared.
    pub compared: u64,
    /// Whether a part of a side is lost or cannot be read.
    pub is_partial: bool,
    /// By how much files that are new or grew are larger, in bytes.
    pub added_bytes: u64,
    /// By how much files that vanished or shrank are smaller, in bytes.
    pub removed_bytes: u64,
    /// Number of problems told.
    pub problems: u64,
}

impl DiffReport {
    /// Tells whether no difference was found.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed + self.metadata + self.not_compared == 0
    }
}

/// Compares; `tell` gets each difference, in path order. An error means that it could not be done.
pub fn run(
    options: &DiffOptions,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&Difference<'_>) -> Result<()>,
) -> Result<DiffReport> {
    let catalog = Catalog::open(&options.store)?;
    let unfilter = options.unfilter.as_deref();
    let open = |name: &SnapshotName| -> Result<Descriptor> {
        let descriptor = snapshot::open_chosen(&catalog, name, None)?;
        catalog.ensure_readable(&descriptor.segments, unfilter)?;
        Ok(descriptor)
    };
    let old = open(&options.old)?;
    let mut objects = ObjectCache::new(&catalog, unfilter)?;
    let mut comparison = Comparison {
        contents: Contents {
            objects: ObjectCache::new(&catalog, unfilter)?,
            recorded: Recorded::by(&old.producer),
            disk: None,
        },
        chosen: Chosen::new(&options.only),
        excluded: &options.excluded,
        below_excluded: None,
        monitor: Counter::new(monitor),
        report: DiffReport::default(),
        tell,
        of_old: 0,
        expected: old.totals.map(|totals| totals.entries),
    };
    match &options.new {
        Other::Snapshot(name) => {
            let new = open(name)?;
            // What both share is not read.
            comparison.expected = None;
            comparison.contents.recorded =
                Recorded::by(&old.producer).and(Recorded::by(&new.producer));
            let root = old.root;
            if root != new.root || !options.only.is_empty() {
                let mut other_objects = ObjectCache::new(&catalog, unfilter)?;
                let old = MetadataLogReader::new(&mut objects, old.root);
                let new = MetadataLogReader::new(&mut other_objects, new.root);
                comparison.compare(Merged::of_logs(old, new))?;
                let old = MetadataLogReader::new(&mut objects, root);
                comparison.look_for_unmet(old);
            }
        }
        Other::Disk {
            root,
            read_contents,
        } => {
            let is_named = root.is_some();
            let root = root.clone().unwrap_or_else(|| PathBuf::from("/"));
            ensure!(root.is_dir(), "{} is not a directory", root.display());
            let log = MetadataLogReader::new(&mut objects, old.root);
            let sources = Sources::of_log(log, old.is_by_pileus(), !options.only.is_empty());
            if !is_named {
                let log = MetadataLogReader::new(&mut objects, old.root);
                sources.ensure_any_in(&root, &options.only, log)?;
            }
            comparison.contents.disk = Some((root.clone(), *read_contents));
            let disk = Disk::new(
                &root,
                sources,
                Chosen::new(&options.only),
                &options.excluded,
                monitor,
            );
            let old = MetadataLogReader::new(&mut objects, old.root);
            comparison.compare(Merged::new(old, disk))?;
            if options.only.is_empty() && options.excluded.is_empty() {
                comparison.count_lost();
            }
        }
    }
    Ok(comparison.finish())
}

/// A comparison under way.
struct Comparison<'r, 'c> {
    contents: Contents<'c>,
    chosen: Chosen,
    excluded: &'r [Pattern],
    /// The excluded directory that the walk is in.
    below_excluded: Option<EntryPath>,
    monitor: Counter<'r>,
    report: DiffReport,
    tell: &'r mut dyn FnMut(&Difference<'_>) -> Result<()>,
    /// Number of entries of the older side that were read.
    of_old: u64,
    /// Number of entries to compare, if that is known before.
    expected: Option<u64>,
}

impl Comparison<'_, '_> {
    fn compare<O: EntryStream, N: EntryStream>(&mut self, merged: Merged<O, N>) -> Result<()> {
        for (done, step) in (0..).zip(merged) {
            self.tell_progress(done, &step);
            match step {
                Step::Lost(side, error) => {
                    self.report.is_partial = true;
                    if error.is_news()? {
                        let of = match side {
                            Side::Old => "of the older side: ",
                            Side::New => "of the newer side: ",
                        };
                        self.monitor
                            .problem(&error.subject, format_args!("{of}{}", error.reason));
                    }
                }
                Step::One(side, entry, certain) => {
                    self.of_old += u64::from(side == Side::Old);
                    self.one(side, &entry, certain)?;
                }
                Step::Both(both) => {
                    self.of_old += 1;
                    self.both(&both.0, &both.1)?;
                }
            }
        }
        Ok(())
    }

    /// Counts what the snapshot has lost: of the disk, only what the snapshot is known to be about was looked at.
    fn count_lost(&mut self) {
        if let Some(entries) = self.expected.filter(|_| self.report.is_partial) {
            let lost = entries.saturating_sub(self.of_old);
            self.report.not_compared = self.report.not_compared.max(lost);
        }
    }

    /// Tells how far the comparison has come, if anybody wants to know.
    fn tell_progress(&self, done: u64, step: &Step) {
        if !self.monitor.wants_progress() {
            return;
        }
        let path = match step {
            Step::Lost(..) => None,
            Step::One(_, entry, _) => Some(&entry.path),
            Step::Both(both) => Some(&both.0.path),
        };
        self.monitor.tell_progress(Progress {
            done,
            total: self.expected,
            unit: "entries",
            path,
            ..Progress::default()
        });
    }

    /// What both snapshots share was not read, and a path that was asked for may be there.
    fn look_for_unmet(&mut self, log: MetadataLogReader<'_, '_>) {
        if self.chosen.unmet().next().is_some() {
            for entry in log.flatten() {
                self.chosen.relate(&entry.path);
            }
        }
    }

    fn finish(mut self) -> DiffReport {
        for path in self.chosen.unmet() {
            let reason = if self.report.is_partial {
                "is in nothing that can be read of the sides"
            } else {
                "is on neither of the sides"
            };
            self.monitor.problem(path.as_bytes(), reason);
        }
        self.report.problems = self.monitor.problems();
        self.report
    }

    fn is_wanted(&mut self, path: &EntryPath, is_directory: bool) -> bool {
        if self.chosen.relate(path) != Relation::Within {
            return false;
        }
        if let Some(above) = &self.below_excluded {
            if path.is_within(above) {
                return false;
            }
            self.below_excluded = None;
        }
        let excluded = self.excluded.iter().any(|p| p.matches(path, is_directory));
        if excluded && is_directory {
            self.below_excluded = Some(path.clone());
        }
        !excluded
    }

    fn one(&mut self, side: Side, entry: &Entry, certain: bool) -> Result<()> {
        // A disk has a root always, a snapshot only if that was backed up.
        let is_root = entry.path.is_scan_root() && self.contents.disk.is_some();
        if is_root || !self.is_wanted(&entry.path, is_directory(entry)) {
            return Ok(());
        }
        if !certain {
            self.report.not_compared += 1;
            return Ok(());
        }
        self.report.compared += 1;
        let (old, new) = match side {
            Side::Old => {
                self.report.removed += 1;
                add(&mut self.report.removed_bytes, size(entry));
                (Some(entry), None)
            }
            Side::New => {
                self.report.added += 1;
                add(&mut self.report.added_bytes, size(entry));
                (None, Some(entry))
            }
        };
        (self.tell)(&Difference {
            path: &entry.path,
            old,
            new,
            aspects: &[],
        })
    }

    fn both(&mut self, old: &Entry, new: &Entry) -> Result<()> {
        if !self.is_wanted(&old.path, is_directory(old) || is_directory(new)) {
            return Ok(());
        }
        self.report.compared += 1;
        let mut aspects = changes::metadata(old, new, self.contents.recorded);
        match self.contents.differ(old, new) {
            Ok(true) => aspects.insert(0, Aspect::Contents),
            Ok(false) => {}
            Err(error) => {
                self.report.not_compared += 1;
                let reason = format_args!("its contents cannot be compared: {error:#}");
                self.monitor.problem(old.path.as_bytes(), reason);
            }
        }
        if aspects.is_empty() {
            return Ok(());
        }
        let (added, removed) = (&mut self.report.added_bytes, &mut self.report.removed_bytes);
        add(added, size(new).saturating_sub(size(old)));
        add(removed, size(old).saturating_sub(size(new)));
        if matches!(aspects[0], Aspect::Contents | Aspect::Type) {
            self.report.changed += 1;
        } else {
            self.report.metadata += 1;
        }
        (self.tell)(&Difference {
            path: &old.path,
            old: Some(old),
            new: Some(new),
            aspects: &aspects,
        })
    }
}

/// Compares contents of files.
struct Contents<'c> {
    objects: ObjectCache<'c>,
    recorded: Recorded,
    /// Where the newer side is, if it is on the disk, and whether it is to be read whatever its times say.
    disk: Option<(PathBuf, bool)>,
}

impl Contents<'_> {
    fn differ(&mut self, old: &Entry, new: &Entry) -> Result<bool> {
        let (EntryKind::File(of_old), EntryKind::File(of_new)) = (&old.kind, &new.kind) else {
            return Ok(false);
        };
        let Some((root, read_contents)) = self.disk.clone() else {
            return match changes::contents(of_old, of_new) {
                Sameness::Same => Ok(false),
                Sameness::Different => Ok(true),
                Sameness::Unknown => Ok(self.stored(of_old)? != self.stored(of_new)?),
            };
        };
        let same_size = of_old.size == of_new.size;
        if same_size && !read_contents && self.recorded.same_time(old.mtime, new.mtime) {
            return Ok(false);
        }
        let no_read = "cannot read it on the disk";
        let mut file = disk::open(&root, &new.path).context(no_read)?;
        if !same_size && disk::ends_at(&file, of_new.size).context(no_read)? {
            return Ok(true);
        }
        let wanted = match of_old.checksum {
            Some(checksum) => checksum,
            None => self.stored(of_old)?,
        };
        let same = disk::has_contents(&mut file, of_old.size, &wanted).context(no_read)?;
        Ok(!same)
    }

    /// Reads contents in the store only to get a checksum that can be compared: older programs used others, or none.
    fn stored(&mut self, contents: &FileContents) -> Result<Checksum> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        file_reader::read(contents, &mut self.objects, &mut |part| {
            part.feed(&mut hasher);
            Ok(())
        })?;
        Ok(hasher.finish())
    }
}

fn is_directory(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Directory)
}

/// Adds up sizes, which a store may claim to be anything.
fn add(sum: &mut u64, bytes: u64) {
    *sum = sum.saturating_add(bytes);
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::File(contents) => contents.size,
        _ => 0,
    }
}
