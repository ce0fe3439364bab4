//! Any sequence of backups, prunes, cleanings and deaths in the middle of them: every snapshot that is there can be read, whole.
//!
//! Set `PROPTEST_CASES` for more sequences than the few that a test run has time for.

use proptest::prelude::*;

use super::world::{World, ZONES};

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
        /// Where days begin; see `world::ZONES`.
        zone: usize,
        with_local: bool,
        dies_after: Option<usize>,
    },
    /// Backs up; when so many segments were begun, a file gets another size and other contents.
    BackupOfMoving {
        at: u8,
        file: u8,
        contents: (u8, u16),
    },
    /// Sets the clock, as a battery that fails or a wrong time server does.
    Jump {
        hours: i32,
    },
    /// Takes a step on a disk that has so many free blocks; only in `full_disks.rs`.
    Full {
        room: u64,
        step: Box<Step>,
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

pub(super) fn step() -> impl Strategy<Value = Step> {
    let contents = prop::option::weighted(0.8, (0_u8..12, 0_u16..24_000));
    let rarely = |most: u8| prop::option::weighted(0.2, 0..most);
    prop_oneof![
        6 => (0_u8..8, contents).prop_map(|(file, contents)| Step::Edit { file, contents }),
        6 => (prop::bool::weighted(0.2), rarely(8))
            .prop_map(|(scheme, dies_after)| Step::Backup { scheme, dies_after }),
        1 => (0_u8..6, 0_u8..8, (0_u8..12, 0_u16..24_000))
            .prop_map(|(at, file, contents)| Step::BackupOfMoving { at, file, contents }),
        1 => prop_oneof![-30..30, -10_000..10_000].prop_map(|hours| Step::Jump { hours }),
        4 => (1_usize..4, 0_usize..3, 0_usize..ZONES.len(), prop::bool::weighted(0.7), rarely(20)).prop_map(
            |(last, daily, zone, with_local, dies_after)| Step::Prune {
                last,
                daily,
                zone,
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

/// Returns how many sequences are tried: so many in the suite, or what is asked for.
pub(super) fn cases(few: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(few)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(40), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_runs_and_deaths_costs_a_snapshot_anything(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        if !world.snapshots().is_empty() {
            world.assert_readable();
        }
        for name in world.snapshots() {
            world.assert_restores(&name);
        }
    }
}
