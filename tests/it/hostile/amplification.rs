//! Much work for few bytes: many small pieces that all refer to one large object, or to each other.
//!
//! What is counted is what the kernel hands to pileus, from the store and from its own temporary files: each byte that is looked at again
//! comes from one of the two. It may be some times what the store has and the files are said to be, whatever refers to what. Each case took
//! the number of its references times the length of what they refer to.

use std::fs;
use std::process::Stdio;

use crate::harness::{Ended, Place, need};
use crate::made_store::{DATA, LOG, MadeStore, entry, file_lines, sha1};

const VERIFY: &[&str] = &["verify", "--level=files"];
const RESTORE: &[&str] = &["restore", "--target=target"];
const REBUILD: &[&str] = &["rebuild", "--localdb=state", "--deep"];
const EXPORT: &[&str] = &["export"];
const CAT: &[&str] = &["cat", "x"];

/// Length of the object that everything refers to.
const LARGE: usize = 4 << 20;

/// Writes the store and returns its length in bytes.
fn write(place: &Place, store: MadeStore) -> u64 {
    store.write(&place.join("store"));
    let bytes = place.sh("du -sb store | cut -f1");
    bytes.trim().parse().expect("a number")
}

/// Fails if a run ends with another code, or reads more than this.
fn assert_reads(place: &Place, arguments: &[&str], code: i32, most_bytes: u64) -> Ended {
    need("strace");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "trace",
        "-e",
        "trace=read,pread64",
    ];
    let arguments = arguments.iter().chain(&["--dest=store"]);
    let ended = Ended::of(&mut place.command_under(&strace, arguments.clone()));
    let what = arguments.collect::<Vec<_>>();
    let shown = ended.stderr.get(..2000).unwrap_or(&ended.stderr);
    assert_eq!(ended.code, Some(code), "{what:?}: {shown}");
    let trace = fs::read_to_string(place.join("trace")).expect("is read");
    let counts = trace.lines().filter_map(|line| {
        let (_, count) = line.rsplit_once(" = ")?;
        count.trim().parse::<u64>().ok()
    });
    let bytes: u64 = counts.sum();
    assert!(bytes > 0, "nothing was traced");
    assert!(
        bytes <= most_bytes,
        "{what:?} read {bytes} bytes, not {most_bytes} at most"
    );
    ended
}

/// Returns bytes that are not all the same.
fn large() -> Vec<u8> {
    (0..=255).cycle().take(LARGE).collect()
}

#[test]
fn an_object_is_read_once_for_each_kind_of_checksum_that_its_pieces_name() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let bytes = large();
    let behind = store.object(&bytes);
    let object = store.object(&bytes);
    place.write("object", &bytes);
    let sha256 = place.sh("sha256sum < object | cut -c1-64");
    let sums = [
        format!("sha1={}", sha1(&bytes)),
        format!("sha256={}", sha256.trim()),
    ];
    // Not in the order of the segment, so that verify needs them one by one, too.
    let mut data = vec![format!("{object}[0+1]"), format!("{behind}[1+1]")];
    data.extend((2..256).map(|at| format!("{object}({})[{at}+1]", sums[at % 2])));
    let lines = format!(
        "data: {}\nsize: 256\nchecksum: sha1={}",
        data.join(" "),
        sha1(&bytes[..256])
    );
    store.entry("x", "f", &lines);
    let store_bytes = write(&place, store);
    for run in [VERIFY, RESTORE, REBUILD, EXPORT, CAT] {
        assert_reads(&place, run, 0, 4 * store_bytes);
    }
    place.sh("head -c 256 object | cmp - target/x");
}

#[test]
fn an_object_is_not_read_for_a_file_that_is_shorter_than_it() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.object(large());
    for number in 0..200 {
        store.entry(
            &format!("x{number:03}"),
            "f",
            &file_lines(&format!("{object} {object}"), "x"),
        );
    }
    let store_bytes = write(&place, store);
    assert_reads(&place, VERIFY, 3, 4 * store_bytes);
    assert_reads(&place, RESTORE, 3, 4 * store_bytes);
    assert_reads(&place, EXPORT, 3, 4 * store_bytes);
    assert_reads(&place, REBUILD, 0, 4 * store_bytes);
}

