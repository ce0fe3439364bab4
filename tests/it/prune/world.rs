//! What sequences of steps are taken in: trees, a store, local state, and a clock that runs fast; and what is asked of each step by itself.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use pileus::backup::{
    self, BackupOptions, BackupReport, Clock, Deduplicate, Selection, Sources, Surroundings,
};
use pileus::clean::{self, CleanOptions};
use pileus::format::object_ref::SegmentId;
use pileus::format::snapshot_name::SnapshotName;
use pileus::local::lock::{Patience, Waiting};
use pileus::local::utilization::Expiring;
use pileus::prune::retention::{Period, Rules};
use pileus::prune::{Prune, PruneOptions};
use pileus::rebuild::{self, RebuildOptions};
use pileus::store::catalog::Catalog;
use pileus::store::filter::{Codec, Filter};
use pileus::store::inventory::Inventory;

use super::sequences::Step;
use super::surroundings::{TestClock, Told, alone, told};
use crate::harness::Place;

/// The names and contents of the files of a tree.
pub(super) type Copied = BTreeMap<String, Vec<u8>>;

/// A tree, a store, local state beside it, and a clock that runs fast. With a second machine, that has a tree, local state and a scheme of its own.
pub(super) struct World {
    pub(super) place: Place,
    /// Whether the disk has so little room that any run may fail.
    is_full: bool,
    clock: TestClock,
    segments: u128,
    /// The one that the next step is for.
    pub(super) machine: Machine,
    /// The snapshots that were made while the tree moved.
    pub(super) of_moving: Vec<SnapshotName>,
    /// Which tree each snapshot was made of, and what it was.
    pub(super) copies: BTreeMap<SnapshotName, (&'static str, Copied)>,
}

/// Where a machine has its tree and its local state, and what its snapshots are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) tree: &'static str,
    pub(super) state: &'static str,
    /// The series of most of its backups, and of the others.
    pub(super) schemes: [&'static str; 2],
    /// Whether it has the store for itself; else it leaves alone what is not of its scheme.
    pub(super) is_alone: bool,
}

/// Zones in which days are counted: that of most tests, both ends of the world, and one with a summer.
pub(super) const ZONES: [&str; 4] = ["UTC0", "<+14>-14", "<-11>11", "CET-1CEST,M3.5.0,M10.5.0/3"];

const ALONE: Machine = Machine {
    tree: "tree",
    state: "state",
    schemes: ["a", "b"],
    is_alone: true,
};

impl World {
    pub(super) fn new() -> Self {
        Self::at(Place::new())
    }

