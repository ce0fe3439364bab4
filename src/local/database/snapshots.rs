//! Which snapshots this local state has made, and what each of them uses of every segment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::{OptionalExtension, Params, params};

use super::Database;
use crate::format::descriptor::{Maker, Totals};
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::wording::shell_word;

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSize {
    /// Number of entries of all types.
    pub entries: u64,
    /// Sum of the sizes of all regular files.
    pub source_bytes: u64,
}

/// Local state belongs to another store, says the text.
#[derive(Debug)]
pub struct OtherStore(String);

impl OtherStore {
    /// `latest` is a snapshot that the local state in `local` made elsewhere.
    #[must_use]
    pub fn new(store: &Path, local: &Path, latest: &SnapshotName) -> Self {
        Self(format!(
            "the local state belongs to another store: no segment or snapshot of it, such as its last one, {latest}, is in {}: see that the \
             right disk is mounted; another store needs a --localdb of its own; if this is an old copy of local state, or all snapshots were removed by \
             hand, move localdb.sqlite away; if the store has snapshots, pileus rebuild --dest={} --localdb={} then makes another",
            store.display(),
            shell_word(store),
            shell_word(local)
        ))
    }
}

impl std::fmt::Display for OtherStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OtherStore {}

impl Database {
    /// Remembers a snapshot, how much it holds, and how many bytes of objects it uses of each segment.
    pub fn add_snapshot(
        &self,
        name: &SnapshotName,
        totals: Option<Totals>,
        uses: &BTreeMap<SegmentId, u64>,
    ) -> Result<()> {
        let sql = "INSERT INTO snapshot (name, scheme, checkpoint, entries, source_bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        // What is out of SQLite's range comes from somebody else's descriptor.
        let number = |value: fn(&Totals) -> u64| i64::try_from(value(totals.as_ref()?)).ok();
        let (entries, source_bytes) = (number(|t| t.entries), number(|t| t.source_bytes));
        let (scheme, checkpoint) = (name.scheme(), name.is_checkpoint());
        let row = params![name.to_string(), scheme, checkpoint, entries, source_bytes];
        self.sql(self.connection.execute(sql, row))?;
        let snapshot = self.connection.last_insert_rowid();
        let sql = "INSERT INTO segment_use (snapshot, segment, data_bytes) SELECT ?1, id, ?3 FROM segment WHERE uuid = ?2";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        for (segment, &bytes) in uses {
            // More than SQLite has numbers for was claimed by somebody else's log.
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let row = params![snapshot, segment.as_bytes(), bytes];
            self.sql(statement.execute(row))?;
        }
        Ok(())
    }

    /// Returns how much the last complete snapshot of a scheme holds that no other machine made, if that is known.
    pub fn last_size(&self, scheme: &str, maker: &Maker) -> Result<Option<SnapshotSize>> {
        let sql = "SELECT entries, source_bytes FROM snapshot WHERE scheme = ?1 AND NOT checkpoint AND (host IS NULL OR host IS ?2) \
            ORDER BY id DESC LIMIT 1";
        let numbers = self
            .connection
            .query_row(sql, params![scheme, maker.host], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
        let (entries, source_bytes): (Option<i64>, Option<i64>) =
            self.sql(numbers.optional())?.unwrap_or_default();
        let number = |value: Option<i64>| u64::try_from(value?).ok();
        Ok(number(entries)
            .zip(number(source_bytes))
            .map(|(entries, source_bytes)| SnapshotSize {
                entries,
                source_bytes,
            }))
    }

    /// Returns the names of all snapshots made, the latest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotName>> {
        self.names("SELECT name FROM snapshot ORDER BY id DESC", params![])
    }

    /// Tells whether a complete snapshot of a scheme was made.
    pub fn has_complete(&self, scheme: &str) -> Result<bool> {
        let snapshots = self.snapshots()?;
        let mut of_scheme = snapshots.iter().filter(|name| name.scheme() == scheme);
        Ok(of_scheme.any(|name| !name.is_checkpoint()))
    }

    /// Refuses a store that has none of the snapshots that were made, and no segment either: this local state is of another one.
    /// Checkpoints do not count, since they may have been cleared away by hand. Segments do: of a store that was pruned while local
    /// state had no room to be told so, they are what both know.
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
            Some(_) if self.has_segment_in(store)? => Ok(()),
            Some(latest) => Err(OtherStore::new(store, self.directory(), latest).into()),
        }
    }

    /// Whether any segment that was complete at the last commit is in the store. Names of segments are random, so another store has none of them.
    pub fn has_segment_in(&self, store: &Path) -> Result<bool> {
        // The newest first: they are the ones to be found.
        let sql = "SELECT file FROM segment WHERE sha1 IS NOT NULL ORDER BY id DESC";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let mut rows = self.sql(statement.query([]))?;
        while let Some(row) = self.sql(rows.next())? {
            let file: String = self.sql(row.get(0))?;
            if store.join(file).symlink_metadata().is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the names of the checkpoints of a scheme that were not removed, without those that are known to be of another machine.
    pub fn checkpoints(&self, scheme: &str, maker: &Maker) -> Result<Vec<SnapshotName>> {
        let sql = "SELECT name FROM snapshot WHERE scheme = ?1 AND checkpoint AND (host IS NULL OR host IS ?2)";
        self.names(sql, params![scheme, maker.host])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_is_that_of_the_last_complete_snapshot_of_the_scheme() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(dir.path()).expect("opens");
        let size = |entries| {
            let source_bytes = entries * 10;
            Some(SnapshotSize {
                entries,
                source_bytes,
            })
        };
        for (name, entries, wanted) in [
            ("a-20260101T000000", Some(7), size(7)),
            ("a-20260102T000000", Some(8), size(8)),
            ("b-20260103T000000", Some(9), size(8)),
            ("a-20260104T000000.checkpoint", Some(3), size(8)),
            ("a-20260105T000000", Some(u64::MAX / 10), None),
            ("a-20260106T000000", None, None),
        ] {
            let totals = entries.map(|entries| Totals {
                entries,
                source_bytes: entries * 10,
                ..Totals::default()
            });
            let name = SnapshotName::parse(name).expect("a name");
            let added = database.add_snapshot(&name, totals, &BTreeMap::new());
            added.expect("adds");
            assert_eq!(
                database.last_size("a", &Maker::default()).expect("looks"),
                wanted,
                "{name}"
            );
        }
        assert_eq!(
            database.last_size("c", &Maker::default()).expect("looks"),
            None
        );
    }
}
