//! `backup --dry-run`: tells what a backup would do, by which rules, and leaves everything as it was.

use crate::harness::{Ended, HeldRun, Place};

/// Returns a digest of all that can be seen of the files of directories but access times. SQLite's files come and go, which changes
/// the time of the directory itself.
fn state(place: &Place, directory: &str) -> String {
    place.sh(&format!(
        "find {directory} ! -type d -printf '%p %y %m %s %T@ %C@ %i\\n' | LC_ALL=C sort; find {directory} -type f -print0 | sort -z | xargs -0 sha1sum"
    ))
}

fn place() -> Place {
    let place = Place::new();
    place.write("src/a/file", "some contents that are new\n".repeat(1000));
    place.write("src/b/other", "others\n");
    place.write("src/b/c.o", "left out\n");
    place.sh("head -c 3000000 /dev/urandom >src/large");
    place
}

#[test]
fn a_dry_run_needs_no_store_makes_none_and_tells_what_the_backup_then_does() {
    let place = place();
    let words = ["backup", "--dest=store", "--exclude=*.o", "--json", "src"];
    let dry = place.succeed(words.iter().chain(&["--dry-run"])).summary();
    assert_eq!(place.names("."), ["src"]);
    let wet = place.succeed(words).summary();
    assert_eq!(
        (&dry["dry_run"], &wet["dry_run"]),
        (&true.into(), &false.into())
    );
    assert!(dry["snapshot"].is_null());
    for field in [
        "entries",
        "new",
        "old",
        "partial",
        "sub_file",
        "source_bytes",
        "read_bytes",
        "new_data_bytes",
        "metadata_bytes",
        "problems",
    ] {
        assert_eq!(dry[field], wet[field], "{field}");
    }
    let ended = place.run(["backup", "--dest=no/where", "--dry-run", "src"]);
    ended.assert_one_line(1, &["the directory above it does not exist"]);
}

#[test]
fn a_dry_run_leaves_store_and_local_state_as_they_are_and_sees_what_changed() {
    for localdb in ["store", "local"] {
        let place = place();
        let localdb_word = format!("--localdb={localdb}");
        let words = [
            "backup",
            "--dest=store",
            &localdb_word,
            "--scheme=x",
            "--json",
            "src",
        ];
        place.succeed(words);
        place.sh("printf x | dd of=src/large bs=1 seek=1500000 conv=notrunc status=none; rm src/b/other; echo new >src/a/new");
        let before = state(&place, &format!("store {localdb}"));
        let dry = place.succeed(words.iter().chain(&["--dry-run"])).summary();
        assert_eq!(state(&place, &format!("store {localdb}")), before);
        let wet = place.succeed(words).summary();
        for field in [
            "entries",
            "new",
            "old",
            "partial",
            "sub_file",
            "new_data_bytes",
            "metadata_bytes",
        ] {
            assert_eq!(dry[field], wet[field], "{field}");
        }
        assert_eq!(wet["sub_file"], 1, "{wet}");
        // Small checkpoints are none.
        place.sh("head -c 5000000 /dev/urandom >src/larger");
        let before = state(&place, &format!("store {localdb}"));
        let dry = place.succeed(words.iter().chain(&["--dry-run", "--checkpoint=1M"]));
        assert!(
            dry.summary()["new_data_bytes"].as_u64() > Some(4_000_000),
            "{dry:?}"
        );
        assert_eq!(state(&place, &format!("store {localdb}")), before);
    }
}

