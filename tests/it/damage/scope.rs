//! How far damage reaches: not beyond what needs the damaged file, and nowhere unnoticed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Damage, Role, backed_up, role};
use crate::harness::Place;

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
    // A second later, so that it is the latest.
    let bad = place.sh("date -u -d @$(($(date +%s) + 1)) +bad-%Y%m%dT%H%M%S");
    let bad = bad.trim();
    place.write(&format!("store/snapshot-{bad}.lbs"), "rubbish\n");
    let ended = place.survive(["list", "--dest=store"]);
    ended.assert_one_line(3, &[bad]);
    assert!(ended.stdout.contains(&good), "{ended:?}");
    let ended = place.survive(["verify", "--dest=store"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains(bad), "{ended:?}");
    // The latest is the bad one; the other has to be asked for, and is good.
    let ended = place.survive(["restore", "--dest=store", "--target=back"]);
    ended.assert_one_line(1, &[bad, "is damaged", "pileus list"]);
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

/// Makes a place whose last snapshot needs a segment of metadata for the paths of the night before, and takes that away.
fn without_older_metadata() -> Place {
    let place = Place::new();
    place.sh("mkdir -p top/beside top/deep/tree; for i in $(seq 300); do echo $i >top/deep/tree/$i; done; sleep 2.1");
    let backup = ["backup", "--dest=store", "--localdb=state", "top/deep/tree"];
    place.succeed(backup);
    let name = |id: &str| id.split('/').next().unwrap_or_default().to_owned();
    let root = place.sh("sed -n 's/^Root: //p' store/snapshot-*.lbs");
    place.sh("echo new >top/deep/tree/zzz");
    place.succeed(backup);
    place.sh(&format!("rm store/{}.tar*", name(root.trim())));
    place
}

#[test]
fn a_restore_says_how_many_entries_are_known_where_metadata_are_lost() {
    let place = without_older_metadata();
    let ended = place.survive(["restore", "--dest=store", "--target=back"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told = ended.stderr.lines().last().expect("a line");
    assert!(told.contains(" of 304 entries"), "{ended:?}");
    assert!(told.contains("--snapshot"), "{ended:?}");
}

#[test]
fn what_the_disk_has_is_not_called_removed_where_metadata_are_lost() {
    let place = without_older_metadata();
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=.", "--json"]);
    let summary = ended.summary();
    assert_eq!(
        (ended.code, &summary["added"], &summary["removed"]),
        (Some(3), &0.into(), &0.into()),
        "{ended:?}"
    );
}
