//! Marks segments that are damaged or gone, so that the next backup stores what it still has of them again.
//!
//! A backup never reads the store, so it cannot see that a segment it refers to is of no use any more: `verify` sees it, and whoever
//! read what `verify` said tells local state here. Nothing is invented for that. Such a segment is marked as expired, of the youngest age
//! class, and an expired segment is what nothing new refers to: neither a block, nor a page of a changed file, nor a piece of a
//! metadata log, nor an unchanged file whose references lead there. The one difference to cleaning is that nobody asks how well the
//! segment is used.
//!
//! All is one transaction: a death leaves either nothing marked or everything. What old snapshots lost stays lost; they go on naming it,
//! and the segment goes with the last of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;

use super::open;
use crate::format::object_ref::SegmentId;
use crate::local::lock::Waiting;

/// What a marking does.
#[derive(Clone, Debug)]
pub struct LostOptions {
    /// The directory of local state.
    pub local: PathBuf,
    /// The segments.
    pub segments: BTreeSet<SegmentId>,
    /// Whether nothing is marked.
    pub dry_run: bool,
}

/// What local state knew of a segment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// New snapshots could refer to it.
    Usable,
    /// It had expired already: nothing new refers to it.
    Expired,
    /// Nothing: nothing new refers to it.
    Unknown,
}

/// Marks the segments, and returns what was known of each; in a dry run nothing is marked.
pub fn run(
    options: &LostOptions,
    now: Timestamp,
    waiting: &Waiting<'_>,
) -> Result<Vec<(SegmentId, Before)>> {
    let (lock, database) = open(&options.local, now, waiting)?;
    let mut found = Vec::new();
    for &id in &options.segments {
        let before = match database.segment(id)? {
            None => Before::Unknown,
            Some(segment) if segment.expired.is_some() => Before::Expired,
            Some(_) => Before::Usable,
        };
        if before == Before::Usable {
            database.expire_segment(id, 0)?;
        }
        found.push((id, before));
    }
    if !options.dry_run {
        database.commit()?;
    }
    drop(database);
    drop(lock);
    Ok(found)
}
