//! Configuration files, profiles and environment variables: what is in force, and what is refused.

use crate::harness::{Ended, Place};

const FILE: &str = r#"
dest = "HERE/store"
localdb = "HERE/state"

[backup]
compression = "none"
exclude = ["*.o"]

[profile.home]
scheme = "home"
paths = ["home", "etc"]
exclude = ["*.tmp"]

[profile.home.prune]
keep-last = 1

[profile.etc]
scheme = "etc"
paths = ["etc"]
json = true
"#;

fn place() -> Place {
    let place = Place::new();
    place.sh("mkdir -p home etc store .config; cd home; echo 1 >a; echo 2 >a.o; echo 3 >a.tmp; echo 4 >../etc/b");
    let here = place.path().to_str().expect("is text");
    place.write(".config/pileus.toml", FILE.replace("HERE", here));
    place
}

fn shown(place: &Place, arguments: &[&str]) -> Vec<String> {
    let all = [&["config", "show"], arguments].concat();
    let text = place.succeed(all).stdout;
    text.lines().map(str::to_owned).collect()
}

/// Runs with variables of the environment.
fn run_with(place: &Place, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    Ended::of(place.command(arguments).envs(variables.iter().copied()))
}

#[test]
fn a_profile_says_what_to_back_up_and_every_command_finds_the_store() {
    let place = place();
    place.succeed(["backup", "home"]);
    let entries = place.succeed(["ls"]).stdout;
    assert_eq!(entries, "etc\netc/b\nhome\nhome/a\n");
    let list = place.succeed(["list"]).stdout;
    assert!(list.contains("home-"), "{list}");
    assert_eq!(place.names_ending("store", ".tar").len(), 2, "no codec");
    assert!(place.join("state/localdb.sqlite").exists());
    let summary = place.succeed(["backup", "--profile=etc"]).summary();
    assert_eq!(summary["entries"], 2, "and it prints JSON");
    place.sh("sleep 1");
    place.succeed(["backup", "home"]);
    let plan = place.succeed(["prune", "--profile=home", "--dry-run", "--json"]);
    assert_eq!(plan.summary()["removed"], 1, "{plan:?}");
}

#[test]
fn a_profile_stands_alone() {
    let place = place();
    for words in [["home", "/etc/hostname"], ["/etc/hostname", "home"]] {
        let ended = place.run([&["backup"], &words[..]].concat());
        ended.assert_one_line(2, &["\"home\" is a profile", "write ./home"]);
    }
    let ended = place.run(["backup", "./home", "/etc/hostname"]);
    ended.assert_one_line(
        2,
        &["\"/etc/hostname\" is an absolute path and \"./home\" a relative one"],
    );
    place.sh("mkdir other");
    let ended = place.run(["backup", "home", "other"]);
    ended.assert_one_line(0, &["\"home\" is taken as a PATH", "write ./home"]);
    place.succeed(["backup", "./home", "other"]);
    assert_eq!(
        place.succeed(["ls"]).stdout,
        "home\nhome/a\nhome/a.tmp\nother\n"
    );
}

