//! Descriptors say how long the files of segments are, and whatever lists a store compares.

use crate::harness::Place;

#[test]
fn a_descriptor_says_the_length_of_each_segment() {
    let place = Place::new();
    place.sample_tree("tree", 1);
    place.succeed([
        "backup",
        "--dest=store",
        "--compression=none",
        "--segment-size=64K",
        "tree",
    ]);
    // A line-wise reader that knows nothing of pileus.
    let compare = "
import glob, os
lists, key = {}, None
for line in open(glob.glob('store/*.lbs')[0]):
    if line.startswith(' '):
        lists[key].append(line.strip())
    else:
        key = line.split(':')[0]
        lists[key] = []
assert len(lists['Segments']) > 3, lists
lengths = [str(os.path.getsize('store/%s.tar' % id)) for id in lists['Segments']]
assert lists['Segment-bytes'] == lengths, lists
";
    place.python(compare, &[]);
}

/// What may befall the file of a segment, as a shell function's body, and what is said of it.
const HARMS: [(&str, &str); 3] = [
    (": >\"$1\"", "has 0 bytes, not "),
    ("truncate -s 100000 \"$1\"", "has 100000 bytes, not "),
    ("rm \"$1\"", "is missing from the store"),
];

/// Makes two snapshots, and returns the segment of the data that only the second one has.
fn two_nights(place: &Place, options: &[&str]) -> String {
    let random = |name: &str, seed: u32| {
        let write = "import random, sys; random.seed(sys.argv[2]); open(sys.argv[1], 'wb').write(random.randbytes(300_000))";
        place.python(write, &[name, &seed.to_string()]);
    };
    place.sh("mkdir tree");
    random("tree/old", 1);
    let run = || {
        let backup = ["backup", "--dest=store", "--quiet"];
        place.succeed(backup.iter().chain(options).chain(&["tree"]));
    };
    run();
    random("tree/new", 2);
    let before = place.names("store");
    run();
    let names = place.names("store").into_iter();
    let is_data = |name: &String| {
        name.contains(".tar")
            && place
                .join("store")
                .join(name)
                .metadata()
                .is_ok_and(|m| m.len() > 200_000)
    };
    let mut new = names.filter(|name| !before.contains(name) && is_data(name));
    new.next()
        .expect("the second night stored a segment of data")
}

fn harm(place: &Place, body: &str, file: &str) {
    place.sh(&format!("f() {{ {body}; }}; f store/{file}"));
}

#[test]
fn prune_keeps_the_last_whole_snapshot_and_names_the_segment_that_another_one_lost() {
    for options in [&["--localdb=state"][..], &[]] {
        for (body, said) in HARMS {
            let place = Place::new();
            let file = two_nights(&place, options);
            harm(&place, body, &file);
            if options.is_empty() {
                // Prune has nothing but the store.
                place.sh("rm store/localdb.sqlite store/statcache* store/*lock*");
            }
            let prune = ["prune", "--dest=store", "--keep-last=1", "--quiet"];
            let ended = place.run(prune.iter().chain(options));
            ended.assert_one_line(3, &[&file[..36], said, "verify", "--remove="]);
            assert_eq!(place.names_ending("store", ".lbs").len(), 2, "{body}");
            let first = place.names_ending("store", ".lbs").remove(0);
            let first = first
                .trim_start_matches("snapshot-")
                .trim_end_matches(".lbs");
            let snapshot = format!("--snapshot={first}");
            place.succeed([
                "verify",
                "--dest=store",
                &snapshot,
                "--level=files",
                "--quiet",
            ]);
        }
    }
}

#[test]
fn what_was_in_a_segment_that_was_cut_or_emptied_is_stored_again_and_said_once() {
    for (body, said) in HARMS {
        let place = Place::new();
        let file = two_nights(&place, &["--localdb=state"]);
        harm(&place, body, &file);
        let backup = [
            "backup",
            "--dest=store",
            "--localdb=state",
            "--quiet",
            "tree",
        ];
        let ended = place.run(backup);
        ended.assert_one_line(
            3,
            &[&file, said, "stored again", "pileus verify --dest=store"],
        );
        let latest = [
            "verify",
            "--dest=store",
            "--snapshot=latest",
            "--level=files",
            "--quiet",
        ];
        place.succeed(latest);
        place.succeed(backup);
        place.succeed(latest);
    }
}

#[test]
fn rebuild_does_not_take_a_segment_that_was_cut_or_emptied() {
    for deep in [&[][..], &["--deep"]] {
        for (body, said) in HARMS {
            let place = Place::new();
            let file = two_nights(&place, &["--localdb=state"]);
            harm(&place, body, &file);
            place.sh("rm -r state");
            let rebuild = ["rebuild", "--dest=store", "--localdb=state", "--quiet"];
            let ended = place.run(rebuild.iter().chain(deep));
            ended.assert_one_line(3, &[&file[..36], said]);
            let backup = [
                "backup",
                "--dest=store",
                "--localdb=state",
                "--quiet",
                "tree",
            ];
            place.succeed(backup);
            let latest = [
                "verify",
                "--dest=store",
                "--snapshot=latest",
                "--level=files",
                "--quiet",
            ];
            place.succeed(latest);
        }
    }
}

#[test]
fn stats_and_verify_name_a_segment_that_was_cut_or_emptied() {
    for (body, said) in HARMS {
        let place = Place::new();
        let file = two_nights(&place, &["--localdb=state"]);
        harm(&place, body, &file);
        let ended = place.run(["stats", "--dest=store", "--quiet"]);
        ended.assert_one_line(3, &[&file[..36], said]);
        let ended = place.run(["verify", "--dest=store", "--quiet"]);
        assert!(
            ended.code == Some(3) && ended.stderr.contains(&file[..36]),
            "{ended:?}"
        );
    }
}

#[test]
fn without_lengths_what_no_segment_can_be_is_seen_all_the_same() {
    for (codec, body, said) in [
        ("bzip2", ": >\"$1\"", "is empty"),
        ("none", ": >\"$1\"", "is empty"),
        ("none", "truncate -s 100000 \"$1\"", "which no tar file has"),
    ] {
        let place = Place::new();
        let codec = format!("--compression={codec}");
        let file = two_nights(&place, &["--localdb=state", &codec]);
        // As older programs leave them.
        place.sh("sed -i '/^Segment-bytes:/,/^Segments:/{/^Segments:/!d}' store/*.lbs");
        harm(&place, body, &file);
        let prune = ["prune", "--dest=store", "--keep-last=1", "--quiet"];
        place.run(prune).assert_one_line(3, &[&file, said]);
        place.sh("rm -r state");
        let rebuild = ["rebuild", "--dest=store", "--localdb=state", "--quiet"];
        place.run(rebuild).assert_one_line(3, &[&file[..36], said]);
    }
}
