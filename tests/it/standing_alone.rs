//! The tests themselves: what they start does not depend on whoever runs them.

use crate::harness::{Ended, Place};

/// Names of the variables that every program of a test has.
const VARIABLES: &str =
    "HOME\nLC_ALL\nPATH\nPROJECT\nPYTHONDONTWRITEBYTECODE\nTMPDIR\nXDG_STATE_HOME\n";

#[test]
fn programs_have_the_same_environment_umask_and_signals_whoever_runs_the_tests() {
    let place = Place::new();
    let printed = Ended::of(&mut place.program("env")).stdout;
    let mut names: Vec<_> = printed.lines().map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let wanted: Vec<_> = VARIABLES.lines().map(Some).collect();
    assert_eq!(names, wanted);
    assert_eq!(place.sh("umask").trim(), "0022");
    let mut command = place.program("sed");
    let status = Ended::of(command.args(["-n", "s/^SigIgn:.//p", "/proc/self/status"]));
    let ignored = u64::from_str_radix(status.stdout.trim(), 16).expect("a mask");
    // The signals from 32 on are the C library's own, or of real time.
    assert_eq!(ignored & 0x7fff_ffff, 0, "{status:?}");
    // A backup takes nothing from a configuration of the caller, nor from local state.
    place.write("tree/file", "contents");
    place.succeed(["backup", "--dest=store", "tree"]);
}

#[test]
fn a_caller_with_a_configuration_variables_and_ignored_signals_changes_nothing() {
    let place = Place::new();
    place.write(".config/pileus.toml", "dest = \"/nowhere\"\nnonsense = [\n");
    place.sh("mkdir 'a blank'");
    let program = std::env::current_exe().expect("is known");
    let test = "standing_alone::programs_have_the_same_environment_umask_and_signals_whoever_runs_the_tests";
    let ignoring = "trap '' HUP INT QUIT TERM USR1; umask 077; exec \"$0\" \"$@\"";
    let mut command = place.program("sh");
    command
        .args(["-c", ignoring])
        .arg(program)
        .args(["--exact", test]);
    for (name, value) in [
        ("PILEUS_CONFIG", "/nowhere"),
        ("PILEUS_DEST", "/nowhere"),
        ("PILEUS_PROFILE", "none"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("TZ", "Asia/Kathmandu"),
        ("RUST_BACKTRACE", "full"),
        ("PYTHONPATH", "/nowhere"),
    ] {
        command.env(name, value);
    }
    command.env("TMPDIR", place.join("a blank"));
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("1 passed"), "{ended:?}");
    assert_eq!(place.names("a blank"), [""; 0], "nothing is left there");
}
