//! The plan: what becomes of every snapshot and by which rule, and which files go. It is what a dry run prints and what is executed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::PruneOptions;
use super::problems::last_without_problems;
use super::retention::{Keeper, keepers};
use super::series::{self, Series};
use super::survey::{Places, Survey, Surveyed};
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::local::is_local_file;
use crate::store::inventory::{Inventory, StoredFile};

/// What a prune does.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Every snapshot, oldest name first.
    pub snapshots: Vec<PlannedSnapshot>,
    /// Segments that go.
    pub segments: Vec<PlannedSegment>,
    /// What else goes: part files of dead runs, and sums files and pins without a descriptor.
    pub leftovers: Vec<StoredFile>,
    /// Files that nothing names and that are too young to go: a run may still need them.
    pub waiting: Vec<StoredFile>,
    /// Files that are no part of a store, which stay whatever they are.
    pub foreign: Vec<PathBuf>,
    /// Why no segment goes.
    pub stopped: Option<String>,
    /// Of each scheme that keeps no snapshot whose backup had no problems, the newest such one that goes.
    pub last_without_problems: Vec<SnapshotName>,
    /// Schemes of several series, with the names of their hosts.
    pub shared: Vec<(String, String)>,
}

/// A snapshot and what becomes of it.
#[derive(Clone, Debug)]
pub struct PlannedSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What becomes of it.
    pub fate: Fate,
    /// Its descriptor and sums files, in the order in which they go.
    pub(super) files: Vec<StoredFile>,
}

impl PlannedSnapshot {
    /// Returns why the snapshot does not count for the others, if it does not.
    #[must_use]
    pub fn doubt(&self) -> Option<&str> {
        let Fate::Kept(reasons) = &self.fate else {
            return None;
        };
        reasons.iter().find_map(|reason| match reason {
            Reason::Doubted(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for at least one reason.
    Kept(Vec<Reason>),
    /// It goes.
    Removed(Cause),
}

/// Why a snapshot stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule keeps it.
    Rule(Keeper),
    /// It is pinned.
    Pinned,
    /// It is the newest complete one of its scheme.
    Newest,
    /// The newest one says that a source has lost most of what this one has of it.
    BeforeLoss,
    /// It is a checkpoint, and no later snapshot of its scheme is complete.
    Unfinished,
    /// The rules are not for its scheme, or there are none.
    NotAsked,
    /// Something is wrong with it.
    Doubted(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(keeper) => keeper.fmt(f),
            Self::Pinned => f.write_str("pinned"),
            Self::Newest => f.write_str("newest"),
            Self::BeforeLoss => f.write_str("last before a loss"),
            Self::Unfinished => f.write_str("checkpoint"),
            Self::NotAsked => f.write_str("no rule is for it"),
            Self::Doubted(_) => f.write_str("something is wrong with it"),
        }
    }
}

/// Why a snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No rule keeps it.
    NoRule,
    /// It is a checkpoint, and a later snapshot is complete.
    Superseded,
    /// It was named.
    Named,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "no rule keeps it",
            Self::Superseded => "superseded",
            Self::Named => "named",
        })
    }
}

/// A segment that goes.
#[derive(Clone, Debug)]
pub struct PlannedSegment {
    /// Its name.
    pub id: SegmentId,
    /// Whether no descriptor named it even before.
    pub orphan: bool,
    /// Its files.
    pub files: Vec<StoredFile>,
}

impl Plan {
    pub(super) fn make(
        options: &PruneOptions,
        survey: &Survey,
        locked: bool,
        abandoned: &HashSet<SegmentId>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let series = series::of_all(&survey.snapshots, options.all_hosts);
        let fates = fates(options, survey, &series)?;
        for (snapshot, fate) in survey.snapshots.iter().zip(fates) {
            let files = &survey.inventory.snapshots[&snapshot.name];
            plan.snapshots.push(PlannedSnapshot {
                name: snapshot.name.clone(),
                fate,
                files: [&files.descriptors[..], &files.sums].concat(),
            });
        }
        if options.asks_nothing() {
            return Ok(plan);
        }
        let shown = |(scheme, all): (&String, &Vec<_>)| Some((scheme.clone(), series::shown(all)?));
        plan.shared = series.iter().filter_map(shown).collect();
        plan.foreign = foreign(&survey.inventory);
        plan.last_without_problems = last_without_problems(survey, &plan.snapshots, &series);
        plan.choose_leftovers(options, survey, now);
        plan.choose_segments(options, survey, abandoned, now);
        plan.stop_if_unsafe(survey, locked);
        Ok(plan)
    }

