//! Which entries of which snapshot a restore brings back.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::harness::{Ended, Place};
use crate::made_store::{MadeStore, SNAPSHOT};

fn backed_up() -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/a/sub tree/ab tree/b
        for f in a/one a/two a/sub/three ab/one b/one a-file; do echo $f > tree/$f; done
        ln -s a tree/link; ln tree/b/one tree/b/linked; ln tree/b/one tree/a/sub/linked
        chmod 0711 tree/a; touch -d 2001-02-03T04:05:06Z tree/a");
    place.succeed(["backup", "--dest=store", "tree"]);
    place
}

fn restore(place: &Place, paths: &[&str]) -> Ended {
    place.sh("rm -rf back");
    let fixed = ["restore", "--dest=store", "--target=back"];
    place.survive(fixed.iter().chain(paths))
}

/// Returns the paths of everything in the target but the target.
fn restored(place: &Place) -> Vec<String> {
    let list = place.sh("cd back && find . | LC_ALL=C sort");
    let below = list.lines().filter_map(|line| line.strip_prefix("./"));
    below.map(ToOwned::to_owned).collect()
}

#[test]
fn a_path_selects_its_entry_and_all_below_it() {
    let place = backed_up();
    let below_a = [
        "tree",
        "tree/a",
        "tree/a/one",
        "tree/a/sub",
        "tree/a/sub/linked",
        "tree/a/sub/three",
        "tree/a/two",
    ];
    for (paths, expected) in [
        (&["tree/a/one"][..], &["tree", "tree/a", "tree/a/one"][..]),
        (&["/tree/a/one"], &["tree", "tree/a", "tree/a/one"]),
        (&["tree/a"], &below_a),
        (&["/tree/a/"], &below_a),
        (&["./tree//a/."], &below_a),
        (&["tree/a", "tree/a/one"], &below_a),
        (&["tree/link"], &["tree", "tree/link"]),
        (
            &["tree/ab", "tree/a-file"],
            &["tree", "tree/a-file", "tree/ab", "tree/ab/one"],
        ),
    ] {
        let ended = restore(&place, paths);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{paths:?}: {ended:?}"
        );
        assert_eq!(restored(&place), expected, "{paths:?}");
    }
    for everything in [&[][..], &["."], &["/"], &["tree"]] {
        let ended = restore(&place, everything);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(
            place.manifest("back/tree", ""),
            place.manifest("tree", ""),
            "{everything:?}"
        );
    }
}

#[test]
fn directories_above_what_is_selected_get_their_attributes() {
    let place = backed_up();
    restore(&place, &["tree/a/sub/three"]);
    let stat = fs::metadata(place.join("back/tree/a")).expect("is there");
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o711, 981_173_106));
    // One that was there before only leads to what is wanted, and stays as it is.
    place.sh("rm -r back/tree/a/*; chmod 0777 back/tree/a");
    place.succeed([
        "restore",
        "--dest=store",
        "--target=back",
        "tree/a/sub/three",
    ]);
    let stat = fs::metadata(place.join("back/tree/a")).expect("is there");
    assert_eq!(stat.mode() & 0o7777, 0o777);
}

