//! The local database: which blocks the store holds, and in which objects.
//!
//! Recommended reading: <https://sqlite.org/wal.html>, <https://sqlite.org/withoutrowid.html>.
//!
//! What stands between two descriptors is one transaction: rows appear only after the descriptor is durable, so a run that dies
//! leaves the database as it was at its last checkpoint and at worst some orphan segments in the store. The reverse, a row for a
//! segment that does not exist, would make the next snapshot unrestorable; therefore each segment is also looked for, by name,
//! before its first block is used again.
//!
//! A block is identified by BLAKE3 over its bytes and by its length, not by the format's SHA-1, for which collisions can be made.

mod blocks;
mod copy;
mod damaged;
pub mod look;
mod makers;
mod recent;
mod retire;
mod room;
mod runs;
mod schema;
mod segments;
mod snapshots;
mod sources;
mod unwritable;
mod uses;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::format::object_ref::SegmentId;

pub use blocks::{BlockDigest, KnownBlock};
pub(super) use copy::PART_SUFFIX;
pub use copy::copy;
pub(crate) use damaged::with_store;
pub use damaged::{Damaged, SUFFIX as DAMAGED_SUFFIX, remove, set_aside};
use recent::RecentBlocks;
pub use room::NoRoom;
pub use runs::{RUNS_MAX, RunRecord, TOLD_MAX, remember};
pub use segments::KnownSegment;
pub use snapshots::{OtherStore, SnapshotSize};
pub use sources::KnownSource;
pub use uses::UsedSegment;

/// Name of the database file.
pub const FILE_NAME: &str = "localdb.sqlite";

/// The oldest age class: each has a segment group of its own, and a writer with its buffers.
pub const AGE_CLASS_MAX: u32 = 15;

/// The open database, inside the transaction of one run.
pub struct Database {
    connection: Connection,
    path: String,
    row_ids: HashMap<SegmentId, i64>,
    /// Blocks that are not yet in their table.
    recent: RefCell<RecentBlocks>,
    /// Where it is only a copy: its directory, which goes after the connection.
    #[allow(dead_code, reason = "it is there to be dropped")]
    copy: Option<unwritable::Copy>,
}

impl Database {
    /// Opens (or makes) the database in `directory` and begins the run's transaction.
    ///
    /// A damaged database, or one of a newer version, is refused: deleting it is the user's decision.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        let shown = path.display().to_string();
        // SQLite itself would make it readable for all.
        super::open_private(&path).map_err(|error| super::cannot_open(error, &path))?;
        let begin = |sharing| Self::begin(Connection::open(&path), shown.clone(), sharing);
        match room::sharing(directory) {
            Sharing::No => begin(Sharing::No),
            // The first error is the one to report: what else is wrong is as wrong without sharing.
            Sharing::Yes => {
                begin(Sharing::Yes).or_else(|error| begin(Sharing::No).map_err(|_| error))
            }
        }
    }

    /// Begins with nothing, in a file without a name that is gone when the database is: for a dry run without local state.
    pub fn temporary() -> Result<Self> {
        let shown = "in the directory for temporary files".to_owned();
        Self::begin(Connection::open(""), shown, Sharing::Yes)
    }

    fn begin(opened: rusqlite::Result<Connection>, path: String, sharing: Sharing) -> Result<Self> {
        let mut database = Self {
            connection: opened.map_err(|e| explain(e, &path))?,
            path,
            row_ids: HashMap::new(),
            recent: RefCell::new(RecentBlocks::new(false)),
            copy: None,
        };
        if sharing == Sharing::No {
            let mode = "PRAGMA locking_mode = EXCLUSIVE";
            database.sql(database.connection.query_row(mode, [], |_| Ok(())))?;
        }
        // Before the other modes, since setting one writes into the file, which may be somebody else's.
        let version = database.version()?;
        database.sql(prepare(&database.connection))?;
        database.migrate_from(version)?;
        database.execute("BEGIN IMMEDIATE")?;
        let is_empty = !database.has_blocks()?;
        database.recent = RefCell::new(RecentBlocks::new(is_empty));
        Ok(database)
    }

    /// Makes everything that the run added so far durable, and goes on.
    pub fn commit(&self) -> Result<()> {
        self.settle_blocks()?;
        self.execute("COMMIT; BEGIN IMMEDIATE")
    }

    /// Leaves the write-ahead log as it is when the database is closed: [`remember`], which opens it again at once, writes it back. That
    /// saves three syncs a night; without it, whoever comes next does it.
    pub fn leave_log(&self) {
        let leave = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        // If it is written back after all, that costs the syncs and nothing else.
        drop(self.connection.set_db_config(leave, true));
    }

    /// Returns the directory of local state.
    #[must_use]
    pub fn directory(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new("."))
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.sql(self.connection.execute_batch(sql))
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|e| explain(e, &self.path))
    }

    fn damaged(&self, what: &str) -> Damaged {
        Damaged::new(&self.path, what)
    }
}

