//! Which snapshots this local state has made, and what each of them uses of every segment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::{Params, params};

use super::Database;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;

impl Database {
    /// Remembers a snapshot and how many bytes of objects it uses of each segment.
    pub fn add_snapshot(&self, name: &SnapshotName, uses: &BTreeMap<SegmentId, u64>) -> Result<()> {
        let sql = "INSERT INTO snapshot (name, scheme, checkpoint) VALUES (?1, ?2, ?3)";
        let row = params![name.to_string(), name.scheme(), name.is_checkpoint()];
        self.sql(self.connection.execute(sql, row))?;
        let snapshot = self.connection.last_insert_rowid();
        let sql = "INSERT INTO segment_use (snapshot, segment, data_bytes) SELECT ?1, id, ?3 FROM segment WHERE uuid = ?2";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        for (segment, &bytes) in uses {
            let row = params![snapshot, segment.as_bytes(), i64::try_from(bytes)?];
            self.sql(statement.execute(row))?;
        }
        Ok(())
    }

    /// Returns the names of all snapshots made, the latest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotName>> {
        self.names("SELECT name FROM snapshot ORDER BY id DESC", params![])
    }

    /// Refuses a store in which none of the snapshots is that were made: this local state is of another one. Checkpoints do not
    /// count, since they may have been cleared away by hand.
    pub fn ensure_made_in(
        &self,
        store: &Path,
        mut is_there: impl FnMut(&SnapshotName) -> Result<bool>,
    ) -> Result<()> {
        let snapshots = self.snapshots()?;
        for snapshot in &snapshots {
            if is_there(snapshot)? {
                return Ok(());
            }
        }
        match snapshots.iter().find(|name| !name.is_checkpoint()) {
            None => Ok(()),
            Some(latest) => bail!(
                "the local state belongs to another store: its last snapshot, {latest}, is not in {}; use a --localdb of its own for \
                 each store, or move its localdb.sqlite away to start without it",
                store.display()
            ),
        }
    }

    /// Returns the names of the checkpoints of a scheme that were not removed.
    pub fn checkpoints(&self, scheme: &str) -> Result<Vec<SnapshotName>> {
        let sql = "SELECT name FROM snapshot WHERE scheme = ?1 AND checkpoint";
        self.names(sql, params![scheme])
    }

    /// Forgets a snapshot.
    pub fn remove_snapshot(&self, name: &SnapshotName) -> Result<()> {
        let sql = "DELETE FROM snapshot WHERE name = ?1";
        self.sql(self.connection.execute(sql, params![name.to_string()]))
            .map(drop)
    }

    pub(super) fn names(&self, sql: &str, values: impl Params) -> Result<Vec<SnapshotName>> {
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let rows = self.sql(statement.query_map(values, |row| row.get::<_, String>(0)))?;
        let names = self.sql(rows.collect::<rusqlite::Result<Vec<_>>>())?;
        let parsed = names.iter().filter_map(|name| SnapshotName::parse(name));
        Ok(parsed.collect())
    }
}
