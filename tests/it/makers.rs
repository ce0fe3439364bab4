//! Descriptors say which machine and which local state made them; several of both may share a scheme.

use std::fs;

use crate::harness::{Ended, Place};

/// Returns the value of a field in the descriptor of each snapshot, oldest first.
fn fields(place: &Place, key: &str) -> Vec<String> {
    let names = place.names_ending("store", ".lbs");
    let value = |name: &String| {
        let text = fs::read_to_string(place.join("store").join(name)).expect("is read");
        let mut lines = text.lines().map(|line| line.split_once(": "));
        let value = lines.find_map(|field| field.filter(|(name, _)| *name == key));
        value.expect("the descriptor has it").1.to_owned()
    };
    names.iter().map(value).collect()
}

#[test]
fn a_descriptor_says_which_host_and_which_local_state_made_it() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let machine = place.sh("uname -n").trim().to_owned();
    for arguments in [
        ["--localdb=a", "--scheme=a"],
        ["--localdb=a", "--scheme=b"],
        ["--localdb=c", "--scheme=c"],
    ] {
        let first = ["backup", "--dest=store", "--quiet"];
        let all = first.iter().chain(&arguments).chain(&["tree"]);
        assert_eq!(place.run(all).code, Some(0));
    }
    place.succeed([
        "backup",
        "--dest=store",
        "--quiet",
        "--localdb=a",
        "--scheme=d",
        "--host=desk",
        "tree",
    ]);
    let machine = machine.as_str();
    assert_eq!(fields(&place, "Host"), [machine, machine, machine, "desk"]);
    let states = fields(&place, "State");
    assert!(states.iter().all(|state| state.len() == 32), "{states:?}");
    assert!(states[0] == states[1] && states[0] == states[3] && states[0] != states[2]);
}

#[test]
fn a_host_that_would_break_its_line_is_refused() {
    let place = Place::new();
    place.write("tree/file", "contents");
    for host in ["--host=", "--host= desk", "--host=a\nRoot: b"] {
        let ended = place.run(["backup", "--dest=store", host, "tree"]);
        ended.assert_one_line(2, &["--host=", "cannot be used"]);
    }
    assert!(!place.join("store").exists());
}

/// Backs up `tree` as a machine with local state of its own.
fn back_up(place: &Place, host: &str, local: &str, scheme: &str) -> Ended {
    let (host, local) = (format!("--host={host}"), format!("--localdb={local}"));
    let scheme = format!("--scheme={scheme}");
    let ended = place.run([
        "backup",
        "--dest=store",
        "--quiet",
        &host,
        &local,
        &scheme,
        "tree",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

fn prune(place: &Place, more: &[&str]) -> Ended {
    let prune = ["prune", "--dest=store", "--keep-last=1", "--quiet"];
    place.run(prune.iter().chain(more))
}

fn assert_silent(ended: &Ended) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn prune_takes_each_host_that_shares_a_scheme_for_a_series() {
    let place = Place::new();
    place.write("tree/file", "contents");
    for _ in 0..2 {
        back_up(&place, "desk", "a", "home");
        back_up(&place, "lap", "b", "home");
    }
    let ended = prune(&place, &["--localdb=a"]);
    ended.assert_one_line(0, &["scheme home", "desk, lap", "--scheme-of-all-hosts"]);
    assert_eq!(fields(&place, "Host"), ["desk", "lap"]);
    assert_silent(&prune(&place, &["--localdb=a", "--scheme-of-all-hosts"]));
    assert_eq!(fields(&place, "Host"), ["lap"]);
    // Local state is there, though nothing that it made is.
    let ended = back_up(&place, "desk", "a", "home");
    assert!(!ended.stderr.contains("no local state yet"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("lap makes snapshots of scheme home here, too"),
        "{ended:?}"
    );
}

#[test]
fn every_run_says_that_another_host_uses_its_scheme() {
    let place = Place::new();
    place.write("tree/file", "contents");
    assert_eq!(back_up(&place, "desk", "a", "home").stderr, "");
    back_up(&place, "lap", "b", "other").assert_one_line(0, &["no local state yet in b"]);
    back_up(&place, "lap", "b", "home");
    for _ in 0..2 {
        let ended = back_up(&place, "desk", "a", "home");
        ended.assert_one_line(0, &["lap makes", "scheme home", "--scheme", "--host=lap"]);
    }
    // A clone has the same local state under another name.
    place.sh("cp -r a clone");
    let ended = back_up(&place, "clone", "clone", "home");
    ended.assert_one_line(0, &["lap makes"]);
    let ended = back_up(&place, "desk", "a", "home");
    ended.assert_one_line(0, &["clone makes"]);
}

#[test]
fn prune_takes_two_users_of_one_host_for_two_series_and_a_new_installation_for_one() {
    let place = Place::new();
    place.write("tree/file", "contents");
    for local in ["a", "b", "a", "b"] {
        back_up(&place, "desk", local, "users");
    }
    for local in ["old", "old", "new", "new"] {
        back_up(&place, "desk", local, "again");
    }
    prune(&place, &[]).assert_one_line(0, &["scheme users", "2 local states of desk"]);
    let count = |scheme: &str| {
        let names = place.names_ending("store", ".lbs");
        names.iter().filter(|name| name.contains(scheme)).count()
    };
    assert_eq!((count("users"), count("again")), (2, 1));
}

#[test]
fn snapshots_that_do_not_say_who_made_them_belong_to_the_only_host() {
    let place = Place::new();
    place.write("tree/file", "contents");
    back_up(&place, "desk", "a", "home");
    place.sh("sed -i '/^Host:/d; /^State:/d' store/*.lbs");
    back_up(&place, "desk", "a", "home");
    assert_silent(&prune(&place, &["--localdb=a"]));
    assert_eq!(fields(&place, "Host"), ["desk"]);
}

#[test]
fn a_short_orphan_age_is_refused_where_other_machines_write() {
    let place = Place::new();
    place.write("tree/file", "contents");
    back_up(&place, "desk", "a", "home");
    assert_silent(&prune(&place, &["--localdb=a", "--orphan-age=0s"]));
    back_up(&place, "lap", "b", "other");
    for local in [&["--localdb=a"][..], &[]] {
        let short = [local, &["--orphan-age=0s"]].concat();
        prune(&place, &short).assert_one_line(1, &["--orphan-age", "other machines", "1d"]);
        assert_silent(&prune(&place, &[local, &["--orphan-age=1d"]].concat()));
    }
}

/// What another machine's `prune --orphan-age=0s` takes away.
#[test]
fn a_machine_whose_segments_were_taken_away_mends_itself() {
    let place = Place::new();
    place.write("tree/file", "contents");
    place.write("tree/large", "long contents\n".repeat(100_000));
    back_up(&place, "desk", "a", "home");
    let list = "grep '^Root' store/*.lbs | cut -c7-42";
    let root = place.sh(list);
    place.sh(&format!("rm store/{}.tar*", root.trim()));
    place.write("tree/new", "more");
    let arguments = [
        "backup",
        "--dest=store",
        "--quiet",
        "--host=desk",
        "--localdb=a",
        "--scheme=home",
    ];
    let ended = place.run(arguments.iter().chain(&["tree"]));
    ended.assert_one_line(3, &[root.trim(), "is missing", "stored again"]);
    place.succeed([
        "verify",
        "--dest=store",
        "--snapshot=latest",
        "--level=files",
        "--quiet",
    ]);
    back_up(&place, "desk", "a", "home");
}
