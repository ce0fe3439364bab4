//! Every version of every path that fits a pattern, over all snapshots: the conductor of `pileus find`.
//!
//! The snapshots of a scheme are a series; each is compared with the one before, so that a piece of metadata which both share is not
//! read again, and snapshots with the same root are not read at all. What appeared, changed or vanished is an event. Events come by
//! snapshot and are wanted by path: those of one snapshot are in path order already, lie on disk as one run, and are merged. Memory holds
//! one event and a buffer of each run, whatever is found.
//!
//! Where a part of a snapshot's metadata is lost, nobody knows whether what the one before has there is still so, or there at all: that
//! ends its version, and the next snapshot in which the path is known begins another. A version has only snapshots that are known to
//! have it so.
//!
//! Checkpoints are left out: they have what a run had come to, and the rest would seem to have vanished.

mod runs;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::changes::{self, Recorded, Sameness};
use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::ObjectRef;
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::{EntryStream, Merged, MetadataLogReader, Side, Step};
use crate::monitor::{Counter, Monitor};
use crate::pattern::Pattern;
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;
use runs::{Event, Runs};

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct FindOptions {
    /// The store.
    pub store: PathBuf,
    /// What a path has to fit; one is enough.
    pub patterns: Vec<Pattern>,
    /// Only snapshots of this series.
    pub scheme: Option<String>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

/// A path as it was in one snapshot or several in a row.
#[derive(Debug)]
pub struct Version<'a> {
    /// What it was.
    pub entry: &'a Entry,
    /// The first snapshot that has it so.
    pub first: &'a SnapshotName,
    /// The last snapshot that has it so.
    pub last: &'a SnapshotName,
    /// Number of snapshots from the first to the last.
    pub snapshots: u64,
    /// The next snapshot of the series, unless the series ends here.
    pub end: Option<End<'a>>,
}

