//! Removes snapshots and what only they needed: the conductor of `pileus prune`.
//!
//! First a [`Plan`] is made, from names, descriptors and the rules, and nothing is changed; then that very plan is executed. The
//! order is the argument that no crash leaves a snapshot without one of its segments:
//!
//! 1. of each snapshot that goes, the descriptor, then the sums file: from here on it does not exist; the directory is synced;
//! 2. the rows of these snapshots go from the local database;
//! 3. all descriptors that are in the store now are read again: a segment that one of them names stays, and one that cannot be
//!    read stops the removal of segments;
//! 4. the rows of segments and their blocks go, so that no later snapshot refers to them;
//! 5. the segments' files go.
//!
//! A crash in between leaves files that nothing names, which a later run removes: at once if local state still knows of which removed
//! snapshots they were, else as orphans. Where local state has no room for what it is told, 2 and 4 come last ([`local`]). Segments
//! are never opened. Memory
//! depends on the number of segments and snapshots, not on what is in them.
//!
//! With local state, its lock keeps backups out that use it. Without (a store on a server to which clients only add), there is no
//! lock to take. Then files that nothing names yet and that are younger than `--orphan-age` are taken as a sign of a backup under
//! way, and no segment is removed.

mod execute;
mod local;
mod order;
mod plan;
mod problems;
pub mod retention;
mod series;
mod survey;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::local::lock::{self, Patience, Waiting};
use crate::monitor::{Counter, Monitor};
use crate::store::dir::{StoreDir, is_there};
use crate::store::inventory::{Inventory, pin_file};
use crate::store::lengths::Lengths;
use crate::wording::{of_scheme, schemes};

pub use execute::Removed;
use local::Local;
pub use plan::{Cause, Fate, Plan, PlannedSegment, PlannedSnapshot, Reason};
use retention::Rules;
use survey::Survey;

/// What a prune does.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// The store.
    pub store: PathBuf,
    /// The directory of local state; `None` for the store itself, if there is any.
    pub local: Option<PathBuf>,
    /// The only scheme that the rules are for; all, each by itself, if none.
    pub scheme: Option<String>,
    /// Whether the snapshots of a scheme are one series whoever made them; else those of each host are.
    pub all_hosts: bool,
    /// What is kept; without a rule only what is named in `remove` goes.
    pub rules: Rules,
    /// Snapshots that no rule may remove from now on.
    pub pin: Vec<SnapshotName>,
    /// Snapshots that are like others again.
    pub unpin: Vec<SnapshotName>,
    /// Snapshots that go, whatever the rules say.
    pub remove: Vec<SnapshotName>,
    /// Files that no descriptor names are removed if they were written before this.
    pub orphans_before: Timestamp,
    /// Whether nothing is changed, local state included.
    pub dry_run: bool,
    /// How long to wait for a run that holds the lock of local state.
    pub patience: Patience,
}

/// What has been planned and waits to be executed.
pub struct Prune<'m> {
    store: Arc<StoreDir>,
    local: Option<Local>,
    monitor: Counter<'m>,
    plan: Plan,
    pins: Pins,
    /// Snapshots that the database has and the store has not: what is left to do of a run that was killed.
    gone: Vec<SnapshotName>,
    /// Segments that only those use and whose files are gone, too.
    lost: Vec<SegmentId>,
}

/// Which pins are to be made and removed.
struct Pins {
    make: Vec<SnapshotName>,
    /// Files to remove, relative to the store.
    remove: Vec<PathBuf>,
}

/// Makes the plan that a prune would follow at the moment `now`, for whoever only looks: no lock is taken, and nothing is told or written.
/// `sequence` is the order in which local state published, if there is local state at hand.
pub fn foresee(
    options: &PruneOptions,
    sequence: Option<&[SnapshotName]>,
    now: Timestamp,
) -> Result<Plan> {
    let inventory = Inventory::take(&options.store)?;
    let sequence_known = sequence.unwrap_or_default();
    let survey = Survey::make(
        &options.store,
        inventory,
        sequence_known,
        Lengths::default(),
        now,
    )?;
    let has_lock = is_there(&options.store.join(lock::FILE_NAME))?;
    let locked = sequence.is_some() || has_lock;
    Plan::make(options, &survey, locked, &HashSet::new(), now)
}

