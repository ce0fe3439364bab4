//! Commands around a backup: `--before`, `--after` and `--failed`, and what they are told.

use crate::harness::{Ended, HeldRun, Place, project};

/// Writes all that the run says, and what its standard input has, which is nothing.
const TELL: &str = "(env | grep ^PILEUS_RUN_ | LC_ALL=C sort; cat) >>told; echo heard";

fn place() -> Place {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place
}

/// Runs a backup with all three hooks; each writes its name before what it is told.
fn run(place: &Place, before: &str, more: &[&str]) -> Ended {
    let before = format!("--before=echo before >>told; {before}");
    let after = format!("--after=echo after >>told; {TELL}");
    let failed = format!("--failed=echo failed >>told; {TELL}");
    let words = [
        "backup",
        "--dest=store",
        "--scheme=home",
        "--json",
        &before,
        &after,
        &failed,
    ];
    place.run([&words, more].concat())
}

/// Returns what the hooks wrote, and forgets it.
fn told(place: &Place) -> Vec<String> {
    let text = place.sh("cat told; rm told");
    text.lines().map(str::to_owned).collect()
}

fn value<'t>(told: &'t [String], name: &str) -> &'t str {
    let begin = format!("PILEUS_RUN_{name}=");
    let line = told.iter().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("no {name} in {told:?}"))
}

#[test]
fn hooks_run_before_and_after_a_backup_and_are_told_how_it_ended() {
    let place = place();
    let ended = run(
        &place,
        "env | grep ^PILEUS_RUN_ | wc -l >>told; echo mounted",
        &["tree"],
    );
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), "mounted\nheard\n"),
        "what hooks print goes to standard error"
    );
    let told = told(&place);
    assert_eq!(told[..3], ["before", "2", "after"], "{told:?}");
    let summary = ended.summary();
    let number = |field: &str| summary[field].to_string();
    let store = place.join("store");
    for (name, expected) in [
        ("RESULT", "ok"),
        ("EXIT_CODE", "0"),
        ("SNAPSHOT", summary["snapshot"].as_str().expect("is there")),
        ("STORE", store.to_str().expect("is text")),
        ("SCHEME", "home"),
        ("PROBLEMS", "0"),
        ("ERROR", ""),
        ("ENTRIES", "2"),
        ("SOURCE_BYTES", "9"),
        ("READ_BYTES", "9"),
        ("NEW_BYTES", "9"),
        ("DISK_BYTES", &number("disk_bytes")),
    ] {
        assert_eq!(value(&told, name), expected, "{name}");
    }
    assert_eq!(told.len(), 3 + 12, "{told:?}");
}

