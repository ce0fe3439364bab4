//! What is backed up besides PATHs: lists of files, and a source under another name.

use std::io::Write;
use std::process::Stdio;

use crate::harness::{Ended, Place};

fn place() -> Place {
    let place = Place::new();
    place.sh(
        "mkdir -p home/anna/sub home/bob; touch home/anna/a home/anna/sub/b home/bob/c home/bob/d 'home/bob/e f '
        ln -s anna home/link; touch \"$(printf 'home/new\\nline')\"",
    );
    place
}

fn entries(place: &Place) -> Vec<String> {
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    listed.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_list_names_sources_like_paths() {
    let place = place();
    place.write(
        "list",
        "home/bob/e f \nhome/anna/sub\n\n./home//bob/c\nhome/link/\nhome/bob/c",
    );
    place.succeed(["backup", "--dest=store", "--files-from=list"]);
    assert_eq!(
        entries(&place),
        [
            "home",
            "home/anna",
            "home/anna/sub",
            "home/anna/sub/b",
            "home/bob",
            "home/bob/c",
            "home/bob/e f ",
            "home/link",
            "home/link/a",
            "home/link/sub",
            "home/link/sub/b"
        ]
    );
    let words = [
        "backup",
        "--dest=store",
        "--scheme=two",
        "--files-from=list",
        "--exclude=b",
        "home/bob/d",
    ];
    place.succeed(words);
    assert_eq!(
        entries(&place),
        [
            "home",
            "home/anna",
            "home/anna/sub",
            "home/bob",
            "home/bob/c",
            "home/bob/d",
            "home/bob/e f ",
            "home/link",
            "home/link/a",
            "home/link/sub"
        ]
    );
}

#[test]
fn names_that_end_in_nul_may_have_line_ends_in_them() {
    let place = place();
    let list = place.sh("find home -type f -print0");
    let mut command = place.command(["backup", "--dest=store", "--files-from=-", "--null"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pileus starts");
    let mut input = child.stdin.take().expect("is a pipe");
    input.write_all(list.as_bytes()).expect("is written");
    drop(input);
    let ended = Ended::from(child.wait_with_output().expect("ends"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    place.sh("mkdir out");
    place.succeed(["restore", "--dest=store", "--target=out"]);
    assert_eq!(
        place.sh("cd out; find home -type f -print0 | sort -z"),
        place.sh("find home -type f -print0 | sort -z")
    );
}

#[test]
fn what_a_list_names_and_is_not_there_is_a_problem_and_the_rest_is_backed_up() {
    let place = place();
    place.write("list", "home/gone\nhome/anna/a\nnowhere/at/all\n");
    let ended = place.run(["backup", "--dest=store", "--files-from=list"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "pileus: home/gone: does not exist\npileus: nowhere/at/all: does not exist\n"
    );
    assert_eq!(entries(&place), ["home", "home/anna", "home/anna/a"]);
    // A PATH that is missing is another matter, though the list has it too.
    let ended = place.run(["backup", "--dest=other", "--files-from=list", "home/gone"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("home/gone does not exist: nothing was backed up"),
        "{ended:?}"
    );
    assert!(!place.join("other").exists());
}

#[test]
fn wrong_lists_are_named_and_nothing_is_done() {
    let place = place();
    place.write("empty", "\n\n");
    place.write("mixed", "home/anna\n/etc/hosts\n");
    place.write("above", "home/anna\nhome/../x\n");
    place.write("nul", "home/anna\0home/bob\0");
    for (arguments, parts) in [
        (
            &["--files-from=empty"][..],
            &["--files-from names nothing"][..],
        ),
        (
            &["--files-from=none"],
            &["--files-from=none cannot be read"],
        ),
        (&["--files-from=mixed"], &["use one kind for all PATHs"]),
        (&["--files-from=above"], &["above:2: ", "own name"]),
        (&["--files-from=nul"], &["add --null"]),
        (&["--null", "home"], &["--files-from"]),
        (&[], &["PATH"]),
        (
            &["--as-path=/x", "home", "list"],
            &["--as-path renames one PATH, not 2"],
        ),
        (&["--as-path=../x", "home"], &["own name"]),
    ] {
        let words = ["backup", "--dest=store"];
        place
            .run(words.iter().chain(arguments))
            .assert_one_line(2, parts);
        assert!(!place.join("store").exists());
    }
}

#[test]
fn a_source_can_be_recorded_under_another_name() {
    let place = place();
    place.sh("mkdir -p snap/of; mv home snap/of/home; ln -s snap/of/home there");
    let as_srv = [
        "backup",
        "--dest=store",
        "--as-path=/srv/data",
        "--exclude=/srv/data/bob/d",
        "snap/of/home",
    ];
    place.succeed(as_srv);
    let listed = entries(&place);
    assert_eq!(
        listed[..4],
        [
            "srv/data",
            "srv/data/anna",
            "srv/data/anna/a",
            "srv/data/anna/sub"
        ]
    );
    assert!(!listed.contains(&"srv/data/bob/d".to_owned()));
    place.sh("mkdir out");
    place.succeed(["restore", "--dest=store", "--target=out"]);
    place.sh("rm snap/of/home/bob/d; touch -r out/srv/data/bob snap/of/home/bob");
    assert_eq!(
        place.manifest("out/srv/data", ""),
        place.manifest("snap/of/home", "")
    );
    // It is the same series: nothing is read again.
    let second = place.succeed([&as_srv[..], &["--json"]].concat()).summary();
    assert_eq!(second["new_data_bytes"], 0, "{second}");
    let top = [
        "backup",
        "--dest=store",
        "--scheme=top",
        "--as-path=/",
        "there/",
    ];
    place.succeed(top);
    assert_eq!(entries(&place)[..3], [".", "anna", "anna/a"]);
    for (source, part) in [
        ("there", "no directory"),
        ("snap/of/home/anna/a", "no directory"),
    ] {
        let ended = place.run([
            "backup",
            "--dest=store",
            "--scheme=x",
            "--as-path=/x",
            source,
        ]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
}

#[test]
fn rules_thin_a_list_out_and_nobody_is_told() {
    let place = place();
    let list = place.sh("find home ! -name new*");
    place.write("list", list);
    // A silent run: neither the files that the rules leave out nor the link is a problem.
    place.succeed([
        "backup",
        "--dest=store",
        "--files-from=list",
        "--exclude=[bc]",
        "--exclude=/home/anna",
        "--exclude=new*",
    ]);
    assert_eq!(
        entries(&place),
        [
            "home",
            "home/bob",
            "home/bob/d",
            "home/bob/e f ",
            "home/link"
        ]
    );
    let ended = place.run([
        "backup",
        "--dest=store",
        "--files-from=list",
        "--exclude=d",
        "home/bob/d",
    ]);
    assert!(
        ended.stderr.contains("home/bob/d: was left out"),
        "{ended:?}"
    );
}
