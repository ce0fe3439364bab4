//! What the local database knows of segments.

use anyhow::{Context, Result};
use rusqlite::{OptionalExtension, params};

use super::Database;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::SegmentId;
use crate::format::segment_group::SegmentGroup;

/// A segment that the database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSegment {
    /// Its file in the store.
    pub file: String,
    /// The checksum of that file; none while the run that writes it is under way.
    pub checksum: Option<Checksum>,
    /// The size of that file in bytes; none as long as there is no checksum.
    pub disk_bytes: Option<u64>,
    /// The age class that the cleaner gave it when it marked it as expired: nothing of it may be referred to again.
    pub expired: Option<u32>,
}

impl Database {
    /// Adds a segment that the run has begun at `stored`, in seconds since 1970.
    pub fn add_segment(
        &mut self,
        id: SegmentId,
        file: &str,
        group: SegmentGroup,
        stored: i64,
    ) -> Result<()> {
        let sql = "INSERT INTO segment (uuid, file, segment_group, stored) VALUES (?1, ?2, ?3, ?4)";
        let row = params![id.as_bytes(), file, group.to_string(), stored];
        self.sql(self.connection.execute(sql, row))?;
        self.row_ids.insert(id, self.connection.last_insert_rowid());
        Ok(())
    }

    /// Completes a segment of this run with what is known once it is published.
    pub fn complete_segment(
        &self,
        id: SegmentId,
        checksum: &Checksum,
        data_bytes: u64,
        disk_bytes: u64,
    ) -> Result<()> {
        let sql = "UPDATE segment SET sha1 = ?2, data_bytes = ?3, disk_bytes = ?4 WHERE uuid = ?1";
        let (data_bytes, disk_bytes) = (i64::try_from(data_bytes)?, i64::try_from(disk_bytes)?);
        let row = params![id.as_bytes(), checksum.hex(), data_bytes, disk_bytes];
        self.sql(self.connection.execute(sql, row)).map(drop)
    }

    /// Corrects group and size of a segment's objects: what a metadata log says of a segment is known only when it was read.
    pub fn describe_segment(
        &self,
        id: SegmentId,
        group: SegmentGroup,
        data_bytes: u64,
    ) -> Result<()> {
        let sql = "UPDATE segment SET segment_group = ?2, data_bytes = ?3 WHERE uuid = ?1";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let data_bytes = i64::try_from(data_bytes).unwrap_or(i64::MAX);
        let row = params![id.as_bytes(), group.to_string(), data_bytes];
        self.sql(statement.execute(row)).map(drop)
    }

    /// Returns the file of the segment that was added last.
    pub fn last_file(&self) -> Result<Option<String>> {
        let sql = "SELECT file FROM segment ORDER BY id DESC LIMIT 1";
        let found = self.connection.query_row(sql, [], |row| row.get(0));
        self.sql(found.optional())
    }

    /// Returns the lengths of the files of all segments that are complete.
    pub fn lengths(&self) -> Result<Vec<(SegmentId, u64)>> {
        let sql = "SELECT uuid, disk_bytes FROM segment WHERE disk_bytes >= 0";
        let mut statement = self.sql(self.connection.prepare(sql))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let rows: Vec<([u8; 16], i64)> = self.sql(rows.and_then(Iterator::collect))?;
        let known = rows.into_iter();
        Ok(known
            .map(|(uuid, bytes)| (SegmentId::from_bytes(uuid), bytes.unsigned_abs()))
            .collect())
    }

    /// Returns what is known of a segment.
    pub fn segment(&self, id: SegmentId) -> Result<Option<KnownSegment>> {
        type Columns = (String, Option<String>, Option<i64>, Option<i64>);
        let sql = "SELECT file, sha1, disk_bytes, expired FROM segment WHERE uuid = ?1";
        let mut statement = self.sql(self.connection.prepare_cached(sql))?;
        let row = statement.query_row(params![id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let found: Option<Columns> = self.sql(row.optional())?;
        let Some((file, sha1, disk_bytes, expired)) = found else {
            return Ok(None);
        };
        let parse = |hex: String| {
            Checksum::from_hex(Algorithm::Sha1, hex.as_bytes())
                .with_context(|| self.damaged("a checksum"))
        };
        Ok(Some(KnownSegment {
            file,
            checksum: sha1.map(parse).transpose()?,
            disk_bytes: disk_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            expired: expired.map(super::age_class),
        }))
    }
}
