//! What `--exclude` leaves out, with the examples of docs/manual.md, and with bash as a judge.

use crate::harness::{Ended, Place};

/// Returns what is left of a tree with everything that the patterns are about.
fn left(patterns: &[&str]) -> String {
    let place = Place::new();
    place.sh(
        "mkdir -p home/anna/src/tmp home/anna/tmp home/tmp home/.cache home/anna/.cache
        touch home/anna/a.o home/anna/src/b.o home/anna/src/b.c home/anna/tmp/x home/anna/src/tmp/y home/tmp/z
        rmdir home/.cache; touch home/.cache home/anna/.cache/entry 'home/a*b' home/axb home/[q]",
    );
    let mut arguments = vec!["backup", "--dest=store", "home"];
    arguments.extend(patterns);
    place.succeed(arguments);
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    let all = place.sh("find home | LC_ALL=C sort");
    let gone = |path: &&str| !listed.lines().any(|line| line == *path);
    all.lines().filter(gone).collect::<Vec<_>>().join(" ")
}

#[test]
fn patterns_leave_out_what_the_manual_says() {
    for (patterns, gone) in [
        (&[][..], ""),
        (&["--exclude=*.o"], "home/anna/a.o home/anna/src/b.o"),
        (&["--exclude=/home/*/tmp"], "home/anna/tmp home/anna/tmp/x"),
        (
            &["--exclude=/home/**/tmp"],
            "home/anna/src/tmp home/anna/src/tmp/y home/anna/tmp home/anna/tmp/x home/tmp home/tmp/z",
        ),
        (
            &["--exclude=.cache/"],
            "home/anna/.cache home/anna/.cache/entry",
        ),
        (
            &["--exclude=.cache", "--exclude=tmp/"],
            "home/.cache home/anna/.cache home/anna/.cache/entry home/anna/src/tmp home/anna/src/tmp/y home/anna/tmp home/anna/tmp/x home/tmp home/tmp/z",
        ),
        (
            &["--exclude=anna/src"],
            "home/anna/src home/anna/src/b.c home/anna/src/b.o home/anna/src/tmp home/anna/src/tmp/y",
        ),
        (&["--exclude=/anna"], ""),
        (
            &["--exclude=b.?", "--exclude=[xy]"],
            "home/anna/src/b.c home/anna/src/b.o home/anna/src/tmp/y home/anna/tmp/x",
        ),
        (&["--exclude=a\\*b"], "home/a*b"),
        (&["--exclude=\\[q]"], "home/[q]"),
    ] {
        assert_eq!(left(patterns), gone, "{patterns:?}");
    }
}

#[test]
fn what_is_left_out_is_not_even_looked_into() {
    let place = Place::new();
    place.write("src/file", "contents");
    place.write("src/closed/inside", "contents");
    place.sh(
        "mkdir -m 777 dest; echo x >src/secret; chmod 0 src/closed src/secret; ln -s file src/link",
    );
    let backup = [
        "backup",
        "--dest=dest/store",
        "--exclude=closed",
        "--exclude=/src/s*",
        "src",
    ];
    let ended = Ended::of(&mut place.command_as_other(backup));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    place.sh("chmod 700 src/closed");
}

#[test]
fn a_source_that_a_pattern_excludes_is_named() {
    let place = Place::new();
    place.write("src/sub/file", "contents");
    place.write("other", "contents");
    let backup = |source| place.run(["backup", "--dest=store", "--exclude=s*", "other", source]);
    for source in ["src", "src/"] {
        backup(source).assert_one_line(3, &["src: was left out: a pattern excludes"]);
        assert_eq!(place.succeed(["ls", "--dest=store"]).stdout, "other\n");
        place.sh("rm -r store");
    }
    let ended = place.run(["backup", "--dest=store", "--exclude=s*", "src"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("there is no snapshot"), "{ended:?}");
    assert!(place.names_ending("store", ".lbs").is_empty());
}

#[test]
fn a_pattern_may_be_of_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.sh("mkdir src; touch src/file \"$(printf 'src/caf\\351')\"");
    let pattern = OsStr::from_bytes(b"--exclude=caf\xe9");
    let words = ["backup", "--dest=store", "src"].map(OsStr::new);
    place.succeed(words.iter().chain([&pattern]));
    assert_eq!(
        place.succeed(["ls", "--dest=store"]).stdout,
        "src\nsrc/file\n"
    );
}