impl<'m> Prune<'m> {
    /// Takes the lock and makes the plan, for the moment `now` or that at which the lock was free. Nothing is changed.
    pub fn prepare(
        options: &PruneOptions,
        now: Timestamp,
        monitor: &'m dyn Monitor,
    ) -> Result<Self> {
        if !is_there(&options.store)? {
            bail!("there is no store in {}", options.store.display());
        }
        let store = Arc::new(StoreDir::open_or_create(&options.store)?);
        let waiting = Waiting {
            patience: options.patience,
            stop: None,
            monitor,
        };
        let monitor = Counter::new(monitor);
        let mut local = Local::open(options, now, &waiting, &monitor)?;
        let now = local.as_ref().map_or(now, Local::since);
        let inventory = Inventory::take(&options.store)?;
        let sequence = local.as_ref().map(Local::sequence).transpose()?;
        let sequence = sequence.unwrap_or_default();
        if let Some(local) = &mut local {
            local.ensure_made_in(&inventory, &sequence, options)?;
        }
        let is_gone = |name: &&SnapshotName| {
            let files = inventory.snapshots.get(*name);
            files.is_none_or(|files| files.descriptors.is_empty())
        };
        let gone: Vec<_> = sequence.iter().filter(is_gone).cloned().collect();
        let abandoned = local.as_ref().map(|local| local.segments_only_of(&gone));
        let abandoned: HashSet<_> = abandoned.transpose()?.unwrap_or_default();
        let is_lost = |id: &&SegmentId| !inventory.segments.contains_key(*id);
        let lost = abandoned.iter().filter(is_lost).copied().collect();
        let lengths = local.as_ref().map(Local::lengths).transpose()?;
        let lengths = lengths.unwrap_or_default();
        let survey = Survey::make(&options.store, inventory, &sequence, lengths, now)?;
        // Else every segment would look like an orphan.
        if survey.snapshots.is_empty() {
            bail!(
                "there is no snapshot in {}: it is not a store, or its descriptors are not at hand; nothing was removed",
                options.store.display()
            );
        }
        ensure_scheme_is_there(options, &survey)?;
        let own = local.as_ref().map(Local::state_id).transpose()?.flatten();
        ensure_orphans_are_old(options, &survey, own.as_deref(), now)?;
        let pins = effective_pins(options, &survey)?;
        let plan = Plan::make(options, &survey, local.is_some(), &abandoned, now)?;
        for snapshot in &plan.snapshots {
            if let Some(reason) = snapshot.doubt() {
                monitor.problem(snapshot.name.to_string().as_bytes(), reason);
            }
        }
        warn_of_problems(&plan, options.dry_run, &monitor);
        warn_of_shared(&plan, options, &monitor);
        if let Some(reason) = &plan.stopped {
            monitor.problem(b"segments", reason);
        }
        Ok(Self {
            store,
            local,
            monitor,
            plan,
            pins,
            gone,
            lost,
        })
    }

    /// Returns the plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of problems told so far.
    #[must_use]
    pub fn problems(&self) -> u64 {
        self.monitor.problems()
    }
}

/// Says that nothing stays without problems, and what would have it otherwise.
fn warn_of_problems(plan: &Plan, dry_run: bool, monitor: &Counter<'_>) {
    let keeps = if dry_run { "keeps" } else { "would have kept" };
    for name in &plan.last_without_problems {
        monitor.warn(&format!(
            "no snapshot{} is kept whose backup had no problems: the newest such one, {name}, goes (--pin={name} {keeps} it)",
            of_scheme(Some(name.scheme()))
        ));
    }
}

