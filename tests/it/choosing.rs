//! What is backed up of a tree: rules in their order, tags, sizes, mounts, rules of directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::harness::{Ended, Place, need_own_mounts, root_for};

/// Returns the entries of the latest snapshot, in one line.
fn taken(place: &Place) -> String {
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    listed.lines().collect::<Vec<_>>().join(" ")
}

/// Backs `home` up with these arguments, silently, and returns what was taken.
fn backup(place: &Place, arguments: &[&str]) -> String {
    place.sh("rm -rf store");
    let words = ["backup", "--dest=store", "home"];
    place.succeed(words.iter().chain(arguments));
    taken(place)
}

fn homes() -> Place {
    let place = Place::new();
    place.sh(
        "mkdir -p home/anna/keep/deep home/anna/src home/bob
        touch home/anna/a.tex home/anna/keep/b.o home/anna/keep/deep/c.tex home/anna/src/d.o home/anna/src/e.tex home/bob/f.tex home/bob/g.o",
    );
    place
}

#[test]
fn the_first_rule_that_matches_decides_in_the_order_of_the_command_line() {
    let place = homes();
    for (rules, expected) in [
        (
            &["--include=/home/anna/keep", "--exclude=/home/anna/*"][..],
            "home home/anna home/anna/keep home/anna/keep/b.o home/anna/keep/deep home/anna/keep/deep/c.tex home/bob home/bob/f.tex home/bob/g.o",
        ),
        (
            &["--include=/home/anna/keep/**", "--exclude=/home/anna/**"],
            "home home/anna home/anna/keep home/anna/keep/b.o home/anna/keep/deep home/anna/keep/deep/c.tex home/bob home/bob/f.tex home/bob/g.o",
        ),
        (
            &["--include=*.tex", "--exclude=/home/anna/"],
            "home home/anna home/anna/a.tex home/anna/keep home/anna/keep/deep home/anna/keep/deep/c.tex home/anna/src home/anna/src/e.tex home/bob home/bob/f.tex home/bob/g.o",
        ),
        (
            &["--include=*/", "--include=*.tex", "--exclude=*"],
            "home home/anna home/anna/a.tex home/anna/keep home/anna/keep/deep home/anna/keep/deep/c.tex home/anna/src home/anna/src/e.tex home/bob home/bob/f.tex",
        ),
        (
            &["--exclude=/home/anna/", "--include=*.tex"],
            "home home/bob home/bob/f.tex home/bob/g.o",
        ),
        (
            &[
                "--exclude=src",
                "--include=g.o",
                "--exclude=*.o",
                "--include=b.o",
            ],
            "home home/anna home/anna/a.tex home/anna/keep home/anna/keep/deep home/anna/keep/deep/c.tex home/bob home/bob/f.tex home/bob/g.o",
        ),
        (
            &["--include=deep/c.tex", "--exclude=*"],
            "home home/anna home/anna/keep home/anna/keep/deep home/anna/keep/deep/c.tex",
        ),
    ] {
        assert_eq!(backup(&place, rules), expected, "{rules:?}");
    }
}

#[test]
fn rules_of_a_file_stand_where_the_file_is_named() {
    let place = homes();
    place.write("rules", "# a comment\n\n+ b.o\r\n*.o\n- /home/bob\n");
    let rest = "home home/anna home/anna/a.tex home/anna/keep home/anna/keep/b.o home/anna/keep/deep home/anna/keep/deep/c.tex home/anna/src home/anna/src/e.tex";
    assert_eq!(backup(&place, &["--exclude-from=rules"]), rest);
    assert_eq!(
        backup(&place, &["--include=bob", "--exclude-from=rules"]),
        format!("{rest} home/bob home/bob/f.tex")
    );
    assert_eq!(
        backup(&place, &["--exclude-from=rules", "--include=bob"]),
        rest
    );
    place.write("rules", b"caf\xe9\n");
    place.sh("touch \"$(printf 'home/caf\\351')\" home/café");
    let listed = backup(
        &place,
        &["--exclude-from=rules", "--exclude=anna", "--exclude=bob"],
    );
    assert_eq!(listed, "home home/café");
}