#[test]
fn a_snapshot_with_problems_and_one_that_need_not_be_made_are_successes() {
    let place = place();
    place.write("list", "tree\ngone\n");
    let ended = run(&place, "true", &["--files-from=list"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let first = told(&place);
    assert_eq!(first[1], "after");
    let of = |name| value(&first, name);
    assert_eq!(
        (of("RESULT"), of("EXIT_CODE"), of("PROBLEMS")),
        ("problems", "3", "1")
    );
    // What was recorded in the second of its change is read again; then nothing has changed.
    run(&place, "true", &["--skip-if-unchanged", "tree"]);
    let second = told(&place);
    assert_eq!(second[1], "after");
    assert_eq!(value(&second, "RESULT"), "ok");
    assert_eq!(value(&second, "SNAPSHOT"), value(&first, "SNAPSHOT"));
}

#[test]
fn a_hook_that_fails_before_stops_the_run_and_nothing_is_touched() {
    let place = place();
    let ended = run(&place, "exit 7", &["tree"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.stderr.lines().last().expect("a line");
    for part in ["nothing was backed up", "--before", "exit status: 7"] {
        assert!(line.contains(part), "{line}");
    }
    let told = told(&place);
    assert_eq!(told[..2], ["before", "failed"]);
    assert_eq!(
        (value(&told, "RESULT"), value(&told, "EXIT_CODE")),
        ("failed", "1")
    );
    assert!(line.ends_with(value(&told, "ERROR")), "{told:?}");
    assert_eq!(value(&told, "NEW_BYTES"), "", "it is not known");
    assert_eq!(place.names("."), ["tree"]);
}

#[test]
fn runs_that_fail_or_are_held_up_or_end_early_are_told_to_the_last_hook() {
    let place = place();
    let ended = run(&place, "true", &["no-such-file"]);
    assert_eq!(ended.code, Some(1));
    let failed = told(&place);
    assert_eq!(failed[1], "failed");
    assert!(
        value(&failed, "ERROR").contains("does not exist"),
        "{failed:?}"
    );

    let held = HeldRun::start(&place, &["tree"]);
    let ended = run(&place, "true", &["tree"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(value(&told(&place), "EXIT_CODE"), "4");
    assert_eq!(held.finish().code, Some(0));

    let ended = run(&place, "kill -TERM $PPID; exit 1", &["tree"]);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let early = told(&place);
    assert_eq!(early[1], "failed");
    assert_eq!(
        (value(&early, "RESULT"), value(&early, "SNAPSHOT")),
        ("interrupted", "")
    );
}

#[test]
fn a_hook_that_fails_behind_a_run_is_a_problem_told_in_one_line() {
    let place = place();
    let words = ["backup", "--dest=store", "--json", "--after=exit 5", "tree"];
    let ended = place.run(words);
    ended.assert_one_line(3, &["--after=\"exit 5\" failed (exit status: 5)"]);
    assert_eq!(ended.summary()["problems"], 1, "the summary comes last");
    assert!(ended.summary()["snapshot"].is_string());
    let ended = place.run(["backup", "--dest=store", "--failed=exit 5", "no-such-file"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:?}");
}

#[test]
fn a_dry_run_and_a_mistake_in_the_command_line_run_no_hook() {
    let place = place();
    assert_eq!(run(&place, "true", &["--dry-run", "tree"]).code, Some(0));
    assert_eq!(run(&place, "true", &["--jobs=none", "tree"]).code, Some(2));
    assert_eq!(place.names("."), ["tree"]);
}

#[test]
fn a_hook_may_call_pileus_and_what_it_is_told_is_no_option_there() {
    let place = place();
    let here = place.path().display();
    place.write(
        ".config/pileus.toml",
        format!(
            "dest = \"{here}/store\"\n[profile.home]\nscheme = \"home\"\npaths = [\"tree\"]\n[profile.home.backup]\n\
             after = '''pileus list --json >listed; pileus config show list >shown; pileus prune --keep-last=1 --scheme=home'''\n"
        ),
    );
    place.succeed(["backup", "home"]);
    let listed = place.sh("head -n 1 listed");
    assert!(listed.contains("\"scheme\":\"home\""), "{listed}");
    let shown = place.sh("cat shown");
    assert!(
        shown.starts_with("--dest=/") && shown.lines().count() == 1,
        "{shown}"
    );
}

#[test]
fn no_option_has_a_variable_that_hooks_are_told_something_by() {
    let manual = std::fs::read_to_string(project("docs/manual.md")).expect("is read");
    assert!(manual.contains("--before=COMMAND"), "it has the options");
    assert!(!manual.contains("--run-"), "it would be set by PILEUS_RUN_");
    let source = std::fs::read_to_string(project("src/cli/hooks.rs")).expect("is read");
    let names: Vec<_> = source.split("\"PILEUS_").skip(1).collect();
    assert!(names.len() >= 12, "{}", names.len());
    assert!(names.iter().all(|name| name.starts_with("RUN_")));
}

#[test]
fn a_hook_does_not_eat_what_is_to_be_backed_up() {
    let place = place();
    place.sh(
        "echo all of it | pileus backup --dest=store --stdin-name=input --before=cat --after=cat",
    );
    assert_eq!(
        place.succeed(["cat", "--dest=store", "input"]).stdout,
        "all of it\n"
    );
}
