//! The tables of the local database, and how older ones become newer ones. docs/local-state.md, "The database", explains them.

use anyhow::{Result, bail};
use rusqlite::Connection;

use super::Database;

/// Marks the file as pileus's own, in SQLite's `application_id`: "pile". Other programs of the lineage use the same file name.
const APPLICATION_ID: i64 = 0x7069_6c65;

/// Step `n` makes version `n + 1`, kept in SQLite's `user_version`, of version `n`. Steps are only ever added.
const MIGRATIONS: [&str; 6] = [
    "
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
    ",
    "
    ALTER TABLE segment ADD COLUMN segment_group TEXT;
    ALTER TABLE segment ADD COLUMN data_bytes INTEGER;
    ALTER TABLE segment ADD COLUMN stored INTEGER;
    ALTER TABLE segment ADD COLUMN expired INTEGER;
    ALTER TABLE block ADD COLUMN stored INTEGER;
    CREATE TABLE signature (
        segment  INTEGER NOT NULL REFERENCES segment (id),
        sequence INTEGER NOT NULL,
        length   INTEGER NOT NULL,
        pages    BLOB NOT NULL,
        PRIMARY KEY (segment, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE snapshot (
        id         INTEGER PRIMARY KEY,
        name       TEXT NOT NULL UNIQUE,
        scheme     TEXT NOT NULL,
        checkpoint INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE segment_use (
        snapshot   INTEGER NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
        segment    INTEGER NOT NULL REFERENCES segment (id),
        data_bytes INTEGER NOT NULL,
        PRIMARY KEY (snapshot, segment)
    ) STRICT, WITHOUT ROWID;
    ",
    "
    ALTER TABLE snapshot ADD COLUMN entries INTEGER;
    ALTER TABLE snapshot ADD COLUMN source_bytes INTEGER;
    ",
    "
    CREATE TABLE run (
        id           INTEGER PRIMARY KEY,
        scheme       TEXT NOT NULL,
        started      INTEGER NOT NULL,
        milliseconds INTEGER NOT NULL,
        result       TEXT NOT NULL,
        snapshot     TEXT,
        problems     INTEGER NOT NULL,
        told         TEXT NOT NULL
    ) STRICT;
    ",
    "
    ALTER TABLE snapshot ADD COLUMN host TEXT;
    CREATE TABLE state (
        id TEXT NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE source (
        scheme       TEXT NOT NULL,
        path         BLOB NOT NULL,
        entries      INTEGER NOT NULL,
        source_bytes INTEGER NOT NULL,
        snapshot     TEXT NOT NULL,
        lost         INTEGER,
        PRIMARY KEY (scheme, path)
    ) STRICT, WITHOUT ROWID;
    ",
];

/// The version that this program knows.
const VERSION: usize = MIGRATIONS.len();

/// Refuses a database that is not ours or not of the present version: whoever only looks cannot bring it up to date.
pub(super) fn ensure_current(connection: &Connection, path: &str) -> Result<()> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let marks =
        number("PRAGMA application_id").and_then(|id| Ok((id, number("PRAGMA user_version")?)));
    let (id, version) = marks.map_err(|error| super::explain(error, path))?;
    if id != APPLICATION_ID {
        bail!("{path} is not a local database of pileus");
    }
    if usize::try_from(version) != Ok(VERSION) {
        bail!(
            "{path} has version {version}, not {VERSION}: the next backup brings an older one up to date"
        );
    }
    Ok(())
}

impl Database {
    /// Returns the version of the tables, 0 if there are none; refuses what is newer or somebody else's, without touching it.
    pub(super) fn version(&self) -> Result<usize> {
        let number = |sql| {
            self.sql(
                self.connection
                    .query_row(sql, [], |row| row.get::<_, i64>(0)),
            )
        };
        let is_ours = number("PRAGMA application_id")? == APPLICATION_ID;
        let is_empty =
            || Ok::<_, anyhow::Error>(number("SELECT count(*) FROM sqlite_schema")? == 0);
        let version = usize::try_from(number("PRAGMA user_version")?).unwrap_or(usize::MAX);
        match version {
            1..=VERSION if is_ours => Ok(version),
            0 if is_empty()? => Ok(0),
            newer if newer > VERSION && is_ours => bail!(
                "{} has version {newer}, this pileus knows up to {VERSION}: use the newer program, or another --localdb",
                self.path
            ),
            _ => bail!(
                "{} is not a local database of pileus: use another --localdb, or move it away",
                self.path
            ),
        }
    }

    /// Makes the tables, or brings older ones up to date, in one transaction.
    pub(super) fn migrate_from(&self, version: usize) -> Result<()> {
        if version == VERSION {
            return Ok(());
        }
        let steps = MIGRATIONS[version..].concat();
        self.execute(&format!(
            "BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::database::FILE_NAME;

    #[test]
    fn a_database_of_the_first_version_is_brought_up_to_date_with_its_rows() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let old = Connection::open(dir.path().join(FILE_NAME)).expect("is made");
        let rows =
            "INSERT INTO segment (uuid, file) VALUES (x'00112233445566778899aabbccddeeff', 'file');
            INSERT INTO block VALUES (zeroblob(32), 5, 1, 7);";
        old.execute_batch(&format!(
            "{} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; {rows}",
            MIGRATIONS[0]
        ))
        .expect("the first version is made");
        drop(old);
        let database = Database::open(dir.path()).expect("is migrated");
        let count =
            "SELECT count(*) FROM block JOIN segment ON segment.id = segment WHERE expired IS NULL";
        let rows: i64 = database
            .connection
            .query_row(count, [], |row| row.get(0))
            .expect("looks");
        assert_eq!(rows, 1);
        drop(database);
        let runs = crate::local::database::look::runs(dir.path(), 1);
        assert_eq!(runs.expect("the table of the newest version is there"), []);
        Database::open(dir.path()).expect("opens again, with nothing to do");
    }
}