#[test]
fn rules_that_are_wrong_are_named_with_where_they_stand_and_nothing_is_done() {
    let place = homes();
    place.write("rules", "*.o\n\n+ [a\n");
    for (argument, parts) in [
        ("--exclude=", &["pattern \"\" matches nothing"][..]),
        ("--include=//", &["pattern \"//\" matches nothing"]),
        ("--exclude=a//b", &["pattern \"a//b\" can never match"]),
        ("--exclude=./a", &["write it without"]),
        ("--exclude-from=rules", &["rules:3: pattern \"[a\""]),
        (
            "--exclude-from=none",
            &["--exclude-from=none cannot be read"],
        ),
        ("--dir-rules=a/b", &["--dir-rules=a/b is no name"]),
        (
            "--exclude-if-present=..",
            &["--exclude-if-present=.. is no name"],
        ),
        ("--exclude-larger-than=much", &["--exclude-larger-than"]),
    ] {
        let ended = place.run(["backup", "--dest=store", argument, "home"]);
        ended.assert_one_line(2, parts);
        assert!(!place.join("store").exists());
    }
}

#[test]
fn a_directory_is_passed_through_at_any_depth_and_only_recorded_for_what_is_in_it() {
    let place = Place::new();
    place.sh("python3 -c \"
import os
os.mkdir('home'); os.chdir('home')
for i in range(100):
    os.mkdir('deep'); os.mkdir('empty'); os.chdir('deep')
open('wanted', 'w'); open('other', 'w')\"");
    let expected = (1..=100).fold("home".to_owned(), |paths, depth| {
        format!("{paths} home{}", "/deep".repeat(depth))
    });
    let wanted = format!("{expected} home{}/wanted", "/deep".repeat(100));
    assert_eq!(backup(&place, &["--include=wanted", "--exclude=*"]), wanted);
    place.sh("mkdir out");
    place.succeed(["restore", "--dest=store", "--target=out"]);
    assert_eq!(place.sh("find out -type f | wc -l"), "1\n");
    let ended = place.run([
        "backup",
        "--dest=other",
        "--include=absent",
        "--exclude=*",
        "home",
    ]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(
            "home: was left out: a pattern excludes it (--exclude=*), and nothing in it is taken"
        ),
        "{ended:?}"
    );
}

#[test]
fn an_excluded_directory_is_opened_only_if_something_in_it_may_be_included() {
    let place = homes();
    place.sh("mkdir -m 777 dest; chmod 0 home/anna/src");
    let words = |include| {
        [
            "backup",
            "--dest=dest/store",
            include,
            "--exclude=/home/anna/*",
            "home",
        ]
    };
    let run = |include| Ended::of(&mut place.command_as_other(words(include)));
    let ended = run("--include=/home/anna/keep/**");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    run("--include=*.tex").assert_one_line(3, &["home/anna/src: cannot list the directory"]);
    place.sh("chmod 700 home/anna/src");
}

#[test]
fn of_a_cache_only_its_tag_is_taken() {
    let place = homes();
    place.sh(
        "printf 'Signature: 8a477f597d28d172789f06886806bc55\\nmore\\n' >home/anna/CACHEDIR.TAG
        printf 'Signature: 8a477f597d28d172789f06886806bc5' >home/bob/CACHEDIR.TAG",
    );
    let with_bob = "home home/anna home/anna/CACHEDIR.TAG home/bob home/bob/CACHEDIR.TAG home/bob/f.tex home/bob/g.o";
    assert_eq!(backup(&place, &["--exclude-caches"]), with_bob);
    // GNU tar decides in the same way.
    let archived =
        place.sh("tar c --exclude-caches --sort=name home | tar t | sed 's,/$,,' | LC_ALL=C sort");
    assert_eq!(archived.lines().collect::<Vec<_>>().join(" "), with_bob);
    assert!(backup(&place, &[]).contains("home/anna/keep"));
    assert_eq!(
        backup(&place, &["--exclude-caches", "--exclude=CACHEDIR.TAG"]),
        "home home/anna home/bob home/bob/f.tex home/bob/g.o"
    );
    place.sh(
        "mv home/anna/CACHEDIR.TAG home/tag; ln -s ../tag home/anna/CACHEDIR.TAG; rm home/bob/*",
    );
    let with_link = backup(&place, &["--exclude-caches"]);
    assert!(with_link.contains("home/anna/src/e.tex"), "{with_link}");
}

#[test]
fn of_a_directory_with_a_named_file_only_that_is_taken() {
    let place = homes();
    place.sh("touch home/anna/src/.nobackup; mkdir home/bob/skip");
    assert_eq!(
        backup(
            &place,
            &[
                "--exclude-if-present=.nobackup",
                "--exclude-if-present=skip"
            ]
        ),
        "home home/anna home/anna/a.tex home/anna/keep home/anna/keep/b.o home/anna/keep/deep home/anna/keep/deep/c.tex \
         home/anna/src home/anna/src/.nobackup home/bob home/bob/skip"
    );
    let archived = place.sh(
        "tar c --exclude-tag=.nobackup --exclude-tag=skip --sort=name home | tar t | sed 's,/$,,' | LC_ALL=C sort | grep -c .",
    );
    assert_eq!(archived, format!("{}\n", taken(&place).split(' ').count()));
}