#[test]
fn pieces_of_the_log_that_share_a_large_one_do_not_have_it_read_for_each() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let shared: String = (0..2000)
        .map(|number| entry(&format!("b/{number:04}"), "p", ""))
        .collect();
    let shared_object = store.log_object(&shared);
    for number in 0..100 {
        let piece =
            format!("@{shared_object}\n").repeat(16) + &entry(&format!("a{number}"), "d", "");
        let piece_object = store.log_object(piece);
        store.stanza(&format!("@{piece_object}"));
    }
    let store_bytes = write(&place, store);
    let ended = assert_reads(&place, VERIFY, 3, 60 * store_bytes);
    assert!(ended.stderr.contains("again and again"), "{ended:?}");
    assert_reads(&place, REBUILD, 3, 60 * store_bytes);
    assert_reads(&place, &["ls"], 3, 60 * store_bytes);
}

#[test]
fn lists_of_references_to_nothing_are_not_read_for_each_file_that_names_them() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let list = store.object("zero[0] ".repeat(400_000));
    for number in 0..100 {
        let contents = "\0".repeat(number);
        let data = format!("zero[{number}] @{list}");
        store.entry(&format!("x{number:02}"), "f", &file_lines(&data, &contents));
    }
    let store_bytes = write(&place, store);
    for run in [VERIFY, RESTORE, REBUILD, EXPORT] {
        let code = 3;
        let ended = assert_reads(&place, run, code, 8 * store_bytes);
        assert!(
            ended.stderr.contains("than a file of its size"),
            "{ended:?}"
        );
    }
}

#[test]
fn two_files_of_the_same_checked_objects_do_not_have_each_others_references_read_for_each() {
    let place = Place::new();
    let mut store = MadeStore::new();
    // As many as do not stay in the buffer of the temporary file that they go to.
    let parts: Vec<_> = (0..3000).map(|number| format!("{number:08}")).collect();
    let data: String = parts
        .iter()
        .map(|part| store.object(part) + "[=8] ")
        .collect();
    let contents = parts.concat();
    store.entry("x", "f", &file_lines(&data, &contents));
    store.entry("y", "f", &file_lines(&data, &contents));
    let store_bytes = write(&place, store);
    assert_reads(&place, RESTORE, 0, 8 * store_bytes);
    place.write("wanted", &contents);
    place.sh("cmp wanted target/x; cmp wanted target/y");
}

#[test]
fn a_terabyte_that_is_promised_is_hashed_no_longer_than_somebody_waits() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let lines = format!(
        "data: zero[{0}]\nsize: {0}\nchecksum: sha1={1}",
        1_u64 << 40,
        sha1(b"")
    );
    store.entry("x", "f", &lines);
    write(&place, store);
    let interrupt = [
        "timeout",
        "--preserve-status",
        "--signal=INT",
        "--kill-after=60",
        "1",
    ];
    for run in [VERIFY, RESTORE, EXPORT, CAT] {
        let arguments = run.iter().chain(&["--dest=store"]);
        let mut command = place.command_under(&interrupt, arguments);
        let ended = Ended::of(command.stdout(Stdio::null()));
        assert_eq!(ended.code, Some(130), "{run:?}: {ended:?}");
    }
}

#[test]
fn a_file_whose_references_say_wrong_things_of_their_objects_is_not_restored() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.file("good", "good contents");
    let object = store.object("abcdefgh");
    let wrong = sha1(b"something else");
    let data = format!("{object}[0+4] {object}(sha1={wrong})[4+4]");
    store.entry("sum", "f", &file_lines(&data, "abcdefgh"));
    let data = format!("{object}[0+4] {object}[=4]");
    store.entry("length", "f", &file_lines(&data, "abcdabcd"));
    write(&place, store);
    let ended = place.run(["restore", "--dest=store", "--target=target"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for told in ["sum: ", &wrong, "length: ", "lies outside"] {
        assert!(ended.stderr.contains(told), "{told}: {ended:?}");
    }
    place.sh("grep -q 'good contents' target/good; test ! -e target/sum; test ! -e target/length");
    for segment in [DATA, LOG] {
        assert!(place.join(format!("store/{segment}.tar")).exists());
    }
}
