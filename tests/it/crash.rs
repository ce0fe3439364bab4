//! Power lost, the process killed, calls that fail: the short form of `tests/crash/run.py`, which tries each at every step of a
//! run. docs/reliability.md says what is promised, and has the command of the long form.

use crate::harness::{Ended, Place, need, pileus, project};

/// Tries some points; each that fails is told, with what was promised and is not so.
fn try_points(arguments: &str) {
    need("cc");
    let place = Place::new();
    let script = project("tests/crash/run.py");
    let program = format!("--program={}", pileus());
    let mut command = place.program("python3");
    command.arg(script).arg(program).args(arguments.split(' '));
    let ended = Ended::of(&mut command);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
}

#[test]
fn power_may_be_lost_at_any_step_of_a_backup() {
    try_points("--only=power --runs=first,backup --every=5");
}

#[test]
fn power_may_be_lost_at_any_step_of_a_prune() {
    try_points("--only=power --runs=prune --every=3");
}

#[test]
fn a_process_may_be_killed_at_any_step() {
    try_points("--only=kill --every=15");
}

#[test]
fn any_call_that_changes_something_may_fail() {
    try_points("--only=fault --every=127");
}

#[test]
fn what_cannot_be_synced_is_told_and_not_remembered() {
    try_points("--only=fault --runs=backup --calls=fsync --every=3");
}

#[test]
fn any_call_that_reads_something_may_fail() {
    try_points("--only=read --every=61");
}

#[test]
fn a_destination_that_cannot_be_looked_at_is_not_taken_for_missing() {
    try_points("--only=read --runs=first,prune,clean --calls=stat");
}

#[test]
fn a_destination_may_disappear_and_a_filter_die() {
    try_points("--only=gone,filter --runs=backup,prune --every=12");
}

#[test]
fn a_clock_may_jump_and_memory_and_disk_may_be_short() {
    try_points("--only=clock,memory,disk --runs=backup,prune --every=12");
}

#[test]
fn local_state_may_lie_where_no_memory_is_shared() {
    need("cc");
    let place = Place::new();
    place.sh("cc -shared -fPIC -o between.so \"$PROJECT/tests/crash/between.c\"");
    place.write("src/file", "contents");
    for arguments in [
        &["backup", "--dest=store", "src"][..],
        &["backup", "--dest=store", "src"],
        &["clean", "--localdb=store"],
        &["prune", "--dest=store", "--keep-last=1"],
        &["rebuild", "--dest=store", "--deep"],
        &["backup", "--dest=store", "src"],
    ] {
        let mut command = place.command(arguments);
        command.env("LD_PRELOAD", "./between.so");
        let ended = Ended::of(command.env("BETWEEN_UNSHARED", "1"));
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    place.succeed(["backup", "--dest=store", "src"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn where_no_thread_can_be_started_the_run_fails_with_an_error() {
    let place = Place::new();
    place.write("src/file", "contents");
    place.succeed(["backup", "--dest=store", "src"]);
    // No thread can have a stack of this size.
    let run = |arguments: &[&str]| {
        Ended::of(
            place
                .command(arguments)
                .env("RUST_MIN_STACK", (1_u64 << 46).to_string()),
        )
    };
    for arguments in [
        &["backup", "--dest=store", "src"][..],
        &["verify", "--dest=store", "--level=files"],
        &["restore", "--dest=store", "--target=back"],
        &["rebuild", "--dest=store", "--deep"],
    ] {
        run(arguments).assert_one_line(1, &["cannot start", "thread"]);
    }
    assert_eq!(place.names_ending("store", ".lbs").len(), 1);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}
