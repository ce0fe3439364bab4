//! A page about a store, to be looked at: the conductor of `pileus report`.
//!
//! Everything on it is known without opening a segment of data: sizes of files, descriptors, what two logs do not share ([`changed`]), and,
//! where it is at hand, local state. What a prune would do is planned elsewhere and handed in. Nothing is written: the page is returned.
//!
//! The page is a function of the store, local state and the clock. What cannot be read is a problem; the page says so and has the rest.

mod calendar;
mod changed;
mod figures;
mod headline;
mod html;
mod page;
mod plot;
mod sections;
mod tables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;

use crate::changes::Recorded;
use crate::format::object_ref::ObjectRef;
use crate::format::snapshot_name::SnapshotName;
use crate::growth::{self, Segments, SnapshotStats};
use crate::local::database::look::{self, Utilization};
use crate::local::database::{RUNS_MAX, RunRecord};
use crate::monitor::{Counter, Monitor};
use crate::store::catalog::Catalog;
use crate::store::inventory::{Inventory, StoredFile};

use calendar::DAY;
use changed::{Changed, Comparing};

/// Most series of snapshots whose changes are looked for: those that were backed up last.
const SCHEMES_COMPARED: usize = 8;

/// How many snapshots the longer of both comparisons goes back.
const LONGER: usize = 7;

/// What the page is about.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The store.
    pub store: PathBuf,
    /// Only snapshots of this series.
    pub scheme: Option<String>,
    /// Directory of the local state.
    pub localdb: Option<PathBuf>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
    /// What a prune would do now.
    pub prune: Foreseen,
}

/// What a prune would do.
#[derive(Clone, Debug, Default)]
pub enum Foreseen {
    /// Nobody said what to keep.
    #[default]
    NoRules,
    /// It cannot be told, and why.
    Unknown(String),
    /// This.
    Planned(NextPrune),
}

/// A prune that nobody has asked for yet.
#[derive(Clone, Debug, Default)]
pub struct NextPrune {
    /// The rules, as options.
    pub rules: Vec<String>,
    /// Number of snapshots that stay.
    pub kept: u64,
    /// Snapshots that go, oldest first, each with the reason.
    pub removed: Vec<(SnapshotName, String)>,
    /// Bytes on disk that become free.
    pub freed_bytes: u64,
    /// Why no segment would go.
    pub stopped: Option<String>,
}

/// The page, and what it is made of.
#[derive(Debug)]
pub struct Report {
    /// The whole page, HTML.
    pub page: String,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Length of all files of the store, those that nothing needs too.
    pub store_bytes: u64,
    /// Their number.
    pub store_files: u64,
    /// What the store grows by in a week, if that can be told.
    pub weekly_bytes: Option<u64>,
    /// Backups with problems, of how many that are remembered; nothing without local state.
    pub runs: Option<(u64, u64)>,
    /// Number of problems told.
    pub problems: u64,
}

/// All that the page tells.
struct Facts<'o> {
    options: &'o ReportOptions,
    now: Timestamp,
    files: Files,
    /// Oldest first.
    snapshots: Vec<SnapshotStats>,
    /// The series, the one that was backed up last first.
    schemes: Vec<Series>,
    weekly_bytes: Option<u64>,
    changes: Vec<Changed>,
    /// Snapshots that could not be compared, and why.
    uncompared: Vec<(SnapshotName, String)>,
    local: Local,
    problems: u64,
}

/// The files of the store by what they are.
#[derive(Default)]
struct Files {
    count: u64,
    bytes: u64,
    segments: u64,
    /// Segments that no snapshot needs; not told where only one series was looked at.
    unneeded: Option<(u64, u64)>,
}

/// A series of snapshots.
struct Series {
    scheme: String,
    /// Places of its complete snapshots, oldest first; without those of the future, if there are others.
    complete: Vec<usize>,
    /// Places of its complete snapshots of the future, if there are others.
    later: Vec<usize>,
    /// Places of its checkpoints.
    checkpoints: usize,
    /// The usual time from one snapshot to the next, in seconds.
    usual: Option<i64>,
}

/// What local state says.
enum Local {
    NotAsked,
    Unreadable(String),
    Read(Utilization, Vec<RunRecord>),
}

/// What a comparison needs of a snapshot, beside its numbers.
struct Log {
    root: ObjectRef,
    recorded: Recorded,
}

