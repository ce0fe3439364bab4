//! The sequences of `sequences.rs` on a disk that is full now and then: a run may fail there, but it costs no snapshot anything, and as soon as
//! there is room again every run succeeds, without help.
//!
//! The disk is a tmpfs whose size changes, which takes a mount namespace: the test runs itself again in one. The tree, the store and local
//! state are all on it; temporary files are not.

use nix::sys::statvfs::statvfs;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::sequences::{Step, cases, step};
use super::world::World;
use crate::harness::{Ended, Place, is_root, need_own_mounts};

/// Set where the test runs in its namespace.
const INSIDE: &str = "PILEUS_TEST_INSIDE";
const BLOCK_BYTES: u64 = 4096;

impl World {
    fn on_a_disk() -> Self {
        let place = Place::new();
        place.sh("mount -t tmpfs -o size=64m tmpfs .");
        Self::at(place)
    }

    /// Leaves so many free blocks on the disk, or enough for everything.
    pub(super) fn leave_room(&self, blocks: Option<u64>) {
        let stat = statvfs(self.place.path()).expect("the disk is there");
        let used = (stat.blocks() - stat.blocks_free()) * stat.fragment_size();
        let size = blocks.map_or(64 << 20, |blocks| used + blocks * BLOCK_BYTES);
        self.place.sh(&format!("mount -o remount,size={size} ."));
    }
}

/// Steps of which some find the disk full. What the test itself writes has room.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (step(), prop::option::weighted(0.4, 0_u64..40)).prop_map(|(step, room)| match room {
            Some(room) if !matches!(step, Step::Edit { .. } | Step::BackupOfMoving { .. }) => {
                let step = Box::new(step);
                Step::Full { room, step }
            }
            _ => step,
        });
    prop::collection::vec(step, 1..40)
}

fn live(steps: &[Step]) {
    let mut world = World::on_a_disk();
    for step in steps {
        world.take(step);
    }
    for name in world.snapshots() {
        world.assert_restores(&name);
    }
    world.place.sh("umount -l .");
}

#[test]
fn no_sequence_on_a_disk_that_fills_costs_a_snapshot_anything() {
    if std::env::var_os(INSIDE).is_some() {
        let config = Config {
            cases: cases(15),
            max_shrink_iters: 100,
            failure_persistence: None,
            ..Config::default()
        };
        let tried = TestRunner::new(config).run(&steps(), |steps| {
            live(&steps);
            Ok(())
        });
        return tried.unwrap_or_else(|error| panic!("{error}"));
    }
    need_own_mounts();
    let place = Place::new();
    let mut command = place.program("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let test = "prune::full_disks::no_sequence_on_a_disk_that_fills_costs_a_snapshot_anything";
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(std::env::current_exe().expect("is known"));
    command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    command.env("PROPTEST_CASES", cases(15).to_string());
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}
