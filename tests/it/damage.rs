//! Damage of every kind to every kind of file in a store: verify finds it, restore never gives out wrong bytes, and everything
//! that is whole comes back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::harness::{Ended, Place};

/// Makes a small tree, backed up into segments of every kind; local state is kept elsewhere.
fn backed_up() -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/sub
        seq 30000 > tree/numbers; seq 5 > tree/short; seq 20000 | sed 's/.*/line &/' > tree/sub/lines
        head -c 300000 /dev/urandom > tree/random; head -c 100000 /dev/urandom > tree/sub/noise
        { head -c 1500000 /dev/zero; seq 100000; head -c 1200000 /dev/urandom; } > tree/mixed
        ln tree/short tree/sub/linked; ln -s short tree/link; touch tree/empty; mkfifo tree/pipe
        truncate -s 3M tree/hole");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--segment-size=300K",
        "tree",
    ]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place
}

/// What the store's files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Descriptor,
    Sums,
    Data,
    Incompressible,
    Metadata,
}

const ROLES: [Role; 5] = [
    Role::Descriptor,
    Role::Sums,
    Role::Data,
    Role::Incompressible,
    Role::Metadata,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Flip,
    Truncate,
    ZeroFill,
    Delete,
    Replace,
}

const DAMAGES: [Damage; 5] = [
    Damage::Flip,
    Damage::Truncate,
    Damage::ZeroFill,
    Damage::Delete,
    Damage::Replace,
];

impl Damage {
    fn apply(self, file: &Path, other: &Path) {
        let mut bytes = fs::read(file).expect("is read");
        match self {
            Self::Flip => {
                // In a descriptor, a bit of what is only for show would go unnoticed.
                let sum = b"Checksums: sha1=";
                let telling = bytes.windows(sum.len()).position(|window| window == sum);
                let at = telling.map_or(bytes.len() / 2, |at| at + sum.len());
                bytes[at] ^= 0x10;
            }
            Self::Truncate => bytes.truncate(bytes.len() / 2),
            Self::ZeroFill => bytes.fill(0),
            Self::Delete => return fs::remove_file(file).expect("is removed"),
            Self::Replace => bytes = fs::read(other).expect("is read"),
        }
        fs::write(file, bytes).expect("is written");
    }
}

/// Tells what a file of the store is for, with stock tools: metadata names files, and only incompressible data is left as it is.
fn role(place: &Place, name: &str) -> Role {
    match name.rsplit_once('.').expect("an extension").1 {
        "lbs" => Role::Descriptor,
        "sha1sums" => Role::Sums,
        "tar" => Role::Incompressible,
        _ => {
            let script = format!("bzip2 -dc store/{name} | grep -ac '^checksum: sha1=' || true");
            if place.sh(&script).trim() == "0" {
                Role::Data
            } else {
                Role::Metadata
            }
        }
    }
}

/// Returns a file of the store for each role, the largest of its kind.
fn files(place: &Place) -> BTreeMap<usize, PathBuf> {
    let mut found = BTreeMap::new();
    let mut names = place.names("store");
    names.sort_by_key(|name| {
        fs::metadata(place.join("store").join(name))
            .expect("is there")
            .size()
    });
    for name in names {
        let place_of_role = ROLES.iter().position(|known| *known == role(place, &name));
        found.insert(
            place_of_role.expect("a known role"),
            Path::new("store").join(name),
        );
    }
    assert_eq!(found.len(), ROLES.len(), "{found:?}");
    found
}

/// Compares what a restore brought back with the tree: each regular file equal, or absent, or set aside as NAME.damaged.
/// Returns the names of those that are not back.
fn compare(place: &Place, target: &str, ended: &Ended) -> Vec<String> {
    let original = place.join("tree");
    let restored = place.join(target).join("tree");
    let mut missing = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let (there, back) = (original.join(&relative), restored.join(&relative));
        let name = relative.to_str().expect("a plain name").to_owned();
        let stat = fs::symlink_metadata(&there).expect("is there");
        if stat.is_dir() {
            let list = fs::read_dir(&there).expect("is listed");
            waiting.extend(list.map(|e| relative.join(e.expect("an entry").file_name())));
        }
        match fs::symlink_metadata(&back) {
            Err(_) => missing.push(name),
            Ok(found) => {
                let seen = |stat: &fs::Metadata| (stat.mode(), stat.mtime(), stat.mtime_nsec());
                assert_eq!(seen(&found), seen(&stat), "{name}: {ended:?}");
                if stat.is_file() {
                    let same =
                        fs::read(&there).expect("is read") == fs::read(&back).expect("is read");
                    assert!(same, "wrong bytes in {name}: {ended:?}");
                }
            }
        }
    }
    for name in restored_names(&restored) {
        let known = original.join(name.strip_suffix(".damaged").unwrap_or(&name));
        assert!(
            fs::symlink_metadata(known).is_ok(),
            "{name} was never there: {ended:?}"
        );
    }
    missing.sort();
    missing
}

