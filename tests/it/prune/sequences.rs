//! Any sequence of backups, prunes, cleanings and deaths in the middle of them: every snapshot that is there can be read, whole.
//!
//! Set `PROPTEST_CASES` for more sequences than the few that a test run has time for.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use jiff::{Timestamp, ToSpan};
use pileus::backup::{self, BackupOptions, Clock, Deduplicate, Selection, Sources, Surroundings};
use pileus::clean::{self, CleanOptions};
use pileus::format::object_ref::SegmentId;
use pileus::format::snapshot_name::SnapshotName;
use pileus::local::lock::Locked;
use pileus::local::utilization::Expiring;
use pileus::monitor::{Event, Monitor};
use pileus::prune::retention::{Period, Rules};
use pileus::prune::{Prune, PruneOptions};
use pileus::rebuild::{self, RebuildOptions};
use pileus::store::catalog::Catalog;
use pileus::store::filter::{Codec, Filter};
use pileus::store::inventory::Inventory;
use pileus::verify::{self, Level, VerifyOptions};
use proptest::prelude::*;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Gives a file these contents; none removes it.
    Edit {
        file: u8,
        contents: Option<(u8, u16)>,
    },
    /// Backs up, and dies when so many segments were begun.
    Backup {
        scheme: bool,
        dies_after: Option<u8>,
    },
    /// Prunes, and dies after so many steps.
    Prune {
        last: usize,
        daily: usize,
        with_local: bool,
        dies_after: Option<usize>,
    },
    Clean {
        below: f64,
    },
    /// Pins or unpins one of the snapshots.
    Pin {
        at: usize,
        pins: bool,
    },
    /// Removes one of the snapshots.
    Remove {
        at: usize,
    },
    /// Makes local state anew, after losing it perhaps, and dies after so many steps.
    Rebuild {
        deep: bool,
        loses: bool,
        dies_after: Option<usize>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let contents = prop::option::weighted(0.8, (0_u8..12, 0_u16..24_000));
    let rarely = |most: u8| prop::option::weighted(0.2, 0..most);
    prop_oneof![
        6 => (0_u8..8, contents).prop_map(|(file, contents)| Step::Edit { file, contents }),
        6 => (prop::bool::weighted(0.2), rarely(8))
            .prop_map(|(scheme, dies_after)| Step::Backup { scheme, dies_after }),
        4 => (1_usize..4, 0_usize..3, prop::bool::weighted(0.7), rarely(20)).prop_map(
            |(last, daily, with_local, dies_after)| Step::Prune {
                last,
                daily,
                with_local,
                dies_after: dies_after.map(usize::from),
            }
        ),
        2 => (0.3..1.0).prop_map(|below| Step::Clean { below }),
        1 => (0_usize..20, any::<bool>()).prop_map(|(at, pins)| Step::Pin { at, pins }),
        1 => (0_usize..20).prop_map(|at| Step::Remove { at }),
        1 => (any::<bool>(), any::<bool>(), rarely(5)).prop_map(|(deep, loses, dies_after)| Step::Rebuild {
            deep,
            loses,
            dies_after: dies_after.map(usize::from),
        }),
    ]
}

/// A clock that a test sets.
struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("nobody panics here")
    }

    fn wait_until(&self, instant: Timestamp) {
        let mut now = self.0.lock().expect("nobody panics here");
        *now = instant.max(*now);
    }
}

/// Keeps problems, and panics at a certain note or sign of progress.
struct Told {
    problems: Mutex<Vec<String>>,
    notes_left: Mutex<Option<usize>>,
}

impl Monitor for Told {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Problem(problem) => {
                let told = format!(
                    "{}: {}",
                    String::from_utf8_lossy(&problem.subject),
                    problem.reason
                );
                self.problems.lock().expect("nobody panics here").push(told);
            }
            Event::Note(_) | Event::Warning(_) | Event::Progress(_) => {
                let left = {
                    let mut left = self.notes_left.lock().expect("nobody panics here");
                    *left = left.map(|left| left.saturating_sub(1));
                    *left
                };
                assert!(left != Some(0), "dies here");
            }
            Event::Path { .. } => {}
        }
    }
}

fn told(dies_after: Option<usize>) -> Told {
    Told {
        problems: Mutex::new(Vec::new()),
        notes_left: Mutex::new(dies_after.map(|notes| notes + 1)),
    }
}

/// Takes a step again as long as the lock is held: a program that another test starts at this moment has every open file of this
/// process, until the program runs.
fn alone<T>(step: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    loop {
        match step() {
            Err(error) if error.is::<Locked>() => std::thread::yield_now(),
            done => return done,
        }
    }
}

