//! Files that change whenever they are looked at.
//!
//! A library in front of the C library changes a file called `restless` just before each of its bytes are read in place (`read`) or
//! copied (`pread64`). It writes a count to both ends of the file, or a line behind its end. So every run of such a test is the
//! same, and contents that are not of one moment show: their counts differ.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{BLOCK, is_volatile, restored_counts};
use crate::harness::{Ended, Place, need};

/// `WHILE` says what changes the file, `CHANGE` how. A copy waits at a FIFO called `gate` if there is one.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void change(int file, const char *call) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    name[length > 0 ? length : 0] = 0;
    char *end = strrchr(name, '/');
    if (!end || strcmp(end, "/restless"))
        return;
    if (!strcmp(call, "copying") && !access("gate", F_OK)) {
        int gate = open("gate", O_RDONLY);
        char byte;
        syscall(SYS_read, gate, &byte, 1);
        close(gate);
    }
    if (!strstr(getenv("WHILE"), call))
        return;
    static long count;
    count++;
    int other = open(name, O_WRONLY);
    struct stat stat;
    fstat(other, &stat);
    if (!strcmp(getenv("CHANGE"), "grow")) {
        pwrite(other, "a line\n", 7, stat.st_size);
    } else {
        pwrite(other, &count, sizeof count, 0);
        pwrite(other, &count, sizeof count, stat.st_size - sizeof count);
    }
    close(other);
}

ssize_t read(int file, void *buffer, size_t count) {
    change(file, "reading");
    return syscall(SYS_read, file, buffer, count);
}

ssize_t pread64(int file, void *buffer, size_t count, off_t offset) {
    change(file, "copying");
    return syscall(SYS_pread64, file, buffer, count, offset);
}
"#;

const SIZE: u64 = 3 * BLOCK;

/// Makes a place with the library and a restless file of three blocks of noise.
fn place() -> Place {
    need("cc");
    let place = Place::new();
    place.write("change.c", SOURCE);
    place.sh("cc -shared -fPIC -o change.so change.c 2>/dev/null");
    place.sh("mkdir tree local; head -c 3145728 /dev/urandom >tree/restless; echo calm >tree/calm");
    place
}

/// Prepares a backup of `tree` with the library; `words` are what changes the file, and how.
fn command(place: &Place, words: [&str; 2], arguments: &[&str]) -> Command {
    let preload = "LD_PRELOAD=./change.so";
    let [during, how] = [
        format!("WHILE={}", words[0]),
        format!("CHANGE={}", words[1]),
    ];
    let under = ["env", preload, &during, &how];
    let mut all = vec![
        "backup",
        "--dest=store",
        "--localdb=local",
        "--compression=none",
        "--json",
        "-v",
        "tree",
    ];
    all.extend(arguments);
    place.command_under(&under, all)
}

/// Backs `tree` up; the run has to end with this code. Returns what it printed.
fn backup(place: &Place, code: i32, words: [&str; 2], arguments: &[&str]) -> Vec<Value> {
    let ended = Ended::of(&mut command(place, words, arguments));
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let is_local = |name: &str| name.starts_with("localdb.") || name.starts_with("statcache");
    let left = place.names("local");
    assert!(left.iter().all(|name| is_local(name)), "{left:?}");
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .collect()
}

/// Returns how often the restless file was read, going by the bytes.
fn times_read(printed: &[Value]) -> u64 {
    let summary = printed.last().expect("a summary");
    summary["read_bytes"].as_u64().expect("is a number") / SIZE
}

fn problem(printed: &[Value]) -> Option<&str> {
    let told = printed.iter().find(|line| line["type"] == "problem");
    told.map(|line| line["reason"].as_str().expect("is text"))
}