#[test]
fn files_of_more_bytes_are_left_out_and_only_files() {
    let place = Place::new();
    place.sh(
        "mkdir home; head -c 1024 /dev/zero >home/fits; head -c 1025 /dev/zero >home/large; truncate -s 1M home/holes
        ln -s fits home/link; mkfifo home/pipe",
    );
    assert_eq!(
        backup(&place, &["--exclude-larger-than=1K"]),
        "home home/fits home/link home/pipe"
    );
    let ended = place.run([
        "backup",
        "--dest=store",
        "--exclude-larger-than=1K",
        "home/fits",
        "home/large",
    ]);
    ended.assert_one_line(3, &["home/large: was left out: it is larger than"]);
}

#[test]
fn directories_bring_rules_of_their_own() {
    let place = homes();
    place.write("home/anna/.pileus-rules", "# mine\n- /src\n+ *.o\n- deep\n");
    place.write("home/anna/keep/.pileus-rules", "+ /deep\n- c.*\n");
    place.write("home/anna/src/.pileus-rules", "+ e.tex\n");
    let anna = "home/anna home/anna/.pileus-rules home/anna/a.tex home/anna/keep home/anna/keep/.pileus-rules home/anna/keep/b.o home/anna/keep/deep";
    let rules = ["--dir-rules=.pileus-rules", "--exclude=*.o"];
    assert_eq!(
        backup(&place, &rules),
        format!("home {anna} home/bob home/bob/f.tex")
    );
    // Other directories are not touched by them, and without the option nobody is.
    assert!(!backup(&place, &["--exclude=*.o"]).contains("b.o"));
    // The rules of a directory that is left out are not read, though it is passed through.
    place.write("home/bob/.pileus-rules", "+ *\n");
    assert_eq!(
        backup(
            &place,
            &[
                "--dir-rules=.pileus-rules",
                "--include=f.tex",
                "--exclude=bob",
                "--exclude=anna"
            ]
        ),
        "home home/bob home/bob/f.tex"
    );
}

#[test]
fn rules_of_a_directory_that_are_wrong_are_problems_and_leave_nothing_out() {
    let place = homes();
    place.write("home/anna/.pileus-rules", "*.tex\n- [\n- a.tex\n");
    place.sh("ln -s ../anna/.pileus-rules home/bob/.pileus-rules");
    let words = [
        "backup",
        "--dest=store",
        "--dir-rules=.pileus-rules",
        "home",
    ];
    let ended = place.run(words);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    for (line, begin) in lines.iter().zip([
        "pileus: home/anna/.pileus-rules: this rule is ignored: line 1: *.tex: is no rule",
        "pileus: home/anna/.pileus-rules: this rule is ignored: line 2: pattern \"[\"",
        "pileus: home/bob/.pileus-rules: cannot read it, so its rules are ignored",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert_eq!(lines.len(), 3, "{ended:?}");
    let taken = taken(&place);
    assert!(
        !taken.contains("a.tex") && taken.contains("e.tex") && taken.contains("f.tex"),
        "{taken}"
    );
}

#[test]
fn file_systems_of_the_kernel_are_left_out_unless_they_are_named() {
    if !root_for("mount what it likes") {
        return;
    }
    need_own_mounts();
    let place = homes();
    place.sh("mkdir home/proc home/tmp home/sub");
    // In a namespace of its own, so that nothing stays mounted.
    let run = |script: &str| {
        let script = format!(
            "mount -t proc proc home/proc; mount -t tmpfs tmpfs home/tmp; echo x >home/tmp/file; {script}"
        );
        place.command_under(
            &["unshare", "-m", "sh", "-euc", &script, "sh"],
            ["backup", "--dest=store"],
        )
    };
    let ended = Ended::of(&mut run(
        "\"$@\" -v --exclude=anna --exclude=bob home; chmod 700 home/sub",
    ));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        taken(&place),
        "home home/proc home/sub home/tmp home/tmp/file"
    );
    assert!(
        ended
            .stdout
            .contains("home/proc: what is in it is left out: it is no files but proc"),
        "{ended:?}"
    );
    let ended = Ended::of(&mut run(
        "\"$@\" -v --one-file-system --exclude=anna --exclude=bob home",
    ));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(taken(&place), "home home/proc home/sub home/tmp");
    assert!(
        ended
            .stdout
            .contains("home/tmp: what is in it is left out: it is another file system"),
        "{ended:?}"
    );
    let ended = Ended::of(&mut run(
        "\"$@\" --one-file-system --exclude=anna --exclude=bob --exclude=/home/proc/* home home/tmp",
    ));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        taken(&place),
        "home home/proc home/sub home/tmp home/tmp/file"
    );
    let ended = Ended::of(&mut run(
        "\"$@\" --include=/home/proc/version --exclude='*' home/proc",
    ));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(taken(&place), "home home/proc home/proc/version");
}