/// Says which schemes several hosts share: all but one of them may be there by mistake.
fn warn_of_shared(plan: &Plan, options: &PruneOptions, monitor: &Counter<'_>) {
    let is_asked = |scheme: &String| options.scheme.as_ref().is_none_or(|asked| asked == scheme);
    for (scheme, hosts) in plan.shared.iter().filter(|(scheme, _)| is_asked(scheme)) {
        monitor.warn(&format!(
            "the snapshots{} come from {hosts}: the rules apply to each by itself (--scheme-of-all-hosts applies them to all together); a \
             --scheme for each keeps them apart",
            of_scheme(Some(scheme))
        ));
    }
}

/// Refuses to take young files for orphans where other local states write: their runs hold no lock that is seen here.
fn ensure_orphans_are_old(
    options: &PruneOptions,
    survey: &Survey,
    own: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    let seconds = now.as_second() - options.orphans_before.as_second();
    let month_ago = Timestamp::from_second(now.as_second() - 30 * 86_400).unwrap_or(now);
    let others = series::other_states(&survey.snapshots, own, month_ago);
    // Without local state, one of them is that of the store's only user.
    let is_shared = others > usize::from(own.is_none());
    if seconds >= 86_400 || options.asks_nothing() || !is_shared {
        return Ok(());
    }
    bail!(
        "--orphan-age is too short for {}, which other machines or users back up to: it would remove what a backup of theirs has just \
         written; use 1d or more",
        options.store.display()
    )
}

/// Refuses rules for a scheme that has no snapshot: a slip in its name would keep everything for ever, and nobody would hear of it.
fn ensure_scheme_is_there(options: &PruneOptions, survey: &Survey) -> Result<()> {
    let Some(scheme) = options.scheme.as_deref() else {
        return Ok(());
    };
    let mut there = survey.snapshots.iter().map(|snapshot| &snapshot.name);
    if options.rules.is_empty() || there.clone().any(|name| name.scheme() == scheme) {
        return Ok(());
    }
    bail!(
        "there is no snapshot{} in {}: {}; nothing was removed",
        of_scheme(Some(scheme)),
        options.store.display(),
        schemes(there.by_ref().map(SnapshotName::scheme))
            .unwrap_or_else(|| "none there has a scheme".to_owned())
    );
}

/// Decides which pins change, and refuses what cannot be pinned or removed. Nothing is written yet.
fn effective_pins(options: &PruneOptions, survey: &Survey) -> Result<Pins> {
    let mut remove = Vec::new();
    for name in &options.unpin {
        let files = survey.inventory.snapshots.get(name);
        let pins = files.map_or(&[][..], |files| &files.pins);
        remove.extend(pins.iter().map(|file| file.path.clone()));
    }
    for name in &options.pin {
        if name.is_checkpoint() {
            bail!(
                "{name} is a checkpoint, which the next complete snapshot replaces: it cannot be pinned"
            );
        }
        if options.unpin.contains(name) {
            bail!("{name} cannot be pinned and unpinned at once");
        }
    }
    for name in &options.remove {
        if survey.is_pinned(name, options) {
            bail!("{name} is pinned: take the pin away with --unpin={name} before it is removed");
        }
    }
    Ok(Pins {
        make: options.pin.clone(),
        remove,
    })
}

impl Pins {
    /// Makes and removes the pins. New ones are durable before anything goes.
    fn write(&self, store: &StoreDir, monitor: &Counter<'_>) -> Result<()> {
        for name in &self.make {
            store.mark(&pin_file(name))?;
            monitor.note(&format!("pinned {name}"));
        }
        for file in &self.remove {
            store.remove_below(file)?;
            monitor.note(&format!("removed {}", file.display()));
        }
        if self.make.is_empty() && self.remove.is_empty() {
            return Ok(());
        }
        store.sync()
    }
}

/// Returns the directory of a stored file; the empty path is the store itself.
fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Makes what was removed in these directories of the store durable.
fn sync<'f>(store: &StoreDir, files: impl IntoIterator<Item = &'f Path>) -> Result<()> {
    let mut below: Vec<_> = files.into_iter().map(directory_of).collect();
    below.sort_unstable();
    below.dedup();
    for directory in below.into_iter().filter(|path| *path != Path::new("")) {
        store.sync_below(directory)?;
    }
    store.sync()
}

#[cfg(test)]
mod tests;
