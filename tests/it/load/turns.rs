//! Many runs that want one local state: without `--wait`, whoever finds it in use ends at once; with it, each has its turn.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{assert_nothing_left_over, length};
use crate::harness::{Ended, HeldRun, Place, need};
use crate::increments::portable;

fn place() -> Place {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place.write("tree/sub/other", "other contents\n");
    place
}

/// Starts a run whose output is kept.
fn start(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("pileus starts")
}

fn end(child: Child) -> Ended {
    Ended::from(child.wait_with_output().expect("the run ends"))
}

/// Starts that many backups, each with a scheme of its own, which all come to the lock in the same moment: the hook that runs ahead of it
/// waits for a lock that the test holds.
fn start_at_once(place: &Place, count: u32, more: &[&str]) -> Vec<Child> {
    need("flock");
    place.sh("mkdir ready");
    let gate = File::create(place.join("gate")).expect("is made");
    gate.lock().expect("is locked");
    let before = "--before=: >ready/$$; flock -s gate true";
    let begin = |n| {
        let scheme = format!("--scheme=s{n}");
        let always = ["backup", "--dest=store", "--localdb=state", before, &scheme];
        start(place, &[&always[..], more, &["tree"]].concat())
    };
    let children: Vec<_> = (0..count).map(begin).collect();
    while place.names("ready").len() < count as usize {
        std::thread::yield_now();
    }
    drop(gate);
    children
}

fn descriptors(place: &Place) -> usize {
    place.names_ending("store", ".lbs").len()
}

#[test]
fn of_a_hundred_backups_at_once_those_that_find_the_lock_held_end_with_one_line_and_leave_nothing()
{
    let place = place();
    let ended: Vec<_> = start_at_once(&place, 100 * length(), &[])
        .into_iter()
        .map(end)
        .collect();
    let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|ended| ended.code == Some(0));
    assert!(won.iter().all(|ended| ended.stderr.is_empty()), "{won:?}");
    for ended in &lost {
        ended.assert_one_line(4, &["the local state in state is in use by"]);
    }
    assert!(!won.is_empty());
    assert_eq!(descriptors(&place), won.len());
    assert_nothing_left_over(&place);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    portable::check(&place, "store", &[]);
}

