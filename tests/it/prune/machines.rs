//! Two machines with local states and schemes of their own, and one store: whatever each does in its turn, no snapshot of the other suffers,
//! and every snapshot restores to what its tree was.
//!
//! The steps are those of `sequences.rs`, one after the other; of what two machines do in the same moment, only a prune in the middle of the
//! other's backup is among them, at any segment of it. There the backup may fail, and say why; what it publishes is whole.
//!
//! Set `PROPTEST_CASES` for more sequences than the few that a test run has time for.

use std::fs;
use std::sync::{Arc, Mutex};

use jiff::{Timestamp, ToSpan};
use pileus::format::snapshot_name::SnapshotName;
use pileus::prune::Prune;
use pileus::prune::retention::Period;
use proptest::prelude::*;

use super::sequences::{Step, cases, step};
use super::surroundings::{alone, told};
use super::world::{Machine, World};

const MACHINES: [Machine; 2] = [
    Machine {
        tree: "tree",
        state: "state",
        schemes: ["a", "a"],
        is_alone: false,
    },
    Machine {
        tree: "tree-2",
        state: "state-2",
        schemes: ["b", "b"],
        is_alone: false,
    },
];

/// What a machine does.
#[derive(Clone, Debug)]
enum Turn {
    /// A step by itself.
    Alone(Step),
    /// A backup in which the other machine prunes, when so many segments were begun. It takes what no snapshot has if it is older than a
    /// day, or whatever its age.
    Beside { at: u8, takes_all: bool },
    /// Restores one of all snapshots.
    Restore { at: usize },
}

fn turn() -> impl Strategy<Value = (usize, Turn)> {
    let turn = prop_oneof![
        16 => step().prop_map(Turn::Alone),
        2 => (0_u8..6, any::<bool>()).prop_map(|(at, takes_all)| Turn::Beside { at, takes_all }),
        2 => (0_usize..40).prop_map(|at| Turn::Restore { at }),
    ];
    (0_usize..2, turn)
}

/// Takes a turn, and looks at everything that is there afterwards.
fn take(world: &mut World, machine: usize, turn: &Turn) {
    let others: Vec<_> = of_scheme(world, MACHINES[1 - machine].schemes[0]);
    world.machine = MACHINES[machine];
    world.pass_time();
    match turn {
        Turn::Alone(step) => world.take(step),
        Turn::Beside { at, takes_all } => back_up_beside(world, machine, *at, *takes_all),
        Turn::Restore { at } => {
            let snapshots = world.snapshots();
            if let Some(name) = snapshots.get(at % snapshots.len().max(1)) {
                world.assert_restores(name);
            }
        }
    }
    if !matches!(turn, Turn::Beside { .. }) {
        let left = of_scheme(world, MACHINES[1 - machine].schemes[0]);
        assert_eq!(left, others, "what is another's stays");
    }
    let changes_nothing = matches!(turn, Turn::Alone(Step::Edit { .. } | Step::Clean { .. }));
    if !changes_nothing && !world.snapshots().is_empty() {
        world.assert_readable();
    }
}

fn of_scheme(world: &World, scheme: &str) -> Vec<SnapshotName> {
    let mut snapshots = world.snapshots();
    snapshots.retain(|name| name.scheme() == scheme);
    snapshots
}

fn back_up_beside(world: &mut World, machine: usize, at: u8, takes_all: bool) {
    world.machine = MACHINES[1 - machine];
    let mut pruning = world.prune_options(true);
    pruning.rules.counts = vec![(Period::Last, 1)];
    // The clock of the runs is ahead of that of the files.
    let now = pruning.orphans_before;
    if !takes_all {
        pruning.orphans_before = Timestamp::now() - 24.hours();
    }
    let may_prune = pruning.local.is_some() && !world.own_snapshots().is_empty();
    world.machine = MACHINES[machine];
    let before = of_scheme(world, MACHINES[machine].schemes[0]);
    write_new_files(world, before.len());
    let failed = Arc::new(Mutex::new(None));
    let (told_backup, failure) = (told(None), failed.clone());
    let mut options = world.backup_options(false);
    options.checkpoint_bytes = if takes_all { 1 << 30 } else { 60_000 };
    let ended = world.run_backup(&options, &told_backup, move |begun| {
        if begun == at && may_prune {
            let prune_told = told(None);
            let prepare = || Prune::prepare(&pruning, now, &prune_told);
            let pruned = alone(prepare).and_then(Prune::execute);
            *failure.lock().expect("nobody panics here") = pruned.err();
        }
    });
    let failed = failed.lock().expect("nobody panics here").take();
    assert!(failed.is_none(), "{failed:?}");
    let new = of_scheme(world, MACHINES[machine].schemes[0]);
    let new = new.iter().filter(|name| !before.contains(name));
    let complete = new.filter(|name| !name.is_checkpoint()).count();
    match ended.expect("does not panic") {
        Ok(report) => assert_eq!((report.problems, complete), (0, 1)),
        // What nobody named was taken away from under the backup, a part file perhaps.
        Err(error) => assert!(takes_all && complete == 0, "{error:#}"),
    }
}

/// Gives files contents that no snapshot has: of these, segments are published that nobody names until the end.
fn write_new_files(world: &World, number: usize) {
    for file in 0..6 {
        let path = world.path(world.machine.tree).join(file.to_string());
        let contents = format!("{file} of {number} in {}, ", path.display()).repeat(500);
        fs::write(path, contents).expect("is written");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(15), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn two_machines_that_share_a_store_cost_each_other_nothing(turns in prop::collection::vec(turn(), 1..60)) {
        let mut world = World::new();
        for (machine, turn) in &turns {
            take(&mut world, *machine, turn);
        }
        for name in world.snapshots() {
            world.assert_restores(&name);
        }
    }
}
