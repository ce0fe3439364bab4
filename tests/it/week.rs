//! Many nights of one tree: edits, renames, removals, cleanings, kills, lost and damaged local state; and at the end every snapshot
//! that was ever published restores to what the tree was then.
//!
//! All is drawn from a fixed seed. A night that fails says which it was; `PILEUS_TEST_SEED=N` lives through the nights of another
//! seed, to look for more.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{Ended, is_root, need};
use crate::increments::nights::Nights;
use crate::increments::portable;

const NIGHTS: u32 = 14;

/// Numbers that look random and depend on the seed alone.
struct Dice(u64);

impl Dice {
    /// Returns a number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let count = choices.len() as u64;
        choices[usize::try_from(self.below(count)).expect("is an index")]
    }
}

/// A tree, its store, and what was published.
struct Week {
    nights: Nights,
    dice: Dice,
    seed: u64,
    night: u32,
    /// Whether some stat cache may be damaged, which the next run of its scheme tells.
    damaged: bool,
    manifests: BTreeMap<String, String>,
}

impl Week {
    fn new(seed: u64) -> Self {
        let nights = Nights::new();
        nights
            .place
            .sample_tree("tree", u32::try_from(seed).expect("is small"));
        Self {
            nights,
            dice: Dice(seed),
            seed,
            night: 0,
            damaged: false,
            manifests: BTreeMap::new(),
        }
    }

    /// Changes the tree as a day does.
    fn day(&mut self) {
        let (seed, night) = (self.seed, self.night);
        if night == 0 {
            return;
        }
        if night < 3 {
            self.nights.place.sh(&format!(
                "python3 \"$PROJECT/tests/tools/make_sample_tree.py\" tree {seed} --step {night}"
            ));
        } else if self.dice.below(8) > 0 {
            let count = [1, 4, 15][usize::try_from(self.dice.below(3)).expect("is small")];
            self.nights.place.sh(&format!(
                "python3 \"$PROJECT/tests/tools/edit_tree.py\" tree {seed}-{night} {count}"
            ));
        }
    }

    /// Does to local state what may befall it.
    fn befall(&mut self) {
        let place = &self.nights.place;
        match self.dice.below(14) {
            0 => drop(place.sh("rm -f store/localdb.sqlite*")),
            1 => drop(place.sh("rm -f store/statcache*")),
            2 => drop(place.sh("rm -f store/localdb.* store/statcache*")),
            3 => self.damage_stat_cache(),
            4 => self.rebuild(&[]),
            5 => self.rebuild(&["--deep"]),
            6..=8 => {
                let (part, class) = (1 + self.dice.below(4), self.dice.below(4));
                let mark = format!(
                    "UPDATE segment SET expired = {class} WHERE expired IS NULL AND id * 7919 % 4 < {part}"
                );
                // A run that was killed at once has left no database, or one without tables.
                place.sh(&format!(
                    "[ ! -s store/localdb.sqlite ] || sqlite3 store/localdb.sqlite '{mark}' || true"
                ));
            }
            _ => {}
        }
    }

    /// Makes local state anew, which may have been lost.
    fn rebuild(&mut self, options: &[&str]) {
        let is_lost = self.dice.below(2) == 0;
        let place = &self.nights.place;
        if !place.join("store").exists() || place.names_ending("store", ".lbs").is_empty() {
            return;
        }
        if is_lost {
            place.sh("rm -f store/localdb.* store/statcache*");
        }
        place.succeed([&["rebuild", "--dest=store"], options].concat());
    }

    fn damage_stat_cache(&mut self) {
        if !self.nights.place.join("store").exists() {
            return;
        }
        let caches = self.nights.place.names_ending("store", "statcache");
        let Some(cache) = caches.first() else {
            return;
        };
        let path = self.nights.place.join("store").join(cache);
        let mut bytes = fs::read(&path).expect("is read");
        // Not behind the blocks, where damage costs no more than some renamed files.
        let at = usize::try_from(self.dice.below(bytes.len() as u64 * 3 / 4)).expect("is small");
        bytes[at] ^= 1 << self.dice.below(8);
        fs::write(path, bytes).expect("is written");
        self.damaged = true;
    }

