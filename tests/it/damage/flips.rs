//! Random bytes of a store, changed one at a time: each change is found by `verify`, under the name of the file that it is in, or is
//! harmless, which is proved by restoring everything. Whatever `verify` says, a restore gives out no wrong byte.
//!
//! `PILEUS_FLIPS` is the number of changes (200 if it is not set), `PILEUS_FLIP_SEED` where the row of random numbers begins. The
//! library is called in the test's own process: ten thousand times two programs would take an hour.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use pileus::format::snapshot_name::SnapshotName;
use pileus::monitor::{Event, Monitor};
use pileus::restore::{self, Overwrite, OwnerPolicy, RestoreOptions};
use pileus::verify::{self, Level, VerifyOptions};

use crate::increments::nights::Nights;

/// Keeps what is told of problems.
#[derive(Default)]
struct Told(Mutex<String>);

impl Monitor for Told {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(problem) = event {
            let mut told = self.0.lock().expect("no thread panics while it tells");
            told.push_str(&String::from_utf8_lossy(&problem.subject));
            told.push_str(": ");
            told.push_str(&problem.reason);
            told.push('\n');
        }
    }
}

/// A small store with four snapshots and segments of every codec, of which the last snapshot needs all.
struct Store {
    nights: Nights,
    snapshots: Vec<SnapshotName>,
    files: Vec<PathBuf>,
    /// What a restore of each snapshot makes.
    trees: Vec<BTreeMap<PathBuf, String>>,
}

impl Store {
    fn new() -> Self {
        let mut nights = Nights::new();
        for codec in ["bzip2", "zstd", "gzip", "none"] {
            nights.place.sh(&format!(
                "cd tree; mkdir {codec}; seq 900 > {codec}/numbers; seq 3 | sed 's/^/{codec}/' > {codec}/short
                seq 700 | sed 's/.*/{codec} &/' > {codec}/lines; head -c 5000 /dev/urandom > {codec}/noise; touch {codec}/empty
                ln -s short {codec}/symlink; ln {codec}/short {codec}/linked; truncate -s 70000 {codec}/hole"
            ));
            nights.backup(&["--localdb=state", &format!("--compression={codec}")]);
        }
        let store = nights.place.join("store");
        let names = nights.place.names("store");
        let snapshots: Vec<_> = names
            .iter()
            .filter_map(|name| name.strip_prefix("snapshot-")?.strip_suffix(".lbs"))
            .filter_map(SnapshotName::parse)
            .collect();
        assert_eq!(snapshots.len(), 4);
        let mut made = Self {
            files: names.iter().map(|name| store.join(name)).collect(),
            nights,
            snapshots,
            trees: Vec::new(),
        };
        for at in 0..4 {
            let tree = made.restored(at).expect("a whole store is restored");
            assert!(tree.len() > 8 * (at + 1), "{tree:?}");
            made.trees.push(tree);
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.nights.place.join(name)
    }

    /// Verifies everything; returns what was told, nothing if that is nothing.
    fn verify(&self) -> String {
        let options = VerifyOptions {
            store: self.path("store"),
            snapshots: self.snapshots.clone(),
            level: Level::Files,
            sample: None,
            jobs: 1,
            verify_signature: None,
            unfilter: None,
        };
        let told = Told::default();
        let problems = match verify::run(&options, &told) {
            Ok(report) => report.problems,
            Err(error) => return format!("{error:#}"),
        };
        let told = told.0.into_inner().expect("no thread panicked");
        assert_eq!(problems == 0, told.is_empty(), "{told}");
        told
    }

    /// Restores a snapshot; returns what is there then, or why there is nothing.
    fn restored(&self, snapshot: usize) -> Result<BTreeMap<PathBuf, String>, String> {
        let target = self.path("back");
        if target.exists() {
            fs::remove_dir_all(&target).expect("is removed");
        }
        let options = RestoreOptions {
            store: self.path("store"),
            snapshot: self.snapshots[snapshot].clone(),
            target: target.clone(),
            paths: Vec::new(),
            rules: Vec::new(),
            dry_run: false,
            delete: false,
            overwrite: Overwrite::Never,
            owner: OwnerPolicy::Keep,
            xattrs: true,
            sparse: true,
            jobs: 1,
            verify_signature: None,
            unfilter: None,
        };
        let told = Told::default();
        let result = restore::run(&options, &AtomicBool::new(false), &told)
            .map_err(|error| format!("{error:#}"));
        let mut found = BTreeMap::new();
        if target.exists() {
            look(&target, &target, &mut found);
        }
        result.map(|_| found)
    }

    /// Fails if a file of the restored tree has other contents than it should.
    fn assert_no_wrong_byte(&self, tree: &BTreeMap<PathBuf, String>, what: &str) {
        let contents = |seen: &str| {
            seen.split_once(' ')
                .map(|(contents, _)| contents.to_owned())
        };
        for (path, seen) in tree {
            if !path.to_string_lossy().ends_with(".damaged") {
                let right = self.trees[3].get(path).and_then(|seen| contents(seen));
                assert_eq!(
                    contents(seen),
                    right,
                    "{what}: wrong bytes in {}",
                    path.display()
                );
            }
        }
    }
}

/// Notes each path below a directory with its contents and then its attributes.
fn look(root: &Path, directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).expect("is listed") {
        let path = entry.expect("an entry").path();
        let stat = fs::symlink_metadata(&path).expect("is there");
        let contents = if stat.is_file() {
            blake3::hash(&fs::read(&path).expect("is read"))
                .to_hex()
                .to_string()
        } else if stat.is_symlink() {
            let target = fs::read_link(&path).expect("is read");
            blake3::hash(target.as_os_str().as_encoded_bytes())
                .to_hex()
                .to_string()
        } else {
            look(root, &path, found);
            "directory".to_owned()
        };
        let (seconds, nanoseconds) = (stat.mtime(), stat.mtime_nsec());
        let attributes = format!(
            "{:o} {seconds}.{nanoseconds:09} {}",
            stat.mode(),
            stat.nlink()
        );
        let relative = path.strip_prefix(root).expect("is below it").to_owned();
        found.insert(relative, format!("{contents} {attributes}"));
    }
}

