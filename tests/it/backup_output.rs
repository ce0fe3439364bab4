//! What `pileus backup` prints: nothing, a summary, each path, or JSON.

use serde_json::Value;

use crate::harness::{Ended, Place};

/// Makes a place with a small tree called `src`.
fn place() -> Place {
    let place = Place::new();
    place.write("src/file", "contents\n");
    place.write("src/sub/other", "other contents\n");
    place
}

#[test]
fn success_is_silent_without_a_terminal_and_a_summary_on_one() {
    let place = place();
    let backup = ["backup", "--dest=store", "src"];
    assert_eq!(place.succeed(backup).stdout, "");
    let quiet = ["backup", "--dest=store", "--scheme=quiet", "-q", "src"];
    assert_eq!(place.succeed(quiet).stdout, "");
    place.sh("rm -r store");
    let on_terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let on_terminal = ["python3", "-c", on_terminal];
    let ended = Ended::of(&mut place.command_under(&on_terminal, backup));
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains(": 4 entries"), "{ended:?}");
    let ended = Ended::of(&mut place.command_under(&on_terminal, quiet));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

#[test]
fn verbose_runs_name_each_path_with_what_was_done() {
    let place = place();
    let ended = place.succeed(["backup", "--dest=store", "-v", "src"]);
    assert_eq!(
        ended.stdout,
        "[new] src\n[new] src/file\n[new] src/sub\n[new] src/sub/other\n"
    );
    let ended = place.succeed(["backup", "--dest=store", "--scheme=b", "--verbose", "src"]);
    assert_eq!(
        ended.stdout,
        "[new] src\n[old] src/file\n[new] src/sub\n[old] src/sub/other\n"
    );
    place.write("src/es\x1bcape\n", "");
    let ended = place.survive(["backup", "--dest=store", "--scheme=c", "-v", "src"]);
    assert!(ended.stdout.contains("src/es\\x1bcape\\x0a\n"), "{ended:?}");
}

#[test]
fn added_and_changed_go_by_paths_whatever_the_contents() {
    let place = place();
    let backup = ["backup", "--dest=store", "--json", "src"];
    let of_paths = |summary: Value| (summary["added"].clone(), summary["changed"].clone());
    let first = of_paths(place.succeed(backup).summary());
    assert_eq!(first, (4.into(), 0.into()));
    place.sh("sleep 1.1; mv src/file src/moved; ln src/sub/other src/linked");
    let second = place.succeed(backup).summary();
    assert_eq!(second["new_data_bytes"], 0, "{second}");
    assert_eq!(
        second["metadata"], 2,
        "the directory's time, the file's count of links"
    );
    assert_eq!(of_paths(second), (2.into(), 0.into()));
    place.sh("echo more >>src/moved");
    let third = of_paths(place.succeed(backup).summary());
    assert_eq!(third, (0.into(), 1.into()));
}

#[test]
fn json_is_one_object_a_line_and_ends_in_the_summary() {
    let place = place();
    place.sh("printf x >\"$(printf 'src/\\377%%')\"");
    let ended = place.succeed(["backup", "--dest=store", "--json", "-v", "src"]);
    let parse = |line| serde_json::from_str::<Value>(line).expect("a line of JSON");
    let lines: Vec<_> = ended.stdout.lines().map(parse).collect();
    let paths: Vec<_> = lines.iter().filter(|l| l["type"] == "path").collect();
    assert_eq!(paths.len(), 5);
    assert!(
        paths
            .iter()
            .any(|l| l["path"] == "src/%ff%25" && l["status"] == "new")
    );
    let summary = ended.summary();
    assert_eq!(summary["type"], "summary");
    for (field, value) in [("entries", 5), ("new", 5), ("old", 0), ("problems", 0)] {
        assert_eq!(summary[field], value, "{field} in {summary}");
    }
    for field in ["source_bytes", "read_bytes", "new_data_bytes"] {
        assert_eq!(summary[field], 25, "{field} in {summary}");
    }
    let disk_bytes = place.sh("cat store/*.tar* | wc -c");
    assert_eq!(summary["disk_bytes"].to_string(), disk_bytes.trim());
    let snapshot = format!(
        "snapshot-{}.lbs",
        summary["snapshot"].as_str().expect("text")
    );
    assert!(place.names("store").contains(&snapshot));
}

#[test]
fn problems_are_in_the_json_too() {
    let place = place();
    place.sh("mkdir -m 777 dest; chmod 0 src/file");
    let backup = ["backup", "--dest=dest/store", "--json", "src"];
    let ended = Ended::of(&mut place.command_as_other(backup));
    ended.assert_one_line(3, &["src/file: cannot open it"]);
    assert_eq!(ended.summary()["problems"], 1);
    let problem: Value =
        serde_json::from_str(ended.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&problem["type"], &problem["subject"]),
        (&"problem".into(), &"src/file".into())
    );
}

#[test]
fn a_standard_output_that_is_full_does_not_fail_a_snapshot_that_exists() {
    let place = place();
    let redirect = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"];
    let backup = ["backup", "--dest=store", "--json", "src"];
    let ended = Ended::of(&mut place.command_under(&redirect, backup));
    ended.assert_one_line(3, &["cannot write to standard output"]);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_reader_of_the_output_that_leaves_does_not_hide_problems() {
    let place = place();
    place.sh("mkdir -m 777 dest; chmod 0 src/file");
    let mut backup = place.command_as_other(["backup", "--dest=dest/store", "-v", "src"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = Ended::of(backup.stdout(writer));
    ended.assert_one_line(3, &["src/file: cannot open it"]);
}
