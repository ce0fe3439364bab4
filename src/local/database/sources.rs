//! How much each source of a scheme held when it was last whole, so that one that lost most of it is noticed.

use anyhow::Result;
use rusqlite::params;

use super::Database;
use super::snapshots::SnapshotSize;
use crate::format::snapshot_name::SnapshotName;

/// A source as it was when it was last whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSource {
    /// Its path as stored; empty for all sources that come from lists.
    pub path: Vec<u8>,
    /// What was in it.
    pub size: SnapshotSize,
    /// The snapshot that has it so.
    pub snapshot: SnapshotName,
    /// When a snapshot first had much less of it, in seconds since 1970; none if none has.
    pub lost: Option<i64>,
}

impl Database {
    /// Returns what is known of the sources of a scheme.
    pub fn sources(&self, scheme: &str) -> Result<Vec<KnownSource>> {
        let sql =
            "SELECT path, entries, source_bytes, snapshot, lost FROM source WHERE scheme = ?1";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let rows = self.sql(statement.query_map(params![scheme], |row| {
            let number =
                |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0));
            let size = SnapshotSize {
                entries: number(1)?,
                source_bytes: number(2)?,
            };
            Ok((row.get(0)?, size, row.get::<_, String>(3)?, row.get(4)?))
        }))?;
        let rows = self.sql(rows.collect::<rusqlite::Result<Vec<_>>>())?;
        let known = rows.into_iter().filter_map(|(path, size, name, lost)| {
            Some(KnownSource {
                path,
                size,
                snapshot: SnapshotName::parse(&name)?,
                lost,
            })
        });
        Ok(known.collect())
    }

    /// Remembers a source of a scheme.
    pub fn set_source(&self, scheme: &str, source: &KnownSource) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO source (scheme, path, entries, source_bytes, snapshot, lost) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (entries, bytes) = (
            number(source.size.entries),
            number(source.size.source_bytes),
        );
        let name = source.snapshot.to_string();
        let row = params![scheme, source.path, entries, bytes, name, source.lost];
        self.sql(self.connection.execute(sql, row)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_remembered_for_its_scheme_and_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(dir.path()).expect("opens");
        let mut source = KnownSource {
            path: b"home".to_vec(),
            size: SnapshotSize {
                entries: 3,
                source_bytes: 30,
            },
            snapshot: SnapshotName::parse("a-20260101T000000").expect("a name"),
            lost: None,
        };
        for lost in [None, Some(7)] {
            source.lost = lost;
            database.set_source("a", &source).expect("is remembered");
            assert_eq!(database.sources("a").expect("looks"), [source.clone()]);
        }
        assert_eq!(database.sources("b").expect("looks"), []);
    }
}