#[test]
fn patterns_match_what_bash_finds() {
    let place = Place::new();
    place.sh(
        "mkdir -p src/a/b/c src/ab/.hid src/b/a/b 'src/[x]' src/tmp src/a/tmp src/a/b/tmp
        touch src/a/f.o src/a/b/f.o src/a/b/c/g.c src/ab/.hid/f src/b/a/b/ff 'src/[x]/y' src/tmp/t1 src/a/tmp/t22
        touch src/a/b/tmp/t1 src/é src/a/éé src/b/-x 'src/b/a b' src/b/x] src/.hid",
    );
    for pattern in [
        "/src/*",
        "/src/*/",
        "/src/*/*",
        "/src/a/*.o",
        "/src/**/*.o",
        "/src/**/tmp",
        "/src/**/tmp/",
        "/src/**/b/*",
        "/src/a*",
        "/src/?",
        "/src/??",
        "/src/a/??",
        "/src/[ab]",
        "/src/[!ab]",
        "/src/[a-b]*/*",
        "/src/**/.*",
        "/src/[[]x]",
        "/src/\\[x]/y",
        "/src/**/t[12]",
        "/src/**/t[0-9][0-9]",
        "/src/**/a/b",
        "/src/**/a\\ b",
        "/src/**/x]",
        "/src/**/[]x]*",
        "/src/*/**/f*",
        "/src/**/[^-]x",
    ] {
        // What lies below a match is left out with it.
        let glob = pattern.strip_prefix('/').expect("is anchored");
        let found = place.sh(&format!(
            "LC_ALL=C.UTF-8 bash -c 'shopt -s globstar nullglob dotglob; for f in {glob}; do find \"${{f%/}}\"; done' | LC_ALL=C sort -u"
        ));
        place.run([
            "backup",
            "--dest=store",
            &format!("--exclude={pattern}"),
            "src",
        ]);
        place.sh("mkdir out");
        place.succeed(["restore", "--dest=store", "--target=out"]);
        let left = place.sh("cd out; find src | LC_ALL=C sort -u");
        let all = place.sh("find src | LC_ALL=C sort -u");
        let gone = |path: &&str| !left.lines().any(|line| line == *path);
        let gone: Vec<_> = all.lines().filter(gone).collect();
        assert_eq!(gone, found.lines().collect::<Vec<_>>(), "{pattern}");
        place.sh("rm -r out store");
    }
}

#[test]
fn what_is_left_out_is_missed_by_nobody_where_it_cannot_be_looked_at() {
    let place = Place::new();
    // Names may be listed, but nothing behind them may be reached; like a file that vanishes, or a mount of another user.
    place.sh("mkdir -p home/closed/cache; touch home/closed/a home/closed/b; chmod 744 home/closed; mkdir -m 777 stores; chmod 755 .");
    let backup = |rules: &[&str]| {
        let words = ["backup", "--dest=stores/store", "home"];
        Ended::of(&mut place.command_as_other(words.iter().chain(rules)))
    };
    let ended = backup(&["--exclude=/home/closed/a", "--exclude=cache/"]);
    if ended.code == Some(0) {
        return; // Whoever owns the tree and is not root may reach it.
    }
    ended.assert_one_line(3, &["home/closed/b: cannot look at it: Permission denied"]);
    let ended = backup(&["--exclude=/home/closed/*"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_path_that_is_named_is_taken_out_of_an_excluded_directory() {
    let place = Place::new();
    for file in ["a/b/file", "a/c/file", "d/file", "a/b/skipped"] {
        place.write(file, "contents");
    }
    let backup = [
        "backup",
        "--dest=store",
        "--exclude=/a",
        "--exclude=skipped",
        "a",
        "d",
        "a/b",
    ];
    place.succeed(backup);
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    assert_eq!(listed, "a\na/b\na/b/file\nd\nd/file\n");
    // A rule that matches it leaves it out.
    place
        .run(["backup", "--dest=other", "--exclude=b", "a", "d", "a/b"])
        .assert_one_line(
            3,
            &["a/b: was left out: a pattern excludes it (--exclude=b)"],
        );
}
