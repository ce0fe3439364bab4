//! A snapshot of one regular file that is no file: its contents come through a pipe.
//!
//! It has no stat. So it is read every time, its time is that of the run, and neither inode nor change time are recorded. What of it is
//! stored is decided as for any file, and its previous version is what the last snapshot of the scheme has under its name.
//!
//! Nothing is recorded before the whole of it was read and its command has exited with 0. A checkpoint on the way therefore has no
//! entry and publishes no snapshot; it makes blocks known to the local database, which the next run finds there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::{getegid, geteuid};

use super::describe;
use super::pipe::{Pipe, PipedFrom};
use super::previous::Previous;
use super::run::Run;
use super::xattrs::ReadXattrs;
use crate::format::path::EntryPath;
use crate::local::stat_cache::Doubts;

/// Longest name of a file that a Linux file system takes, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The one file of a snapshot, and where its contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piped {
    /// Its path as stored.
    pub path: EntryPath,
    /// What is read.
    pub from: PipedFrom,
}

impl Piped {
    /// Interprets the name under which something is recorded; the error says what to type instead.
    pub fn parse(name: &OsStr, from: PipedFrom) -> Result<Self, String> {
        let (bytes, shown) = (name.as_bytes(), name.to_string_lossy());
        if bytes.is_empty() {
            return Err("an empty name names no file: write one such as dump.sql".to_owned());
        }
        if bytes.starts_with(b"/") {
            let relative = shown.trim_start_matches('/');
            return Err(format!(
                "\"{shown}\" is absolute: write the name as it is stored, {relative}"
            ));
        }
        let path = EntryPath::from_argument(Path::new(name))?;
        let is_directory = [&b"/"[..], b"/."].iter().any(|end| bytes.ends_with(end));
        if path.is_scan_root() || is_directory {
            return Err(format!(
                "\"{shown}\" names a directory: write the name of a file, such as dump.sql"
            ));
        }
        if path.components().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(format!(
                "\"{shown}\" is no name that could be restored: a file's has at most {NAME_BYTES_MAX} bytes"
            ));
        }
        Ok(Self { path, from })
    }
}

impl Run<'_> {
    /// Backs up what comes through a pipe, as the only entry. Any failure ends the run: half a dump is none.
    pub(super) fn back_up_piped(&mut self, piped: &Piped) -> Result<()> {
        let mut pipe = Pipe::open(&piped.from, self.outside.stop)?;
        let told = pipe.told();
        let mut stat = fstat(&pipe.file).with_context(|| format!("cannot look at {told}"))?;
        let sink = &mut self.sink;
        let old = self
            .log
            .find(&self.pool, &piped.path, &mut |id| sink.usable(id))?;
        self.old = old;
        let version = old.and_then(|_| self.log.remembered());
        let version = version.and_then(|old| old.contents);
        let mut previous = Previous::new(version.as_ref());
        let stored = self.store_contents(&mut pipe, &mut previous)?;
        // Whoever writes may have heard the same Ctrl-C: then this was not the end.
        self.pause()?;
        let (contents, counts) = stored.map_err(|reason| anyhow!("{told}: {reason}"))?;
        pipe.finish()?;
        self.make_stat(&mut stat, contents.size);
        let entry = describe::piped(&piped.path, &stat, contents, &mut self.owners);
        let status = counts.status(version.is_some());
        let none = ReadXattrs::default();
        self.record(entry, none, &stat, status, Doubts::default())
    }

    /// Makes the stat of a pipe that of a file of the running user, written when the run began. No file has inode 0.
    fn make_stat(&self, stat: &mut FileStat, bytes: u64) {
        let written = self.outside.started;
        stat.st_mode = SFlag::S_IFREG.bits() | 0o600;
        (stat.st_ino, stat.st_nlink) = (0, 1);
        (stat.st_uid, stat.st_gid) = (geteuid().as_raw(), getegid().as_raw());
        stat.st_size = i64::try_from(bytes).unwrap_or(i64::MAX);
        stat.st_mtime = written.as_second();
        stat.st_mtime_nsec = written.subsec_nanosecond().into();
        (stat.st_ctime, stat.st_ctime_nsec) = (stat.st_mtime, stat.st_mtime_nsec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Result<String, String> {
        let piped = Piped::parse(OsStr::new(name), PipedFrom::StandardInput);
        piped.map(|piped| piped.path.to_string())
    }

    #[test]
    fn a_name_is_a_path_as_stored_of_something_that_can_be_restored_as_a_file() {
        assert_eq!(parse("dump.sql"), Ok("dump.sql".to_owned()));
        assert_eq!(parse("./db//dump.sql"), Ok("db/dump.sql".to_owned()));
        let long = "x".repeat(256);
        for (name, answer) in [
            ("", "an empty name"),
            ("/db/dump.sql", "is stored, db/dump.sql"),
            (".", "names a directory"),
            ("db/", "names a directory"),
            ("db/.", "names a directory"),
            ("..", "\"..\" cannot be stored"),
            ("a/../b", "\"..\" cannot be stored"),
            (&long, "at most 255 bytes"),
        ] {
            let error = parse(name).expect_err("is wrong");
            assert!(error.contains(answer), "{error}");
        }
        assert!(parse(&long[1..]).is_ok());
    }
}