#[test]
fn what_was_typed_counts_first_then_the_environment_then_the_file() {
    let place = place();
    let here = place.path().display();
    let (dest, localdb) = (
        format!("--dest={here}/store  # "),
        format!("--localdb={here}/state  # "),
    );
    let of_home = [
        dest.as_str(),
        "home  # ",
        "etc  # ",
        "--scheme=home  # ",
        localdb.as_str(),
        "--exclude=*.tmp  # ",
        "--exclude=*.o  # ",
        "--compression=none  # ",
    ];
    let lines = shown(&place, &["--profile=home"]);
    assert_eq!(lines.len(), of_home.len());
    for (line, begin) in lines.iter().zip(of_home) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert!(lines[0].ends_with("/.config/pileus.toml:2:8"), "{lines:?}");
    let prune = shown(&place, &["prune", "--profile=home"]).join("\n");
    assert!(
        prune.contains("--keep-last=1") && !prune.contains("compression"),
        "{prune}"
    );

    let environment = [
        ("PILEUS_SCHEME", "env"),
        ("PILEUS_PROFILE", "home"),
        ("PILEUS_VERBOSE", "1"),
    ];
    let ended = run_with(&place, &environment, &["config", "show"]);
    assert!(
        ended
            .stdout
            .contains("--scheme=env  # environment, PILEUS_SCHEME"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("--verbose  # environment"),
        "{ended:?}"
    );
    run_with(
        &place,
        &environment,
        &["backup", "--scheme=typed", "--exclude=a", "--quiet"],
    );
    let list = place.succeed(["list"]).stdout;
    assert!(list.contains("typed-"), "{list}");
    assert_eq!(
        place.succeed(["ls"]).stdout,
        "etc\netc/b\nhome\n",
        "lists are gathered"
    );
    place.succeed(["backup", "--filter=cat", "--filter-extension=.x", "home/a"]);
    assert_eq!(
        place.names_ending("store", ".tar.x").len(),
        2,
        "in place of the codec"
    );
}

#[test]
fn of_several_files_the_users_counts_before_the_one_that_is_named_alone() {
    let place = place();
    place.write(
        "other.toml",
        "dest = '/elsewhere'\n[backup]\nclean = false\n",
    );
    let lines = shown(&place, &["--config=other.toml"]);
    assert_eq!(lines, ["--dest=/elsewhere  # other.toml:1:8"]);
    let ended = run_with(
        &place,
        &[("PILEUS_CONFIG", "other.toml")],
        &["config", "show"],
    );
    assert_eq!(ended.stdout, "--dest=/elsewhere  # other.toml:1:8\n");
    place.sh("mkdir xdg; cp other.toml xdg/pileus.toml");
    let xdg = place.join("xdg");
    let xdg = xdg.to_str().expect("is text");
    let ended = run_with(&place, &[("XDG_CONFIG_HOME", xdg)], &["config", "show"]);
    assert!(ended.stdout.starts_with("--dest=/elsewhere"), "{ended:?}");
    assert_eq!(shown(&place, &["--config=/dev/null"]), [""; 0]);
}

/// Texts of a file with one mistake each, and what is told of it.
const MISTAKES: &[(&str, &[&str])] = &[
    ("dest = \n", &["c.toml:1:8"]),
    ("dest = 'a'\ndest = 'b'\n", &["c.toml:2:1", "duplicate"]),
    (
        "\n  destt = 'a'\n",
        &["c.toml:2:3", "no option \"destt\"", "nearest is \"dest\""],
    ),
    (
        "[backup]\nkeep-last = 3\n",
        &[
            "c.toml:2:1",
            "no option \"keep-last\" of backup: it is one of report and prune",
        ],
    ),
    (
        "[home]\n",
        &["c.toml:1:2: there is no command \"home\"; a profile is written [profile.home]"],
    ),
    ("home = 1\n", &["c.toml:1:1: there is no option \"home\"\n"]),
    (
        "[bakup]\n",
        &["c.toml:1:2", "no command \"bakup\"", "\"backup\""],
    ),
    ("[profile.x.prun]\n", &["no command \"prun\"", "\"prune\""]),
    ("profile = 'x'\n", &["c.toml:1:1", "no option \"profile\""]),
    ("profile.x = 1\n", &["c.toml:1:9", "[profile.x]"]),
    ("config = 'x'\n", &["no option \"config\""]),
    (
        "clean = 3\n",
        &["c.toml:1:9", "clean takes true or false, not a number"],
    ),
    (
        "one-file-system = 'true'\n",
        &["c.toml:1:19: one-file-system takes true or false, without quotes"],
    ),
    ("scheme = true\n", &["c.toml:1:10", "scheme takes a value"]),
    (
        "scheme = 5\n",
        &["c.toml:1:10: scheme takes a text, not a number: write it in quotes"],
    ),
    (
        "[backup]\nlocaldb = 5.5\n",
        &["c.toml:2:11: localdb takes a text"],
    ),
    (
        "exclude = ['a', 1]\n",
        &["c.toml:1:11: exclude takes a text"],
    ),
    (
        "[backup]\npaths = ['a', 1]\n",
        &["c.toml:2:9: paths is a list of texts"],
    ),
    (
        "[backup]\nstdin-from-command = 'x'\n",
        &["c.toml:2:1: stdin-from-command cannot stand here: it is typed"],
    ),
    (
        "scheme = ['a', 'b']\n",
        &["c.toml:1:10", "scheme takes one value"],
    ),
    (
        "exclude = [1, {a = 2}]\n",
        &["c.toml:1:11", "exclude is a text"],
    ),
    (
        "scheme = 1979-05-27\n",
        &["c.toml:1:10", "scheme is a text"],
    ),
    (
        "[backup]\npaths = true\n",
        &["c.toml:2:9", "paths is a list"],
    ),
    ("[backup]\npaths = ['-x']\n", &["c.toml:2:9", "write ./-x"]),
    (
        "[backup]\npaths = 'src'\n",
        &["c.toml:2:9: paths is a list"],
    ),
    (
        "[backup]\npaths = ['a', '$HOME/src']\n",
        &[
            "c.toml:2:15: paths is \"$HOME/src\"",
            "write the whole path",
        ],
    ),
    (
        "[backup]\npaths = ['a', '../src']\n",
        &["c.toml:2:9: ", "in place of \"../src\" write"],
    ),
    (
        "localdb = '~/var'\n",
        &["c.toml:1:11: localdb is \"~/var\"", "not expanded"],
    ),
    (
        "localdb = 'var'\n",
        &[
            "c.toml:1:11: localdb is \"var\"",
            "write the whole path, such as \"/",
            "/var\"",
        ],
    ),
    (
        "[restore]\ntarget = '.'\n",
        &["c.toml:2:10: target is \".\""],
    ),
    (
        "[backup]\nexclude-from = ['/dev/null', 'list']\n",
        &["c.toml:2:30: exclude-from is \"list\""],
    ),
    (
        "scheme = 'my home'\n",
        &["c.toml:1:10: --scheme: ", "\"my home\""],
    ),
    (
        "compression = 'zstd:99'\n",
        &["c.toml:1:15: --compression: level \"99\""],
    ),
    ("as-path = '../x'\n", &["c.toml:1:11: --as-path: "]),
    ("scheme = abc\n", &["c.toml:1:10", "must be quoted"]),
    (
        "compression = 'zsdt'\n",
        &[
            "c.toml:1:15: ",
            "--compression: unknown codec \"zsdt\"",
            "zstd",
        ],
    ),
    ("jobs = 0\n", &["c.toml:1:8: --jobs=0", "1 to 256"]),
    (
        "checkpoint = '1'\nsegment-size = '1'\n",
        &["c.toml:2:16: --segment-size=1", "4K to 1G"],
    ),
    (
        "exclude = ['fine', 'a//b']\n",
        &["c.toml:1:11: ", "a//b", "never match"],
    ),
    ("color = 'x'\nprogress = 'some'\n", &["c.toml:1:1", "color"]),
    ("progress = 'some'\n", &["c.toml:1:12: --progress=some"]),
];

#[test]
fn a_mistake_in_a_file_is_told_with_its_place_and_the_nearest_that_there_is() {
    let place = Place::new();
    for (text, parts) in MISTAKES {
        place.write("c.toml", text);
        // What is typed stands in place of what the file says.
        let typed: &[&str] = if text.contains("paths") { &[] } else { &["."] };
        let ended = place.run([&["backup", "--config=c.toml", "--dest=store"], typed].concat());
        ended.assert_one_line(2, parts);
    }
}

#[test]
fn a_wrong_profile_or_variable_is_told_by_name() {
    let place = Place::new();
    place.write(
        "c.toml",
        "[profile.a]\nscheme = 'a'\n[profile.b]\nscheme = 'b'\n",
    );
    let ended = place.run(["list", "--config=c.toml", "--profile=c"]);
    ended.assert_one_line(2, &["no profile \"c\"", "a, b"]);
    let ended = place.run(["list", "--config=missing.toml"]);
    ended.assert_one_line(2, &["missing.toml does not exist"]);
    let ended = run_with(
        &place,
        &[("PILEUS_REREAD", "maybe")],
        &["backup", "--dest=s", "x"],
    );
    ended.assert_one_line(2, &["PILEUS_REREAD", "write 1 or 0"]);
    let ended = run_with(&place, &[("PILEUS_DEST", "${HOME}/s")], &["list"]);
    ended.assert_one_line(2, &["environment, PILEUS_DEST: dest is", "not expanded"]);
    let ended = place.run(["list", "--dest=~/backup"]);
    ended.assert_one_line(2, &["--dest=~/backup", "write --dest ~/backup"]);
    place.write("c.toml", "stdin-name = 'dump'\nas-path = '/x'\n");
    let ended = place.run([
        "backup",
        "--config=c.toml",
        "--dest=store",
        "--stdin-name=b",
        ".",
    ]);
    ended.assert_one_line(2, &["--stdin-name"]);
    let prune = ["prune", "--dest=store"];
    let ended = run_with(&place, &[("PILEUS_KEEP_DAILY", "vierzehn")], &prune);
    ended.assert_one_line(
        2,
        &[
            "environment, PILEUS_KEEP_DAILY: --keep-daily=vierzehn",
            "a number",
        ],
    );
    let ended = place.run(["config", "show", "bakup"]);
    ended.assert_one_line(2, &["bakup is not a command"]);
}

#[test]
fn a_number_is_taken_for_the_store_no_more_than_for_any_other_place() {
    let place = Place::new();
    place.sh("mkdir 5");
    place.write("c.toml", "dest = 5\n[prune]\nscheme = 7\n");
    let ended = place.run(["list", "--config=c.toml"]);
    ended.assert_one_line(2, &["c.toml:1:8: dest takes a text, not a number"]);
    // What is wrong for another command is no reason to have no backup.
    place.write("tree", "contents");
    let words = ["--config=c.toml", "--dest=store"];
    place.succeed(["backup", words[0], words[1], "tree"]);
    let ended = place.run(["prune", words[0], words[1], "--keep-last=1"]);
    ended.assert_one_line(2, &["c.toml:3:10: scheme takes a text"]);
    place.write(
        "c.toml",
        "jobs = 1\n[backup]\nsegment-size = 65536\nwait = 5.5\n",
    );
    let lines = shown(&place, &["--config=c.toml"]);
    assert_eq!(lines.len(), 3, "numbers stay numbers: {lines:?}");
}

#[test]
fn a_variable_that_sets_nothing_is_told_with_the_nearest_and_those_of_hooks_are_not() {
    let place = Place::new();
    place.write("tree", "contents");
    let slip = [("PILEUS_DSET", "store"), ("PILEUS_RUN_SCHEME", "a")];
    let part = "the variable PILEUS_DSET sets no option: the nearest is PILEUS_DEST";
    let ended = run_with(&place, &slip, &["backup", "--dest=store", "tree"]);
    ended.assert_one_line(0, &[part]);
    // Whoever misses the option sees why it is missing.
    let ended = run_with(&place, &slip, &["list"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(2), 2), "{lines:?}");
    assert!(lines[0].contains(part) && lines[1].contains("--dest=DIR is missing"));
    let ended = run_with(&place, &slip, &["config", "show"]);
    ended.assert_one_line(0, &[part]);
    let ended = run_with(&place, &slip, &["list", "--help"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    // Other than in a file, a relative path is as good as one that is typed.
    let ended = run_with(&place, &[("PILEUS_DEST", "store")], &["list"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_file_that_others_may_write_to_is_refused() {
    let place = place();
    for mode in ["666", "620"] {
        place.sh(&format!("chmod {mode} .config/pileus.toml"));
        let ended = place.run(["list"]);
        ended.assert_one_line(2, &["may be written by others", "chmod go-w"]);
    }
    place.sh("chmod 644 .config/pileus.toml");
    place.succeed(["list"]);
    if crate::harness::is_root() {
        place.sh("chown 12345 .config/pileus.toml");
        place.run(["list"]).assert_one_line(2, &["chown"]);
    }
}

#[test]
fn help_needs_no_configuration() {
    let place = place();
    place.write(".config/pileus.toml", "nonsense");
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["backup", "--help"],
        &["completions", "bash"],
    ] {
        place.succeed(arguments);
    }
    place.run(["list"]).assert_one_line(2, &["pileus.toml:1:9"]);
}