fn restored_names(restored: &Path) -> Vec<String> {
    let list = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten();
    let names = list(restored.to_owned()).map(|e| e.expect("an entry").file_name());
    names
        .map(|name| name.to_str().expect("a plain name").to_owned())
        .collect()
}

#[test]
fn every_damage_to_every_file_is_found_and_never_restored() {
    let whole = backed_up();
    let files = files(&whole);
    whole.sh("mv store whole");
    for (index, file) in &files {
        let role = ROLES[*index];
        // A segment is replaced by another, and what is no segment by one too.
        let other = if role == Role::Data {
            &files[&4]
        } else {
            &files[&2]
        };
        for damage in DAMAGES {
            whole.sh("rm -rf store back; cp -r whole store");
            damage.apply(&whole.join(file), &whole.join(other));
            let what = format!("{role:?} {damage:?}");
            check_verify(&whole, role, damage, file, &what);
            check_restore(&whole, role, &what);
        }
    }
}

fn check_verify(place: &Place, role: Role, damage: Damage, file: &Path, what: &str) {
    for level in ["sums", "objects", "files"] {
        let ended = place.survive(["verify", "--dest=store", &format!("--level={level}")]);
        let gone = role == Role::Descriptor && damage == Damage::Delete;
        let code = if gone { 1 } else { 3 };
        assert_eq!(ended.code, Some(code), "{what}, {level}: {ended:?}");
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        let named = match role {
            Role::Descriptor if gone => "there is no snapshot in store",
            Role::Descriptor => stem.strip_prefix("snapshot-").expect("of a snapshot"),
            _ => stem.strip_suffix(".tar").unwrap_or(stem),
        };
        assert!(
            ended.stderr.contains(named),
            "{what}, {level}: no {named} in {ended:?}"
        );
    }
}

fn check_restore(place: &Place, role: Role, what: &str) {
    let ended = place.survive(["restore", "--dest=store", "--target=back"]);
    match role {
        Role::Sums => {
            assert_eq!(
                (ended.code, ended.stderr.as_str()),
                (Some(0), ""),
                "{what}: {ended:?}"
            );
            assert_eq!(compare(place, "back", &ended), [""; 0], "{what}");
        }
        Role::Descriptor | Role::Metadata => {
            assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
            assert!(!place.join("back/tree").exists(), "{what}: {ended:?}");
        }
        Role::Data | Role::Incompressible => {
            assert_eq!(ended.code, Some(3), "{what}: {ended:?}");
            let lost = compare(place, "back", &ended);
            assert!(!lost.is_empty(), "{what}: {ended:?}");
            for name in &lost {
                assert!(
                    ended.stderr.contains(&format!("tree/{name}: ")),
                    "{what}: {name} is not told: {ended:?}"
                );
            }
            // What needs the damaged file is lost, nothing else; these lie in segments of the other kind.
            let safe: &[&str] = if role == Role::Data {
                &[
                    "random",
                    "sub/noise",
                    "empty",
                    "hole",
                    "link",
                    "pipe",
                    "sub",
                ]
            } else {
                &[
                    "short",
                    "sub/linked",
                    "sub/lines",
                    "numbers",
                    "empty",
                    "hole",
                    "link",
                    "pipe",
                ]
            };
            for name in safe {
                assert!(
                    !lost.contains(&(*name).to_owned()),
                    "{what}: {name}: {ended:?}"
                );
            }
        }
    }
}

