//! Runs of pileus one night after the other, without waiting for any of them.
//!
//! A library that is loaded in front of the C library sets the clock of each run a day ahead of that of the run before. So no
//! file counts as changed in the second of its reading, and every snapshot finds its name free. The kernel's times, those of the
//! files, stay as they are. The library can also let the clock run ahead, and give file systems other device numbers, as after a
//! mount at another place, or pin the times of attribute changes, as where a disk loses bits behind the kernel's back.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Ended, Place, need};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long number(const char *name) {
    char *text = getenv(name);
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static long calls;
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && clock == CLOCK_REALTIME)
        now->tv_sec += number("TEST_AHEAD") + number("TEST_TICK") * __sync_fetch_and_add(&calls, 1);
    return result;
}

static int changed(int result, struct stat *stat) {
    if (!result) {
        stat->st_dev += number("TEST_DEVICE");
        if (getenv("TEST_CTIME")) {
            stat->st_ctim.tv_sec = number("TEST_CTIME");
            stat->st_ctim.tv_nsec = 0;
        }
    }
    return result;
}

int fstatat(int directory, const char *path, struct stat *stat, int flags) {
    return changed(syscall(SYS_newfstatat, directory, path, stat, flags), stat);
}
int fstatat64(int directory, const char *path, struct stat64 *stat, int flags) {
    return fstatat(directory, path, (struct stat *)stat, flags);
}

int fstat(int file, struct stat *stat) {
    return changed(syscall(SYS_fstat, file, stat), stat);
}
int fstat64(int file, struct stat64 *stat) {
    return fstat(file, (struct stat *)stat);
}
"#;

/// A relative path: where it is loaded from must not have a blank in its name.
const LIBRARY: &str = "./.nights.so";

/// A place with a tree called `tree` that is backed up night after night.
pub struct Nights {
    pub place: Place,
    night: u32,
}

impl Nights {
    pub fn new() -> Self {
        need("cc");
        let place = Place::new();
        place.write(".nights.c", SOURCE);
        place.sh("cc -shared -fPIC -o .nights.so .nights.c; mkdir tree");
        Self { place, night: 0 }
    }

    /// Goes on to the next night and prepares a backup of `tree` in it, under another program if `under` names one.
    pub fn command(&mut self, under: &[&str], arguments: &[&str]) -> Command {
        self.night += 1;
        let all = [&["backup", "--dest=store", "--json"], arguments].concat();
        let mut command = if under.is_empty() {
            self.place.command(&all)
        } else {
            self.place.command_under(under, &all)
        };
        let ahead = 60 + 86_400 * u64::from(self.night);
        // What looks at the snapshots afterwards does so an hour later, when a clock that ran ahead has come to its end.
        self.place.go_ahead(LIBRARY, ahead + 3600);
        command
            .arg("tree")
            .env("LD_PRELOAD", LIBRARY)
            .env("TEST_AHEAD", ahead.to_string());
        command
    }

    /// Backs `tree` up the next night with the library told something, which has to succeed silently; returns the summary.
    pub fn backup_with(&mut self, variables: &[(&str, &str)], arguments: &[&str]) -> Value {
        let ended = Ended::of(self.command(&[], arguments).envs(variables.iter().copied()));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.summary()
    }

    /// Backs `tree` up the next night, whatever comes of it.
    pub fn run(&mut self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(&[], arguments))
    }

    /// Backs `tree` up the next night, which has to succeed silently; returns the summary.
    pub fn backup(&mut self, arguments: &[&str]) -> Value {
        let ended = self.run(arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}: {}",
            ended.stdout
        );
        ended.summary()
    }

    /// Backs `tree` up the next night; returns the paths with this status below it, sorted, and the summary.
    pub fn backup_telling(&mut self, status: &str, arguments: &[&str]) -> (Vec<String>, Value) {
        let ended = self.run(&[arguments, &["-v"]].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let lines = ended.stdout.lines();
        let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("is JSON"));
        let told = events.filter(|event| event["type"] == "path" && event["status"] == status);
        let paths = told.map(|event| event["path"].as_str().expect("is text").to_owned());
        (paths.collect(), ended.summary())
    }

    /// Restores a snapshot and fails unless it is `tree` as it is now.
    pub fn assert_restores(&self, summary: &Value) {
        let snapshot = summary["snapshot"].as_str().expect("there is a snapshot");
        self.place.sh("rm -rf back");
        let snapshot = format!("--snapshot={snapshot}");
        self.place
            .succeed(["restore", "--dest=store", "--target=back", &snapshot]);
        assert_eq!(
            self.place.manifest("back/tree", ""),
            self.place.manifest("tree", "")
        );
    }

    /// Runs SQL on the local database and returns what it prints.
    pub fn sql(&self, sql: &str) -> String {
        need("sqlite3");
        self.place
            .sh(&format!("sqlite3 store/localdb.sqlite \"{sql}\""))
    }
}

/// Returns a number of a summary.
pub fn number(summary: &Value, field: &str) -> u64 {
    let found = summary[field].as_u64();
    found.unwrap_or_else(|| panic!("no {field} in {summary}"))
}
