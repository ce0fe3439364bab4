//! Standard output that is full, closed, or whose reader goes away: output that was lost is no success.

use crate::harness::{Ended, Place};

/// Commands that print more than a pipe holds, of the store that [`place`] makes.
const LONG: [&str; 5] = [
    "export --dest=store",
    "cat --dest=store tree/large",
    "ls --dest=store -l",
    "find --dest=store '**'",
    "diff --dest=store latest --root=empty -v",
];

/// Commands that print little.
const SHORT: [&str; 9] = [
    "list --dest=store",
    "ls --dest=store tree/large",
    "cat --dest=store tree/small",
    "find --dest=store large",
    "diff --dest=store latest --root=empty --only=tree/large",
    "stats --dest=store",
    "report --dest=store",
    "config show --config=pileus.toml",
    "completions bash",
];

fn place() -> Place {
    let place = Place::new();
    place.sh(
        "mkdir tree empty; seq 300000 >tree/large; echo small >tree/small
        for n in $(seq 2000); do : >tree/a-name-that-is-long-enough-to-fill-a-pipe-$n; done",
    );
    place.write("pileus.toml", "[backup]\ncompression = \"zstd\"\n");
    place.succeed(["backup", "--dest=store", "--compression=zstd:1", "tree"]);
    place
}

/// Runs a script and returns how it ended; a shell shows an end by SIGPIPE as 141.
fn shell(place: &Place, script: &str) -> Ended {
    Ended::of(place.program("bash").args(["-c", script]))
}

#[test]
fn a_reader_that_goes_away_ends_what_only_prints_by_a_signal() {
    let place = place();
    for command in LONG {
        let script = format!("pileus {command} | head -c 1 >head; echo ${{PIPESTATUS[0]}}");
        let ended = shell(&place, &script);
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("141\n", ""),
            "{command}"
        );
    }
    for command in SHORT {
        let script = format!("{{ sleep 0.2; pileus {command}; echo $? >&2; }} | true");
        let ended = shell(&place, &script);
        assert_eq!(
            ended.stderr.lines().last(),
            Some("141"),
            "{command} {ended:?}"
        );
    }
}

#[test]
fn a_closed_or_full_output_fails_what_only_prints() {
    let place = place();
    for command in LONG.iter().chain(&SHORT) {
        for lost in [">&-", ">/dev/full"] {
            let ended = shell(&place, &format!("pileus {command} {lost}"));
            ended.assert_one_line(1, &["cannot write to standard output"]);
        }
        // An output that nobody wants is not lost.
        let ended = shell(&place, &format!("pileus {command} 1<>/dev/null"));
        assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    }
    // A page in a file needs no output.
    let ended = shell(&place, "pileus report --dest=store -o page.html >&-");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_backup_needs_no_reader_and_no_output() {
    let place = place();
    for lost in [">&-", "| true"] {
        let script = format!("set -o pipefail; pileus backup --dest=store tree {lost}");
        let ended = shell(&place, &script);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{lost}");
    }
    let ended = shell(&place, "pileus backup --dest=store --json tree >&-");
    ended.assert_one_line(3, &["cannot write to standard output"]);
}

#[test]
fn paths_that_are_not_there_end_ls_and_cat_alike() {
    let place = place();
    for (paths, code) in [
        (&["tree/missing"][..], 1),
        (&["tree/missing", "tree/none"], 1),
        (&["tree/missing", "tree/small"], 3),
        (&["tree/small"], 0),
    ] {
        for command in ["ls", "cat"] {
            let ended = place.run([&[command, "--dest=store"], paths].concat());
            assert_eq!(ended.code, Some(code), "{command} {paths:?} {ended:?}");
        }
    }
}
