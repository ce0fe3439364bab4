//! Damage of every kind at every place of store and local state, against what works on: backup, prune and rebuild. Verify and restore
//! have their table one level up.
//!
//! Whatever is damaged: nothing panics, no run makes it worse, and no restore gives out a wrong byte. A backup cannot see damage of the
//! store, which it never reads; local state that is made anew by `rebuild --deep` leads to nothing damaged.

use std::fs;
use std::path::Path;

use crate::harness::Ended;
use crate::increments::nights::Nights;

/// What is done to a file; `other` is another one of its kind, and `stale` what it was a night before.
type Damage = (&'static str, fn(file: &Path, other: &Path, stale: &Path));

const DAMAGES: &[Damage] = &[
    ("flip", |file, _, _| {
        change(file, |bytes| {
            // In a descriptor, a bit of what is only for show would harm nothing.
            let root = bytes.windows(6).position(|part| part == b"Root: ");
            let at = root.map_or(bytes.len() / 2, |at| at + 10);
            bytes[at] ^= 1;
        });
    }),
    ("truncate", |file, _, _| {
        change(file, |bytes| bytes.truncate(bytes.len() / 2));
    }),
    ("zero", |file, _, _| change(file, |bytes| bytes.fill(0))),
    ("empty", |file, _, _| change(file, Vec::clear)),
    ("delete", |file, _, _| {
        fs::remove_file(file).expect("is removed");
    }),
    ("swap", |file, other, _| {
        let (a, b) = (fs::read(file), fs::read(other));
        fs::write(file, b.expect("is read")).expect("is written");
        fs::write(other, a.expect("is read")).expect("is written");
    }),
    ("stale", |file, _, stale| {
        if stale.exists() {
            fs::copy(stale, file).expect("is copied");
        }
    }),
    ("duplicate", |file, _, _| {
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.expect("a plain name").replacen('1', "2", 1);
        fs::copy(
            file,
            file.with_file_name(name.replacen("20261", "20251", 1)),
        )
        .expect("is copied");
    }),
];

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).expect("is read");
    change(&mut bytes);
    fs::write(file, bytes).expect("is written");
}

/// Makes two nights with all kinds of segments; `whole` and `whole-state` are how they are left, `stale` and `stale-state` how the first
/// night left them.
fn nights() -> Nights {
    let mut nights = Nights::new();
    nights.place.sh("cd tree; seq 9000 > numbers; seq 5 > short; head -c 90000 /dev/urandom > noise; touch empty");
    let arguments = ["--localdb=state", "--segment-size=40K"];
    nights.backup(&arguments);
    nights.place.sh("cp -r store stale; cp -r state stale-state; seq 7000 | sed 's/^/x/' > tree/more
        sqlite3 state/localdb.sqlite \"UPDATE segment SET expired = 2 WHERE segment_group = 'data' AND file LIKE '%.bz2'\"");
    nights.backup(&arguments);
    nights
        .place
        .sh("cp -r store whole; cp -r state whole-state");
    nights
}

/// Returns a file of each kind, and another one of that kind.
fn places(nights: &Nights) -> Vec<(&'static str, String, String)> {
    let segments = |which: &str| -> Vec<String> {
        let sql = format!("SELECT file FROM segment WHERE {which} ORDER BY id");
        let listed = nights
            .place
            .sh(&format!("sqlite3 whole-state/localdb.sqlite \"{sql}\""));
        listed.lines().map(str::to_owned).collect()
    };
    let found = [
        (
            "data",
            segments("segment_group = 'data' AND file LIKE '%.bz2'"),
        ),
        ("incompressible", segments("file LIKE '%.tar'")),
        ("metadata", segments("segment_group = 'metadata'")),
        ("compacted", segments("segment_group = 'compacted-2'")),
        ("descriptor", nights.place.names_ending("whole", ".lbs")),
        ("sums", nights.place.names_ending("whole", ".sha1sums")),
    ];
    let all = segments("1");
    let pair = |(kind, mut files): (&'static str, Vec<String>)| {
        let file = files.pop().unwrap_or_else(|| panic!("no {kind}"));
        let other = files
            .pop()
            .or_else(|| all.iter().find(|other| **other != file).cloned());
        (kind, file, other.expect("another segment"))
    };
    found.into_iter().map(pair).collect()
}