#[test]
fn a_file_that_changes_with_every_reading_is_read_from_a_copy_and_copied_first_the_next_time() {
    let place = place();
    let printed = backup(&place, 0, ["reading", "count"], &[]);
    assert_eq!(times_read(&printed), 4, "three times in place, once copied");
    let is_new = |line: &Value| line["path"] == "tree/restless" && line["status"] == "new";
    assert!(printed.iter().any(is_new), "{printed:?}");
    let [begin, end] = restored_counts(&place, "tree/restless");
    assert_eq!(begin, end);
    place.sh("cmp tree/restless back/tree/restless");

    // It is remembered. Nobody reads it in place, so it is found quiet, and forgotten.
    place.sh("touch tree/restless");
    assert_eq!(
        times_read(&backup(&place, 0, ["reading", "count"], &[])),
        1,
        "copied first"
    );
    place.sh("touch tree/restless");
    assert_eq!(
        times_read(&backup(&place, 0, ["reading", "count"], &[])),
        4,
        "as in the first run"
    );
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_file_that_changes_with_every_copying_too_is_a_problem_and_remembered_until_it_is_quiet() {
    let place = place();
    let words = ["reading copying", "count"];
    let printed = backup(&place, 3, words, &[]);
    assert_eq!(times_read(&printed), 4);
    assert_eq!(
        problem(&printed),
        Some("changed while it was being read: what was read is stored")
    );
    assert!(is_volatile(&place, "tree/restless"));
    let [begin, end] = restored_counts(&place, "tree/restless");
    assert_ne!(begin, end);
    for _ in 0..2 {
        let printed = backup(&place, 3, words, &[]);
        assert_eq!(times_read(&printed), 1);
        assert!(problem(&printed).is_some());
    }
    let printed = backup(&place, 0, ["", ""], &[]);
    assert_eq!((times_read(&printed), problem(&printed)), (1, None));
    place.succeed(["restore", "--dest=store", "--target=calm"]);
    place.sh("cmp tree/restless calm/tree/restless");
}

#[test]
fn a_file_that_may_not_be_copied_is_stored_as_read_and_read_once_the_next_time() {
    for (bound, why) in [("0", "may have 0 bytes"), ("1M", "may have 1048576 bytes")] {
        let place = place();
        let bound = format!("--staging-size={bound}");
        for times in [3, 1, 1] {
            place.sh("touch tree/restless");
            let printed = backup(&place, 3, ["reading", "count"], &[&bound]);
            assert_eq!(times_read(&printed), times);
            let told = problem(&printed).expect("a problem");
            assert!(told.contains("changed while it was being read"), "{told}");
            assert!(
                told.contains(why) && told.contains("--staging-size"),
                "{told}"
            );
        }
        place.succeed(["verify", "--dest=store", "--level=files"]);
        // Found quiet, it is read as often as any other file again.
        place.sh("touch tree/restless");
        let printed = backup(&place, 0, ["", ""], &[&bound]);
        assert_eq!(times_read(&printed), 1);
        place.sh("touch tree/restless");
        let printed = backup(&place, 3, ["reading", "count"], &[&bound]);
        assert_eq!(times_read(&printed), 3);
    }
}

#[test]
fn a_log_that_only_grows_ends_without_a_problem() {
    let place = place();
    let printed = backup(&place, 0, ["reading", "grow"], &[]);
    assert_eq!((times_read(&printed), problem(&printed)), (4, None));
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp tree/restless back/tree/restless");
}

#[test]
fn a_staging_size_that_is_none_is_a_usage_error() {
    let place = Place::new();
    place.write("tree/file", "contents");
    let ended = place.run(["backup", "--dest=store", "--staging-size=much", "tree"]);
    ended.assert_one_line(2, &["--staging-size", "much"]);
    assert!(!place.join("store").exists());
}

/// A run that waits in the middle of a copy.
struct HeldCopy {
    child: Child,
    gate: File,
}

impl HeldCopy {
    fn start(place: &Place) -> Self {
        place.sh("mkfifo gate");
        let mut command = command(place, ["reading", "count"], &[]);
        let mut child = command
            .stdout(Stdio::null())
            .spawn()
            .expect("pileus starts");
        let mut open = OpenOptions::new();
        open.write(true).custom_flags(nix::libc::O_NONBLOCK);
        // It opens for writing only once the copy has opened it for reading.
        let gate = loop {
            if let Ok(gate) = open.open(place.join("gate")) {
                break gate;
            }
            let ended = child.try_wait().expect("the run is looked at");
            assert!(ended.is_none(), "the run ended before a copy was made");
            std::thread::yield_now();
        };
        Self { child, gate }
    }

    /// Returns the lengths of files without a name that the run has open in a directory.
    fn unnamed(&self, directory: &Path) -> Vec<u64> {
        let descriptors = format!("/proc/{}/fd", self.child.id());
        let descriptors = fs::read_dir(descriptors).expect("is listed");
        let open = descriptors.map(|entry| entry.expect("an entry").path());
        let is_unnamed = |path: &std::path::PathBuf| {
            let target = fs::read_link(path).unwrap_or_default();
            target.starts_with(directory) && target.to_string_lossy().ends_with(" (deleted)")
        };
        open.filter(is_unnamed)
            .map(|path| fs::metadata(path).expect("is open").len())
            .collect()
    }
}

#[test]
fn nothing_is_left_of_a_copy_whose_run_is_killed() {
    let place = place();
    let mut held = HeldCopy::start(&place);
    let local = fs::canonicalize(place.join("local")).expect("is there");
    assert_eq!(held.unnamed(&local), [0], "the copy has begun");
    held.child.kill().expect("is killed");
    held.child.wait().expect("ends");
    place.sh("rm gate");
    let names = place.names("local");
    assert!(names.iter().all(|name| name.starts_with("localdb.")));
    let printed = backup(&place, 0, ["reading", "count"], &[]);
    assert_eq!(times_read(&printed), 4);
}

#[test]
fn a_run_ends_at_a_signal_while_it_copies() {
    let place = place();
    let mut held = HeldCopy::start(&place);
    place.sh(&format!("kill -TERM {}; rm gate", held.child.id()));
    held.gate.write_all(b"g").expect("goes on");
    let ended = held.child.wait().expect("ends");
    assert_eq!(ended.code(), Some(130));
    assert_eq!(place.names_ending("store", ".checkpoint.lbs").len(), 1);
}
