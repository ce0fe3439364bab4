//! What stands between tar and disk: built-in codecs held against the programs of their names, and programs of the user's.

use std::fs;

use crate::harness::{Place, need};

/// Makes a place with text that shrinks, noise that does not, and small files, in `tree`.
fn place() -> Place {
    let place = Place::new();
    place.sh("mkdir tree; cd tree; seq 1 40000 >text; head -c 300000 /dev/urandom >noise; echo a >small; ln -s text link");
    place
}

/// Returns the segments in the store.
fn segments_of(place: &Place) -> Vec<String> {
    let mut names = place.names("store");
    names.retain(|name| name.contains(".tar"));
    names
}

#[test]
fn stock_programs_test_and_open_every_segment() {
    need("bsdtar");
    for (codec, extension, program) in [
        ("bzip2", ".tar.bz2", "bzip2"),
        ("gzip", ".tar.gz", "gzip"),
        ("zstd", ".tar.zst", "zstd"),
    ] {
        need(program);
        let place = place();
        place.succeed([
            "backup",
            "--dest=store",
            &format!("--compression={codec}"),
            "tree",
        ]);
        let segments = place.names_ending("store", extension);
        assert_eq!(segments.len(), 2, "data and metadata");
        for segment in &segments {
            place.sh(&format!("cd store && {program} -q -t {segment}"));
            let listed = place.sh(&format!("cd store && {program} -dc {segment} | tar t"));
            let uuid = segment.strip_suffix(extension).expect("ends so");
            for (sequence, line) in listed.lines().enumerate() {
                assert_eq!(line, format!("{uuid}/{sequence:08x}"));
            }
            assert!(!listed.is_empty());
            assert_eq!(
                place.sh(&format!("cd store && bsdtar tf {segment}")),
                listed
            );
            let verbose = place.sh(&format!(
                "cd store && {program} -dc {segment} | tar --numeric-owner -tv"
            ));
            assert!(
                verbose
                    .lines()
                    .all(|line| line.starts_with("-rw------- 0/0 ")),
                "{verbose}"
            );
        }
    }
}

#[test]
fn noise_goes_to_segments_without_a_filter() {
    for codec in ["bzip2", "gzip", "zstd:19"] {
        let place = place();
        place.succeed([
            "backup",
            "--dest=store",
            &format!("--compression={codec}"),
            "tree",
        ]);
        let plain = place.names_ending("store", ".tar");
        assert_eq!(plain.len(), 1, "{codec}");
        let noise = place.sh(&format!("cd store && tar xOf {} | sha1sum", plain[0]));
        assert_eq!(noise, place.sh("sha1sum <tree/noise"), "{codec}");
    }
}

#[test]
fn without_compression_segments_are_plain_tar_files() {
    let place = place();
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    assert_eq!(place.names_ending("store", ".tar").len(), 2);
    place.sh("cd store && for f in *.tar; do tar tf $f >list; bsdtar tf $f | cmp - list; done; rm list; sha1sum -c --quiet *.sha1sums");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("diff -r tree back/tree");
}

#[test]
fn levels_are_used() {
    let place = place();
    let level = |codec: &str, extension: &str| {
        place.sh("rm -rf store");
        place.succeed([
            "backup",
            "--dest=store",
            &format!("--compression={codec}"),
            "tree/text",
        ]);
        let segments = place.names_ending("store", extension).into_iter();
        let bytes = segments.map(|s| fs::read(place.join("store").join(s)).expect("is read"));
        bytes.max_by_key(Vec::len).expect("a segment")
    };
    assert!(level("bzip2:1", ".bz2").starts_with(b"BZh1"));
    assert!(level("bzip2", ".bz2").starts_with(b"BZh9"));
    for (fast, best, extension) in [("gzip:1", "gzip:9", ".gz"), ("zstd:1", "zstd:19", ".zst")] {
        assert!(
            level(fast, extension).len() > level(best, extension).len(),
            "{fast}"
        );
    }
}