    /// Chooses what no snapshot explains and no run that goes on can still need.
    fn choose_leftovers(&mut self, options: &PruneOptions, survey: &Survey, now: Timestamp) {
        let nameless = survey.inventory.snapshots.values();
        let nameless = nameless
            .filter(|files| files.descriptors.is_empty())
            .flat_map(|files| files.sums.iter().chain(&files.pins));
        for file in nameless.chain(&survey.inventory.parts) {
            if options.is_orphan(file, now) {
                self.leftovers.push(file.clone());
            } else {
                self.waiting.push(file.clone());
            }
        }
    }

    /// Chooses segments that no snapshot needs. One that no descriptor names waits until it is old, since a run may be about to name it;
    /// unless it is among the `abandoned`.
    fn choose_segments(
        &mut self,
        options: &PruneOptions,
        survey: &Survey,
        abandoned: &HashSet<SegmentId>,
        now: Timestamp,
    ) {
        let kept = self.snapshots.iter();
        let kept = Places::collect(kept.map(|s| matches!(s.fate, Fate::Kept(_))));
        for (&id, files) in &survey.inventory.segments {
            let orphan = !survey.uses.is_named(id);
            if survey.uses.is_needed(id, &kept) {
                continue;
            }
            let waits = orphan && !abandoned.contains(&id);
            if waits && !files.iter().all(|file| options.is_orphan(file, now)) {
                self.waiting.extend_from_slice(files);
                continue;
            }
            self.segments.push(PlannedSegment {
                id,
                orphan,
                files: files.clone(),
            });
        }
    }

    /// Leaves all segments where they are if it is not certain that nothing needs them.
    fn stop_if_unsafe(&mut self, survey: &Survey, locked: bool) {
        let planned = survey.snapshots.iter().zip(&self.snapshots);
        let mut unreadable = planned
            .filter(|(_, planned)| matches!(planned.fate, Fate::Kept(_)))
            .filter(|(snapshot, _)| snapshot.unreadable.is_some());
        if let Some((snapshot, _)) = unreadable.next() {
            self.stopped = Some(format!(
                "none was removed, since it is not known which ones snapshot {0} needs: bring its descriptor back; only if it is lost \
                 for good, give the snapshot up with --remove={0}",
                snapshot.name
            ));
        } else if let (false, Some(young)) = (locked, self.waiting.first()) {
            self.stopped = Some(format!(
                "none was removed, since a backup without a lock here may be under way: no snapshot has {} yet; prune again when \
                 the backup has ended, or when that file is older than --orphan-age",
                young.path.display()
            ));
        }
        if self.stopped.is_some() {
            self.segments.clear();
        }
    }

    /// Returns the bytes on disk that the plan frees.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        let segments = self.segments.iter().flat_map(|segment| &segment.files);
        let gone = self.removed().flat_map(|snapshot| &snapshot.files);
        let all = segments.chain(gone).chain(&self.leftovers);
        all.map(|file| file.bytes).sum()
    }

    /// Returns the snapshots that go.
    pub fn removed(&self) -> impl Iterator<Item = &PlannedSnapshot> {
        self.snapshots
            .iter()
            .filter(|snapshot| matches!(snapshot.fate, Fate::Removed(_)))
    }
}

/// Returns what is of neither the store nor local state.
fn foreign(inventory: &Inventory) -> Vec<PathBuf> {
    let is_foreign = |file: &&PathBuf| !is_local_file(file.to_str().unwrap_or_default());
    let foreign = inventory.foreign.iter().filter(is_foreign);
    foreign.cloned().collect()
}

impl PruneOptions {
    /// Tells whether nothing is to be removed, so that only pins change.
    pub(super) fn asks_nothing(&self) -> bool {
        self.rules.is_empty() && self.remove.is_empty()
    }

