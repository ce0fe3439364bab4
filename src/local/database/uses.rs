//! What the snapshots known here use of each segment, and which segments have expired.

use std::collections::HashMap;

use anyhow::Result;
use rusqlite::{Connection, params};

use super::Database;
use crate::format::object_ref::SegmentId;
use crate::format::segment_group::SegmentGroup;
use crate::format::snapshot_name::SnapshotName;

/// A segment that a snapshot uses and that may be referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSegment {
    /// Its name.
    pub id: SegmentId,
    /// Whether it has pieces of metadata logs, not blocks.
    pub is_metadata: bool,
    /// Bytes of its objects.
    pub data_bytes: u64,
    /// The most bytes that one snapshot refers to, each reference counted: this may be more than it has.
    pub used_bytes: u64,
    /// The most that a scheme's newest snapshot refers to, counted in the same way.
    pub newest_bytes: u64,
    /// Whether the oldest snapshot of a scheme uses it.
    pub oldest_uses: bool,
    /// When its data were stored first, on average, in seconds since 1970.
    pub stored: i64,
    /// When it was written itself.
    pub written: i64,
}

/// Returns for each used segment, by its row, the most bytes that one snapshot refers to. Read in the order of the table: SQLite
/// would sort a row for each segment of each snapshot.
pub(super) fn most_used(connection: &Connection) -> rusqlite::Result<HashMap<i64, u64>> {
    most_used_by(connection, "SELECT segment, data_bytes FROM segment_use")
}

/// Checkpoints are a series of their own: they have only a part of what the next complete snapshot will need.
const NEWEST: &str = "SELECT segment, data_bytes FROM segment_use WHERE snapshot IN \
    (SELECT max(id) FROM snapshot GROUP BY scheme, checkpoint)";
const OLDEST: &str = "SELECT segment, data_bytes FROM segment_use WHERE snapshot IN \
    (SELECT min(id) FROM snapshot GROUP BY scheme)";

fn most_used_by(connection: &Connection, sql: &str) -> rusqlite::Result<HashMap<i64, u64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut most = HashMap::new();
    while let Some(row) = rows.next()? {
        let bytes = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        let known = most.entry(row.get(0)?).or_insert(0);
        *known = bytes.max(*known);
    }
    Ok(most)
}

impl Database {
    /// Returns all segments that a snapshot uses and that have not expired; not those whose size or time is not known.
    pub fn used_segments(&self) -> Result<Vec<UsedSegment>> {
        let used = self.sql(most_used(&self.connection))?;
        let newest = self.sql(most_used_by(&self.connection, NEWEST))?;
        let oldest = self.sql(most_used_by(&self.connection, OLDEST))?;
        let stored = self.stored_before()?;
        let sql = "SELECT id, uuid, segment_group, data_bytes, stored FROM segment \
            WHERE expired IS NULL AND sha1 IS NOT NULL AND data_bytes > 0 AND stored IS NOT NULL ORDER BY id";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let mut rows = self.sql(statement.query([]))?;
        let mut segments = Vec::new();
        while let Some(row) = self.sql(rows.next())? {
            let row_id: i64 = self.sql(row.get(0))?;
            let Some(&used_bytes) = used.get(&row_id) else {
                continue;
            };
            let group: Option<String> = self.sql(row.get(2))?;
            let written = self.sql(row.get(4))?;
            segments.push(UsedSegment {
                id: SegmentId::from_bytes(self.sql(row.get(1))?),
                is_metadata: group.is_some_and(|g| g == SegmentGroup::Metadata.to_string()),
                data_bytes: u64::try_from(self.sql(row.get::<_, i64>(3))?).unwrap_or(0),
                used_bytes,
                newest_bytes: newest.get(&row_id).copied().unwrap_or(0),
                oldest_uses: oldest.contains_key(&row_id),
                stored: stored.get(&row_id).copied().unwrap_or(written),
                written,
            });
        }
        Ok(segments)
    }