/// How a version ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The snapshot has another version.
    Changed(&'a SnapshotName),
    /// The snapshot does not have the path.
    Vanished(&'a SnapshotName),
    /// What the snapshot has there is lost.
    Lost(&'a SnapshotName),
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindReport {
    /// Snapshots looked through.
    pub snapshots: u64,
    /// Different paths found.
    pub paths: u64,
    /// Versions found.
    pub versions: u64,
    /// Number of problems told.
    pub problems: u64,
}

/// A snapshot of a series.
struct Member {
    name: SnapshotName,
    root: ObjectRef,
    recorded: Recorded,
}

/// Searches; `tell` gets each version, in path order and then by series and time. An error means that it could not be done.
pub fn run(
    options: &FindOptions,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&Version<'_>) -> Result<()>,
) -> Result<FindReport> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let members = members(options, &catalog, &monitor)?;
    let unfilter = options.unfilter.as_deref();
    let mut caches = [
        ObjectCache::new(&catalog, unfilter)?,
        ObjectCache::new(&catalog, unfilter)?,
    ];
    let mut runs = Runs::new()?;
    for at in 0..members.len() {
        monitor.progress(at as u64, members.len() as u64, "snapshots");
        let member = &members[at];
        let before = at.checked_sub(1).map(|before| &members[before]);
        let before = before.filter(|before| before.name.scheme() == member.name.scheme());
        if before.is_none_or(|before| before.root != member.root) {
            // The older side of each comparison is what was the newer one just before, and in its cache still.
            let [even, odd] = &mut caches;
            let (old, new) = if at % 2 == 0 {
                (odd, even)
            } else {
                (even, odd)
            };
            let new = MetadataLogReader::new(new, member.root);
            let search = Search {
                patterns: &options.patterns,
                member,
                monitor: &monitor,
                runs: &mut runs,
                recorded: before.map_or(member.recorded, |b| b.recorded.and(member.recorded)),
            };
            match before {
                Some(before) => {
                    let old = MetadataLogReader::new(old, before.root);
                    search.events(Merged::of_logs(old, new))?;
                }
                None => search.events(Merged::new(std::iter::empty(), new))?,
            }
        }
        runs.end_run();
    }
    let mut report = tell_versions(&members, runs, tell)?;
    report.problems = monitor.problems();
    Ok(report)
}

/// Opens the snapshots, series by series and each by time.
fn members(options: &FindOptions, catalog: &Catalog, monitor: &Counter<'_>) -> Result<Vec<Member>> {
    let mut series: BTreeMap<&str, Vec<Member>> = BTreeMap::new();
    let scheme = options.scheme.as_deref();
    let wanted = catalog
        .snapshots()
        .filter(|name| scheme.is_none_or(|s| name.scheme() == s) && !name.is_checkpoint());
    for name in wanted {
        match snapshot::open(catalog, name, None) {
            Ok(descriptor) => {
                catalog.ensure_readable(&descriptor.segments, options.unfilter.as_deref())?;
                series.entry(name.scheme()).or_default().push(Member {
                    name: name.clone(),
                    root: descriptor.root,
                    recorded: Recorded::by(&descriptor.producer),
                });
            }
            Err(error) => monitor.problem(name.to_string().as_bytes(), format_args!("{error:#}")),
        }
    }
    Ok(series.into_values().flatten().collect())
}

/// The comparison of one snapshot with the one before.
struct Search<'r> {
    patterns: &'r [Pattern],
    member: &'r Member,
    monitor: &'r Counter<'r>,
    runs: &'r mut Runs,
    recorded: Recorded,
}

impl Search<'_> {
    fn events<O: EntryStream, N: EntryStream>(self, merged: Merged<O, N>) -> Result<()> {
        for step in merged {
            match step {
                Step::Lost(Side::New, error) => {
                    if error.is_news()? {
                        let reason =
                            format_args!("in snapshot {}: {}", self.member.name, error.reason);
                        self.monitor.problem(&error.subject, reason);
                    }
                }
                Step::One(Side::New, entry, _) if self.fits(&entry) => {
                    self.runs.add(Event::Is(entry))?;
                }
                Step::One(Side::Old, entry, certain) if self.fits(&entry) => {
                    self.runs.add(if certain {
                        Event::Vanished(entry.path)
                    } else {
                        Event::Lost(entry.path)
                    })?;
                }
                // What the older side lost was told when it was the newer one.
                Step::Lost(Side::Old, _) | Step::One(..) => {}
                Step::Both(both) => {
                    let (old, new) = *both;
                    let is_found = self.fits(&new);
                    if is_found && !is_same(&old, &new, self.recorded) {
                        self.runs.add(Event::Is(Box::new(new)))?;
                    } else if !is_found && self.fits(&old) {
                        // It is no longer a directory, and only those fit.
                        self.runs.add(Event::Vanished(new.path))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn fits(&self, entry: &Entry) -> bool {
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        self.patterns
            .iter()
            .any(|pattern| pattern.matches(&entry.path, is_directory))
    }
}

fn is_same(old: &Entry, new: &Entry, recorded: Recorded) -> bool {
    let contents = match (&old.kind, &new.kind) {
        (EntryKind::File(old), EntryKind::File(new)) => changes::contents(old, new),
        _ => Sameness::Same,
    };
    contents != Sameness::Different && changes::metadata(old, new, recorded).is_empty()
}

/// How a version ended, in a snapshot still to be named.
type Ending<'m> = fn(&'m SnapshotName) -> End<'m>;

/// A version that goes on until an event says otherwise.
struct Open {
    entry: Box<Entry>,
    /// Its first snapshot.
    first: usize,
}

fn tell_versions<'m>(
    members: &'m [Member],
    runs: Runs,
    tell: &mut dyn FnMut(&Version<'_>) -> Result<()>,
) -> Result<FindReport> {
    let mut report = FindReport {
        snapshots: members.len() as u64,
        ..FindReport::default()
    };
    let mut events = runs.merge()?;
    let mut open: Option<Open> = None;
    let mut path: Option<EntryPath> = None;
    let mut end_version = |open: Option<Open>, end: Option<(usize, Ending<'m>)>| -> Result<()> {
        let Some(Open { entry, first }) = open else {
            return Ok(());
        };
        let scheme = members[first].name.scheme();
        let of_series = |at: &usize| members[*at].name.scheme() == scheme;
        let behind = end.map_or_else(
            || (first..members.len()).take_while(of_series).count() + first,
            |(at, _)| at,
        );
        report.versions += 1;
        tell(&Version {
            entry: &entry,
            first: &members[first].name,
            last: &members[behind - 1].name,
            snapshots: (behind - first) as u64,
            end: end.map(|(at, ending)| ending(&members[at].name)),
        })
    };
    let mut paths = 0;
    while let Some((at, event)) = events.next()? {
        let continues = open.as_ref().is_some_and(|open| {
            open.entry.path == *event.path()
                && members[open.first].name.scheme() == members[at].name.scheme()
        });
        if !continues {
            end_version(open.take(), None)?;
        }
        if path.as_ref() != Some(event.path()) {
            paths += 1;
            path = Some(event.path().clone());
        }
        match event {
            Event::Vanished(_) => end_version(open.take(), Some((at, End::Vanished)))?,
            Event::Lost(_) => end_version(open.take(), Some((at, End::Lost)))?,
            Event::Is(entry) => {
                end_version(open.take(), Some((at, End::Changed)))?;
                open = Some(Open { entry, first: at });
            }
        }
    }
    end_version(open, None)?;
    report.paths = paths;
    Ok(report)
}
