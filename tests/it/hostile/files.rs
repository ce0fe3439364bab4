//! Files of a store that are not what their names say, or not files at all.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Case;
use crate::harness::Place;
use crate::made_store::{DATA, MadeStore, SNAPSHOT};

pub fn cases() -> Vec<Case> {
    let mut cases = descriptors();
    cases.extend(sums());
    cases.extend([
        in_place_of_data("a directory where a segment should be", |file| {
            fs::create_dir(file).expect("a directory is made");
        }),
        in_place_of_data("a link to nowhere where a segment should be", |file| {
            symlink("/nowhere/at/all", file).expect("a link is made");
        }),
    ]);
    cases
}

fn file_of(store: &Path, name: &str) -> PathBuf {
    let names = fs::read_dir(store)
        .expect("is listed")
        .map(|e| e.expect("an entry").path());
    let is_meant = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_str() == Some(name));
    names.into_iter().find(is_meant).expect("the file is there")
}

/// Puts something else in the place of the segment that only the file "x" needs.
fn in_place_of_data(name: &str, put: fn(&Path)) -> Case {
    let case = Case::new(name, move |store: &mut MadeStore, _| {
        store.file("x", "contents of x");
        ".gz".clone_into(&mut store.segment(DATA).extension);
    });
    let case = case.told("x: ").absent("x");
    replacing(case, format!("{DATA}.tar.gz"), put)
}

/// Changes a case: when its store is written, `put` makes something else in the place of a file.
fn replacing(case: Case, file: String, put: fn(&Path)) -> Case {
    case.changed(move |store| {
        let path = file_of(store, &file);
        fs::remove_file(&path).expect("the file is removed");
        put(&path);
    })
}

fn descriptors() -> Vec<Case> {
    let text = |name: &str, text: &'static str| {
        let case = Case::new(name, move |store, _| store.descriptor = Some(text.into()));
        case.code(1).told(SNAPSHOT)
    };
    let put = |name: &str, put: fn(&Path)| {
        let case = Case::new(name, |_, _| {}).code(1);
        replacing(case, format!("snapshot-{SNAPSHOT}.lbs"), put)
    };
    vec![
        text("an empty descriptor", ""),
        text("a descriptor of line feeds", "\n\n\n\n"),
        text("a descriptor of noise", "\0\x01\x1b[2J\x7f: \n\n"),
        text(
            "a descriptor without format",
            "Root: x\nDate: x\nSegments:\n",
        ),
        text(
            "a descriptor without root",
            "Format: LBS Snapshot v0.6\nDate: 2026-01-02 03:04:05 +0000\nSegments:\n",
        ),
        text(
            "a descriptor with a bad date",
            "Format: LBS Snapshot v0.6\nDate: \x1b[2J\nRoot: x\nSegments:\n",
        ),
        text(
            "a descriptor with a date that is none",
            "Format: LBS Snapshot v0.6\nDate: 2026-13-32 25:61:61 +9999\nRoot: x\nSegments:\n",
        ),
        text(
            "a descriptor with terminal codes in its format",
            "Format: \x1b[2J\x07\n",
        ),
        text(
            "a descriptor that only begins to be signed",
            "-----BEGIN PGP SIGNED MESSAGE-----\n",
        ),
        text(
            "a descriptor with an odd signature header",
            "-----BEGIN PGP SIGNED MESSAGE-----\n\x1b[2J\n\n",
        ),
        put("a directory where the descriptor should be", |file| {
            fs::create_dir(file).expect("a directory is made");
        })
        .told("store"),
        put("a descriptor of 130 megabytes", |file| {
            let file = File::create(file).expect("the file is made");
            file.set_len(130 << 20).expect("the file is made long");
        })
        .told(SNAPSHOT),
    ]
}

/// Restoring does not need the sums; verifying says what is wrong with them.
fn sums() -> Vec<Case> {
    let with = |name: &str, lines: &'static [u8]| {
        Case::new(name, move |store, _| store.more_sums = lines.to_vec()).code(0)
    };
    vec![
        with(
            "sums of files outside the store",
            b"a9993e364706816aba3e25717850c26c9cd0d89d *../../etc/passwd\n",
        ),
        with(
            "sums of an absolute path",
            b"a9993e364706816aba3e25717850c26c9cd0d89d */etc/passwd\n",
        ),
        with(
            "sums of a name with terminal codes",
            b"a9993e364706816aba3e25717850c26c9cd0d89d *\x1b[2J\x07\n",
        ),
        with("sums that are noise", b"\xff\xfe\0\x1b[2J rubbish\n"),
        with(
            "sums of the store itself",
            b"a9993e364706816aba3e25717850c26c9cd0d89d *.\n",
        ),
    ]
}

#[test]
fn verify_names_the_sums_that_it_cannot_use() {
    for (lines, told) in [
        (
            &b"a9993e364706816aba3e25717850c26c9cd0d89d *../../etc/passwd\n"[..],
            "../../etc/passwd",
        ),
        (b"rubbish\n", "rubbish"),
        (
            b"a9993e364706816aba3e25717850c26c9cd0d89d *not-there.tar\n",
            "not-there.tar: is missing",
        ),
    ] {
        let place = Place::new();
        let mut store = MadeStore::new();
        store.good_file("x", "contents");
        store.more_sums = lines.to_vec();
        store.write(place.path());
        let ended = place.survive(["verify", "--dest=."]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

/// Makes something of each kind in the place of a segment, a descriptor and a sums file.
fn in_all_places(put: fn(&Path)) {
    in_place_of_data("a segment", put).run();
    for (ending, code) in [("lbs", 1), ("sha1sums", 0)] {
        let name = format!("snapshot-{SNAPSHOT}.{ending}");
        let case = Case::new(name.clone(), |_, _| {}).code(code);
        replacing(case, name, put).run();
    }
}

#[test]
fn a_named_pipe_in_the_store_does_not_stop_anything() {
    in_all_places(|file| {
        nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe is made");
    });
}

#[test]
fn an_endless_device_in_the_store_does_not_stop_anything() {
    in_place_of_data("an endless device where a segment should be", |file| {
        symlink("/dev/zero", file).expect("a link is made");
    })
    .run();
}

#[test]
fn terminal_codes_in_the_extension_of_a_segment_are_not_printed() {
    let case = Case::new(
        "a segment whose extension has terminal codes",
        |store, _| {
            store.file("x", "contents of x");
            store.segment(DATA).extension = ".\u{1b}[2J\u{7}".to_owned();
        },
    );
    case.told("x: ").absent("x").run();
}

#[test]
fn terminal_codes_in_the_name_of_a_segments_directory_are_not_printed() {
    let case = Case::new("a segment in an odd directory", |store, _| {
        store.file("x", "contents of x");
        store.segment(DATA).extension = ".rot13".to_owned();
    });
    let case = case.told("x: ").absent("x").changed(|store| {
        let odd = store.join("segments\u{1b}[2J");
        fs::create_dir(&odd).expect("a directory is made");
        let name = format!("{DATA}.tar.rot13");
        fs::rename(store.join(&name), odd.join(&name)).expect("the segment is moved");
    });
    case.run();
}
