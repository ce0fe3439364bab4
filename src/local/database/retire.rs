//! Forgets segments whose files are about to be removed, and all that was known to be in them.
//!
//! The rows go before the files do: a row without a file would make the next snapshot unrestorable.

use anyhow::Result;
use rusqlite::{OptionalExtension, params};

use super::Database;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;

impl Database {
    /// Forgets everything, in the run's transaction: until it is committed, all is as it was.
    pub fn clear(&mut self) -> Result<()> {
        self.settle_blocks()?;
        self.row_ids.clear();
        self.execute(
            "DELETE FROM segment_use; DELETE FROM snapshot; DELETE FROM signature; DELETE FROM block; DELETE FROM segment",
        )
    }

    /// Returns the segments that these snapshots use and no others do.
    pub fn segments_only_of(&self, snapshots: &[SnapshotName]) -> Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for name in snapshots {
            let sql = "SELECT id FROM snapshot WHERE name = ?1";
            let mut statement = self.sql(self.connection.prepare_cached(sql))?;
            let id = statement.query_row([name.to_string()], |row| row.get::<_, i64>(0));
            ids.extend(self.sql(id.optional())?.map(|id| id.to_string()));
        }
        let ids = ids.join(",");
        let sql = format!(
            "SELECT uuid FROM segment WHERE id IN (SELECT segment FROM segment_use WHERE snapshot IN ({ids})) \
            AND id NOT IN (SELECT segment FROM segment_use WHERE snapshot NOT IN ({ids}))"
        );
        let mut statement = self.sql(self.connection.prepare(&sql))?;
        let rows = self.sql(statement.query_map([], |row| row.get(0)))?;
        let uuids = self.sql(rows.collect::<rusqlite::Result<Vec<_>>>())?;
        Ok(uuids.into_iter().map(SegmentId::from_bytes).collect())
    }

    /// Forgets segments, their blocks and signatures; durable, with all that was done before, when it returns.
    ///
    /// Foreign keys are off meanwhile: for each segment SQLite would search all blocks, which have no index by segment.
    pub fn forget_segments(&self, segments: &[SegmentId]) -> Result<()> {
        self.settle_blocks()?;
        self.execute(
            "COMMIT; PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; \
            CREATE TEMP TABLE IF NOT EXISTS forgotten (id INTEGER PRIMARY KEY) STRICT; DELETE FROM forgotten",
        )?;
        let sql = "INSERT OR IGNORE INTO forgotten SELECT id FROM segment WHERE uuid = ?1";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        for segment in segments {
            self.sql(statement.execute(params![segment.as_bytes()]))?;
        }
        drop(statement);
        self.execute(
            "DELETE FROM block WHERE segment IN (SELECT id FROM forgotten); \
            DELETE FROM signature WHERE segment IN (SELECT id FROM forgotten); \
            DELETE FROM segment_use WHERE segment IN (SELECT id FROM forgotten); \
            DELETE FROM segment WHERE id IN (SELECT id FROM forgotten); \
            COMMIT; PRAGMA foreign_keys = ON; BEGIN IMMEDIATE",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::object_ref::ObjectId;
    use crate::format::segment_group::SegmentGroup;
    use crate::local::database::BlockDigest;

    #[test]
    fn nothing_of_a_forgotten_segment_is_left_and_the_others_are_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut database = Database::open(dir.path()).expect("opens");
        let ids = [1, 2].map(|n| SegmentId::from_bytes([n; 16]));
        let digests = [BlockDigest::of(b"a"), BlockDigest::of(b"b")];
        let name = SnapshotName::parse("a-20261121T191822").expect("a name");
        for (&segment, digest) in ids.iter().zip(&digests) {
            let object = ObjectId {
                segment,
                sequence: 0,
            };
            database
                .add_segment(segment, "file", SegmentGroup::Data, 1)
                .and_then(|()| database.add_block(digest, 1, object, None))
                .and_then(|()| database.add_signature(object, 1, &[0; 20]))
                .expect("adds");
        }
        let uses = BTreeMap::from(ids.map(|id| (id, 1)));
        database.add_snapshot(&name, None, &uses).expect("adds");
        let later = SnapshotName::parse("a-20261122T191822").expect("a name");
        let uses = BTreeMap::from([(ids[1], 1)]);
        database.add_snapshot(&later, None, &uses).expect("adds");
        let only = database.segments_only_of(std::slice::from_ref(&name));
        assert_eq!(only.expect("looks"), ids[..1]);
        database.remove_snapshot(&later).expect("removes");
        database.forget_segments(&ids[..1]).expect("forgets");
        database.forget_segments(&ids[..1]).expect("forgets again");
        drop(database);
        let database = Database::open(dir.path()).expect("opens");
        let found = digests.map(|digest| database.find(&digest, 1).expect("looks").is_some());
        assert_eq!(found, [false, true]);
        let rows = |table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            let count = database.connection.query_row(&sql, [], |row| row.get(0));
            count.expect("counts")
        };
        for table in ["segment", "block", "signature", "segment_use", "snapshot"] {
            assert_eq!(rows(table), 1, "{table}");
        }
        assert_eq!(rows("pragma_foreign_key_check"), 0);
    }
}
