//! Names: whatever could lead out of the target, or garble a terminal.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Case;

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = REFUSED
        .iter()
        .map(|(name, reason)| refused(name, reason))
        .collect();
    cases.extend([
        Case::new("an absolute name", |store, outside| {
            store.file(&format!("{outside}/evil"), "evil");
        })
        .told("absolute path"),
        Case::new("the old key of names", |store, _| {
            let object = store.object("evil");
            let stanza = crate::made_store::entry("x", "f", &format!("data: {object}\nsize: 4"));
            store.stanza(stanza.replacen("name: x", "path: ../evil", 1).trim_end());
        })
        .told("../evil: ")
        .told("\"..\" in path"),
        Case::new("no name at all", |store, _| {
            store.stanza("type: d\nmode: 0755");
        })
        .told("the key \"name\" is missing"),
        Case::new("names that are one byte too long", |store, _| {
            let name = "x".repeat(256);
            store.file(&name, "evil");
            store.directory(&format!("{name}y"));
            store.symlink(&format!("{name}z"), "evil");
            store.file(&format!("{name}y/below"), "evil");
        })
        .told("xxx: ")
        .told("xxxy: ")
        .told("xxxz: ")
        .told("xxxy/below: "),
        Case::new("the scan root as a file", |store, _| {
            store.file(".", "evil");
        })
        .code(0)
        .after(|target| assert!(target.is_dir())),
        Case::new("the scan root as a link", |store, outside| {
            store.symlink(".", outside);
        })
        .code(0)
        .after(|target| assert!(!target.is_symlink())),
        terminal_codes_in_good_names(),
        terminal_codes_in_problems(),
    ]);
    cases
}

/// Names as they stand in the log, and why they are refused.
const REFUSED: &[(&str, &str)] = &[
    ("..", "\"..\" in path"),
    ("../evil", "\"..\" in path"),
    ("a/../../evil", "\"..\" in path"),
    ("a/..", "\"..\" in path"),
    ("%2e%2e/evil", "\"..\" in path"),
    ("a%2f..%2f..%2fevil", "\"..\" in path"),
    ("./evil", "\"..\" in path"),
    ("a/./evil", "\"..\" in path"),
    ("a//evil", "empty component"),
    ("evil/", "empty component"),
    ("%2fevil", "absolute path"),
    ("", "empty path"),
    ("evil%00name", "NUL in path"),
    ("evil%zz", "invalid percent code"),
    ("evil%4", "invalid percent code"),
    ("evil%", "invalid percent code"),
];

fn refused(name: &'static str, reason: &'static str) -> Case {
    Case::new(format!("the name \"{name}\""), move |store, _| {
        store.file(name, "evil");
    })
    .told(format!("{name}: "))
    .told(reason)
    .absent("evil")
}

/// Clears the screen, rings the bell, starts a line, turns the text around.
const CODES: &str = "evil%1b[2J%07%0d%0a%e2%80%ae%c2%9b31m";
const SHOWN: &str = "evil\\x1b[2J\\x07\\x0d\\x0a\\xe2\\x80\\xae\\xc2\\x9b31m";

fn terminal_codes_in_good_names() -> Case {
    Case::new(
        "terminal codes in a name, a target and an owner",
        |store, _| {
            store.file(CODES, "x");
            store.entry(
                &format!("{CODES}-link"),
                "l",
                &format!("target: {CODES}\nuser: 0 ({CODES})\ngroup: 0 ({CODES})"),
            );
        },
    )
    .code(0)
    .after(|target| {
        let has_codes = |path: &Path| path.as_os_str().as_bytes().contains(&0x1b);
        let list = fs::read_dir(target).expect("is listed");
        let odd = list.filter(|entry| has_codes(&entry.as_ref().expect("an entry").path()));
        assert_eq!(odd.count(), 2);
    })
}

fn terminal_codes_in_problems() -> Case {
    Case::new(
        "terminal codes in a name, a key, a value and an attribute",
        |store, _| {
            store.entry(CODES, "f", "size: 1\ndata: zero[2]");
            store.entry("a", &format!("\x1b[2J{CODES}"), "");
            store.entry("b", "d", "xattrs: user.evil%1b[2J");
            store.entry("c", "d", "xattrs: evil%1b[2J=x");
            store.stanza("name: d\n\x1b[2J: x");
            store.stanza("name: e\x1b[2J\ntype: f\x07");
        },
    )
    .told(SHOWN)
    .told("\\x1b[2J")
    .absent("a")
}

#[test]
fn a_name_of_a_megabyte_is_shortened_in_the_message() {
    let case = Case::new("a name of a megabyte", |store, _| {
        store.directory(&"x".repeat(1 << 20));
    });
    case.told("too long").run();
}