/// Whether the database may be looked at beside the run. SQLite needs shared memory for that, which some file systems lack (network ones,
/// FUSE), and which is not safe on a full disk ([`room`]); whoever is alone with the database, as the lock of local state allows, keeps in
/// memory of its own what would be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Yes,
    No,
}

/// Sets the modes that do not depend on the tables' version.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // Otherwise SQLite, as it is built here, plans a statement anew for each value that is bound: two thirds of the time of all look-ups.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL costs an fsync for each commit. NORMAL would save it and could lose the last commit in a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Returns an age class as the cleaner wrote it; nonsense counts as the youngest.
fn age_class(class: i64) -> u32 {
    u32::try_from(class).unwrap_or(0).min(AGE_CLASS_MAX)
}

fn explain(error: rusqlite::Error, path: &str) -> anyhow::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Damaged::new(path, error).into()
        }
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => NoRoom::new(format!(
            "local database {path}: the disk is full, or fails ({error}): make room there, see that it is well, or name another directory with --localdb"
        ))
        .into(),
        Some(ErrorCode::CannotOpen) => NoRoom::new(cannot_write(path, &error)).into(),
        Some(ErrorCode::ReadOnly) => anyhow::Error::msg(cannot_write(path, &error)),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => anyhow::anyhow!(
            "local database {path} is in use by a run that has it for itself, since its disk has little room or no shared memory: look \
             again when that run has ended ({error})"
        ),
        _ => anyhow::Error::new(error).context(format!("local database {path}")),
    }
}

fn cannot_write(path: &str, error: &rusqlite::Error) -> String {
    format!(
        "local database {path} cannot be written ({error}): see that its directory can be and has room, or name another one with --localdb"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum::{Algorithm, Checksum};
    use crate::format::object_ref::ObjectId;
    use crate::format::segment_group::SegmentGroup;

    fn segment(n: u8) -> SegmentId {
        SegmentId::from_bytes([n; 16])
    }

    #[test]
    fn blocks_are_found_after_a_commit_and_not_without() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let digest = BlockDigest::of(b"block");
        let object = ObjectId {
            segment: segment(1),
            sequence: 7,
        };
        let fill = || -> Result<Database> {
            let mut database = Database::open(dir.path())?;
            database.add_segment(segment(1), "file", SegmentGroup::Data, 1000)?;
            database.add_block(&digest, 5, object, None)?;
            Ok(database)
        };
        drop(fill().expect("fills"));
        let rolled_back = Database::open(dir.path()).and_then(|d| d.find(&digest, 5));
        assert_eq!(rolled_back.expect("looks"), None);
        let database = fill().expect("fills");
        database
            .complete_segment(segment(1), &Checksum::of(Algorithm::Sha1, b""), 5, 9)
            .expect("completes");
        database.commit().expect("commits");
        drop(database);
        let database = Database::open(dir.path()).expect("opens");
        let known = KnownBlock {
            object,
            stored: Some(1000),
            expired: None,
        };
        assert_eq!(database.find(&digest, 5).expect("looks"), Some(known));
        assert_eq!(
            database.find(&digest, 6).expect("looks"),
            None,
            "the length is part of the identity"
        );
        assert_eq!(
            database.segment(segment(1)).expect("looks").map(|s| s.file),
            Some("file".to_owned())
        );
    }

    #[test]
    fn a_look_up_is_planned_once_and_not_for_every_block() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(dir.path()).expect("opens");
        for block in 0..5_u8 {
            let digest = BlockDigest::of(&[block]);
            assert_eq!(database.find(&digest, 1).expect("looks"), None);
        }
        assert_eq!(database.find_replanned().expect("looks"), 0);
    }

    #[test]
    fn a_damaged_or_newer_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, vec![b'x'; 8192]).expect("writes");
        let error = Database::open(dir.path())
            .err()
            .expect("is damaged")
            .to_string();
        assert!(
            error.contains("is damaged") && error.contains("pileus rebuild"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).expect("reads").len(), 8192);
        std::fs::remove_file(&path).expect("removes");
        let newer = "PRAGMA user_version = 99; PRAGMA application_id = 0x70696c65";
        Connection::open(&path)
            .and_then(|c| c.execute_batch(newer))
            .expect("writes");
        let error = Database::open(dir.path())
            .err()
            .expect("is newer")
            .to_string();
        assert!(error.contains("has version 99"), "{error}");
        std::fs::remove_file(&path).expect("removes");
        Connection::open(&path)
            .and_then(|c| c.execute_batch("CREATE TABLE other (x)"))
            .expect("writes");
        let error = Database::open(dir.path())
            .err()
            .expect("is foreign")
            .to_string();
        assert!(
            error.contains("is not a local database of pileus"),
            "{error}"
        );
    }
}
