//! Damage of every kind to every kind of file in a store: verify finds it, restore never gives out wrong bytes, and everything
//! that is whole comes back.

mod chain;
mod flips;
mod matrix;
mod scope;

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