/// A tree, a store, local state beside it, and a clock that runs fast.
pub(super) struct World {
    dir: tempfile::TempDir,
    clock: TestClock,
    segments: u128,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("tree")).expect("is made");
        fs::write(dir.path().join("tree/always"), "here").expect("is written");
        let start = Timestamp::now() + 48.hours();
        let start = Timestamp::new(start.as_second(), 0).expect("in range");
        Self {
            dir,
            clock: TestClock(Mutex::new(start)),
            segments: 0,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn snapshots(&self) -> Vec<SnapshotName> {
        match Catalog::open(&self.path("store")) {
            Ok(catalog) => catalog.snapshots().cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        self.clock.wait_until(self.clock.now() + 7.hours());
        match step {
            Step::Edit { file, contents } => self.edit(*file, *contents),
            Step::Backup { scheme, dies_after } => self.backup(*scheme, *dies_after),
            Step::Prune {
                last,
                daily,
                with_local,
                dies_after,
            } => {
                let mut options = self.prune_options(*with_local);
                options.rules.counts = vec![(Period::Last, *last), (Period::Daily, *daily)];
                self.prune(&options, *dies_after);
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
            local: self.path("state"),
            below,
            dry_run: false,
        };
        if !clean::has_local_state(&options.local) {
            return Vec::new();
        }
        alone(|| clean::run(&options, self.clock.now())).expect("cleans")
    }

    fn edit(&self, file: u8, contents: Option<(u8, u16)>) {
        let path = self.path(&format!("tree/{file}"));
        match contents {
            None => drop(fs::remove_file(path)),
            Some((seed, bytes)) => {
                // Bytes that hardly compress, the same for the same seed, so that contents come back.
                let mut state = u32::from(seed) + 1;
                let contents: Vec<_> = (0..bytes)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        state.to_be_bytes()[0]
                    })
                    .collect();
                fs::write(path, contents).expect("is written");
            }
        }
    }

    fn backup(&mut self, other_scheme: bool, dies_after: Option<u8>) {
        let options = BackupOptions {
            store: self.path("store"),
            local: Some(self.path("state")),
            sources: Sources::parse(&[self.path("tree")], &[]).expect("is a path"),
            piped: None,
            selection: Selection::default(),
            skip_if_unchanged: false,
            dry_run: false,
            reasons: false,
            scheme: if other_scheme { "b" } else { "a" }.to_owned(),
            filter: Filter::Builtin(Codec::None),
            filter_asked_for: true,
            signature_filter: None,
            segment_bytes: 48 << 10,
            jobs: 2,
            deduplicate: Deduplicate::Always,
            reread: false,
            full_metadata: false,
            checkpoint_bytes: 60_000,
            leave_checkpoints: other_scheme,
            staging_bytes: Some(0),
        };
        let first = self.segments;
        self.segments += 1000;
        let told = told(None);
        let run = || {
            let mut begun = 0;
            let names = move || {
                assert!(Some(begun) != dies_after.map(u128::from), "dies here");
                begun += 1;
                SegmentId::from_bytes((first + begun).to_be_bytes())
            };
            let surroundings = Surroundings {
                clock: &self.clock,
                names: Box::new(names),
                stop: &AtomicBool::new(false),
                monitor: &told,
            };
            backup::run(&options, surroundings)
        };
        let ended = catch_unwind(AssertUnwindSafe(|| alone(run)));
        if let Ok(report) = ended {
            let problems = told.problems.lock().expect("nobody panics here").clone();
            assert_eq!(
                (
                    report.map(|r| r.problems).map_err(|e| format!("{e:#}")),
                    problems
                ),
                (Ok(0), vec![])
            );
        }
    }

    fn prune_options(&self, with_local: bool) -> PruneOptions {
        PruneOptions {
            store: self.path("store"),
            // A rebuilding that died at once after a loss has left none.
            local: Some(self.path("state"))
                .filter(|state| with_local && state.join("localdb.sqlite").exists()),
            scheme: None,
            rules: Rules::of_local_days(),
            pin: Vec::new(),
            unpin: Vec::new(),
            remove: Vec::new(),
            orphans_before: self.clock.now(),
            dry_run: false,
        }
    }

    fn remove(&self, at: usize) {
        let snapshots = self.snapshots();
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
        if self.snapshots().is_empty() {
            return;
        }
        let pinned: Vec<_> = self.pinned();
        let told = told(dies_after);
        let mut newest = self.snapshots();
        newest.retain(|name| !name.is_checkpoint() && name.scheme() == "a");
        let prepare = || Prune::prepare(options, self.clock.now(), &told);
        let run = || alone(prepare).and_then(Prune::execute);
        let ended = catch_unwind(AssertUnwindSafe(run));
        let problems = told.problems.lock().map(|p| p.clone()).unwrap_or_default();
        assert_eq!(problems, [""; 0]);
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
        if let Ok(removed) = ended {
            removed.expect("prunes");
            if !options.rules.is_empty() || !options.remove.is_empty() {
                self.assert_nothing_left_over();
            }
        }
        self.assert_readable();
    }

    fn rebuild(&self, deep: bool, loses: bool, dies_after: Option<usize>) {
        let snapshots = self.snapshots();
        if snapshots.is_empty() {
            return;
        }
        if loses {
            drop(fs::remove_dir_all(self.path("state")));
        }
        let options = RebuildOptions {
            store: self.path("store"),
            local: self.path("state"),
            scheme: None,
            deep,
            jobs: 2,
            unfilter: None,
        };
        let told = told(dies_after);
        let run = || alone(|| rebuild::run(&options, self.clock.now(), &told));
        let ended = catch_unwind(AssertUnwindSafe(run));
        if let Ok(report) = ended {
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

    /// Fails unless every snapshot that is there is whole, down to the contents of its files.
    pub(super) fn assert_readable(&self) {
        let options = VerifyOptions {
            store: self.path("store"),
            snapshots: self.snapshots(),
            level: Level::Files,
            sample: None,
            jobs: 2,
            verify_signature: None,
            unfilter: None,
        };
        let told = told(None);
        let report = verify::run(&options, &told).expect("verifies");
        let problems = told.problems.lock().expect("nobody panics here").clone();
        assert_eq!((report.problems, problems), (0, vec![]));
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_runs_and_deaths_costs_a_snapshot_anything(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        if !world.snapshots().is_empty() {
            world.assert_readable();
        }
    }
}
