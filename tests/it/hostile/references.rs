//! References: in circles, too deep, outside of objects, of the wrong length, to nothing.

use std::fs;

use super::Case;
use crate::harness::{Ended, Place};
use crate::made_store::{DATA, LOG, MadeStore, SNAPSHOT, entry, file_lines, sha1};

pub fn cases() -> Vec<Case> {
    [of_the_log(), nested_in_data(), of_data(), of_zeros()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_the_log() -> Vec<Case> {
    vec![
        Case::new("a log that refers to itself", |store, _| {
            let itself = store.next_name(LOG);
            store.log_object(format!("@{itself}\n"));
            store.stanza(&format!("@{itself}"));
        })
        .told(format!("{LOG}/00000000: ")),
        Case::new("a log that goes in a circle", |store, _| {
            let second = format!("{LOG}/00000001");
            let first = store.log_object(format!("@{second}\n"));
            store.log_object(format!("@{first}\n"));
            store.stanza(&format!("@{first}"));
        })
        .told(LOG),
        Case::new("a log that is nested five deep", |store, _| {
            let mut below = store.log_object(entry("depth5", "d", ""));
            for depth in [4, 3] {
                let text = format!("{}@{below}\n", entry(&format!("depth{depth}"), "d", ""));
                below = store.log_object(text);
            }
            store.stanza(&format!("{}@{below}", entry("depth2", "d", "")));
        })
        .told("nested")
        .absent("depth5")
        .after(|target| assert!(target.join("depth2").is_dir() && target.join("depth3").is_dir())),
        Case::new("a log of references to nothing", |store, _| {
            store.stanza(&format!("@{LOG}/0000ffff"));
            store.stanza(&format!("@{}/00000000", LOG.replace('a', "b")));
            store.stanza("@rubbish");
            store.stanza("@");
            store.stanza("@zero[100]");
        })
        .told(format!("{LOG}/0000ffff: "))
        .told(format!("{}/00000000: ", LOG.replace('a', "b")))
        .told("invalid object reference \"rubbish\""),
        Case::new("a log with a slice outside its object", |store, _| {
            let object = store.log_object(entry("x", "d", ""));
            store.stanza(&format!("@{object}[5+5000]"));
            store.stanza(&format!(
                "@{object}[18446744073709551615+18446744073709551615]"
            ));
        })
        .told("lies outside the object"),
        Case::new("a log with a slice that cuts a stanza", |store, _| {
            let object = store.log_object(entry("cut-off", "d", ""));
            store.stanza(&format!("@{object}[3+20]"));
        })
        .absent("cut-off"),
        root_case("a root that is no object", "zero[100]", "Root"),
        root_case(
            "a root that does not parse",
            "../../etc/passwd",
            "../../etc/passwd",
        ),
        root_case(
            "a root of another segment",
            &format!("{DATA}/00ffffff"),
            DATA,
        ),
        root_case(
            "a root with a wrong checksum",
            &format!("{LOG}/00000000(sha1={})", sha1(b"x")),
            LOG,
        ),
        root_case(
            "a root with an unknown checksum",
            &format!("{LOG}/00000000(crc=00)"),
            "crc",
        ),
    ]
}

/// A root that cannot be used leaves nothing to restore. What is named is one of the two.
fn root_case(name: &str, root: &str, named: &'static str) -> Case {
    let root = root.to_owned();
    let case = Case::new(name, move |store, _| {
        store.log_object(entry("x", "d", ""));
        store.root = Some(root.clone());
    });
    let case = case.code(1).absent("x");
    if named == "Root" {
        case.told(SNAPSHOT)
    } else {
        case.told(named)
    }
}

fn nested_in_data() -> Vec<Case> {
    let contents = "some contents";
    let with_data = move |store: &mut MadeStore, data: &str| {
        store.entry("x", "f", &file_lines(data, contents));
    };
    vec![
        Case::new("data that refers to itself", move |store, _| {
            let itself = store.next_name(DATA);
            store.object(format!("@{itself}\n"));
            with_data(store, &format!("@{itself}"));
        })
        .told("x: ")
        .told(format!("{DATA}/00000000"))
        .absent("x"),
        Case::new("data that is nested five deep", move |store, _| {
            let mut name = store.object(contents);
            for _ in 0..5 {
                name = format!("@{}", store.object(&name));
            }
            with_data(store, &name);
        })
        .told("x: ")
        .absent("x"),
        Case::new("data that is nested twice", move |store, _| {
            let name = store.object(contents);
            let inner = store.object(format!("{name}\n  zero[0] "));
            let outer = store.object(format!("@{inner}"));
            with_data(store, &format!("@{outer}"));
        })
        .code(0),
        Case::new("nested data that is no reference", move |store, _| {
            let object = store.object("\x1b[2J\0 rubbish");
            with_data(store, &format!("@{object}"));
        })
        .told("x: ")
        .absent("x"),
    ]
}

/// Each is the data of a file of five bytes; `OBJECT` stands for an object that holds them.
const WRONG_DATA: &[(&str, &str)] = &[
    ("OBJECT[0+6]", ""),
    ("OBJECT[6+5]", ""),
    ("OBJECT[3+5]", ""),
    ("OBJECT[6]", ""),
    ("OBJECT[=6]", ""),
    ("OBJECT[=4] zero[1]", ""),
    ("OBJECT[18446744073709551615+6]", ""),
    ("OBJECT[1+18446744073709551615]", ""),
    ("OBJECT[18446744073709551616]", "invalid slice"),
    ("OBJECT[-1]", "invalid slice"),
    ("OBJECT[5", "invalid slice"),
    ("OBJECT[1+2+3]", "invalid slice"),
    ("OBJECT(md5=00000000000000000000000000000000)", "md5"),
    ("OBJECT(sha1=00)", "invalid checksum"),
    (
        "OBJECT(sha1=0000000000000000000000000000000000000000)",
        "is damaged",
    ),
    ("OBJECT OBJECT", ""),
    ("OBJECT[0+4]", ""),
    ("OBJECT zero[1]", ""),
    ("zero[5]", "checksum"),
    ("zero[18446744073709551615] OBJECT", ""),
    ("OBJECT[4+1] OBJECT[0+4]", "checksum"),
    ("", ""),
    ("dddddddd-0000-4000-8000-000000000001/00ffffff", "missing"),
    (
        "dddddddd-0000-4000-8000-000000000001/0",
        "invalid object reference",
    ),
    (
        "dddddddd-0000-4000-8000-000000000001/-0000001",
        "invalid object reference",
    ),
    ("dddddddd-0000-4000-8000-000000000009/00000000", "missing"),
    (
        "DDDDDDDD-0000-4000-8000-000000000001/00000000",
        "invalid object reference",
    ),
    ("../../etc/passwd", "invalid object reference"),
];

fn of_data() -> Vec<Case> {
    let case = |(data, reason): &(&'static str, &'static str)| {
        let (data, reason) = (*data, *reason);
        let case = Case::new(format!("the data \"{data}\""), move |store, _| {
            let object = store.object("world");
            store.entry(
                "x",
                "f",
                &file_lines(&data.replace("OBJECT", &object), "world"),
            );
        });
        case.told("x: ").told(reason).absent("x")
    };
    let mut cases: Vec<_> = WRONG_DATA.iter().map(case).collect();
    cases.push(
        Case::new("lengths whose sum is no number", |store, _| {
            let object = store.object("world");
            let most = u64::MAX;
            for name in ["x", "y"] {
                let data = format!("{object}[{most}] {object}[0+{most}]");
                store.entry(name, "f", &format!("data: {data}\nsize: {most}"));
            }
        })
        .absent("x")
        .absent("y"),
    );
    cases
}

fn of_zeros() -> Vec<Case> {
    let case = |(data, size): &(&'static str, &'static str)| {
        let (data, size) = (*data, *size);
        let case = Case::new(
            format!("{data} in a file of {size} bytes"),
            move |store, _| {
                let sum = sha1(b"");
                store.entry(
                    "x",
                    "f",
                    &format!("data: {data}\nsize: {size}\nchecksum: sha1={sum}"),
                );
            },
        );
        case.told("x: ").absent("x")
    };
    [
        ("zero[18446744073709551616]", "1"),
        ("zero[9223372036854775808] zero[9223372036854775808]", "0"),
        ("zero[5]", "18446744073709551616"),
        ("zero[5]", "-5"),
        ("zero[5]", "5000"),
        ("zero[5000]", "5"),
        ("zero", "5"),
        ("zero[]", "5"),
        ("zero[-5]", "5"),
    ]
    .iter()
    .map(case)
    .collect()
}

#[test]
fn a_file_of_more_zeros_than_any_file_system_holds_is_refused_by_all() {
    for size in ["9223372036854775808", "18446744073709551615"] {
        let case = Case::new(format!("{size} zeros"), move |store, _| {
            let lines = format!(
                "data: zero[{size}]\nsize: {size}\nchecksum: sha1={}",
                sha1(b"")
            );
            store.entry("x", "f", &lines);
        });
        case.told("x: ").absent("x").run();
    }
}

#[test]
fn a_file_that_cannot_be_given_its_length_does_not_stay_as_an_empty_one() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let size = 1_u64 << 62;
    let lines = format!(
        "size: {size}\ndata: zero[{size}]\nchecksum: sha1={}",
        sha1(b"")
    );
    store.entry("x", "f", &lines);
    store.write(place.path());
    // A limit on the size of files does what a small file system does, on any file system.
    let limit = [
        "sh",
        "-c",
        "ulimit -f 1000; trap '' XFSZ; exec timeout 60 \"$0\" \"$@\"",
    ];
    let mut command = place.command_under(&limit, ["restore", "--dest=.", "--target=target"]);
    let ended = Ended::of(&mut command);
    ended.assert_one_line(3, &["x: "]);
    assert!(!place.join("target/x").exists(), "{ended:?}");
}

#[test]
fn a_log_that_refers_to_itself_often_is_told_once_for_each_reference() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let itself = store.next_name(LOG);
    store.log_object(format!("@{itself}\n").repeat(40));
    store.root = Some(itself);
    store.write(place.path());
    let ended = place.survive(["ls", "--dest=."]);
    let told = ended.stderr.lines().count();
    assert!(told < 2000, "{told} lines");
}