    /// Makes a run that comes to a bad end, and takes note of the checkpoint that it may leave.
    fn bad_night(&mut self) {
        let at = 1 + self.dice.below(9);
        fs::write(self.nights.place.join("countdown"), at.to_string()).expect("is written");
        let (end, calls) = (
            self.dice
                .one_of(&["kill -9 $PPID", "kill -TERM $PPID", "exit 1"]),
            self.dice.one_of(&[
                "renameat2",
                "fsync",
                "fdatasync",
                "unlink,unlinkat,rename",
                "pwrite64",
                "write",
            ]),
        );
        let countdown = "left=$(($(cat countdown) - 1)); echo $left >countdown; [ $left != 0 ] ||";
        let filter = format!("--filter={countdown} {end}; cat");
        let small = ["--checkpoint=1M", "--segment-size=64K", "--jobs=1"];
        let inject = format!(
            "inject={calls}:signal=KILL:when={}",
            at * (1 + self.dice.below(5))
        );
        let by_filter = self.dice.below(2) == 0;
        let ended = if by_filter {
            let arguments = [&small[..], &[&filter, "--filter-extension="]].concat();
            Ended::of(self.nights.command(&[], &arguments).env("TEST_TICK", "1"))
        } else {
            let trace = format!("trace={calls}");
            let strace = [
                "strace", "-f", "-qq", "-o", "trace", "-e", &trace, "-e", &inject,
            ];
            let arguments = [&small[..], &["--compression=none"]].concat();
            Ended::of(
                self.nights
                    .command(&strace, &arguments)
                    .env("TEST_TICK", "1"),
            )
        };
        assert!(
            matches!(ended.code, None | Some(0 | 1 | 3 | 130 | 137)),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        self.take_note();
    }

    /// Takes note of every snapshot that was not there before: it was made of the tree as it is now.
    fn take_note(&mut self) {
        let place = &self.nights.place;
        let manifest = place.manifest("tree", "");
        for file in place.names_ending("store", ".lbs") {
            let name = file
                .strip_prefix("snapshot-")
                .and_then(|name| name.strip_suffix(".lbs"));
            let name = name.expect("is the name of a descriptor").to_owned();
            self.manifests
                .entry(name)
                .or_insert_with(|| manifest.clone());
        }
    }

    fn good_night(&mut self) {
        self.befall();
        let codec = self.dice.one_of(&["bzip2:1", "zstd", "gzip:1", "none"]);
        let codec = format!("--compression={codec}");
        let scheme =
            self.dice
                .one_of(&["--segment-size=4M", "--scheme=other", "--segment-size=64K"]);
        let extra = self.dice.one_of(&[
            "--jobs=2",
            "--jobs=1",
            "--checkpoint=1M",
            "--leave-checkpoints",
            "--reread",
            "--full-metadata",
            "--deduplicate=verify",
            "--deduplicate=never",
        ]);
        let arguments = [&codec, scheme, extra, "--checkpoint=1M"];
        let mut command = self.nights.command(&[], &arguments[..3]);
        if extra == "--leave-checkpoints" {
            command = self.nights.command(&[], &arguments);
        }
        let ended = Ended::of(command.env("TEST_TICK", "1"));
        let of_cache = self.damaged && ended.code == Some(3) && ended.stderr.lines().count() == 1;
        let is_good = ended.code == Some(0) || of_cache && ended.stderr.contains("statcache");
        assert!(is_good, "night {} {arguments:?}: {ended:?}", self.night);
        self.take_note();
        let snapshot = ended.summary()["snapshot"]
            .as_str()
            .expect("is there")
            .to_owned();
        assert!(self.manifests.contains_key(&snapshot));
        self.is_same(&snapshot, "--root=.");
        if std::env::var_os("PILEUS_TEST_SEED").is_some() {
            self.restores(&snapshot, false);
        }
        portable::check(&self.nights.place, "store", &[&snapshot]);
    }

    /// Fails unless a snapshot restores to the manifest taken when it was made; a checkpoint to a part of it.
    fn restores(&self, snapshot: &str, by_script: bool) {
        let place = &self.nights.place;
        place.sh("rm -rf back; mkdir back");
        if by_script {
            place.sh(&format!(
                "python3 \"$PROJECT/docs/restore.py\" store back {snapshot}"
            ));
        } else {
            let option = format!("--snapshot={snapshot}");
            place.succeed(["restore", "--dest=store", "--target=back", &option]);
        }
        let (restored, wanted) = (place.manifest("back/tree", ""), &self.manifests[snapshot]);
        if snapshot.ends_with(".checkpoint") {
            let wanted = without_links(wanted);
            for line in without_links(&restored) {
                assert!(wanted.contains(&line), "{snapshot} has {line}");
            }
        } else if restored != *wanted {
            let (restored, wanted) = (
                restored.lines().collect::<Vec<_>>(),
                wanted.lines().collect::<Vec<_>>(),
            );
            let lost = wanted.iter().find(|line| !restored.contains(line));
            let more = restored.iter().find(|line| !wanted.contains(line));
            panic!("seed {} {snapshot}: {lost:?} became {more:?}", self.seed);
        } else if is_root() {
            // Owners come back to root alone.
            self.is_same(snapshot, "--root=back");
        }
    }

    /// Fails if `diff` finds anything between a snapshot and the files on the disk.
    fn is_same(&self, snapshot: &str, root: &str) {
        let place = &self.nights.place;
        let ended = place.succeed(["diff", "--dest=store", root, snapshot]);
        assert_eq!(ended.stdout, "", "seed {} night {}", self.seed, self.night);
    }

    /// Looks at everything that is in the store.
    fn look_back(&mut self) {
        let place = &self.nights.place;
        if self.dice.below(2) == 0 {
            place.sh("rm -rf store/localdb* store/statcache*");
        }
        place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
        place.succeed(["verify", "--dest=store", "--level=files"]);
        portable::check(place, "store", &[]);
        let there: Vec<_> = self.manifests.keys().cloned().collect();
        let there = there
            .iter()
            .filter(|name| place.join(format!("store/snapshot-{name}.lbs")).exists());
        let there: Vec<_> = there.collect();
        let complete = self
            .manifests
            .keys()
            .filter(|name| !name.ends_with(".checkpoint"));
        assert_eq!(complete.filter(|name| !there.contains(name)).count(), 0);
        let last = there.len() as u64 - 1;
        let by_script = [self.dice.below(last), self.dice.below(last), last];
        for (at, snapshot) in there.iter().enumerate() {
            self.restores(snapshot, false);
            if by_script.contains(&(at as u64)) && !snapshot.ends_with(".checkpoint") {
                self.restores(snapshot, true);
            }
        }
    }
}

/// Links whose other names come later are not links in a checkpoint.
fn without_links(manifest: &str) -> Vec<serde_json::Value> {
    let parse = |line| {
        let mut entry: serde_json::Value = serde_json::from_str(line).expect("is JSON");
        let fields = entry.as_object_mut().expect("is an object");
        fields.remove("link_group");
        entry
    };
    manifest.lines().map(parse).collect()
}

fn live_through(seed: u64) {
    need("strace");
    let mut week = Week::new(seed);
    for night in 0..NIGHTS {
        week.night = night;
        week.day();
        if week.dice.below(3) == 0 {
            week.bad_night();
        }
        week.good_night();
    }
    week.look_back();
}

#[test]
fn every_snapshot_of_a_week_restores_to_what_the_tree_was() {
    let other = std::env::var("PILEUS_TEST_SEED").ok();
    live_through(other.map_or(1, |seed| seed.parse().expect("is a number")));
}

#[test]
fn every_snapshot_of_another_week_restores_to_what_the_tree_was() {
    live_through(2);
}

#[test]
fn every_snapshot_of_a_third_week_restores_to_what_the_tree_was() {
    live_through(3);
}