#[test]
fn a_verbose_dry_run_names_the_rule_that_decides_about_each_path() {
    let place = place();
    place.write("src/a/.rules", "# mine\n+ /keep.o\n- /sub\n");
    place.write("src/a/keep.o", "kept\n");
    place.write("src/a/sub/x", "x\n");
    place.write("src/cache/x", "x\n");
    place.write(
        "src/cache/CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55",
    );
    place.write("src/skip/in/wanted", "x\n");
    place.write("src/skip/other", "x\n");
    place.write("patterns", "\n*.o\n");
    place.sh("mkdir src/skip/empty");
    let words = [
        "backup",
        "--dest=store",
        "--dry-run",
        "-v",
        "--exclude-from=patterns",
        "--include=wanted",
        "--exclude=skip",
        "--dir-rules=.rules",
        "--exclude-caches",
        "--exclude-larger-than=2M",
        "src",
    ];
    let ended = place.succeed(words);
    let (paths, summary) = ended.stdout.split_once("dry run: ").expect("a summary");
    assert_eq!(
        paths.lines().collect::<Vec<_>>(),
        [
            "[new] src",
            "[new] src/a",
            "[new] src/a/.rules",
            "[new] src/a/file",
            "[new] src/a/keep.o (src/a/.rules:2: + /keep.o)",
            "[excluded] src/a/sub (src/a/.rules:3: - /sub)",
            "[new] src/b",
            "[excluded] src/b/c.o (patterns:2: *.o)",
            "[new] src/b/other",
            "[new] src/cache",
            "[excluded] src/cache/x (--exclude-caches)",
            "[new] src/cache/CACHEDIR.TAG",
            "[excluded] src/large (--exclude-larger-than)",
            "[excluded] src/skip/empty (--exclude=skip)",
            "[new] src/skip",
            "[new] src/skip/in",
            "[new] src/skip/in/wanted (--include=wanted)",
            "[excluded] src/skip/other (--exclude=skip)",
        ]
    );
    assert!(summary.contains("nothing was written"), "{summary}");
    let json = place.succeed(words.iter().chain(&["--json"])).stdout;
    let line = json
        .lines()
        .find(|line| line.contains("src/b/c.o"))
        .expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(
        (&line["status"], &line["rule"]),
        (&"excluded".into(), &"patterns:2: *.o".into())
    );
    // A backup names what it backs up, and no reasons.
    let ended = place.succeed(words.iter().filter(|word| **word != "--dry-run"));
    assert!(
        !ended.stdout.contains("excluded") && !ended.stdout.contains('('),
        "{ended:?}"
    );
}

#[test]
fn a_dry_run_waits_for_nobody_who_holds_the_lock() {
    let place = place();
    let held = HeldRun::start(&place, &["src"]);
    let ended = place.run(["backup", "--dest=store", "--dry-run", "src"]);
    ended.assert_one_line(4, &["is in use by process"]);
    assert_eq!(held.finish().code, Some(0));
}

#[test]
fn a_dry_run_marks_no_segments_and_signs_nothing() {
    let place = place();
    let words = ["backup", "--dest=store", "--dry-run", "src"];
    place
        .run(words.iter().chain(&["--clean"]))
        .assert_one_line(2, &["--clean", "--dry-run"]);
    let signing = "--signature-filter=touch signed; cat";
    let ended: Ended = place.succeed(words.iter().chain(&[signing]));
    assert!(ended.stdout.starts_with("dry run: "), "{ended:?}");
    assert_eq!(place.names("."), ["src"]);
}

#[test]
fn a_dry_run_goes_by_local_state_that_lies_in_a_read_only_store() {
    let place = place();
    place.succeed(["backup", "--dest=store", "src"]);
    place.write("src/a/file", "one line\n");
    place.sh("mkdir temporary");
    let told = place.sh_in_own_mounts(
        "mount --bind store store; pileus backup --dry-run --json --dest=store src
        mount -o remount,ro,bind store; TMPDIR=$PWD/temporary pileus backup --dry-run --json --dest=store src",
    );
    let mut news: Vec<_> = told
        .lines()
        .filter_map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).expect("is JSON");
            object["new_data_bytes"].as_u64()
        })
        .collect();
    assert_eq!(news.len(), 2, "{told}");
    news.dedup();
    assert!(news.len() == 1 && news[0] < 100_000, "{told}");
    assert!(
        place.names("temporary").is_empty(),
        "nothing of the copy is left"
    );
}