#[test]
fn a_log_that_leads_nowhere_over_and_over_comes_to_an_end() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let mut name = store.log_object("\n");
    for _ in 0..2 {
        name = store.log_object(format!("@{name}\n").repeat(20_000));
    }
    store.root = Some(name);
    store.write(place.path());
    place.survive(["ls", "--dest=."]);
}

#[test]
fn data_that_leads_nowhere_over_and_over_comes_to_an_end() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let mut name = store.object("");
    for _ in 0..2 {
        name = store.object(format!("@{name}\n").repeat(20_000));
    }
    store.entry("x", "f", &file_lines(&format!("@{name}"), ""));
    store.write(place.path());
    for command in [
        &["verify", "--level=files"][..],
        &["restore", "--target=target"],
    ] {
        place.survive(command.iter().chain(&["--dest=."]));
    }
}

#[test]
fn a_file_of_more_references_than_a_list_may_have_is_restored() {
    let place = Place::new();
    let mut store = MadeStore::new();
    // As many as a file of 500 GB has, but each of one byte.
    let byte = store.object("x");
    let list = store.object(format!("{byte}[0+1] ").repeat(250_000));
    let contents = "x".repeat(500_000);
    store.entry(
        "x",
        "f",
        &file_lines(&format!("@{list} @{list}"), &contents),
    );
    store.write(place.path());
    place.succeed(["verify", "--dest=.", "--level=files"]);
    place.succeed(["restore", "--dest=.", "--target=target"]);
    let restored = fs::read_to_string(place.join("target/x")).expect("is restored");
    assert!(restored == contents);
}

#[test]
fn a_log_that_repeats_its_entries_is_not_told_of_each() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let mut name = store.log_object("name: x\n\n");
    for _ in 0..2 {
        name = store.log_object(format!("@{name}\n").repeat(300));
    }
    store.root = Some(name);
    store.write(place.path());
    let ended = place.survive(["ls", "--dest=."]);
    let told = ended.stderr.lines().count();
    assert!(told < 2000, "{told} lines");
}
