//! Judges of a store in these tests: `verify` of everything, `restore` held to a copy, and `diff`, which has to find nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use pileus::diff::{self, DiffOptions, Other};
use pileus::format::path::EntryPath;
use pileus::format::snapshot_name::SnapshotName;
use pileus::restore::{self, Overwrite, OwnerPolicy, RestoreOptions};
use pileus::verify::{self, Level, VerifyOptions};

use super::surroundings::told;
use super::world::{World, copied};

impl World {
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

    /// Fails if `diff` finds anything between a snapshot and the files below `root`.
    fn assert_no_difference(&self, name: &SnapshotName, tree: &Path, root: Option<&Path>) {
        for read_contents in [false, true] {
            let options = DiffOptions {
                store: self.path("store"),
                old: name.clone(),
                new: Other::Disk {
                    root: root.map(Path::to_owned),
                    read_contents,
                },
                // What is above the tree is not the test's own.
                only: vec![EntryPath::from_argument(tree).expect("can be stored")],
                excluded: Vec::new(),
                unfilter: None,
            };
            let (mut found, told) = (Vec::new(), told(None));
            let report = diff::run(&options, &told, &mut |difference| {
                found.push(format!("{}: {:?}", difference.path, difference.aspects));
                Ok(())
            });
            let report = report.expect("compares");
            let problems = told.problems.lock().expect("nobody panics here").clone();
            assert_eq!(
                (found, report.problems, problems),
                (vec![], 0, vec![]),
                "{name}"
            );
            assert!(report.is_same() && report.compared > 1, "{report:?}");
        }
    }

    /// Fails unless a snapshot that was made just now is what the tree of the machine is.
    pub(super) fn assert_is_on_disk(&self, name: &SnapshotName) {
        self.assert_no_difference(name, &self.path(self.machine.tree), None);
    }

    /// Fails unless a snapshot restores to what the tree was, and `diff` finds nothing between it and what came back; of a checkpoint,
    /// unless it is a part.
    pub(super) fn assert_restores(&self, name: &SnapshotName) {
        let target = self.path("back");
        drop(fs::remove_dir_all(&target));
        let options = RestoreOptions {
            store: self.path("store"),
            snapshot: name.clone(),
            target: target.clone(),
            paths: Vec::new(),
            rules: Vec::new(),
            delete: false,
            dry_run: false,
            overwrite: Overwrite::Never,
            owner: OwnerPolicy::Keep,
            xattrs: true,
            sparse: true,
            jobs: 2,
            verify_signature: None,
            unfilter: None,
        };
        let monitor = told(None);
        let report = restore::run(&options, &AtomicBool::new(false), &monitor).expect("restores");
        assert_eq!(report.problems, 0, "{:?}", monitor.problems);
        let (tree, wanted) = &self.copies[name];
        let tree = self.path(tree);
        let stored = tree.strip_prefix(Path::new("/")).expect("is absolute");
        let restored = copied(&target.join(stored));
        let is_moving = self.of_moving.contains(name);
        if name.is_checkpoint() {
            let is_wanted =
                |(file, contents): (&String, &Vec<u8>)| wanted.get(file) == Some(contents);
            let is_part = restored.iter().all(is_wanted);
            assert!(is_moving || is_part, "{name} has more");
        } else {
            let is_same = restored == *wanted;
            assert!(is_moving || is_same, "{name} is not what the tree was");
            self.assert_no_difference(name, &tree, Some(&target));
        }
    }
}