#[test]
fn a_path_that_is_not_in_the_snapshot_is_a_problem_or_the_end() {
    let place = backed_up();
    let ended = restore(&place, &["tree/nope", "tree/b"]);
    ended.assert_one_line(3, &["tree/nope", "is not in snapshot"]);
    assert!(place.join("back/tree/b/one").exists());
    for nothing in [
        &["tree/nope"][..],
        &["tree/a/one/below"],
        &["nope", "tree/a/on"],
    ] {
        let ended = restore(&place, nothing);
        ended.assert_one_line(1, &["is not in snapshot", "pileus find"]);
        assert!(!place.join("back").exists(), "a target made for nothing");
    }
    // One that was there is not the restore's to remove.
    place.sh("mkdir mine");
    let ended = place.run(["restore", "--dest=store", "--target=mine", "tree/nope"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(place.join("mine").exists());
    let ended = restore(&place, &["tree/../tree/a"]);
    ended.assert_one_line(2, &["\"..\""]);
    let ended = restore(&place, &[""]);
    ended.assert_one_line(2, &["PATH"]);
}

#[test]
fn a_hard_link_comes_back_also_if_the_first_one_is_not_selected() {
    let place = backed_up();
    for (paths, names, links) in [
        (&["tree/b/one"][..], &["b/one"][..], 1),
        (&["tree/b/linked"], &["b/linked"], 1),
        (&["tree/b"], &["b/one", "b/linked"], 2),
        (&["tree/b/one", "tree/a/sub"], &["b/one", "a/sub/linked"], 2),
        (&["tree"], &["b/one", "b/linked", "a/sub/linked"], 3),
    ] {
        let ended = restore(&place, paths);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{paths:?}: {ended:?}"
        );
        for name in names {
            let path = place.join("back/tree").join(name);
            assert_eq!(
                fs::read_to_string(&path).expect("is there"),
                "b/one\n",
                "{paths:?}"
            );
            assert_eq!(
                fs::metadata(&path).expect("is there").nlink(),
                links,
                "{paths:?}"
            );
        }
    }
}

/// Makes a store of several snapshots, all of the same contents.
fn snapshots(names: &[&str]) -> Place {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.good_file("file", "contents");
    store.write(&place.join("store"));
    for name in names {
        place.sh(&format!(
            "cp store/snapshot-{SNAPSHOT}.lbs store/snapshot-{name}.lbs"
        ));
    }
    place.sh(&format!("rm store/snapshot-{SNAPSHOT}.lbs"));
    place
}

const NAMES: [&str; 4] = [
    "home-20260101T120000",
    "work-20260103T120000",
    "20260105T120000",
    "home-20260107T120000",
];

/// Chooses a snapshot with these arguments; times are those of a place where it is UTC.
fn choose(place: &Place, arguments: &[&str]) -> Ended {
    place.sh("rm -rf back");
    let fixed = ["restore", "--dest=store", "--target=back", "--json"];
    Ended::of(
        place
            .command(fixed.iter().chain(arguments))
            .env("TZ", "UTC"),
    )
}

#[test]
fn snapshots_are_chosen_by_name_beginning_or_time() {
    let place = snapshots(&NAMES);
    for (arguments, expected) in [
        (&[][..], NAMES[3]),
        (&["--snapshot=latest"], NAMES[3]),
        (&["--scheme=work"], NAMES[1]),
        (&["--scheme=home", "--snapshot=@2026-01-06"], NAMES[0]),
        (&["--snapshot=20260105T120000"], NAMES[2]),
        (&["--snapshot=snapshot-20260105T120000"], NAMES[2]),
        (&["--snapshot=home-20260101"], NAMES[0]),
        (&["--snapshot=w"], NAMES[1]),
        (&["--snapshot=@2026-01-03"], NAMES[1]),
        (&["--snapshot=@2026-01-03T12:00"], NAMES[1]),
        (&["--snapshot=@2026-01-03T11:59"], NAMES[0]),
        (&["--snapshot=@2026-01-02"], NAMES[0]),
        (&["--snapshot=@1min"], NAMES[3]),
    ] {
        let ended = choose(&place, arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        assert_eq!(ended.summary()["snapshot"], expected, "{arguments:?}");
    }
}

#[test]
fn whoever_names_no_series_is_told_of_those_that_there_are() {
    let place = snapshots(&NAMES);
    let note = "of all series of the store (its schemes are home, work): --scheme=NAME chooses one";
    for (arguments, is_told) in [
        (&["-v"][..], true),
        (&["-v", "--snapshot=@2026-01-06"], true),
        (&[], false),
        (&["-v", "--scheme=home"], false),
        (&["-v", "--snapshot=home-20260101"], false),
    ] {
        for command in [
            &["restore", "--target=back", "--dry-run"][..],
            &["ls"],
            &["export"],
        ] {
            let words = [command, &["--dest=store"], arguments].concat();
            let ended = place.run(&words);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert_eq!(ended.stderr.contains(note), is_told, "{words:?}: {ended:?}");
            assert!(!ended.stdout.contains("--scheme"), "{words:?}");
        }
    }
    let one = snapshots(&NAMES[..1]);
    let ended = one.succeed(["ls", "--dest=store", "-v"]);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_snapshot_that_cannot_be_chosen_is_answered_with_what_there_is() {
    let place = snapshots(&NAMES);
    for (arguments, parts) in [
        (
            &["--snapshot=home-"][..],
            &["home-", NAMES[0], NAMES[3]][..],
        ),
        (
            &["--snapshot=home-20260102"],
            &["home-20260102", "nearest is home-2026010"],
        ),
        (
            &["--snapshot=wrok-20260103T120000"],
            &["nearest is work-20260103T120000"],
        ),
        (
            &["--snapshot=@2025-12-31"],
            &["the oldest is home-20260101T120000"],
        ),
        (&["--snapshot=@yesterday"], &["@yesterday", "@2026-11-01"]),
        (&["--scheme=away"], &["away"]),
        (
            &["--scheme=work", "--snapshot=home-20260101T120000"],
            &["nearest is work-20260103T120000"],
        ),
        (&["--snapshot=x\u{1b}[2J"], &["nearest is"]),
    ] {
        let ended = choose(&place, arguments);
        ended.assert_one_line(1, parts);
        assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
        assert!(!place.join("back").exists(), "{arguments:?}");
    }
}

#[test]
fn rules_that_leave_out_everything_are_a_problem() {
    let place = backed_up();
    place.sh("mkdir tree/empty");
    place.succeed(["backup", "--dest=store", "tree"]);
    for (arguments, told) in [
        (&["--exclude=*"][..], "rules leave out all 15 entries\n"),
        (
            &["--include=nowhere", "--exclude=/tree"],
            "rules leave out all 15 entries\n",
        ),
        (
            &["--exclude=one", "tree/a/one"],
            "rules leave out the only entry of the PATHs\n",
        ),
    ] {
        for dry in [&["--dry-run"][..], &[]] {
            let ended = restore(&place, &[arguments, dry].concat());
            ended.assert_one_line(3, &["--exclude: nothing is restored: the ", told]);
            assert!(!place.join("back").exists());
        }
    }
    for arguments in [
        &["--exclude=nowhere", "tree/empty"][..],
        &["--exclude=empty/*", "tree/empty"],
        &["--include=empty", "--exclude=*"],
    ] {
        let ended = restore(&place, arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(restored(&place), ["tree", "tree/empty"]);
    }
}

#[test]
fn rules_say_which_entries_are_restored() {
    let place = backed_up();
    for (arguments, expected) in [
        (
            &["--exclude=one", "--exclude=/tree/b/", "tree"][..],
            &[
                "tree",
                "tree/a",
                "tree/a-file",
                "tree/a/sub",
                "tree/a/sub/linked",
                "tree/a/sub/three",
                "tree/a/two",
                "tree/ab",
                "tree/link",
            ][..],
        ),
        (
            &["--include=three", "--exclude=*"],
            &["tree", "tree/a", "tree/a/sub", "tree/a/sub/three"],
        ),
        (
            &[
                "--include=/tree/a/sub/**",
                "--exclude=/tree/a/**",
                "tree/a",
                "tree/a-file",
            ],
            &[
                "tree",
                "tree/a",
                "tree/a-file",
                "tree/a/sub",
                "tree/a/sub/linked",
                "tree/a/sub/three",
            ],
        ),
        // What is excluded and leads to nothing is not made.
        (
            &[
                "--exclude=/tree/b/*",
                "--exclude=b",
                "tree/b",
                "tree/a-file",
            ],
            &["tree", "tree/a-file"],
        ),
        (
            &["--exclude=linked", "tree/b", "tree/a/sub"],
            &[
                "tree",
                "tree/a",
                "tree/a/sub",
                "tree/a/sub/three",
                "tree/b",
                "tree/b/one",
            ],
        ),
    ] {
        let ended = restore(&place, arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert_eq!(restored(&place), expected, "{arguments:?}");
        place.sh("rm -rf back");
        let dry = [arguments, &["--dry-run", "-v"]].concat();
        let ended = restore(&place, &dry);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(!place.join("back").exists());
        let mut told: Vec<_> = ended
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("[restored] "))
            .collect();
        told.sort_unstable();
        assert_eq!(told, expected, "{arguments:?}");
    }
    restore(&place, &["--exclude=a//b"]).assert_one_line(2, &["pattern \"a//b\""]);
}

#[test]
fn a_dry_run_tells_what_is_in_the_way_and_leaves_it_there() {
    let place = backed_up();
    let state =
        |place: &Place| place.sh("find back -printf '%p %y %m %s %T@ %C@ %l\n' | LC_ALL=C sort");
    place.sh("mkdir -p back/tree/a back/tree/link; echo other >back/tree/a/one; echo x >back/tree/b; ln -s / back/tree/ab");
    for overwrite in ["never", "always", "if-changed", "if-newer"] {
        let overwrite = format!("--overwrite={overwrite}");
        let words = [
            "restore",
            "--dest=store",
            "--target=back",
            &overwrite,
            "--json",
        ];
        let before = state(&place);
        let dry = place.run(words.iter().chain(&["--dry-run"]));
        assert_eq!(state(&place), before);
        let wet = place.run(words);
        let (dry, wet) = (dry.summary(), wet.summary());
        for field in ["entries", "restored_bytes", "problems"] {
            assert_eq!(dry[field], wet[field], "{overwrite} {field}: {dry} {wet}");
        }
        place.sh("rm -rf back; mkdir -p back/tree/a back/tree/link; echo other >back/tree/a/one; echo x >back/tree/b; ln -s / back/tree/ab");
    }
}

#[test]
fn an_include_that_leaves_nothing_out_restores_nothing_before_that_is_clear() {
    let place = backed_up();
    for words in [
        &["--include=three"][..],
        &["--include=a", "--include=b", "tree"],
    ] {
        let ended = restore(&place, words);
        ended.assert_one_line(
            2,
            &[words[0], "leaves nothing out", "--exclude='*'", "as a PATH"],
        );
        assert!(!place.join("back").exists(), "{words:?}");
    }
    place.write("nothing", "");
    let ended = restore(&place, &["--include=three", "--exclude-from=nothing"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "whoever has a list has thought of it"
    );
}