/// Looks at everything and makes the page for the moment `now`. An error means that there is none.
pub fn run(options: &ReportOptions, now: Timestamp, monitor: &dyn Monitor) -> Result<Report> {
    let catalog = Catalog::open(&options.store)?;
    let monitor = Counter::new(monitor);
    let mut snapshots: Vec<SnapshotStats> = Vec::new();
    let scheme = options.scheme.as_deref();
    let segments = growth::read(&catalog, scheme, &monitor, &mut |stats, _| {
        monitor.progress(snapshots.len() as u64, 0, "snapshots");
        snapshots.push(stats);
        Ok(())
    })?;
    let inventory = Inventory::take(&options.store)?;
    let schemes = series(&snapshots, now);
    let mut facts = Facts {
        options,
        now,
        files: files(&inventory, scheme.is_none().then_some(&segments)),
        weekly_bytes: weekly_bytes(&snapshots, &schemes),
        changes: Vec::new(),
        uncompared: Vec::new(),
        local: read_local(options, &monitor),
        problems: 0,
        snapshots,
        schemes,
    };
    compare(&mut facts, &catalog, &segments, &monitor)?;
    facts.problems = monitor.problems();
    Ok(Report {
        page: page::render(&facts),
        snapshots: facts.snapshots.len() as u64,
        store_bytes: facts.files.bytes,
        store_files: facts.files.count,
        weekly_bytes: facts.weekly_bytes,
        runs: facts.runs(),
        problems: facts.problems,
    })
}

impl Facts<'_> {
    /// Returns how many of the remembered backups had problems, and how many are remembered.
    fn runs(&self) -> Option<(u64, u64)> {
        let Local::Read(_, runs) = &self.local else {
            return None;
        };
        let bad = runs.iter().filter(|run| run.problems > 0);
        Some((bad.count() as u64, runs.len() as u64))
    }

    /// Returns the snapshot with the latest time, checkpoints aside.
    fn newest(&self) -> Option<&SnapshotStats> {
        let newest = self.schemes.iter().filter_map(Series::newest);
        newest
            .map(|at| &self.snapshots[at])
            .max_by_key(|stats| stats.date)
    }
}

impl Series {
    fn newest(&self) -> Option<usize> {
        self.complete.last().copied()
    }
}

fn files(inventory: &Inventory, needed: Option<&Segments>) -> Files {
    let mut files = Files {
        segments: inventory.segments.len() as u64,
        unneeded: needed.map(|_| (0, 0)),
        ..Files::default()
    };
    let of_snapshots = inventory.snapshots.values();
    let of_snapshots =
        of_snapshots.flat_map(|of| of.descriptors.iter().chain(&of.sums).chain(&of.pins));
    let mut add = |file: &StoredFile| {
        files.count += 1;
        files.bytes = files.bytes.saturating_add(file.bytes);
    };
    of_snapshots.chain(&inventory.parts).for_each(&mut add);
    inventory.segments.values().flatten().for_each(&mut add);
    if let (Some(needed), Some(unneeded)) = (needed, &mut files.unneeded) {
        let unknown = inventory.segments.iter();
        for (_, copies) in unknown.filter(|(id, _)| needed.first(**id).is_none()) {
            unneeded.0 += 1;
            let bytes = copies.iter().map(|file| file.bytes);
            unneeded.1 = bytes.fold(unneeded.1, u64::saturating_add);
        }
    }
    files
}

/// Divides the snapshots into series.
fn series(snapshots: &[SnapshotStats], now: Timestamp) -> Vec<Series> {
    let mut found: BTreeMap<&str, Series> = BTreeMap::new();
    for (at, stats) in snapshots.iter().enumerate() {
        let scheme = stats.name.scheme();
        let series = found.entry(scheme).or_insert_with(|| Series {
            scheme: scheme.to_owned(),
            complete: Vec::new(),
            later: Vec::new(),
            checkpoints: 0,
            usual: None,
        });
        if stats.name.is_checkpoint() {
            series.checkpoints += 1;
        } else if stats.date > now {
            series.later.push(at);
        } else {
            series.complete.push(at);
        }
    }
    let mut schemes: Vec<_> = found.into_values().collect();
    for series in &mut schemes {
        if series.complete.is_empty() {
            series.complete = std::mem::take(&mut series.later);
        }
        series.usual = usual(&series.complete, snapshots);
    }
    schemes.sort_by_key(|series| std::cmp::Reverse(series.newest()));
    schemes
}