#[test]
fn a_damaged_segment_costs_only_the_snapshots_that_need_it() {
    let place = Place::new();
    place.sh("mkdir tree; seq 20000 > tree/old");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=first",
        "tree",
    ]);
    let before = place.names("store");
    place.sh("head -c 50000 /dev/urandom > tree/new; rm tree/old");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=second",
        "tree",
    ]);
    for name in before.iter().filter(|name| name.contains(".tar")) {
        Damage::ZeroFill.apply(&place.join("store").join(name), Path::new(""));
    }
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "--scheme=second",
    ]);
    place.sh("cmp tree/new back/tree/new");
    place.succeed(["verify", "--dest=store", "--level=files", "--scheme=second"]);
    let ended = place.survive(["verify", "--dest=store", "--level=files"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let ended = place.survive(["list", "--dest=store"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
}

#[test]
fn a_damaged_descriptor_does_not_hide_the_others() {
    let place = backed_up();
    let names = place.names("store").into_iter();
    let good =
        names.filter_map(|name| Some(name.strip_suffix(".lbs")?["snapshot-".len()..].to_owned()));
    let good = good.collect::<Vec<_>>().pop().expect("a snapshot");
    place.write("store/snapshot-bad-99990101T000000.lbs", "rubbish\n");
    let ended = place.survive(["list", "--dest=store"]);
    ended.assert_one_line(3, &["bad-99990101T000000"]);
    assert!(ended.stdout.contains(&good), "{ended:?}");
    let ended = place.survive(["verify", "--dest=store"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("bad-99990101T000000"), "{ended:?}");
    // The latest is the bad one; the other has to be asked for, and is good.
    let ended = place.survive(["restore", "--dest=store", "--target=back"]);
    ended.assert_one_line(1, &["bad-99990101T000000"]);
    let chosen = format!("--snapshot={good}");
    place.succeed(["restore", "--dest=store", "--target=back", &chosen]);
}

#[test]
fn a_part_of_a_damaged_file_is_set_aside_and_never_takes_a_good_files_place() {
    let place = Place::new();
    place.sh("mkdir tree; head -c 2500000 /dev/urandom > tree/big; echo mine > tree/small");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--segment-size=1M",
        "tree",
    ]);
    let names = place.names("store");
    let segment = names
        .iter()
        .find(|name| role(&place, name) == Role::Incompressible);
    let path = place.join("store").join(segment.expect("a segment"));
    Damage::Flip.apply(&path, Path::new(""));
    for (before, left) in [
        ("true", vec!["big.damaged", "small"]),
        (
            "mkdir -p back/tree; echo kept > back/tree/big.damaged",
            vec!["big.damaged", "small"],
        ),
    ] {
        place.sh(&format!("rm -rf back; {before}"));
        let ended = place.survive(["restore", "--dest=store", "--target=back"]);
        ended.assert_one_line(3, &["tree/big: "]);
        assert_eq!(place.names("back/tree"), left);
        place.sh("cmp tree/small back/tree/small");
        let damaged = place.join("back/tree/big.damaged");
        let stat = fs::metadata(&damaged).expect("is there");
        if before == "true" {
            assert_eq!((stat.size(), stat.mode() & 0o7777), (2_500_000, 0o600));
            assert!(ended.stderr.contains("big.damaged"), "{ended:?}");
        } else {
            assert_eq!(fs::read_to_string(&damaged).expect("is read"), "kept\n");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    let place = Place::new();
    place.sh(
        "mkdir tree; seq 400 > tree/numbers; echo short > tree/short; ln -s short tree/link
        head -c 3000 /dev/urandom > tree/random; chmod 0640 tree/short; ln tree/short tree/linked",
    );
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    let manifest = place.manifest("tree", "");
    let files: Vec<_> = place
        .names("store")
        .iter()
        .map(|n| place.join("store").join(n))
        .collect();
    let total: usize = files
        .iter()
        .map(|file| fs::read(file).expect("is read").len())
        .sum();
    // A multiplier of Lehmer's generator: the same flips in every run.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state * 48_271 % 0x7fff_ffff;
        usize::try_from(state).expect("is small") * below / 0x7fff_ffff
    };
    let mut unnoticed = 0;
    for flip in 0..200 {
        let mut at = random(total);
        let bit = random(8);
        let file = files.iter().find(|file| {
            let length = fs::read(file).expect("is read").len();
            let found = at < length;
            if !found {
                at -= length;
            }
            found
        });
        let file = file.expect("the place is in one of them");
        let whole = fs::read(file).expect("is read");
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        fs::write(file, bytes).expect("is written");
        let what = format!("flip {flip}: bit {bit} of byte {at} of {}", file.display());
        let ended = place.survive(["verify", "--dest=store", "--level=files"]);
        if ended.code == Some(0) {
            unnoticed += 1;
            let ended = place.survive(["restore", "--dest=store", "--target=back"]);
            assert_eq!(
                (ended.code, ended.stderr.as_str()),
                (Some(0), ""),
                "{what}: {ended:?}"
            );
            assert_eq!(place.manifest("back/tree", ""), manifest, "{what}");
            place.sh("rm -r back");
        } else {
            assert!(matches!(ended.code, Some(1 | 3)), "{what}: {ended:?}");
            assert_ne!(ended.stderr, "", "{what}");
        }
        fs::write(file, whole).expect("is written");
    }
    // Only the descriptor has text that nothing depends on: its times and totals.
    assert!(unnoticed < 30, "{unnoticed} flips were not noticed");
}
