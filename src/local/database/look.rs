//! How much of each segment snapshots use, and how backups ended, for whoever only looks, beside a backup that may be running.
//!
//! SQLite leaves files of its own beside a database that it reads, unless it is told that nobody changes it. Where no write-ahead log
//! is, no run is under way, and it is told so; if one has begun by the time all is read, what was read counts for nothing, and is read
//! again in the common way, which takes room for SQLite's shared memory.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::runs::{self, RunRecord};
use super::uses::most_used;
use super::{FILE_NAME, explain, room, schema};
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;

/// A segment with what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUtilization {
    /// The length of its objects.
    pub data_bytes: u64,
    /// The length of its file.
    pub disk_bytes: u64,
    /// What the snapshot that uses most of it uses; together, snapshots may use more.
    pub used_bytes: u64,
}

/// Number of classes of utilization: 0 to 9 %, and so on; the last one has 100 % too.
pub const CLASSES: usize = 10;

/// How much of the segments is used, by tenths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utilization {
    /// Number and length of the segment files of each class.
    pub classes: [(u64, u64); CLASSES],
    /// Length of all objects.
    pub data_bytes: u64,
    /// What is used of it.
    pub used_bytes: u64,
}

/// Adds up what the database in `directory` knows of all complete segments.
pub fn utilization(directory: &Path) -> Result<Utilization> {
    let mut found = Utilization::default();
    read(directory, |segment| found.add(segment))?;
    Ok(found)
}

impl Utilization {
    fn add(&mut self, segment: SegmentUtilization) {
        let used = segment.used_bytes.min(segment.data_bytes);
        let tenth = u128::from(used) * CLASSES as u128 / u128::from(segment.data_bytes.max(1));
        let class = usize::try_from(tenth).unwrap_or(CLASSES).min(CLASSES - 1);
        self.classes[class].0 += 1;
        self.classes[class].1 = self.classes[class].1.saturating_add(segment.disk_bytes);
        self.data_bytes = self.data_bytes.saturating_add(segment.data_bytes);
        self.used_bytes = self.used_bytes.saturating_add(used);
    }
}

/// Reads what the database in `directory` knows of all complete segments; `take` gets each.
pub fn read(directory: &Path, take: impl FnMut(SegmentUtilization)) -> Result<()> {
    let sql = "SELECT data_bytes, disk_bytes, id FROM segment WHERE data_bytes IS NOT NULL AND disk_bytes IS NOT NULL";
    let all = look(directory, |connection| {
        let used = most_used(connection)?;
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let number = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(SegmentUtilization {
                data_bytes: number(0)?,
                disk_bytes: number(1)?,
                used_bytes: used.get(&row.get(2)?).copied().unwrap_or(0),
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    all?.into_iter().for_each(take);
    Ok(())
}

/// Reads how the last backups ended, the newest first, at most `limit` of them.
pub fn runs(directory: &Path, limit: usize) -> Result<Vec<RunRecord>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    look(directory, |connection| {
        let mut statement = connection.prepare(runs::NEWEST_FIRST)?;
        statement.query_map([limit], runs::of_row)?.collect()
    })
}

/// Reads which snapshots were made, in the order in which they were published.
pub fn snapshots(directory: &Path) -> Result<Vec<SnapshotName>> {
    let names: Vec<String> = look(directory, |connection| {
        let mut statement = connection.prepare("SELECT name FROM snapshot ORDER BY id")?;
        statement.query_map([], |row| row.get(0))?.collect()
    })?;
    let names = names.iter().filter_map(|name| SnapshotName::parse(name));
    Ok(names.collect())
}

/// Reads the names of the files of all segments.
pub fn segment_files(directory: &Path) -> Result<Vec<String>> {
    look(directory, |connection| {
        let mut statement = connection.prepare("SELECT file FROM segment")?;
        statement.query_map([], |row| row.get(0))?.collect()
    })
}

/// Which of some segments new snapshots may refer to, as far as one local state knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// These.
    pub usable: Vec<SegmentId>,
    /// Of these nothing is known: another local state may have made them.
    pub unknown: Vec<SegmentId>,
}

/// Looks for segments in the database in `directory`.
pub fn standing(directory: &Path, segments: &[SegmentId]) -> Result<Standing> {
    look(directory, |connection| {
        let mut statement =
            connection.prepare("SELECT expired IS NULL FROM segment WHERE uuid = ?1")?;
        let mut standing = Standing::default();
        for &segment in segments {
            let usable = statement.query_row([segment.as_bytes()], |row| row.get::<_, bool>(0));
            match usable.optional()? {
                Some(true) => standing.usable.push(segment),
                Some(false) => {}
                None => standing.unknown.push(segment),
            }
        }
        Ok(standing)
    })
}

/// Reads something of the database in `directory`.
fn look<T>(directory: &Path, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
    let path = directory.join(FILE_NAME);
    let shown = path.display().to_string();
    if !path.is_file() {
        bail!("there is no {FILE_NAME} in {}", directory.display());
    }
    let open = |is_still: bool| -> Result<T> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = if is_still {
            Connection::open_with_flags(immutable(&path), flags | OpenFlags::SQLITE_OPEN_URI)
        } else {
            Connection::open_with_flags(&path, flags)
        };
        let connection = opened.map_err(|error| explain(error, &shown))?;
        schema::ensure_current(&connection, &shown)?;
        read(&connection).map_err(|error| explain(error, &shown))
    };
    let before = state(&path);
    if before.is_some() {
        let found = open(true);
        if state(&path) == before {
            return found;
        }
    }
    if room::is_short(directory) {
        bail!(
            "{shown} cannot be read beside its write-ahead log, which takes more room than there is: make room there, or look again after \
             the next run"
        );
    }
    open(false)
}

/// Returns what tells whether the database changes; none while a run is under way.
fn state(path: &Path) -> Option<(u64, i64, i64)> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return None;
    }
    let found = path.metadata().ok()?;
    Some((found.len(), found.mtime(), found.mtime_nsec()))
}

/// Returns the name by which SQLite opens a file that nobody changes meanwhile.
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(byte.into());
        } else {
            write!(uri, "%{byte:02X}").expect("a String takes all text");
        }
    }
    uri + "?immutable=1"
}