    /// Tells whether a snapshot needs a segment that has expired.
    pub fn needs_expired(&self, snapshot: &SnapshotName) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM snapshot JOIN segment_use ON segment_use.snapshot = snapshot.id \
            JOIN segment ON segment.id = segment_use.segment WHERE snapshot.name = ?1 AND segment.expired IS NOT NULL)";
        let row = params![snapshot.to_string()];
        self.sql(self.connection.query_row(sql, row, |row| row.get(0)))
    }

    /// Returns for each segment the most bytes that one snapshot refers to.
    pub fn most_used(&self) -> Result<Vec<(SegmentId, u64)>> {
        let used = self.sql(most_used(&self.connection))?;
        let mut statement = self.sql(
            self.connection
                .prepare_cached("SELECT id, uuid FROM segment"),
        )?;
        let rows = self.sql(statement.query_map([], |row| {
            let used = used.get(&row.get(0)?).copied().unwrap_or(0);
            Ok((SegmentId::from_bytes(row.get(1)?), used))
        }))?;
        self.sql(rows.collect())
    }

    /// Returns for each segment of blocks that were written again when these were stored first, on average.
    fn stored_before(&self) -> Result<HashMap<i64, i64>> {
        self.settle_blocks()?;
        let sql = "SELECT segment, CAST(avg(block.stored) AS INTEGER) FROM block JOIN segment ON segment.id = segment \
            WHERE block.stored IS NOT NULL AND segment_group LIKE 'compacted-%' GROUP BY segment";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let rows = self.sql(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))))?;
        self.sql(rows.collect())
    }

    /// Marks a segment as expired: nothing new may refer to it, and its blocks are of this age class.
    pub fn expire_segment(&self, id: SegmentId, class: u32) -> Result<()> {
        let sql = "UPDATE segment SET expired = ?2 WHERE uuid = ?1 AND expired IS NULL";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        self.sql(statement.execute(params![id.as_bytes(), class]))
            .map(drop)
    }

    /// Returns the snapshots that use a segment.
    pub fn snapshots_using(&self, id: SegmentId) -> Result<Vec<SnapshotName>> {
        let sql = "SELECT name FROM snapshot JOIN segment_use ON snapshot.id = segment_use.snapshot \
            WHERE segment_use.segment = (SELECT id FROM segment WHERE uuid = ?1)";
        self.names(sql, params![id.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::format::checksum::{Algorithm, Checksum};
    use crate::format::object_ref::ObjectId;
    use crate::local::database::BlockDigest;

    #[test]
    fn the_newest_and_the_oldest_snapshot_of_each_scheme_are_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut database = Database::open(dir.path()).expect("opens");
        let sum = Checksum::of(Algorithm::Sha1, b"");
        let ids = [1, 2].map(|n| SegmentId::from_bytes([n; 16]));
        for id in ids {
            database
                .add_segment(id, "file", SegmentGroup::Data, 1000)
                .and_then(|()| database.complete_segment(id, &sum, 100, 50))
                .expect("adds");
        }
        let snapshots: [(&str, &[u64]); 5] = [
            ("a-20260101T000000", &[90]),
            ("a-20260102T000000", &[80, 70]),
            ("b-20260103T000000", &[10]),
            ("a-20260104T000000", &[20, 30]),
            ("a-20260105T000000.checkpoint", &[5, 40]),
        ];
        for (name, bytes) in snapshots {
            let name = SnapshotName::parse(name).expect("a name");
            let needed = ids.into_iter().zip(bytes.iter().copied()).collect();
            database.add_snapshot(&name, None, &needed).expect("adds");
        }
        let used = database.used_segments().expect("looks");
        let of = |at: usize| {
            let segment: &UsedSegment = &used[at];
            (
                segment.used_bytes,
                segment.newest_bytes,
                segment.oldest_uses,
            )
        };
        assert_eq!((of(0), of(1)), ((90, 20, true), (70, 40, false)));
    }

    #[test]
    fn what_counts_is_the_most_that_one_snapshot_uses() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut database = Database::open(dir.path()).expect("opens");
        let ids = [1, 2, 3].map(|n| SegmentId::from_bytes([n; 16]));
        let groups = [
            SegmentGroup::Compacted(2),
            SegmentGroup::Metadata,
            SegmentGroup::Data,
        ];
        let sum = Checksum::of(Algorithm::Sha1, b"");
        for (&id, group) in ids.iter().zip(groups) {
            database
                .add_segment(id, "file", group, 1000)
                .and_then(|()| database.complete_segment(id, &sum, 100, 50))
                .expect("adds");
        }
        let object = ObjectId {
            segment: ids[0],
            sequence: 0,
        };
        database
            .add_block(&BlockDigest::of(b"a"), 1, object, Some(10))
            .expect("adds");
        for (name, first) in [("a-20260101T000000", 30), ("b-20260102T000000", 120)] {
            let name = SnapshotName::parse(name).expect("a name");
            let uses = BTreeMap::from([(ids[0], first), (ids[1], 40)]);
            database.add_snapshot(&name, None, &uses).expect("adds");
        }
        let used = database.used_segments().expect("looks");
        let of = |at: usize| {
            let segment = &used[at];
            (segment.used_bytes, segment.stored, segment.is_metadata)
        };
        assert_eq!((of(0), of(1)), ((120, 10, false), (40, 1000, true)));
        assert!(used.iter().all(|segment| segment.written == 1000));
        assert_eq!(used.len(), 2, "what nothing uses is left alone");
        assert_eq!(database.snapshots_using(ids[1]).expect("looks").len(), 2);
        assert!(database.snapshots_using(ids[2]).expect("looks").is_empty());
        database.expire_segment(ids[0], 3).expect("marks");
        database.expire_segment(ids[0], 5).expect("marks no more");
        let expired = database.segment(ids[0]).expect("looks");
        assert_eq!(expired.and_then(|s| s.expired), Some(3));
        assert_eq!(database.used_segments().expect("looks").len(), 1);
    }
}
