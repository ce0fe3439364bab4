//! What a backup says of the store that it finds, also to cron: lost local state, a directory that is no store, paths of another job.

use std::fs;

use crate::harness::{Ended, Place};

fn backup(place: &Place, arguments: &[&str]) -> Ended {
    let ended = place.run([&["backup"], arguments].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    ended
}

/// Fails unless a run that went through warned of just this.
fn assert_warns(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
}

fn place() -> Place {
    let place = Place::new();
    place.write("tree/file", "contents\n");
    place.write("other/file", "other contents\n");
    place
}

#[test]
fn lost_local_state_is_told_where_the_store_has_snapshots_of_the_scheme() {
    let place = place();
    let nightly = ["--dest=store", "--localdb=state", "--scheme=a", "tree"];
    assert_eq!(backup(&place, &nightly).stderr, "");
    for lose in ["rm -r state", ": >state/localdb.sqlite"] {
        place.sh(lose);
        let ended = backup(&place, &nightly);
        assert_warns(&ended, &["no local state yet in state", "pileus rebuild"]);
        assert_eq!(backup(&place, &nightly).stderr, "");
    }
    // Another machine may begin a series of its own, which has to be what is meant.
    let other = [
        "--dest=store",
        "--localdb=other-state",
        "--scheme=b",
        "tree",
    ];
    let ended = backup(&place, &other);
    assert_warns(&ended, &["snapshots of other schemes", "stored again"]);
    assert_eq!(backup(&place, &other).stderr, "");
    place.sh("mv other-state 'other state'; rm 'other state'/*");
    let again = [
        "backup",
        "-v",
        "--dest=store",
        "--localdb=other state",
        "--scheme=c",
        "tree",
    ];
    let ended = place.run(again);
    let line = "pileus rebuild --dest=store --localdb='other state' --deep comes first";
    assert!(
        ended.code == Some(0) && ended.stderr.contains(line),
        "{ended:?}"
    );
    place.sh("rm -r state");
    place.succeed(["rebuild", "--dest=store", "--localdb=state", "--scheme=a"]);
    assert_eq!(backup(&place, &nightly).stderr, "");
}

#[test]
fn paths_of_another_job_in_one_series_are_told() {
    let place = place();
    for scheme in [&[][..], &["--scheme=a"]] {
        let run = |path| backup(&place, &[scheme, &["--dest=store", path]].concat());
        assert_eq!(run("tree").stderr, "");
        assert_warns(&run("other"), &["no path of this snapshot", "--scheme"]);
        assert_eq!(run("other").stderr, "");
        place.write("other/more", "more\n");
        assert_eq!(run("other").stderr, "");
    }
}

#[test]
fn a_link_that_stands_for_a_directory_is_told_to_cron_once_for_each_series() {
    let place = place();
    place.sh("ln -s tree link; ln -s tree/file to-file; ln -s nowhere dangling");
    for scheme in ["--scheme=a", "--scheme=b"] {
        let first = backup(&place, &["--dest=store", scheme, "--", "link"]);
        assert_warns(&first, &["pileus: link is a symbolic link", "write link/ "]);
        let paths = place.succeed(["ls", "--dest=store", scheme]).stdout;
        assert_eq!(paths, "link\n");
        let nightly = ["--dest=store", scheme, "-v", "--", "link"];
        let later = place.run([&["backup"], &nightly[..]].concat());
        assert!(
            later.code == Some(0) && !later.stderr.contains("nothing of the directory"),
            "{later:?}"
        );
        assert!(
            format!("{}{}", later.stdout, later.stderr).contains("write link/ for"),
            "{later:?}"
        );
    }
    let path = place.join("link");
    let absolute = path.to_str().expect("is text");
    let first = backup(&place, &["--dest=store", "--scheme=c", absolute]);
    assert_warns(&first, &[&format!("write {absolute}/ for")]);
    // Nothing is missing of these.
    let others = ["to-file", "dangling", "link/"];
    for (scheme, path) in ["--scheme=d", "--scheme=e", "--scheme=f"]
        .iter()
        .zip(others)
    {
        let ended = backup(&place, &["--dest=store", scheme, path]);
        assert_eq!(ended.stderr, "", "{path}");
    }
}

#[test]
fn what_is_gone_is_counted_and_told_if_it_is_most() {
    let place = place();
    place.sh("seq 150 | xargs -I{} touch tree/{}");
    let nightly = ["--dest=store", "tree"];
    assert_eq!(backup(&place, &nightly).stderr, "");
    place.sh("rm tree/1 tree/2");
    let json = place.succeed(["backup", "--dest=store", "--json", "tree"]);
    let summary = json.stdout.lines().last().expect("a summary");
    assert!(summary.contains("\"gone\":2,"), "{summary}");
    place.sh("find tree -type f -delete");
    for _ in ["tonight", "tomorrow"] {
        assert_warns(
            &backup(&place, &nightly),
            &["0 entries with 0 B are left of 149 entries", "mounted"],
        );
    }
}

#[test]
fn a_store_that_is_another_one_is_not_made() {
    let place = place();
    let nightly = ["--dest=disk/store", "--localdb=state", "tree"];
    place.sh("mkdir disk");
    backup(&place, &nightly);
    place.sh("mv disk mounted; mkdir disk");
    let ended = place.run([&["backup"], &nightly[..]].concat());
    ended.assert_one_line(1, &["belongs to another store", "right disk is mounted"]);
    assert_eq!(
        fs::read_dir(place.join("disk")).expect("is there").count(),
        0
    );
}

#[test]
fn whoever_may_only_add_files_backs_up_all_the_same() {
    let place = place();
    place.sh("mkdir -m 777 state; mkdir -m 733 store; touch store/letter; chmod 755 . tree");
    let words = ["backup", "--dest=store", "--localdb=state", "tree"];
    for _ in 0..2 {
        let ended = Ended::of(&mut place.command_as_other(words));
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{ended:?}"
        );
    }
}