/// Restores the last snapshot; what comes back has to be right, and if all of it does, complete.
fn restore(nights: &Nights, what: &str) -> Ended {
    nights.place.sh("rm -rf back");
    let ended = nights
        .place
        .survive(["restore", "--dest=store", "--target=back"]);
    let differs = nights
        .place
        .sh("[ ! -e back/tree ] || diff -r tree back/tree 2>&1 || true");
    for line in differs.lines() {
        // Without the last descriptor, the last snapshot is that of the night before.
        let before = what.starts_with("descriptor") && line == "Only in tree: more";
        let lost = line.starts_with("Only in tree") || line.contains(".damaged");
        let told = lost && ended.code != Some(0);
        assert!(told || before, "{what}: {line}: {ended:?}");
    }
    ended
}

fn verify(nights: &Nights, snapshot: &str) -> Ended {
    let snapshot = format!("--snapshot={snapshot}");
    nights
        .place
        .survive(["verify", "--dest=store", "--level=files", &snapshot])
}

/// The next night's backup, whatever becomes of it; returns the new snapshot, if there is one.
fn back_up(nights: &mut Nights, state: &str, what: &str) -> (Ended, Option<String>) {
    let ended = nights.run(&[&format!("--localdb={state}")]);
    assert!(matches!(ended.code, Some(0 | 1 | 3)), "{what}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
    let made = ended.code != Some(1);
    assert_eq!(
        made,
        ended.stdout.contains("\"summary\""),
        "{what}: {ended:?}"
    );
    let name = made.then(|| ended.summary()["snapshot"].as_str().map(str::to_owned));
    (ended, name.flatten())
}

#[test]
fn work_on_a_damaged_store_makes_nothing_worse() {
    let mut nights = nights();
    for (kind, file, other) in places(&nights) {
        for (damage, apply) in DAMAGES {
            let what = format!("{kind}, {damage}");
            nights
                .place
                .sh("rm -rf store state; cp -r whole store; cp -r whole-state state");
            let store = nights.place.join("store");
            let stale = nights.place.join("stale").join(&file);
            apply(&store.join(&file), &store.join(&other), &stale);
            let before = restore(&nights, &what);
            check_prune(&nights, &before, &what);
            check_backup(&mut nights, &file, &what);
            check_rebuild(&mut nights, &what);
        }
    }
}

/// A prune that keeps everything readable takes nothing that the last snapshot still gives back.
fn check_prune(nights: &Nights, before: &Ended, what: &str) {
    nights
        .place
        .sh("rm -rf kept kept-state; cp -r store kept; cp -r state kept-state");
    let arguments = ["prune", "--dest=store", "--localdb=state", "--keep-last=1"];
    let pruned = nights.place.survive(arguments);
    assert!(matches!(pruned.code, Some(0 | 3)), "{what}: {pruned:?}");
    let after = restore(nights, what);
    // Where the last snapshot cannot be read, the one before is the last.
    if before.code != Some(1) {
        // Which of two workers tells first is nobody's promise.
        let told = |ended: &Ended| {
            let mut lines: Vec<_> = ended.stderr.lines().map(str::to_owned).collect();
            lines.sort();
            (ended.code, lines)
        };
        assert_eq!(told(&after), told(before), "{what}: {pruned:?}");
    }
    nights
        .place
        .sh("rm -rf store state; mv kept store; mv kept-state state");
}

/// A backup either names a file that is not there as it should be, or makes a snapshot of which nothing wrong comes back.
fn check_backup(nights: &mut Nights, file: &str, what: &str) {
    nights.place.sh("rm -rf kept; cp -r store kept");
    let (ended, snapshot) = back_up(nights, "state", what);
    if snapshot.is_none() {
        assert!(
            ended.stderr.contains(file) || what.ends_with("swap"),
            "{what}: {ended:?}"
        );
        assert_eq!(
            nights.place.names("store"),
            nights.place.names("kept"),
            "{what}"
        );
    }
    restore(nights, what);
    nights.place.sh("rm -rf store; mv kept store");
}

/// With local state made anew from all data, the next snapshot is whole.
fn check_rebuild(nights: &mut Nights, what: &str) {
    nights.place.sh("rm -rf fresh");
    let arguments = ["rebuild", "--dest=store", "--localdb=fresh", "--deep"];
    let rebuilt = nights.place.survive(arguments);
    assert!(
        matches!(rebuilt.code, Some(0 | 1 | 3)),
        "{what}: {rebuilt:?}"
    );
    let (ended, snapshot) = back_up(nights, "fresh", what);
    let snapshot = snapshot.unwrap_or_else(|| panic!("{what}: {rebuilt:?} {ended:?}"));
    let verified = verify(nights, &snapshot);
    assert_eq!(
        verified.code,
        Some(0),
        "{what}: {rebuilt:?} {ended:?} {verified:?}"
    );
    assert_eq!(restore(nights, what).code, Some(0), "{what}");
}

#[test]
fn a_descriptor_that_ends_between_two_lines_is_noticed() {
    let nights = nights();
    let file = nights
        .place
        .names_ending("whole", ".lbs")
        .pop()
        .expect("a descriptor");
    let text = fs::read_to_string(nights.place.join("whole").join(&file)).expect("is read");
    let needed: Vec<_> = nights
        .place
        .names_ending("whole", ".bz2")
        .into_iter()
        .filter(|name| text.contains(&name[..36]))
        .collect();
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    for end in ends.filter(|end| *end < text.len()) {
        let what = format!("cut after {:?}", &text[..end]);
        nights
            .place
            .sh("rm -rf store state; cp -r whole store; cp -r whole-state state");
        fs::write(nights.place.join("store").join(&file), &text[..end]).expect("is written");
        let verified = nights.place.survive(["verify", "--dest=store"]);
        assert_eq!(verified.code, Some(3), "{what}: {verified:?}");
        let arguments = ["prune", "--dest=store", "--localdb=state", "--keep-last=1"];
        let pruned = nights.place.survive(arguments);
        assert_eq!(pruned.code, Some(3), "{what}: {pruned:?}");
        let left = nights.place.names("store");
        let gone: Vec<_> = needed.iter().filter(|name| !left.contains(name)).collect();
        assert!(gone.is_empty(), "{what}: {gone:?} {pruned:?}");
    }
}

#[test]
fn damaged_local_state_costs_no_snapshot() {
    let mut nights = nights();
    // As a death leaves it: with a log that was not written back yet.
    nights.place.sh("cp -r whole-state with-log; sqlite3 with-log/localdb.sqlite 'PRAGMA wal_autocheckpoint = 0' \\
        'UPDATE segment SET stored = stored + 1' '.shell cp -r with-log killed' >/dev/null; ls killed/localdb.sqlite-wal");
    let places = [
        ("whole-state", "localdb.sqlite"),
        ("killed", "localdb.sqlite"),
        ("killed", "localdb.sqlite-wal"),
        ("whole-state", "statcache"),
    ];
    for (state, file) in places {
        for (damage, apply) in DAMAGES {
            let what = format!("{state}/{file}, {damage}");
            nights.place.sh(&format!(
                "rm -rf store state; cp -r whole store; cp -r {state} state"
            ));
            let directory = nights.place.join("state");
            let other = directory.join(if file == "statcache" {
                "localdb.sqlite"
            } else {
                "statcache"
            });
            apply(
                &directory.join(file),
                &other,
                &nights.place.join("stale-state").join(file),
            );
            let (ended, snapshot) = back_up(&mut nights, "state", &what);
            if let Some(snapshot) = snapshot {
                let verified = verify(&nights, &snapshot);
                assert_eq!(verified.code, Some(0), "{what}: {ended:?} {verified:?}");
                assert_eq!(restore(&nights, &what).code, Some(0), "{what}");
            } else {
                let told =
                    ended.stderr.contains("localdb.sqlite") || ended.stderr.contains("local state");
                assert!(told, "{what}: {ended:?}");
                assert_eq!(
                    nights.place.names("store"),
                    nights.place.names("whole"),
                    "{what}"
                );
            }
        }
    }
}
