//! `--metrics-file`: what the node exporter would read, by a parser of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Ended, Place};

/// Value of each sample by name and all labels but those of the run, which every sample has to have.
type Samples = BTreeMap<String, f64>;

/// Parses the text format as its specification has it: a sample needs HELP and TYPE before it, and no label twice.
const PARSER: &str = r#"
import json, re, sys
told, samples = {}, {}
text = open(sys.argv[1], encoding='utf-8', newline='').read()
assert text.endswith('\n') and '\r' not in text
for line in text[:-1].split('\n'):
    if m := re.fullmatch(r'# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)', line):
        kind, name, rest = m.groups()
        assert (kind, name) not in told, line
        assert kind == 'HELP' or rest == 'gauge', line
        told[kind, name] = rest
        continue
    m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)', line)
    assert m, line
    name, rest, value = m.groups()
    assert ('HELP', name) in told and ('TYPE', name) in told, line
    labels = {}
    while rest:
        m = re.match(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)', rest)
        assert m and m[1] not in labels, rest
        labels[m[1]] = re.sub(r'\\(.)', lambda e: {'n': '\n'}.get(e[1], e[1]), m[2])
        rest = rest[m.end():]
    assert (labels.pop('scheme'), labels.pop('store')) == (sys.argv[2], sys.argv[3]), line
    key = ' '.join([name.removeprefix('pileus_backup_'), *labels.values()])
    assert key not in samples, line
    samples[key] = float(value)
print(json.dumps(samples))
"#;

fn samples(place: &Place, scheme: &str, store: &str) -> Samples {
    let text = place.python(
        PARSER,
        &[
            "m.prom",
            scheme,
            place.join(store).to_str().expect("is text"),
        ],
    );
    promtool(place);
    serde_json::from_str(&text).expect("is JSON")
}

/// Asks Prometheus' own checker where it is installed.
fn promtool(place: &Place) {
    place.sh("! command -v promtool >/dev/null || promtool check metrics <m.prom");
}

fn back_up(place: &Place, arguments: &[&str]) -> Ended {
    let words = ["backup", "--dest=store", "--json", "--metrics-file=m.prom"];
    place.run([&words, arguments].concat())
}

fn place() -> Place {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place.sh("umask 077; touch private");
    place
}

#[test]
fn a_backup_tells_what_it_did_and_when() {
    let place = place();
    let ended = back_up(&place, &["--scheme=home", "tree"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let summary = ended.summary();
    let told = samples(&place, "home", "store");
    let number = |field: &str| summary[field].as_f64().expect("a number");
    for (name, expected) in [
        ("exit_code", 0.0),
        ("problems", 0.0),
        ("entries new", 2.0),
        ("entries old", 0.0),
        ("entries partial", 0.0),
        ("entries repack", 0.0),
        ("entries sub-file", 0.0),
        ("source_bytes", 9.0),
        ("read_bytes", 9.0),
        ("new_data_bytes", 9.0),
        ("disk_bytes", number("disk_bytes")),
    ] {
        assert!((told[name] - expected).abs() < 0.5, "{name}: {told:?}");
    }
    let (start, last) = (
        told["start_timestamp_seconds"],
        told["last_success_timestamp_seconds"],
    );
    assert!(start > 1.6e9 && last >= start, "{told:?}");
    assert!(
        (last - start - told["duration_seconds"]).abs() < 0.01,
        "{told:?}"
    );
    assert_eq!(told.len(), 15, "{told:?}");
    let mode = fs::metadata(place.join("m.prom"))
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(place.names("."), ["m.prom", "private", "store", "tree"]);
}

#[test]
fn a_failed_run_tells_so_and_keeps_the_time_of_the_last_success() {
    let place = place();
    assert_eq!(back_up(&place, &["no-such-file"]).code, Some(1));
    let never = samples(&place, "", "store");
    assert!((never["exit_code"] - 1.0).abs() < 0.5);
    let names: Vec<_> = never.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["duration_seconds", "exit_code", "start_timestamp_seconds"]
    );

    back_up(&place, &["tree"]);
    let well = samples(&place, "", "store")["last_success_timestamp_seconds"];
    let ended = back_up(&place, &["--before=exit 1", "tree"]);
    assert_eq!(ended.code, Some(1));
    let failed = samples(&place, "", "store");
    assert!(
        (failed["last_success_timestamp_seconds"] - well).abs() < 1e-6,
        "{failed:?}"
    );
    assert!(failed["start_timestamp_seconds"] >= well, "{failed:?}");
    // The success of another series is none of this one's.
    back_up(&place, &["--scheme=other", "no-such-file"]);
    let other = samples(&place, "other", "store");
    assert!(
        !other.contains_key("last_success_timestamp_seconds"),
        "{other:?}"
    );
}

#[test]
fn a_snapshot_with_problems_and_a_hook_that_failed_are_counted() {
    let place = place();
    place.write("list", "tree\ngone\n");
    let ended = back_up(&place, &["--files-from=list", "--after=false"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let told = samples(&place, "", "store");
    assert!((told["problems"] - 2.0).abs() < 0.5, "{told:?}");
    assert!((told["exit_code"] - 3.0).abs() < 0.5, "{told:?}");
    assert!(told.contains_key("last_success_timestamp_seconds"));
}

#[test]
fn a_label_may_have_any_character() {
    let place = place();
    let store = "a \"store\"\\n,\nlike=} this";
    let words = ["backup", "--metrics-file=m.prom", "--failed=false"];
    for _ in 0..2 {
        let dest = format!("--dest={store}");
        place.succeed(words.iter().copied().chain([dest.as_str(), "tree"]));
    }
    let before = samples(&place, "", store)["last_success_timestamp_seconds"];
    let dest = format!("--dest={store}");
    place.run(words.iter().copied().chain([dest.as_str(), "none"]));
    let kept = samples(&place, "", store)["last_success_timestamp_seconds"];
    assert!((before - kept).abs() < 1e-6);
}

#[test]
fn a_file_that_cannot_be_written_is_a_problem_and_a_dry_run_writes_none() {
    let place = place();
    let words = ["backup", "--dest=store", "--json"];
    let wrong = ["--metrics-file=no/where.prom", "tree"];
    let ended = place.run([&words[..], &wrong].concat());
    ended.assert_one_line(3, &["no/where.prom", "cannot write it"]);
    assert_eq!(ended.summary()["problems"], 1);
    place.sh("mkdir directory.prom");
    let wrong = ["--metrics-file=directory.prom", "tree"];
    let ended = place.run([&words[..], &wrong].concat());
    ended.assert_one_line(3, &["directory.prom"]);
    assert_eq!(
        place.names("."),
        ["directory.prom", "private", "store", "tree"]
    );
    assert_eq!(back_up(&place, &["--dry-run", "tree"]).code, Some(0));
    assert!(!place.join("m.prom").exists());
}
