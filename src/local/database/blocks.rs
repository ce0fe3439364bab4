//! The block index: which blocks the store holds, in which objects; and the page digests that sub-file increments need.

use anyhow::{Context, Result};
use rusqlite::{OptionalExtension, params};

use super::Database;
use super::recent::Row;
use crate::format::object_ref::{ObjectId, SegmentId};

/// The identity of a block: 256 bits of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockDigest(pub(super) [u8; 32]);

impl BlockDigest {
    /// Computes the identity of a block's bytes.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        Self(*blake3::hash(block).as_bytes())
    }
}

/// A block that the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownBlock {
    /// The object that is exactly the block.
    pub object: ObjectId,
    /// When the block was first stored, in seconds since 1970; unknown for blocks of the oldest databases, and not told of one that
    /// this run has just added.
    pub stored: Option<i64>,
    /// The age class of its segment if that has expired: then the object may not be referred to again.
    pub expired: Option<u32>,
}

const FIND: &str = "SELECT uuid, sequence, coalesce(block.stored, segment.stored), expired \
    FROM block JOIN segment ON segment.id = block.segment WHERE digest = ?1 AND length = ?2";

const INSERT: &str = "INSERT INTO block (digest, length, segment, sequence, stored) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT DO NOTHING";

const REPLACE: &str =
    "UPDATE block SET length = ?2, segment = ?3, sequence = ?4, stored = ?5 WHERE digest = ?1";

impl Database {
    /// Returns where the block of `length` bytes with this identity is, if it is known.
    pub fn find(&self, digest: &BlockDigest, length: u32) -> Result<Option<KnownBlock>> {
        let recent = self.recent.borrow();
        if let Some(row) = recent.find(digest).filter(|row| row.length == length) {
            return Ok(Some(KnownBlock {
                object: row.object,
                stored: row.stored,
                expired: None,
            }));
        }
        if !recent.may_be_in_table(digest) {
            return Ok(None);
        }
        let mut statement = self.sql(self.connection.prepare_cached(FIND))?;
        let found = statement.query_row(params![digest.0, length], |row| {
            Ok(KnownBlock {
                object: ObjectId {
                    segment: SegmentId::from_bytes(row.get(0)?),
                    sequence: row.get(1)?,
                },
                stored: row.get(2)?,
                expired: row.get::<_, Option<i64>>(3)?.map(super::age_class),
            })
        });
        self.sql(found.optional())
    }

    /// Remembers that `object`, in a segment added before, is exactly this block; `stored` if that is older than the segment, in
    /// seconds since 1970. An earlier place of the block is forgotten.
    pub fn add_block(
        &self,
        digest: &BlockDigest,
        length: u32,
        object: ObjectId,
        stored: Option<i64>,
    ) -> Result<()> {
        let row = Row {
            length,
            object,
            stored,
        };
        if self.recent.borrow_mut().add(*digest, row) {
            self.settle_blocks()?;
        }
        Ok(())
    }

    /// Puts all added blocks into their table.
    ///
    /// `INSERT OR REPLACE` would say the same as these two statements. But for it SQLite keeps a journal of each row, since a foreign
    /// key may fail behind the removal of the old row; with a million new blocks two million writes came of it once.
    pub(super) fn settle_blocks(&self) -> Result<()> {
        let mut insert = self.sql(self.connection.prepare_cached(INSERT))?;
        let mut replace = self.sql(self.connection.prepare_cached(REPLACE))?;
        for (digest, row) in self.recent.borrow_mut().take() {
            let segment = self.row_id(row.object)?;
            let sequence = row.object.sequence;
            let columns = params![digest.0, row.length, segment, sequence, row.stored];
            if self.sql(insert.execute(columns))? == 0 {
                self.sql(replace.execute(columns))?;
            }
        }
        Ok(())
    }

    /// Tells whether the table has any block.
    pub(super) fn has_blocks(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM block)";
        self.sql(self.connection.query_row(sql, [], |row| row.get(0)))
    }

    /// Remembers the page digests of an object of `length` bytes, in a segment added before.
    pub fn add_signature(&self, object: ObjectId, length: u32, pages: &[u8]) -> Result<()> {
        let segment = self.row_id(object)?;
        let sql =
            "INSERT INTO signature (segment, sequence, length, pages) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        self.sql(statement.execute(params![segment, object.sequence, length, pages]))
            .map(drop)
    }

    /// Returns length and page digests of an object whose segment has not expired, if it has any.
    pub fn signature(&self, object: ObjectId) -> Result<Option<(u32, Vec<u8>)>> {
        let sql = "SELECT length, pages FROM signature JOIN segment ON segment.id = signature.segment \
            WHERE uuid = ?1 AND sequence = ?2 AND expired IS NULL";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let key = params![object.segment.as_bytes(), object.sequence];
        let found = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)));
        self.sql(found.optional())
    }

    /// Returns how often SQLite planned the look-up of blocks anew.
    #[cfg(test)]
    pub(super) fn find_replanned(&self) -> Result<i32> {
        let statement = self.sql(self.connection.prepare_cached(FIND))?;
        Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
    }

    fn row_id(&self, object: ObjectId) -> Result<i64> {
        let id = self.row_ids.get(&object.segment).copied();
        id.context("a block of a segment that was never added")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment_group::SegmentGroup;

    fn digest(n: u32) -> BlockDigest {
        BlockDigest::of(&n.to_le_bytes())
    }

    fn object(segment: u8, sequence: u32) -> ObjectId {
        ObjectId {
            segment: SegmentId::from_bytes([segment; 16]),
            sequence,
        }
    }

    #[test]
    fn a_block_is_where_it_was_added_last_while_it_waits_and_when_it_is_settled() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut database = Database::open(dir.path()).expect("opens");
        for segment in [1, 2] {
            let id = SegmentId::from_bytes([segment; 16]);
            database
                .add_segment(id, "file", SegmentGroup::Data, 1000)
                .expect("adds");
        }
        let blocks = 70_000;
        let add = |database: &Database, segment, n| {
            let added = database.add_block(&digest(n), 4, object(segment, n), None);
            added.expect("adds");
        };
        // More than wait at once, so that some are settled on the way.
        (0..blocks).for_each(|n| add(&database, 1, n));
        let changed = [0, 1, 40_000, blocks - 1];
        for n in changed {
            add(&database, 2, n);
        }
        let check = |database: &Database| {
            for n in 0..blocks {
                let segment = if changed.contains(&n) { 2 } else { 1 };
                let found = database.find(&digest(n), 4).expect("looks");
                let found = found.expect("each is known");
                assert_eq!(found.object, object(segment, n));
            }
            assert_eq!(database.find(&digest(blocks), 4).expect("looks"), None);
            assert_eq!(database.find(&digest(0), 5).expect("looks"), None);
        };
        check(&database);
        database.commit().expect("is settled");
        check(&database);
        drop(database);
        check(&Database::open(dir.path()).expect("opens"));
    }
}