    /// Makes a world in a place, which may be on a disk of its own.
    pub(super) fn at(place: Place) -> Self {
        for tree in ["tree", "tree-2"] {
            place.write(&format!("{tree}/always"), "here");
        }
        let start = Timestamp::now() + 48.hours();
        let start = Timestamp::new(start.as_second(), 0).expect("in range");
        Self {
            place,
            is_full: false,
            clock: TestClock(Mutex::new(start)),
            segments: 0,
            machine: ALONE,
            of_moving: Vec::new(),
            copies: BTreeMap::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    pub(super) fn snapshots(&self) -> Vec<SnapshotName> {
        match Catalog::open(&self.path("store")) {
            Ok(catalog) => catalog.snapshots().cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn pass_time(&self) {
        self.clock.wait_until(self.clock.now() + 7.hours());
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.pass_time();
        match step {
            Step::Edit { file, contents } => self.edit(*file, *contents),
            Step::Backup { scheme, dies_after } => self.backup(*scheme, *dies_after),
            Step::Prune {
                last,
                daily,
                zone,
                with_local,
                dies_after,
            } => {
                let mut options = self.prune_options(*with_local);
                let zone = TimeZone::posix(ZONES[*zone]).expect("a rule of POSIX");
                options.rules = Rules::of_days_in(zone);
                options.rules.counts = vec![(Period::Last, *last), (Period::Daily, *daily)];
                self.prune(&options, *dies_after);
            }
            Step::BackupOfMoving { at, file, contents } => {
                self.backup_of_moving(*at, *file, *contents);
            }
            Step::Jump { hours } => {
                // Never behind the times of the files, which are the kernel's: a prune would wait for their writers.
                let now = self.clock.now() + hours.hours();
                let now = now.max(Timestamp::now() + 1.hours());
                *self.clock.0.lock().expect("nobody panics here") = now;
            }
            Step::Full { room, step } => {
                self.leave_room(Some(*room));
                self.is_full = true;
                self.take(step);
                self.is_full = false;
                self.leave_room(None);
            }
            Step::Clean { below } => drop(self.clean(*below)),
            Step::Pin { at, pins } => {
                let mut options = self.prune_options(true);
                let snapshots = self.snapshots();
                let name = snapshots.get(at % snapshots.len().max(1)).cloned();
                let name = name.filter(|name| !name.is_checkpoint());
                let chosen = if *pins {
                    &mut options.pin
                } else {
                    &mut options.unpin
                };
                chosen.extend(name);
                self.prune(&options, None);
            }
            Step::Remove { at } => self.remove(*at),
            Step::Rebuild {
                deep,
                loses,
                dies_after,
            } => self.rebuild(*deep, *loses, *dies_after),
        }
    }

    /// Marks what is used less than that, and returns it.
    pub(super) fn clean(&self, below: f64) -> Vec<Expiring> {
        let options = CleanOptions {
            local: self.path(self.machine.state),
            below,
            dry_run: false,
        };
        if !clean::has_local_state(&options.local).expect("can be looked at") {
            return Vec::new();
        }
        let waiting = Waiting {
            patience: Patience::None,
            stop: None,
            monitor: &told(None),
        };
        let cleaned = alone(|| clean::run(&options, self.clock.now(), &waiting));
        if self.is_full {
            return cleaned.unwrap_or_default();
        }
        cleaned.expect("cleans")
    }

    fn edit(&self, file: u8, contents: Option<(u8, u16)>) {
        let path = self.path(self.machine.tree).join(file.to_string());
        match contents {
            None => drop(fs::remove_file(path)),
            Some(contents) => fs::write(path, drawn(contents)).expect("is written"),
        }
    }

    /// What is stored of the file that moves is some state of it, or a problem; the next backup takes its last one.
    fn backup_of_moving(&mut self, at: u8, file: u8, contents: (u8, u16)) {
        let path = self.path(self.machine.tree).join(file.to_string());
        let before = self.snapshots();
        let ended = self.run_backup(&self.backup_options(false), &told(None), move |begun| {
            if begun == at {
                fs::write(&path, drawn(contents)).expect("is written");
            }
        });
        ended.expect("does not panic").expect("backs up");
        let mut new = self.snapshots();
        new.retain(|name| !before.contains(name));
        self.of_moving.extend(new);
        self.backup(false, None);
    }

    pub(super) fn backup_options(&self, other_scheme: bool) -> BackupOptions {
        BackupOptions {
            store: self.path("store"),
            local: Some(self.path(self.machine.state)),
            sources: Sources::parse(&[self.path(self.machine.tree)], &[]).expect("is a path"),
            piped: None,
            selection: Selection::default(),
            skip_if_unchanged: false,
            accept_loss: false,
            patience: Patience::None,
            new_store: false,
            places: None,
            dry_run: false,
            reasons: false,
            scheme: self.machine.schemes[usize::from(other_scheme)].to_owned(),
            filter: Filter::Builtin(Codec::None),
            filter_asked_for: true,
            all_through_codec: false,
            signature_filter: None,
            segment_bytes: 48 << 10,
            jobs: 2,
            deduplicate: Deduplicate::Always,
            reread: false,
            full_metadata: false,
            checkpoint_bytes: 60_000,
            leave_checkpoints: other_scheme,
            staging_bytes: Some(0),
        }
    }

    /// Backs up; `begins` is called before each segment gets its name, with how many there were.
    pub(super) fn run_backup(
        &mut self,
        options: &BackupOptions,
        told: &Told,
        begins: impl Fn(u8) + Clone + Send + 'static,
    ) -> std::thread::Result<anyhow::Result<BackupReport>> {
        let first = self.segments;
        self.segments += 1000;
        let run = || {
            let (mut begun, begins) = (0, begins.clone());
            let names = move || {
                begins(begun);
                begun += 1;
                SegmentId::from_bytes((first + u128::from(begun)).to_be_bytes())
            };
            let surroundings = Surroundings {
                clock: &self.clock,
                names: Box::new(names),
                stop: &AtomicBool::new(false),
                monitor: told,
                host: "desk".to_owned(),
                state_id: "00112233445566778899aabbccddeeff".to_owned(),
            };
            backup::run(options, surroundings)
        };
        let ended = catch_unwind(AssertUnwindSafe(|| alone(run)));
        let tree = self.machine.tree;
        let copied = copied(&self.path(tree));
        for name in self.snapshots() {
            self.copies
                .entry(name)
                .or_insert_with(|| (tree, copied.clone()));
        }
        ended
    }

    /// Returns what became of a run that has to answer for it: one that was not killed, on a disk with room. Fails if a run panicked that
    /// nobody killed.
    fn outcome<T>(
        &self,
        ended: std::thread::Result<anyhow::Result<T>>,
        is_killed: bool,
    ) -> Option<anyhow::Result<T>> {
        match ended {
            Err(panic) if !is_killed => std::panic::resume_unwind(panic),
            Err(_) => None,
            Ok(outcome) => Some(outcome).filter(|_| !self.is_full),
        }
    }

    fn backup(&mut self, other_scheme: bool, dies_after: Option<u8>) {
        let (options, told) = (self.backup_options(other_scheme), told(None));
        let ended = self.run_backup(&options, &told, move |begun| {
            assert!(Some(begun) != dies_after, "dies here");
        });
        if let Some(report) = self.outcome(ended, dies_after.is_some()) {
            let problems = told.problems.lock().expect("nobody panics here").clone();
            let made = report.as_ref().ok().and_then(|r| r.snapshot.clone());
            assert_eq!(
                (
                    report.map(|r| r.problems).map_err(|e| format!("{e:#}")),
                    problems
                ),
                (Ok(0), vec![])
            );
            if let Some(name) = made {
                self.assert_is_on_disk(&name);
            }
        }
    }

    pub(super) fn prune_options(&self, with_local: bool) -> PruneOptions {
        PruneOptions {
            store: self.path("store"),
            // A rebuilding that died at once after a loss has left none.
            local: Some(self.path(self.machine.state))
                .filter(|state| with_local && state.join("localdb.sqlite").exists()),
            scheme: self.own_scheme(),
            all_hosts: true,
            rules: Rules::of_local_days(),
            pin: Vec::new(),
            unpin: Vec::new(),
            remove: Vec::new(),
            orphans_before: self.clock.now(),
            dry_run: false,
            patience: Patience::None,
        }
    }

    /// Returns the scheme that a run has to keep to.
    fn own_scheme(&self) -> Option<String> {
        let [scheme, _] = self.machine.schemes;
        Some(scheme.to_owned()).filter(|_| !self.machine.is_alone)
    }

    /// Returns the snapshots that the machine may do something about.
    pub(super) fn own_snapshots(&self) -> Vec<SnapshotName> {
        let mut snapshots = self.snapshots();
        let is_own = |scheme: &str| self.machine.schemes.contains(&scheme);
        snapshots.retain(|name| self.machine.is_alone || is_own(name.scheme()));
        snapshots
    }

    fn remove(&self, at: usize) {
        let snapshots = self.own_snapshots();
        let Some(name) = snapshots.get(at % snapshots.len().max(1)) else {
            return;
        };
        // The last one of all stays: without any, local state would look like that of another store.
        let is_pinned = self.path(&format!("store/{}.pinned", name.stem())).exists();
        if snapshots.len() > 2 && !is_pinned {
            let mut options = self.prune_options(true);
            options.remove = vec![name.clone()];
            self.prune(&options, None);
        }
    }

    fn prune(&self, options: &PruneOptions, dies_after: Option<usize>) {
        // Without one of its own, a prune is refused.
        if self.own_snapshots().is_empty() {
            return;
        }
        let pinned: Vec<_> = self.pinned();
        let told = told(dies_after);
        let mut newest = self.snapshots();
        newest.retain(|name| !name.is_checkpoint() && name.scheme() == self.machine.schemes[0]);
        let prepare = || Prune::prepare(options, self.clock.now(), &told);
        let run = || alone(prepare).and_then(Prune::execute);
        let ended = catch_unwind(AssertUnwindSafe(run));
        let mut problems = told.problems.lock().map(|p| p.clone()).unwrap_or_default();
        // Told of a snapshot on the wrong side of a clock that was set; it stays.
        problems.retain(|problem| !problem.contains("no rule removes it"));
        assert!(self.is_full || problems.is_empty(), "{problems:?}");
        let left = self.snapshots();
        if options.remove.is_empty() {
            assert!(
                newest.last().is_none_or(|name| left.contains(name)),
                "the newest stays"
            );
        }
        assert!(
            pinned.iter().all(|name| left.contains(name)),
            "pinned ones stay"
        );
        if let Some(removed) = self.outcome(ended, dies_after.is_some()) {
            removed.expect("prunes");
            if !options.rules.is_empty() || !options.remove.is_empty() {
                self.assert_nothing_left_over();
            }
        }
        self.assert_readable();
    }

    fn rebuild(&self, deep: bool, loses: bool, dies_after: Option<usize>) {
        let snapshots = self.own_snapshots();
        if snapshots.is_empty() {
            return;
        }
        if loses {
            drop(fs::remove_dir_all(self.path(self.machine.state)));
        }
        let options = RebuildOptions {
            store: self.path("store"),
            local: self.path(self.machine.state),
            scheme: self.own_scheme(),
            deep,
            jobs: 2,
            unfilter: None,
            patience: Patience::None,
        };
        let told = told(dies_after);
        let run = || alone(|| rebuild::run(&options, self.clock.now(), &told));
        let ended = catch_unwind(AssertUnwindSafe(run));
        if let Some(report) = self.outcome(ended, dies_after.is_some()) {
            let report = report.expect("rebuilds");
            let problems = told.problems.lock().expect("nobody panics here").clone();
            assert_eq!((report.problems, problems), (0, vec![]));
            assert_eq!(report.snapshots, snapshots.len() as u64);
        }
    }

    fn pinned(&self) -> Vec<SnapshotName> {
        let is_pinned =
            |name: &SnapshotName| self.path(&format!("store/{}.pinned", name.stem())).exists();
        self.snapshots().into_iter().filter(is_pinned).collect()
    }

    /// Fails unless every file of the store is explained by a descriptor.
    fn assert_nothing_left_over(&self) {
        let store = self.path("store");
        let catalog = Catalog::open(&store).expect("is listed");
        let named: Vec<_> = catalog
            .snapshots()
            .flat_map(|name| catalog.descriptor(name).expect("is read").segments)
            .collect();
        let inventory = Inventory::take(&store).expect("is listed");
        for segment in inventory.segments.keys() {
            assert!(named.contains(segment), "{segment} is left over");
        }
        let has_descriptor =
            |files: &pileus::store::inventory::SnapshotFiles| !files.descriptors.is_empty();
        assert!(inventory.snapshots.values().all(has_descriptor));
        assert!(
            inventory.parts.is_empty() && inventory.foreign.is_empty(),
            "{inventory:?}"
        );
    }
}

/// Bytes that hardly compress, the same for the same seed, so that contents come back.
fn drawn((seed, bytes): (u8, u16)) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

/// Returns the names and contents of the files in a directory; none if it is not there.
pub(super) fn copied(directory: &Path) -> Copied {
    let Ok(list) = fs::read_dir(directory) else {
        return Copied::new();
    };
    let files = list.map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("is read"))
    });
    files.collect()
}
