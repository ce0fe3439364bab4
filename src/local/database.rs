//! The local database: which blocks the store holds, and in which objects.
//!
//! Recommended reading: <https://sqlite.org/wal.html>, <https://sqlite.org/withoutrowid.html>.
//!
//! A run is one transaction: rows appear only after its descriptor is durable, so a run that dies leaves the database as it was
//! and at worst some orphan segments in the store. The reverse, a row for a segment that does not exist, would make the next
//! snapshot unrestorable; therefore each segment is also looked for, by name, before its first block is used again.
//!
//! A block is identified by BLAKE3 over its bytes and by its length, not by the format's SHA-1, for which collisions can be made.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::{ObjectId, SegmentId};

/// Name of the database file.
pub const FILE_NAME: &str = "localdb.sqlite";

/// Marks the file as pileus's own, in SQLite's `application_id`: "pile". Other programs of the lineage use the same file name.
const APPLICATION_ID: i64 = 0x7069_6c65;

/// Version of the tables, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE segment (
        id         INTEGER PRIMARY KEY,
        uuid       BLOB NOT NULL UNIQUE,
        file       TEXT NOT NULL,
        sha1       TEXT,
        disk_bytes INTEGER
    ) STRICT;
    CREATE TABLE block (
        digest   BLOB NOT NULL PRIMARY KEY,
        length   INTEGER NOT NULL,
        segment  INTEGER NOT NULL REFERENCES segment (id),
        sequence INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// The identity of a block: 256 bits of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockDigest([u8; 32]);

impl BlockDigest {
    /// Computes the identity of a block's bytes.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        Self(*blake3::hash(block).as_bytes())
    }
}

/// A segment that the database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSegment {
    /// Its file in the store.
    pub file: String,
    /// The checksum of that file; none while the run that writes it is under way.
    pub checksum: Option<Checksum>,
    /// The size of that file in bytes; none as long as there is no checksum.
    pub disk_bytes: Option<u64>,
}

/// The open database, inside the transaction of one run.
pub struct Database {
    connection: Connection,
    path: String,
    row_ids: HashMap<SegmentId, i64>,
}

