//! Stores that nobody honest would write: nothing outside the target may change, everything good must come back, and every run
//! ends by itself, with a message that names what is wrong.
//!
//! Each case adds something bad between two good files. It is restored by pileus and by docs/restore.py, verified and listed;
//! the surroundings of the targets are compared before and after.

mod amplification;
mod bombs;
mod files;
mod links;
mod names;
mod races;
mod references;
mod segments;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::harness::{Ended, Place, project};
use crate::made_store::MadeStore;

/// How many cases there are, at least: docs/reliability.md says so.
const CASES: usize = 231;

/// What the two good files hold.
const GOOD: &str = "this file is good\n";

/// Puts something bad into a store; gets the absolute path of a directory outside the target.
type Make = Box<dyn Fn(&mut MadeStore, &str)>;

/// A bad store, and how a restore of it has to go.
pub struct Case {
    name: String,
    make: Make,
    change: Box<dyn Fn(&Path)>,
    after: Box<dyn Fn(&Path)>,
    arguments: Vec<&'static str>,
    code: i32,
    told: Vec<String>,
    absent: Vec<&'static str>,
}

impl Case {
    /// Makes a case that ends with exit code 3; `make` gets the absolute path of a directory outside the target.
    pub fn new(name: impl Into<String>, make: impl Fn(&mut MadeStore, &str) + 'static) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
            change: Box::new(|_| {}),
            after: Box::new(|_| {}),
            arguments: Vec::new(),
            code: 3,
            told: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// The restore is told these.
    pub fn arguments(self, arguments: &[&'static str]) -> Self {
        Self {
            arguments: arguments.to_vec(),
            ..self
        }
    }

    /// The restore ends with this exit code; with 1, nothing is restored.
    pub fn code(self, code: i32) -> Self {
        Self { code, ..self }
    }

    /// Standard error has this.
    pub fn told(mut self, part: impl Into<String>) -> Self {
        self.told.push(part.into());
        self
    }

    /// This name is not in the target afterwards.
    pub fn absent(mut self, name: &'static str) -> Self {
        self.absent.push(name);
        self
    }

    /// This is done to the store's directory once it is written.
    pub fn changed(self, change: impl Fn(&Path) + 'static) -> Self {
        Self {
            change: Box::new(change),
            ..self
        }
    }

    /// This holds of the target afterwards.
    pub fn after(self, check: impl Fn(&Path) + 'static) -> Self {
        Self {
            after: Box::new(check),
            ..self
        }
    }

    /// Makes the store and runs everything on it.
    pub fn run(&self) {
        let place = Place::new();
        place.write("arena/outside/secret.txt", "nobody may touch this\n");
        place.write("arena/beside.txt", "nor this\n");
        for empty in ["arena/target", "arena/by-script", "store"] {
            fs::create_dir(place.join(empty)).expect("a directory is made");
        }
        let mut store = MadeStore::new();
        store.good_file("first.txt", GOOD);
        let outside = place.join("arena/outside");
        (self.make)(&mut store, outside.to_str().expect("a plain path"));
        store.good_file("zz-last.txt", GOOD);
        store.write(&place.join("store"));
        (self.change)(&place.join("store"));

        let before = surroundings(&place);
        self.check_restore(&place);
        for command in [
            vec!["verify", "--level=files"],
            vec!["ls", "-l"],
            vec!["list"],
            vec!["stats"],
            vec!["find", "**"],
            vec!["diff", "latest", "--root=arena/target"],
            vec!["restore", "--dry-run", "--target=arena/new"],
        ] {
            place.survive(command.into_iter().chain(["--dest=store"]));
        }
        let export = place.run(["export", "--dest=store"]);
        let ended = matches!(export.code, Some(0..=3)) && !export.stderr.contains("panicked");
        assert!(ended, "{}: export: {}", self.name, export.stderr);
        assert_eq!(surroundings(&place), before, "{}", self.name);
        run_script(&place, &self.name);
        assert_eq!(surroundings(&place), before, "{}: the script", self.name);
        // Last, since local state lies beside the rest.
        place.survive(["rebuild", "--dest=store", "--localdb=state", "--deep"]);
    }

    fn check_restore(&self, place: &Place) {
        let fixed = ["restore", "--dest=store", "--target=arena/target", "-v"];
        let ended = place.survive(fixed.iter().chain(&self.arguments));
        assert_eq!(ended.code, Some(self.code), "{}: {ended:?}", self.name);
        for part in &self.told {
            assert!(
                ended.stderr.contains(part),
                "{}: no \"{part}\" in {ended:?}",
                self.name
            );
        }
        for line in ended.stderr.lines() {
            assert!(
                line.len() < 2000,
                "{}: a line of {} bytes",
                self.name,
                line.len()
            );
        }
        let target = place.join("arena/target");
        for name in &self.absent {
            let path = target.join(name);
            assert!(
                fs::symlink_metadata(&path).is_err(),
                "{}: there is {name}",
                self.name
            );
        }
        for name in ["first.txt", "zz-last.txt"] {
            let restored = fs::read_to_string(target.join(name)).ok();
            let wanted = (self.code != 1).then(|| GOOD.to_owned());
            assert_eq!(restored, wanted, "{}: {name}: {ended:?}", self.name);
        }
        (self.after)(&target);
    }
}

/// The script has no console to keep clean, but it must not be led astray either.
fn run_script(place: &Place, what: &str) {
    let mut command = place.program("timeout");
    command
        .args(["--kill-after=5", "300", "python3"])
        .arg(project("docs/restore.py"));
    command.args(["store", "arena/by-script"]);
    let ended = Ended::of(&mut command);
    assert!(matches!(ended.code, Some(0 | 1 | 3)), "{what}: {ended:?}");
    assert!(!ended.stderr.contains("Traceback"), "{what}: {ended:?}");
}

/// Returns everything that can be seen of everything in the place but the contents of the targets.
fn surroundings(place: &Place) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![place.path().to_owned()];
    while let Some(path) = waiting.pop() {
        let stat = fs::symlink_metadata(&path).expect("it is there");
        let is_target = path.ends_with("arena/target") || path.ends_with("arena/by-script");
        if stat.is_dir() && !is_target {
            let list = fs::read_dir(&path).expect("is listed");
            waiting.extend(list.map(|entry| entry.expect("an entry").path()));
        }
        let is_read = stat.is_file() && stat.size() < 64 << 20;
        let contents = if is_read {
            fs::read(&path).expect("is read")
        } else {
            Vec::new()
        };
        let seen = (
            stat.ino(),
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.size(),
            stat.mtime_nsec(),
        );
        // Of a target, its own attributes count, not what is made in it.
        let seen = if is_target {
            format!("{:?}", (stat.ino(), stat.mode(), stat.uid(), stat.gid()))
        } else {
            format!(
                "{seen:?} {} {}",
                stat.nlink(),
                crate::made_store::sha1(&contents)
            )
        };
        found.insert(path, seen);
    }
    found
}

/// Runs all cases, also behind one that fails.
fn run_all(cases: Vec<Case>) {
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.run())).is_err();
    let failed: Vec<_> = cases
        .into_iter()
        .filter(fails)
        .map(|case| case.name)
        .collect();
    assert!(failed.is_empty(), "what failed is told above: {failed:#?}");
}

#[test]
fn the_list_of_cases_gets_no_shorter() {
    let lists = [
        names::cases(),
        links::cases(),
        references::cases(),
        values::cases(),
        segments::cases(),
        files::cases(),
    ];
    let count: usize = lists.iter().map(Vec::len).sum();
    assert!(count >= CASES, "{count} cases");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    run_all(names::cases());
}

#[test]
fn links_and_types_that_do_not_fit_together_lead_nowhere() {
    run_all(links::cases());
}

#[test]
fn references_that_cannot_be_are_problems_of_their_files() {
    run_all(references::cases());
}

#[test]
fn values_that_cannot_be_are_problems_of_their_entries() {
    run_all(values::cases());
}

#[test]
fn segments_of_any_make_are_survived() {
    run_all(segments::cases());
}

#[test]
fn files_of_a_store_may_be_anything() {
    run_all(files::cases());
}