/// Random numbers that are the same every time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % limit
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// The name by which a message has to call a file of the store.
fn stem(file: &Path) -> String {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a plain name");
    let name = name.strip_prefix("snapshot-").unwrap_or(name);
    name.split('.').next().expect("a beginning").to_owned()
}

#[test]
fn every_changed_byte_is_found_or_harmless() {
    let store = Store::new();
    let flips = number("PILEUS_FLIPS", 200);
    let mut random = Random(number("PILEUS_FLIP_SEED", 1) | 1 << 40);
    // By bytes, not by files: what is large is hit more often, as on a disk.
    let sizes = store
        .files
        .iter()
        .map(|file| fs::metadata(file).expect("is there").len());
    let sizes: Vec<_> = sizes
        .map(|size| usize::try_from(size).expect("is small"))
        .collect();
    let (mut found, mut harmless) = (0, 0);
    for flip in 0..flips {
        let mut at = random.below(sizes.iter().sum());
        // Every other one in a file chosen by chance: the small ones would hardly be hit.
        let mut file = random.below(sizes.len());
        if flip % 2 == 0 {
            file = 0;
            while at >= sizes[file] {
                at -= sizes[file];
                file += 1;
            }
        }
        let path = &store.files[file];
        let whole = fs::read(path).expect("is read");
        let (at, bit) = (at % whole.len(), random.below(255));
        let mut bytes = whole.clone();
        bytes[at] ^= u8::try_from(bit + 1).expect("is no more than 255");
        fs::write(path, bytes).expect("is written");
        let what = format!(
            "flip {flip}, byte {at} of {} xor {}",
            path.display(),
            bit + 1
        );
        let told = catch_unwind(AssertUnwindSafe(|| check(&store, path, &what)))
            .unwrap_or_else(|_| panic!("{what}"));
        if told {
            found += 1;
        } else {
            harmless += 1;
        }
        fs::write(path, whole).expect("is written");
    }
    let bytes: usize = sizes.iter().sum();
    // The figures of docs/reliability.md.
    eprintln_figures(&format!(
        "{flips} changes in {} files of {bytes} bytes: {found} found, {harmless} harmless",
        sizes.len()
    ));
    assert!(found > flips / 2, "{found} of {flips} found");
}

/// Checks one change; tells whether it was found.
fn check(store: &Store, file: &Path, what: &str) -> bool {
    let told = store.verify();
    if told.is_empty() {
        for at in 0..4 {
            let tree = store
                .restored(at)
                .unwrap_or_else(|e| panic!("{what}: not found, but {e}"));
            assert!(
                tree == store.trees[at],
                "{what}: not found, but not the same tree"
            );
        }
        return false;
    }
    assert!(
        told.contains(&stem(file)),
        "{what}: not under its name: {told}"
    );
    if let Ok(tree) = store.restored(3) {
        store.assert_no_wrong_byte(&tree, what);
    }
    true
}

#[allow(clippy::print_stderr)] // What the long form is run for.
fn eprintln_figures(text: &str) {
    eprintln!("{text}");
}