impl Database {
    /// Opens (or makes) the database in `directory` and begins the run's transaction.
    ///
    /// A damaged database, or one of a newer version, is refused: deleting it is the user's decision.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        let shown = path.display().to_string();
        // SQLite itself would make it readable for all.
        super::open_private(&path).with_context(|| format!("cannot open {shown}"))?;
        let opened = Connection::open(&path).and_then(prepare);
        let connection = opened.map_err(|e| explain(e, &shown))?;
        let database = Self {
            connection,
            path: shown,
            row_ids: HashMap::new(),
        };
        database.migrate()?;
        database.execute("BEGIN IMMEDIATE")?;
        Ok(database)
    }

    fn migrate(&self) -> Result<()> {
        let number = |sql| {
            self.sql(
                self.connection
                    .query_row(sql, [], |row| row.get::<_, i64>(0)),
            )
        };
        match number("PRAGMA user_version")? {
            SCHEMA_VERSION if number("PRAGMA application_id")? == APPLICATION_ID => Ok(()),
            0 if number("SELECT count(*) FROM sqlite_schema")? == 0 => {
                let sql =
                    format!("BEGIN; PRAGMA application_id = {APPLICATION_ID}; {SCHEMA} COMMIT;");
                self.sql(self.connection.execute_batch(&sql))
            }
            newer
                if newer > SCHEMA_VERSION && number("PRAGMA application_id")? == APPLICATION_ID =>
            {
                bail!(
                    "{} has version {newer}, this pileus knows up to {SCHEMA_VERSION}: use the newer program, or another --localdb",
                    self.path
                )
            }
            _ => bail!(
                "{} is not a local database of pileus: use another --localdb, or move it away",
                self.path
            ),
        }
    }

    /// Returns the object that is exactly the block of `length` bytes with this identity, if one is known.
    pub fn find(&self, digest: &BlockDigest, length: u32) -> Result<Option<ObjectId>> {
        let sql = "SELECT uuid, sequence FROM block JOIN segment ON segment.id = block.segment WHERE digest = ?1 AND length = ?2";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let found = statement.query_row(params![digest.0, length], |row| {
            Ok(ObjectId {
                segment: SegmentId::from_bytes(row.get(0)?),
                sequence: row.get(1)?,
            })
        });
        self.sql(found.optional())
    }

    /// Remembers that `object`, in a segment added before, is exactly this block.
    pub fn add_block(&self, digest: &BlockDigest, length: u32, object: ObjectId) -> Result<()> {
        let segment = self
            .row_ids
            .get(&object.segment)
            .context("a block of a segment that was never added")?;
        let sql = "INSERT OR REPLACE INTO block (digest, length, segment, sequence) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        self.sql(statement.execute(params![digest.0, length, segment, object.sequence]))
            .map(drop)
    }

    /// Adds a segment that the run has begun.
    pub fn add_segment(&mut self, id: SegmentId, file: &str) -> Result<()> {
        let inserted = self.connection.execute(
            "INSERT INTO segment (uuid, file) VALUES (?1, ?2)",
            params![id.as_bytes(), file],
        );
        self.sql(inserted)?;
        self.row_ids.insert(id, self.connection.last_insert_rowid());
        Ok(())
    }

    /// Completes a segment of this run with what is known once it is published.
    pub fn complete_segment(
        &self,
        id: SegmentId,
        checksum: &Checksum,
        disk_bytes: u64,
    ) -> Result<()> {
        let sql = "UPDATE segment SET sha1 = ?2, disk_bytes = ?3 WHERE uuid = ?1";
        let updated = self.connection.execute(
            sql,
            params![id.as_bytes(), checksum.hex(), i64::try_from(disk_bytes)?],
        );
        self.sql(updated).map(drop)
    }

    /// Returns what is known of a segment.
    pub fn segment(&self, id: SegmentId) -> Result<Option<KnownSegment>> {
        let sql = "SELECT file, sha1, disk_bytes FROM segment WHERE uuid = ?1";
        let row = self
            .connection
            .query_row(sql, params![id.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            });
        let found: Option<(String, Option<String>, Option<i64>)> = self.sql(row.optional())?;
        let Some((file, sha1, disk_bytes)) = found else {
            return Ok(None);
        };
        let parse = |hex: String| {
            Checksum::from_hex(Algorithm::Sha1, hex.as_bytes())
                .with_context(|| self.damaged("a checksum"))
        };
        let checksum = sha1.map(parse).transpose()?;
        let disk_bytes = disk_bytes.and_then(|bytes| u64::try_from(bytes).ok());
        Ok(Some(KnownSegment {
            file,
            checksum,
            disk_bytes,
        }))
    }

    /// Makes everything that the run added durable.
    pub fn commit(self) -> Result<()> {
        self.execute("COMMIT")
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.sql(self.connection.execute_batch(sql))
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|e| explain(e, &self.path))
    }

    fn damaged(&self, what: &str) -> String {
        format!("{} is damaged ({what}): {REMEDY}", self.path)
    }
}

const REMEDY: &str =
    "move it away; the next backup makes a new one and stores again what it does not recognize";

/// Sets the modes that do not depend on the tables' version.
fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    // A file system without shared memory (some network ones) refuses WAL; the rollback journal is as safe, only slower.
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // FULL costs one fsync a run. NORMAL would save it and could lose the last commit in a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

fn explain(error: rusqlite::Error, path: &str) -> anyhow::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            anyhow::anyhow!("{path} is damaged ({error}): {REMEDY}")
        }
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            anyhow::anyhow!("local database {path}: the disk is full, or fails ({error})")
        }
        _ => anyhow::Error::new(error).context(format!("local database {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            database.add_segment(segment(1), "file")?;
            database.add_block(&digest, 5, object)?;
            Ok(database)
        };
        drop(fill().expect("fills"));
        assert_eq!(
            Database::open(dir.path())
                .and_then(|d| d.find(&digest, 5))
                .expect("looks"),
            None,
            "was rolled back"
        );
        let database = fill().expect("fills");
        database
            .complete_segment(segment(1), &Checksum::of(Algorithm::Sha1, b""), 9)
            .expect("completes");
        database.commit().expect("commits");
        let database = Database::open(dir.path()).expect("opens");
        assert_eq!(database.find(&digest, 5).expect("looks"), Some(object));
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
    fn a_damaged_or_newer_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, vec![b'x'; 8192]).expect("writes");
        let error = Database::open(dir.path())
            .err()
            .expect("is damaged")
            .to_string();
        assert!(
            error.contains("is damaged") && error.contains("move it away"),
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