/// Returns the median of the times between the last snapshots of a series.
fn usual(complete: &[usize], snapshots: &[SnapshotStats]) -> Option<i64> {
    let recent = &complete[complete.len().saturating_sub(15)..];
    let second = |at: usize| snapshots[at].date.as_second();
    let mut between: Vec<_> = recent
        .windows(2)
        .map(|pair| second(pair[1]) - second(pair[0]))
        .collect();
    between.sort_unstable();
    between.get(between.len() / 2).copied().filter(|&s| s > 0)
}

/// Returns what a week of the last four has added. The first snapshot of each series is not counted: it is not what a week is like.
fn weekly_bytes(snapshots: &[SnapshotStats], schemes: &[Series]) -> Option<u64> {
    let second = |at: usize| snapshots[at].date.as_second();
    let newest = schemes
        .iter()
        .filter_map(Series::newest)
        .map(second)
        .max()?;
    let from = newest - 28 * DAY;
    let oldest = schemes.iter().filter_map(|s| s.complete.first());
    let oldest = oldest.map(|&at| second(at)).min()?.max(from);
    let later = schemes
        .iter()
        .flat_map(|series| series.complete.iter().skip(1));
    let added = later
        .filter(|&&at| second(at) > from)
        .map(|&at| added_disk(&snapshots[at]))
        .fold(0, u64::saturating_add);
    let seconds = u128::try_from(newest - oldest).ok()?;
    let week = u128::from(added) * 7 * u128::from(DAY.unsigned_abs());
    (seconds >= u128::from(DAY.unsigned_abs()))
        .then(|| u64::try_from(week / seconds).unwrap_or(u64::MAX))
}

/// Returns what a run added on disk: what its descriptor says, or else the files that came with its snapshot.
fn added_disk(stats: &SnapshotStats) -> u64 {
    stats.added.map_or(stats.new_disk_bytes, |(_, disk)| disk)
}

/// Reads local state, if it is asked for; without it, the rest can be told.
fn read_local(options: &ReportOptions, monitor: &Counter<'_>) -> Local {
    let Some(directory) = &options.localdb else {
        return Local::NotAsked;
    };
    let read = look::utilization(directory);
    match read.and_then(|used| Ok((used, look::runs(directory, RUNS_MAX)?))) {
        Ok((used, mut runs)) => {
            runs.retain(|run| options.scheme.as_ref().is_none_or(|s| *s == run.scheme));
            Local::Read(used, runs)
        }
        Err(error) => {
            monitor.problem(b"local state", format_args!("{error:#}"));
            Local::Unreadable(format!("{error:#}"))
        }
    }
}

/// Compares the newest snapshot of each series with the one before, and with one some nights before.
fn compare(
    facts: &mut Facts<'_>,
    catalog: &Catalog,
    segments: &Segments,
    monitor: &Counter<'_>,
) -> Result<()> {
    let unfilter = facts.options.unfilter.as_deref();
    let mut comparing = Comparing::new(catalog, segments, unfilter, monitor)?;
    for series in facts.schemes.iter().take(SCHEMES_COMPARED) {
        let Some((&new, before)) = series.complete.split_last() else {
            continue;
        };
        let nearer = before.last().copied();
        let longer = before.len().saturating_sub(LONGER);
        let longer = before.get(longer).copied().filter(|at| Some(*at) != nearer);
        for old in [Some(nearer), longer.map(Some)].into_iter().flatten() {
            let spanned =
                &series.complete[series.complete.partition_point(|at| Some(*at) <= old)..];
            let added = spanned.iter().map(|&at| &facts.snapshots[at]);
            let expected =
                added.map(|stats| stats.added.map_or(stats.new_disk_bytes, |(data, _)| data));
            let expected_bytes = expected.fold(0, u64::saturating_add);
            match comparing.compare(&facts.snapshots, old, new, expected_bytes) {
                Ok(mut changed) => {
                    changed.spanned = spanned.len() as u64;
                    facts.changes.push(changed);
                }
                // An encrypted store is no problem of the store.
                Err(error) => {
                    let name = facts.snapshots[new].name.clone();
                    facts.uncompared.push((name, format!("{error:#}")));
                    break;
                }
            }
        }
    }
    Ok(())
}
