//! Bombs: a few kilobytes that unpack to gigabytes, or to text that takes far more memory than it has bytes.
//!
//! Each is restored and verified, and neither may take more memory than [`MOST_KILOBYTES`], nor more than a minute.

use std::fs;

use crate::harness::{Ended, Place};
use crate::made_store::{DATA, LOG, MadeStore, Member, SNAPSHOT, entry, file_lines, sha1};

/// Most resident memory of a run.
const MOST_KILOBYTES: u64 = 200_000;

/// Runs a program and writes the largest resident memory of it and its children, in kilobytes, into a file.
const MEASURE: &str = "import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(most, file=open(sys.argv[1], 'w'))
sys.exit(code)";

const RUNS: [&[&str]; 3] = [
    &["restore", "--target=target"],
    &["verify", "--level=files"],
    &["ls"],
];

/// Restores, verifies and lists a store, and fails if a run takes too much memory or time. Returns how the restore ended.
fn explode(place: &Place) -> Ended {
    let [restored, _, _] = explode_in(place, RUNS);
    restored
}

fn explode_in<const N: usize>(place: &Place, runs: [&[&str]; N]) -> [Ended; N] {
    runs.map(|arguments| {
        let wrapper = [
            "python3",
            "-c",
            MEASURE,
            "rss",
            "timeout",
            "--kill-after=5",
            "300",
        ];
        let arguments = arguments.iter().chain(&["--dest=store"]);
        let ended = Ended::of(&mut place.command_under(&wrapper, arguments.clone()));
        let shown = ended.stderr.get(..2000).unwrap_or(&ended.stderr);
        let (code, what) = (ended.code, arguments.collect::<Vec<_>>());
        assert!(
            matches!(code, Some(0 | 1 | 3)),
            "{what:?}: {code:?} {shown}"
        );
        let rss = fs::read_to_string(place.join("rss")).expect("was written");
        let kilobytes: u64 = rss.trim().parse().expect("a number");
        assert!(kilobytes < MOST_KILOBYTES, "{what:?} took {kilobytes} kB");
        ended
    })
}

/// Compresses a segment: its tar with null bytes inserted where the parts say so.
///
/// The program is given 16 MB once, and what it makes of them is repeated: bzip2 and zstd files may be put together so.
fn pack(place: &Place, program: &str, parts: &[Part]) -> Vec<u8> {
    let filtered = |bytes: &[u8]| {
        place.write("plain", bytes);
        place.sh(&format!("{program} -c < plain > packed"));
        fs::read(place.join("packed")).expect("was written")
    };
    let zeros = filtered(&vec![0; 16 << 20]);
    let packed = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => filtered(bytes),
        Part::Zeros(count) => zeros.repeat(*count),
    });
    packed.collect::<Vec<_>>().concat()
}

/// A part of a tar file: bytes, or so many times 16 MB of zeros.
enum Part {
    Bytes(Vec<u8>),
    Zeros(usize),
}

impl Part {
    /// Returns the header of a member, whose data follows as zeros.
    fn header(name: &str, size: u64) -> Self {
        Self::Bytes(Member::new(name, "").size(size).encode())
    }
}

/// Two gigabytes in steps of 16 megabytes.
const STEPS: usize = 128;
const BOMB_BYTES: u64 = (STEPS as u64) << 24;

/// Makes a store with a good file in a segment of its own, and the file "x" in the segment that becomes the bomb.
fn store_with_bomb(place: &Place, program: &str, extension: &str, before: &[Part], after: &[Part]) {
    let mut store = MadeStore::new();
    store.good_file("good.txt", super::GOOD);
    let object = store.object("contents of x");
    store.entry("x", "f", &file_lines(&object, "contents of x"));
    let tar = store.segment(DATA).tar();
    let end = tar.len() - 1024;
    let parts = [
        Part::Bytes(tar[..end].to_vec()),
        Part::Bytes(tar[end..].to_vec()),
    ];
    let packed = [
        pack(place, program, before),
        pack(place, program, &parts[..1]),
        pack(place, program, after),
        pack(place, program, &parts[1..]),
    ];
    let segment = store.segment(DATA);
    segment.bytes = Some(packed.concat());
    extension.clone_into(&mut segment.extension);
    store.write(&place.join("store"));
}

fn assert_good_file_is_back(place: &Place) {
    let good = fs::read_to_string(place.join("target/good.txt"));
    assert_eq!(good.expect("is restored"), super::GOOD);
}

#[test]
fn two_gigabytes_of_zeros_before_an_object_are_read_past() {
    let place = Place::new();
    let before = [Part::header("nothing", BOMB_BYTES), Part::Zeros(STEPS)];
    store_with_bomb(&place, "zstd -q", ".zst", &before, &[]);
    assert_eq!(explode(&place).code, Some(0));
    assert_eq!(
        fs::read_to_string(place.join("target/x")).expect("is restored"),
        "contents of x"
    );
}

#[test]
fn two_gigabytes_behind_an_archive_are_not_read() {
    let place = Place::new();
    let after = [Part::Bytes(vec![0; 1024]), Part::Zeros(STEPS)];
    store_with_bomb(&place, "bzip2", ".bz2", &[], &after);
    explode(&place);
    assert_good_file_is_back(&place);
}