#[test]
fn while_one_run_holds_the_lock_a_hundred_others_end_at_once_and_it_goes_on() {
    let place = place();
    place.sh("head -c 3000000 /dev/urandom >tree/random");
    let held = HeldRun::start(&place, &["--localdb=state", "tree"]);
    for ended in start_at_once(&place, 100 * length(), &[])
        .into_iter()
        .map(end)
    {
        ended.assert_one_line(4, &["is in use by process", "--wait"]);
    }
    let ended = held.finish();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(descriptors(&place), 1);
    assert_nothing_left_over(&place);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn thirty_backups_at_once_that_wait_each_make_a_snapshot() {
    let place = place();
    let count = 30 * length();
    for ended in start_at_once(&place, count, &["--wait"])
        .into_iter()
        .map(end)
    {
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
    assert_eq!(descriptors(&place), count as usize);
    assert_nothing_left_over(&place);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    portable::check(&place, "store", &[]);
    // The first has the contents, the others refer to them.
    let logs = place.sh("sqlite3 state/localdb.sqlite \"SELECT count(*) FROM segment WHERE segment_group = 'data'\"");
    assert_eq!(logs, "1\n");
    place.succeed(["restore", "--dest=store", "--target=back", "--scheme=s7"]);
    assert_eq!(place.manifest("back/tree", ""), place.manifest("tree", ""));
}

/// Waits until a run has told that it waits.
fn until_it_waits(place: &Place, file: &str) {
    let path = place.join(file);
    while !fs::read_to_string(&path).is_ok_and(|told| told.contains("waiting")) {
        std::thread::yield_now();
    }
}

/// Starts a run that writes what it tells into a file.
fn start_into(place: &Place, file: &str, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    let file = File::create(place.join(file)).expect("is made");
    command.stdout(file).stderr(Stdio::piped());
    command.spawn().expect("pileus starts")
}

#[test]
fn every_command_that_takes_the_lock_waits_for_it_and_goes_by_what_is_there_then() {
    let place = place();
    place.succeed(["backup", "--dest=store", "--localdb=state", "tree"]);
    place.sh("head -c 3000000 /dev/urandom >tree/random");
    let held = HeldRun::start(&place, &["--localdb=state", "--scheme=held", "tree"]);
    let (dest, state, wait) = ("--dest=store", "--localdb=state", "--wait=1h");
    let runs = [
        vec!["backup", dest, state, "--scheme=next", "tree"],
        vec!["backup", dest, state, "--clean", "--scheme=cleaned", "tree"],
        vec!["backup", dest, state, "--dry-run", "tree"],
        vec!["prune", dest, state, "--keep-last=1", "--orphan-age=0"],
        vec!["clean", state],
        vec![
            "clean",
            state,
            "--lost=00e75d73-0265-4dc2-aadd-91f25d6da412",
        ],
        vec!["rebuild", dest, state],
    ];
    let begin = |(at, run): (usize, &Vec<&str>)| {
        let file = format!("told-{at}");
        let child = start_into(&place, &file, &[&run[..], &[wait, "-v"]].concat());
        until_it_waits(&place, &file);
        child
    };
    let children: Vec<_> = runs.iter().enumerate().map(begin).collect();
    let ended = held.finish();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for (at, child) in children.into_iter().enumerate() {
        let ended = end(child);
        assert_eq!(
            (ended.code, &*ended.stderr),
            (Some(0), ""),
            "{:?}",
            runs[at]
        );
        let told = fs::read_to_string(place.join(format!("told-{at}"))).expect("is read");
        assert_eq!(told.matches("waiting").count(), 1, "{told}");
        assert!(!told.contains("there is no local state yet"), "{told}");
    }
    assert_eq!(descriptors(&place), 4);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_prune_that_waited_does_not_doubt_what_was_published_meanwhile() {
    let place = place();
    place.sh("head -c 3000000 /dev/urandom >tree/random");
    place.succeed(["backup", "--dest=store", "--localdb=other", "tree"]);
    let held = HeldRun::start(&place, &["--localdb=state", "--scheme=held", "tree"]);
    let prune = ["prune", "--dest=store", "--localdb=state", "--keep-last=1"];
    let prune = [&prune[..], &["--wait", "-v"]].concat();
    let child = start_into(&place, "told", &prune);
    until_it_waits(&place, "told");
    // The second has the name of a later second than that in which the prune began.
    for _ in 0..2 {
        let other = ["backup", "--dest=store", "--localdb=other", "tree"];
        place.succeed([&other[..], &["--scheme=meanwhile"]].concat());
    }
    assert_eq!(held.finish().code, Some(0));
    let ended = end(child);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(descriptors(&place), 3);
}

#[test]
fn patience_ends_with_the_exit_code_of_a_lock_that_is_held() {
    let place = place();
    place.sh("head -c 3000000 /dev/urandom >tree/random");
    let held = HeldRun::start(&place, &["tree"]);
    let ended = place.run(["backup", "--dest=store", "--wait=1s", "tree"]);
    ended.assert_one_line(4, &["waited 1 s in vain", "is in use by process"]);
    let ended = place.run(["backup", "--dest=store", "--wait=0s", "tree"]);
    ended.assert_one_line(4, &["is in use by process"]);
    for wrong in ["--wait=10", "--wait=soon", "--wait=1mo"] {
        let ended = place.run(["backup", "--dest=store", wrong, "tree"]);
        ended.assert_one_line(2, &[wrong, "such as 10min"]);
    }
    held.kill();
}

#[test]
fn a_signal_ends_a_run_that_waits() {
    let place = place();
    place.succeed(["backup", "--dest=store", "tree"]);
    place.sh("head -c 3000000 /dev/urandom >tree/random");
    let held = HeldRun::start(&place, &["tree"]);
    for (more, signal) in [
        (&["--wait", "-v"][..], Signal::SIGINT),
        (&["--wait=10m", "--clean", "-v"], Signal::SIGTERM),
        (&["--wait", "--dry-run", "-v"], Signal::SIGTERM),
    ] {
        let arguments = [&["backup", "--dest=store"], more, &["tree"]].concat();
        let child = start_into(&place, "told", &arguments);
        until_it_waits(&place, "told");
        let id = i32::try_from(child.id()).expect("is a process number");
        kill(Pid::from_raw(id), signal).expect("is sent");
        end(child).assert_one_line(130, &["interrupted: there is no snapshot"]);
    }
    let ended = held.finish();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn to_wait_can_be_configured_with_a_time_and_without() {
    let place = place();
    let shown = |configuration: &str, variable: Option<&str>| {
        place.write("pileus.toml", configuration);
        let mut command = place.command(["--config=pileus.toml", "config", "show", "prune"]);
        command.envs(variable.map(|value| ("PILEUS_WAIT", value)));
        let ended = Ended::of(&mut command);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        let options = ended.stdout.lines().map(|line| {
            let option = line.split_whitespace().next();
            option.unwrap_or_default().to_owned()
        });
        let wait = options.filter(|option| option.starts_with("--wait"));
        wait.collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("wait = true", None), ["--wait"]);
    assert_eq!(shown("[prune]\nwait = '10m'", None), ["--wait=10m"]);
    assert_eq!(shown("wait = false", None), [""; 0]);
    assert_eq!(shown("wait = true", Some("30s")), ["--wait=30s"]);
    assert_eq!(shown("", Some("1")), ["--wait"]);
    assert_eq!(shown("wait = true", Some("0")), [""; 0]);
}
