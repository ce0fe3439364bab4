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
//! A crash in between leaves files that nothing names, which a later run removes as orphans. Segments are never opened. Memory
//! depends on the number of segments and snapshots, not on what is in them.
//!
//! With local state, its lock keeps backups out that use it. Without (a store on a server to which clients only add), there is no
//! lock to take. Then files that nothing names yet and that are younger than `--orphan-age` are taken as a sign of a backup under
//! way, and no segment is removed.

mod execute;
mod plan;
mod problems;
pub mod retention;
mod survey;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::format::snapshot_name::SnapshotName;
use crate::local::database::{self, Database};
use crate::local::lock::{self, Lock, Patience, Waiting};
use crate::monitor::{Counter, Monitor};
use crate::store::dir::{StoreDir, is_there};
use crate::store::inventory::{Inventory, pin_file};
use crate::wording::{of_scheme, schemes};

pub use execute::Removed;
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
}

/// Local state in use: its lock, if it was taken, and the database, if there is one.
struct Local {
    /// Above the lock, so that it is closed first.
    database: Option<Database>,
    lock: Lock,
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
    let survey = Survey::make(&options.store, inventory, sequence_known, now)?;
    let has_lock = is_there(&options.store.join(lock::FILE_NAME))?;
    Plan::make(options, &survey, sequence.is_some() || has_lock, now)
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
        let local = open_local(options, now, &waiting, &monitor)?;
        let now = local.as_ref().map_or(now, |local| local.lock.since());
        let inventory = Inventory::take(&options.store)?;
        let database = local.as_ref().and_then(|local| local.database.as_ref());
        let sequence = database.map(Database::snapshots).transpose()?;
        let mut sequence = sequence.unwrap_or_default();
        sequence.reverse();
        if let Some(database) = database.filter(|_| options.local.is_some()) {
            let is_there = |name: &SnapshotName| Ok(inventory.snapshots.contains_key(name));
            database.ensure_made_in(&options.store, is_there)?;
        }
        let is_gone = |name: &&SnapshotName| {
            let files = inventory.snapshots.get(*name);
            files.is_none_or(|files| files.descriptors.is_empty())
        };
        let gone = sequence.iter().filter(is_gone).cloned().collect();
        let survey = Survey::make(&options.store, inventory, &sequence, now)?;
        // Else every segment would look like an orphan.
        if survey.snapshots.is_empty() {
            bail!(
                "there is no snapshot in {}: it is not a store, or its descriptors are not at hand; nothing was removed",
                options.store.display()
            );
        }
        ensure_scheme_is_there(options, &survey)?;
        let pins = effective_pins(options, &survey)?;
        let plan = Plan::make(options, &survey, local.is_some(), now)?;
        for snapshot in &plan.snapshots {
            if let Some(reason) = snapshot.doubt() {
                monitor.problem(snapshot.name.to_string().as_bytes(), reason);
            }
        }
        warn_of_problems(&plan, options.dry_run, &monitor);
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

/// Opens what there is of local state. A dry run goes without what it may not write to.
fn open_local(
    options: &PruneOptions,
    now: Timestamp,
    waiting: &Waiting<'_>,
    monitor: &Counter<'_>,
) -> Result<Option<Local>> {
    let directory = options.local.as_deref().unwrap_or(&options.store);
    // An error here ends the run: without a lock that is there, it would go ahead beside a backup.
    let has = |name: &str| is_there(&directory.join(name));
    let has_database = has(database::FILE_NAME)?;
    if options.local.is_some() && !has_database {
        bail!(
            "there is no local state in {}: name the directory of the backups' --localdb, or leave it out to change the store alone",
            directory.display()
        );
    }
    if !has_database && !has(lock::FILE_NAME)? {
        return Ok(None);
    }
    let open = || {
        Ok(Local {
            lock: Lock::take(directory, now, waiting)?,
            // Asked again: the run that was waited for may have made it.
            database: has(database::FILE_NAME)?
                .then(|| Database::open(directory))
                .transpose()
                .map_err(|error| database::with_store(error, &options.store))?,
        })
    };
    match open() {
        Err(error) if options.dry_run && is_refused(&error) => {
            monitor.note(&format!("planned without local state: {error:#}"));
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| matches!(e.kind(), PermissionDenied | ReadOnlyFilesystem))
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
        let path = store.path().join(directory);
        let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
        synced.with_context(|| format!("cannot sync {}", path.display()))?;
    }
    store.sync()
}

#[cfg(test)]
mod tests;
