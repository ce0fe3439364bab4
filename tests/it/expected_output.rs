//! All that a person reads: what each command prints on a terminal of 80 columns, and without one.
//!
//! `expected/COMMAND.txt` is a script and its output in one. `% ` begins a shell command that prepares something, `$ ` one of which the output
//! follows: `| ` what stands on the terminal in the end, then `> ` and `2> ` what goes to standard output and standard error without one. The whole
//! script runs twice, in a directory for each. What cannot be the same each time, `tests/tools/steady.py` replaces.
//!
//! To write the outputs anew after a change, `PILEUS_EXPECTED=write cargo test --test it expected_output`; then read the difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::harness::{Ended, Place, need, project, tool};

const DIRECTORY: &str = "tests/it/expected";

/// Runs a shell command in which `pileus` is the program, on a terminal if `screen` says so.
fn shell(place: &Place, screen: bool, script: &str) -> Ended {
    let screen_program = tool("screen.py");
    let under = ["python3", screen_program.as_str(), "80", "sh", "-c", script];
    let under = if screen { &under[..] } else { &under[3..] };
    let mut command = place.command_under(under, [""; 0]);
    command
        .env("TZ", "UTC")
        .env("XDG_CONFIG_HOME", place.join(".config"));
    Ended::of(&mut command)
}

/// Returns a script with its output, as it is now.
fn run(script: &str) -> String {
    let (screen, plain) = (Place::new(), Place::new());
    let mut text = String::new();
    let mut put = |prefix: &str, line: &str| {
        writeln!(text, "{}", format!("{prefix} {line}").trim_end()).expect("is text");
    };
    for line in script.lines() {
        if let Some(preparation) = line.strip_prefix("% ") {
            put("%", preparation);
            for place in [&screen, &plain] {
                let ended = shell(place, false, &format!("set -e; {preparation}"));
                assert_eq!(ended.code, Some(0), "{preparation}: {ended:?}");
            }
        } else if let Some(command) = line.strip_prefix("$ ") {
            put("$", command);
            let seen = shell(&screen, true, command);
            assert_eq!(
                (seen.code, seen.stderr.as_str()),
                (Some(0), ""),
                "{command}"
            );
            let seen = seen.summary();
            for line in seen["lines"].as_array().expect("lines") {
                put("    |", line.as_str().expect("a line"));
            }
            let ended = shell(&plain, false, command);
            ended.stdout.lines().for_each(|line| put("    >", line));
            ended.stderr.lines().for_each(|line| put("   2>", line));
            let code = ended.code.expect("an exit code");
            assert_eq!(
                seen["code"], code,
                "the exit code does not depend on the terminal"
            );
            put("   =>", &code.to_string());
        }
    }
    for place in [&screen, &plain] {
        text = text.replace(place.path().to_str().expect("is text"), "HERE");
    }
    steady(&text)
}

/// Replaces what differs from run to run.
fn steady(text: &str) -> String {
    let place = Place::new();
    let mut command = place.program("python3");
    command.arg(tool("steady.py"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python3 starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("is written");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    String::from_utf8(output.stdout).expect("is text")
}

fn check(command: &str) {
    need("python3");
    let file = project(DIRECTORY).join(format!("{command}.txt"));
    let expected = fs::read_to_string(&file).expect("is read");
    let printed = run(&expected);
    if std::env::var_os("PILEUS_EXPECTED").is_some_and(|word| word == "write") {
        fs::write(&file, printed).expect("is written");
        return;
    }
    for (printed, expected) in printed.lines().zip(expected.lines()) {
        assert_eq!(printed, expected, "{}", file.display());
    }
    assert_eq!(printed, expected, "{}", file.display());
}

/// A test for each command: `cargo test` runs them side by side.
macro_rules! commands {
    ($($name:ident)*) => {
        const COMMANDS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*
    };
}

commands! {
    backup restore list ls cat export find diff stats report verify prune clean rebuild completions man config
}

/// Without a terminal nobody says how wide it is, nor does one that has columns and no rows.
#[test]
fn help_fits_80_columns_where_the_terminal_does_not_say_its_size() {
    let place = Place::new();
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max();
    for command in COMMANDS {
        let help = place.succeed([command, "--help"]).stdout;
        let described = help.split("\nOptions:\n").nth(1).expect("options");
        assert!(widest(described) <= Some(80), "{command}: {help}");
    }
}

#[test]
fn every_command_has_its_expected_output_and_no_more() {
    let place = Place::new();
    let help = place.succeed(["--help"]).stdout;
    let listed = help.split("Commands:\n").nth(1).expect("commands");
    let listed = listed.split("\n\n").next().expect("commands").lines();
    let listed: BTreeSet<_> = listed.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS.iter().copied().collect());
    let files = fs::read_dir(project(DIRECTORY)).expect("is listed");
    let files = files.map(|file| file.expect("an entry").file_name());
    let files: BTreeSet<_> = files
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let wanted = listed.iter().map(|command| format!("{command}.txt"));
    assert_eq!(files, wanted.collect());
}

#[test]
fn nothing_that_varies_is_left_in_expected_outputs() {
    let text = "snapshot 20261121T191822: 3 entries, 1.2 KiB in 0.3 s by process 77";
    let wanted = "snapshot YYYYMMDDTHHMMSS: 3 entries, SIZE in N.N s by process N";
    assert_eq!(steady(text), wanted);
}
