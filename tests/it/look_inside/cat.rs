//! `cat`: one file and several, whole and damaged.

use super::backed_up;
use crate::harness::Place;
use crate::made_store::{DATA, MadeStore, Member, file_lines};

#[test]
fn cat_prints_exactly_the_contents() {
    let place = backed_up("mkdir tree; head -c 2500000 /dev/urandom > tree/big; touch tree/empty; ln -s big tree/link
        truncate -s 3M tree/sparse; printf island | dd of=tree/sparse bs=1 seek=1500000 conv=notrunc status=none
        printf 'no line feed' > tree/text; ln tree/text tree/linked");
    for name in [
        "tree/big",
        "tree/empty",
        "/tree/sparse",
        "tree/text",
        "tree/linked",
    ] {
        let mut command = place.command(["cat", "--dest=store", name]);
        let output = command.output().expect("pileus starts");
        assert_eq!(
            (output.status.code(), output.stderr),
            (Some(0), Vec::new()),
            "{name}"
        );
        place.write("printed", output.stdout);
        place.sh(&format!("cmp printed {}", name.trim_start_matches('/')));
    }
    for (path, code, part) in [
        ("tree/nope", 1, "tree/nope: is not in snapshot first-"),
        ("tree", 1, "tree: is no regular file"),
        ("tree", 1, "but a directory: pileus ls --dest="),
        ("tree/link", 1, "tree/link: is no regular file"),
        ("tree/link", 1, "but a symbolic link to "),
        ("tree/big/below", 1, "tree/big/below: is not in snapshot"),
        ("../tree/big", 2, "\"..\""),
    ] {
        let ended = place.survive(["cat", "--dest=store", path]);
        ended.assert_one_line(code, &[part]);
        assert_eq!(ended.stdout, "", "{path}");
    }
    place
        .run(["cat", "--dest=store"])
        .assert_one_line(2, &["PATH"]);
    place
        .run(["cat", "--dest=store", "--json", "tree/text"])
        .assert_one_line(2, &["--json"]);
}

#[test]
fn cat_prints_several_files_as_they_are_typed_and_goes_on_behind_one_that_it_cannot_print() {
    let place = backed_up(
        "mkdir tree; printf 1 > tree/a; printf 2 > tree/b; printf 3 > tree/c; ln -s a tree/link",
    );
    let cat = |paths: &[&str]| place.survive([&["cat", "--dest=store"], paths].concat());
    let ended = cat(&["tree/c", "/tree/a", "tree/b", "tree/a"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "3121", "")
    );
    let ended = cat(&["tree/c", "nope", "tree/link", "tree/a"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "31"));
    let told: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{ended:?}");
    assert!(told[0].starts_with("pileus: nope: is not in "), "{ended:?}");
    assert!(told[1].contains("link: is no regular file"), "{ended:?}");
    let ended = cat(&["nope", "tree"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:?}");
    cat(&["tree/a", "../b"]).assert_one_line(2, &["\"..\""]);
}

#[test]
fn cat_of_a_damaged_file_ends_with_code_1() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.object("not what was stored");
    store.entry(
        "damaged",
        "f",
        &file_lines(&object, "what has been stored"[1..].as_ref()),
    );
    store.file("good", "contents");
    store.entry("lost", "f", &file_lines(&format!("{DATA}/0000ffff"), "x"));
    store.member(DATA, Member::new("some/other/member", "x"));
    store.write(place.path());
    let ended = place.survive(["cat", "--dest=.", "damaged"]);
    ended.assert_one_line(1, &["damaged", "checksum"]);
    let ended = place.survive(["cat", "--dest=.", "lost"]);
    ended.assert_one_line(1, &["lost", "0000ffff"]);
    let ended = place.survive(["cat", "--dest=.", "damaged", "good", "lost"]);
    assert_eq!(
        (ended.code, ended.stderr.lines().count()),
        (Some(3), 2),
        "{ended:?}"
    );
    assert!(ended.stdout.ends_with("contents"), "{ended:?}");
    assert_eq!(
        place.succeed(["cat", "--dest=.", "good"]).stdout,
        "contents"
    );
}

#[test]
fn what_may_be_in_a_lost_part_of_the_metadata_is_not_said_to_be_missing() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.good_file("a", "contents");
    store.entry("b", "f", "mode: nonsense");
    store.write(place.path());
    for (command, code) in [("cat", 1), ("ls", 3), ("export", 3)] {
        // An archive is no text.
        let told = place.sh(&format!(
            "pileus {command} --dest=. b 2>&1 >archive && exit 1; echo $?"
        ));
        let told: Vec<_> = told.lines().collect();
        assert!(
            told[1].contains("b: is not in what can be read of snapshot "),
            "{command}: {told:?}"
        );
        assert_eq!(told[2], code.to_string(), "{command}");
    }
}

#[test]
fn the_search_that_is_advised_works_as_typed_for_a_name_that_begins_with_a_dash() {
    let place = backed_up("mkdir tree; touch ./tree/-dash");
    let ended = place.survive(["cat", "--dest=store", "--", "-dash"]);
    let (_, advised) = ended
        .stderr
        .trim()
        .split_once("in all of them: pileus ")
        .expect("advice");
    let found = place.sh(&format!("pileus {advised}"));
    assert!(found.starts_with("tree/-dash\n"), "{found}");
}