    /// Tells whether a file that nothing names is left of a run that is over: one that began after the lock was taken is not.
    fn is_orphan(&self, file: &StoredFile, now: Timestamp) -> bool {
        file.modified < self.orphans_before.min(now).as_second()
    }
}

/// Decides about every snapshot.
fn fates(
    options: &PruneOptions,
    survey: &Survey,
    series: &BTreeMap<String, Vec<Series>>,
) -> Result<Vec<Fate>> {
    let snapshots = &survey.snapshots;
    for name in options.remove.iter().chain(&options.pin) {
        if !snapshots.iter().any(|snapshot| snapshot.name == *name) {
            bail!("there is no snapshot {name} in {}", options.store.display());
        }
    }
    let mut reasons = vec![Vec::new(); snapshots.len()];
    for (at, snapshot) in snapshots.iter().enumerate() {
        if survey.is_pinned(&snapshot.name, options) {
            reasons[at].push(Reason::Pinned);
        }
        if let Some(reason) = snapshot.unreadable.as_ref().or(snapshot.doubt.as_ref()) {
            reasons[at].push(Reason::Doubted(reason.clone()));
        }
        let name = &snapshot.name;
        let asked = options.scheme.as_ref().is_none_or(|s| name.scheme() == s);
        if !asked || options.rules.is_empty() {
            reasons[at].push(Reason::NotAsked);
        }
    }
    let mut superseded = vec![false; snapshots.len()];
    for series in series.values().flatten() {
        let places = &series.places;
        judge(options, snapshots, places, &mut reasons, &mut superseded);
    }
    let fates = snapshots.iter().zip(reasons).zip(superseded);
    Ok(fates
        .map(|((snapshot, reasons), superseded)| {
            if options.remove.contains(&snapshot.name) {
                Fate::Removed(Cause::Named)
            } else if !reasons.is_empty() {
                Fate::Kept(reasons)
            } else if superseded {
                Fate::Removed(Cause::Superseded)
            } else {
                Fate::Removed(Cause::NoRule)
            }
        })
        .collect())
}

/// Applies the rules to the snapshots of one series. Only those take part that are there for good and not doubted: whatever makes
/// another one go must be able to stand in for it.
fn judge(
    options: &PruneOptions,
    snapshots: &[Surveyed],
    places: &[usize],
    reasons: &mut [Vec<Reason>],
    superseded: &mut [bool],
) {
    let counts = |at: &usize| {
        let snapshot = &snapshots[*at];
        let is_good = snapshot.doubt.is_none() && snapshot.unreadable.is_none();
        is_good && !options.remove.contains(&snapshot.name)
    };
    let counted = places.iter().copied().filter(counts);
    let (checkpoints, complete): (Vec<_>, Vec<_>) =
        counted.partition(|&at| snapshots[at].name.is_checkpoint());
    let times: Vec<_> = complete
        .iter()
        .map(|&at| snapshots[at].name.instant())
        .collect();
    for (&at, kept) in complete.iter().zip(keepers(&times, &options.rules)) {
        if reasons[at].contains(&Reason::NotAsked) {
            continue;
        }
        reasons[at].extend(kept.into_iter().map(Reason::Rule));
    }
    if let Some(&newest) = complete.last() {
        reasons[newest].push(Reason::Newest);
        for &at in &complete {
            if snapshots[newest].before_loss.contains(&snapshots[at].name) {
                reasons[at].push(Reason::BeforeLoss);
            }
        }
    }
    for at in checkpoints {
        let checkpoint = &snapshots[at];
        let replaces = |newer: &usize| {
            let newer = &snapshots[*newer];
            match (newer.published, checkpoint.published) {
                // A complete snapshot is named after the beginning of its run, checkpoints after moments in the middle of it.
                (Some(newer), Some(older)) => newer > older,
                _ => newer.name.instant() > checkpoint.name.instant(),
            }
        };
        superseded[at] = complete.iter().any(replaces);
        if !superseded[at] {
            reasons[at].push(Reason::Unfinished);
        }
    }
}