#[test]
fn small_segments_are_many_and_each_is_listed() {
    let place = place();
    place.sample_tree("tree/sample", 5);
    place.succeed([
        "backup",
        "--dest=store",
        "--filter=gzip -1",
        "--segment-size=16K",
        "--jobs=3",
        "tree",
    ]);
    let segments = segments_of(&place);
    assert!(segments.len() > 10, "{segments:?}");
    let uuids: Vec<_> = segments.iter().map(|s| s[..36].to_owned()).collect();
    let listed = place.sh("sed '1,/^Segments:/d; s/^ *//' store/*.lbs");
    assert_eq!(listed.lines().collect::<Vec<_>>(), uuids);
    let summed = place.sh("sed 's/^[0-9a-f]* \\*//' store/*.sha1sums | sort");
    assert_eq!(summed.lines().collect::<Vec<_>>(), segments);
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn segments_are_about_as_large_as_was_asked_for() {
    for codec in ["bzip2", "gzip", "zstd", "none"] {
        let place = Place::new();
        place.sh("mkdir tree; for i in $(seq 1 100); do head -c 12000 /dev/urandom >tree/$i; done");
        let codec = format!("--compression={codec}");
        place.succeed([
            "backup",
            "--dest=store",
            "--segment-size=64K",
            &codec,
            "tree",
        ]);
        let sizes = place.sh("stat -c %s store/*.tar*");
        let largest = sizes
            .lines()
            .map(|size| size.parse().expect("a number"))
            .max();
        assert!(largest < Some(128 << 10), "{codec}: {sizes}");
    }
}

#[test]
fn any_program_can_be_the_filter_and_all_data_goes_through_it() {
    let place = place();
    let filter = "--filter=gzip -c1 | base64";
    let backup = [
        "backup",
        "--dest=store",
        filter,
        "--filter-extension=.gz.b64",
        "tree",
    ];
    place.succeed(backup);
    let segments = place.names_ending("store", ".tar.gz.b64");
    assert_eq!(segments, segments_of(&place));
    place.sh("cd store && for f in *.b64; do base64 -d $f | gzip -t; done; sha1sum -c --quiet --strict *.sha1sums");
    let without = place.run(["restore", "--dest=store", "--target=back"]);
    assert_ne!(without.code, Some(0), "{without:?}");
    assert!(without.stderr.contains("--unfilter=COMMAND"), "{without:?}");
    place.sh("rm -rf back");
    let unfilter = "--unfilter=base64 -d | gzip -dc";
    place.succeed(["restore", "--dest=store", "--target=back", unfilter]);
    place.sh("diff -r tree back/tree");
    place.succeed(["verify", "--dest=store", "--level=files", unfilter]);
    let again = ["--scheme=b", "--json", "--filter-extension=.gz.b64"];
    let again = place.succeed([&["backup", "--dest=store", filter, "tree"], &again[..]].concat());
    assert_eq!(again.summary()["new_data_bytes"], 0);
}

#[test]
fn extensions_of_known_programs_need_not_be_said_and_an_empty_one_may_be() {
    let place = place();
    for (options, extension) in [
        (&["--filter=gzip -9"][..], ".tar.gz"),
        (&["--filter=/bin/bzip2"], ".tar.bz2"),
        (&["--filter=  zstd -q"], ".tar.zst"),
        (&["--filter=cat", "--filter-extension="], ".tar"),
    ] {
        place.succeed([&["backup", "--dest=store", "tree/text"], options].concat());
        assert_eq!(
            segments_of(&place),
            place.names_ending("store", extension),
            "{options:?}"
        );
        place.succeed(["restore", "--dest=store", "--target=back"]);
        place.sh("cmp tree/text back/tree/text; rm -r back store");
    }
}

#[test]
fn a_failing_filter_fails_the_run_with_its_words_and_publishes_nothing() {
    for (filter, told) in [
        ("exit 3", "exit status: 3"),
        ("cat; exit 1", "exit status: 1"),
        (
            "cat; echo no more >&2; echo disks >&2; false",
            "no more | disks",
        ),
        ("kill -9 $$", "signal: 9"),
        ("cat; kill -TERM $$", "signal: 15"),
        ("no-such-program", "not found"),
        ("head -c 100", "did not read all its input"),
        ("head -c 100 | cat", "did not read all its input"),
        ("cat >/dev/null", "wrote nothing"),
        ("", "\"\""),
        // The first segment is fine.
        (
            "mkdir was-here 2>/dev/null || exit 7; cat",
            "exit status: 7",
        ),
    ] {
        let place = place();
        let option = format!("--filter={filter}");
        let small = ["--filter-extension=.x", "--segment-size=64K", "--jobs=3"];
        let ended =
            place.survive([&["backup", "--dest=store", "tree", &option], &small[..]].concat());
        ended.assert_one_line(1, &[filter, told]);
        let names = place.names("store");
        let left = |n: &String| n.contains("snapshot") || n.contains(".part");
        assert!(!names.iter().any(left), "{filter}: {names:?}");
        let listed = place.succeed(["list", "--dest=store", "--json"]);
        assert_eq!(listed.summary()["snapshots"], 0);
        place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
        place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
    }
}

#[test]
fn a_forgotten_filter_is_refused_and_a_codec_that_is_named_is_not() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let filter = ["--filter=rev", "--filter-extension=.rev"];
    let backup = ["backup", "--dest=store", "tree"];
    place.succeed([&backup[..], &filter].concat());
    let before = place.names("store");
    let ended = place.run(backup);
    ended.assert_one_line(1, &["\".rev\"", "--filter", "--compression"]);
    let after = place.names("store");
    let is_segment = |name: &&String| name.contains(".tar");
    let segments = |names: &[String]| names.iter().filter(is_segment).count();
    assert_eq!(segments(&before), segments(&after));
    place.succeed([&backup[..], &filter].concat());
    place.succeed([&backup[..], &["--compression=zstd"]].concat());
    place.succeed(backup);
}