#[test]
fn an_object_of_two_gigabytes_is_refused() {
    let place = Place::new();
    // The number of the object that the file wants, but before it.
    let before = [
        Part::header(&format!("{DATA}/00000000"), BOMB_BYTES),
        Part::Zeros(STEPS),
    ];
    store_with_bomb(&place, "bzip2", ".bz2", &before, &[]);
    let ended = explode(&place);
    ended.assert_one_line(3, &["x: ", "claims 2147483648 bytes"]);
    assert_good_file_is_back(&place);
}

#[test]
fn a_log_of_two_gigabytes_is_refused() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.next_name(LOG);
    store.root = Some(object.clone());
    let parts = [Part::header(&object, BOMB_BYTES), Part::Zeros(STEPS)];
    let segment = store.segment(LOG);
    segment.bytes = Some(pack(&place, "bzip2", &parts));
    segment.extension = ".bz2".to_owned();
    store.write(&place.join("store"));
    let ended = explode(&place);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("claims 2147483648 bytes"),
        "{ended:?}"
    );
}

#[test]
fn a_log_segment_of_many_large_objects_does_not_fill_the_memory() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.log = entry("d", "d", "").into_bytes();
    let (log, root) = (store.log.clone(), store.next_name(LOG));
    store.root = Some(root.clone());
    let mut parts = vec![Part::Bytes(Member::new(root, log).encode())];
    for sequence in 1..=40 {
        parts.push(Part::header(&format!("{LOG}/{sequence:08x}"), 16 << 20));
        parts.push(Part::Zeros(1));
    }
    let segment = store.segment(LOG);
    segment.bytes = Some(pack(&place, "zstd -q", &parts));
    segment.extension = ".zst".to_owned();
    store.write(&place.join("store"));
    assert_eq!(explode(&place).code, Some(0));
}

/// Makes a store whose log is this text, in one object of nearly 16 MB.
fn store_with_log(place: &Place, beginning: &str, repeated: &str) {
    let count = (16 << 20) / repeated.len() - beginning.len() - 1;
    let mut store = MadeStore::new();
    store.log = [beginning, &repeated.repeat(count)].concat().into_bytes();
    store.write(&place.join("store"));
}

#[test]
fn a_stanza_of_millions_of_fields_does_not_fill_the_memory() {
    let place = Place::new();
    store_with_log(&place, "name: x\ntype: d\n", "a:\n");
    explode(&place);
}

#[test]
fn millions_of_stanzas_that_cannot_be_used_do_not_fill_the_memory() {
    let place = Place::new();
    store_with_log(
        &place,
        "name: x\ntype: d\n",
        &format!("a: 1{}", "\n".repeat(300)),
    );
    explode(&place);
}

#[test]
fn millions_of_attributes_do_not_fill_the_memory() {
    let place = Place::new();
    let beginning = entry("x", "d", "xattrs:");
    store_with_log(&place, beginning.trim_end_matches('\n'), " a=");
    explode_in(
        &place,
        [
            &["restore", "--target=target", "--no-xattrs"],
            RUNS[1],
            RUNS[2],
        ],
    );
}

#[test]
fn millions_of_references_in_the_log_do_not_fill_the_memory() {
    let place = Place::new();
    let beginning = entry("x", "f", "size: 0\ndata:");
    store_with_log(&place, beginning.trim_end_matches('\n'), " zero[0]");
    explode(&place);
}

#[test]
fn millions_of_references_in_objects_do_not_fill_the_memory() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let list = store.object("zero[1] ".repeat(300_000));
    let contents = "\0".repeat(53 * 300_000);
    let data = format!("@{list} ").repeat(53);
    store.entry("x", "f", &file_lines(&data, &contents));
    store.write(&place.join("store"));
    explode(&place);
}

#[test]
fn a_hundred_thousand_slices_of_one_object_do_not_have_it_hashed_for_each() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let contents: Vec<u8> = (0..=255).cycle().take(16 << 20).collect();
    let object = store.object(&contents);
    let sum = sha1(&contents);
    let count = 100_000;
    let data: Vec<_> = (0..count)
        .map(|start| format!("{object}(sha1={sum})[{start}+1]"))
        .collect();
    let lines = format!(
        "data: {}\nsize: {count}\nchecksum: sha1={}",
        data.join(" "),
        sha1(&contents[..count])
    );
    store.entry("x", "f", &lines);
    store.write(&place.join("store"));
    assert_eq!(explode(&place).code, Some(0));
    let restored = fs::read(place.join("target/x")).expect("is restored");
    assert!(restored == contents[..count]);
}

#[test]
fn a_meta_file_that_unpacks_to_gigabytes_does_not_fill_the_memory() {
    let place = Place::new();
    let mut store = MadeStore::new();
    store.log = entry("d", "d", "").into_bytes();
    place.sh("yes a: | head -c 200M | gzip -1 > bomb");
    place.sh(&format!(
        "mkdir -p store/meta && mv bomb store/meta/snapshot-{SNAPSHOT}.meta.gz"
    ));
    store.write(&place.join("store"));
    // The descriptor of version 0.11 names the meta file instead of the sums.
    place.sh(&format!(
        "sum=$(sha224sum < store/meta/snapshot-{SNAPSHOT}.meta.gz | cut -c1-56)
        sed -i \"s/^Checksums: .*/Segment-metadata: sha224=$sum/\" store/snapshot-{SNAPSHOT}.lbs"
    ));
    explode(&place);
}