#[test]
fn rules_of_any_bytes_reach_the_command_line_in_their_order() {
    let place = Place::new();
    place.sh("mkdir home; touch \"$(printf 'home/\\351')\" \"$(printf 'home/\\351\\350')\" home/x");
    let words = [
        &b"backup"[..],
        b"--dest=store",
        b"--include=\xe9",
        b"--exclude=\xe9*",
        b"home",
    ];
    place.succeed(words.map(OsStr::from_bytes));
    assert_eq!(taken(&place), "home home/x home/\\xe9");
}

#[test]
fn an_include_that_leaves_nothing_out_is_told_and_backed_up_all_the_same() {
    let place = homes();
    let words = ["backup", "--dest=store", "--include=*.tex", "home"];
    place
        .run(words)
        .assert_one_line(0, &["--include=*.tex leaves nothing out", "--exclude='*'"]);
    let taken = place.succeed(["ls", "--dest=store"]).stdout;
    place.sh("sleep 1.1");
    place.succeed(["backup", "--dest=store", "home"]);
    assert_eq!(
        place.succeed(["ls", "--dest=store"]).stdout,
        taken,
        "nothing is left out"
    );
}

#[test]
fn a_home_directory_in_a_pattern_is_refused_with_the_whole_path() {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    let home = place.path().display().to_string();
    place.write("rules", "# of anna\n*.o\n+ ~/docs/**\n");
    for typed in [
        &[
            "backup",
            "--dest=store",
            "--include=~/docs/**",
            "--exclude=/home/a/*",
            "tree",
        ][..],
        &["backup", "--dest=store", "--exclude", "~/x", "tree"],
        &["backup", "--dest=store", "--exclude=~", "tree"],
        &["backup", "--dest=store", "--exclude-from=rules", "tree"],
        &["restore", "--dest=store", "--target=out", "--exclude=~/x"],
        &["find", "--dest=store", "~/x"],
        &["diff", "--dest=store", "latest", "--exclude=~/x"],
    ] {
        place
            .run(typed)
            .assert_one_line(2, &["~", &home, "for what is called ~"]);
    }
    for (key, value) in [
        ("exclude", "~/x"),
        ("include", "~/x"),
        ("exclude", "$HOME/x"),
    ] {
        place.write("pileus.toml", format!("[backup]\n{key} = [\"{value}\"]\n"));
        let ended = place.run(["backup", "--config=pileus.toml", "--dest=store", "tree"]);
        ended.assert_one_line(2, &["pileus.toml:2:12", &format!("\"{home}/x\"")]);
        let mut command = place.command(["backup", "--dest=store", "tree"]);
        let variable = format!("PILEUS_{}", key.to_uppercase());
        let ended = Ended::of(command.env(&variable, value));
        ended.assert_one_line(2, &[&variable, &format!("\"{home}/x\"")]);
    }
    assert!(!place.join("store").exists());
    // In a directory's own rules it is a problem, like every line that means nothing.
    place.write("tree/.rules", "- ~/x\n");
    let ended = place.run(["backup", "--dest=store", "--dir-rules=.rules", "tree"]);
    ended.assert_one_line(3, &["tree/.rules", "line 1", "begins with ~"]);
    // What is really called so, and what only ends in it, can be left out.
    place.sh("mkdir tree/~; touch tree/~/x tree/file~ tree/~lock");
    let called_so = ["--exclude=\\~/", "--exclude=*~", "--exclude=~lock"];
    place.succeed([&["backup", "--dest=other"], &called_so[..], &["tree"]].concat());
    assert_eq!(
        place.succeed(["ls", "--dest=other"]).stdout,
        "tree\ntree/.rules\ntree/file\n"
    );
}
