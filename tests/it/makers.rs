//! Descriptors say which machine and which local state made them; several of both may share a scheme.

use std::fs;

use crate::harness::Place;

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
        place.succeed(all);
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
