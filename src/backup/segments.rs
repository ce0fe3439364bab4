//! Which segments of earlier runs this run may refer to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::format::object_ref::SegmentId;
use crate::format::sums::FileSum;
use crate::local::database::{Database, KnownSegment};
use crate::store::dir::StoreDir;
use crate::store::expected::segment_of_file;
use crate::wording::shell_word;

/// Remembers for each segment that came up whether it may be referred to; some 60 bytes for each.
pub(super) struct Segments {
    store: Arc<StoreDir>,
    usable: HashMap<SegmentId, bool>,
}

impl Segments {
    pub(super) fn new(store: Arc<StoreDir>) -> Self {
        Self {
            store,
            usable: HashMap::new(),
        }
    }

    /// Takes note of a segment that this run writes.
    pub(super) fn add_own(&mut self, id: SegmentId) {
        self.usable.insert(id, true);
    }

    /// Makes sure that segments are in the store still, now that a snapshot is to refer to them. Where several machines use one store, what
    /// one of them prunes is guarded by no lock of the other; those of this run, which no snapshot has yet, by nothing but `--orphan-age`.
    pub(super) fn ensure_still_there(&self, sums: &[FileSum], _bytes: &[u64]) -> Result<()> {
        for FileSum { file, .. } in sums {
            if !self.store.has(file)? {
                bail!(
                    "{file} went from {} while this run referred to it, so there is no snapshot: something else prunes there; run it \
                     again",
                    self.store.path().display()
                );
            }
        }
        Ok(())
    }

    /// Tells whether a segment may be referred to: not if it has expired, or if the database does not know it.
    ///
    /// Makes sure, once a run for each segment and without opening it, that it is still in the store: a database of another store,
    /// or one that outlived its segments, must not lead to a snapshot that cannot be restored.
    pub(super) fn usable(&mut self, database: &Database, id: SegmentId) -> Result<bool> {
        if let Some(&usable) = self.usable.get(&id) {
            return Ok(usable);
        }
        let usable = match database.segment(id)? {
            Some(segment) if segment.expired.is_none() && segment.checksum.is_some() => {
                self.is_there(database, id, &segment)?
            }
            _ => false,
        };
        self.usable.insert(id, usable);
        Ok(usable)
    }

    /// Tells whether a missing segment was cleared away because no snapshot needs it: what a killed run left, or what was pruned
    /// where this local state was not at hand. Then none of the snapshots that used it is there either.
    fn was_pruned(&self, database: &Database, id: SegmentId) -> Result<bool> {
        for snapshot in database.snapshots_using(id)? {
            if self.store.has_snapshot(&snapshot)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks for a known segment in the store; one that is missing though it is needed ends the run.
    fn is_there(&self, database: &Database, id: SegmentId, segment: &KnownSegment) -> Result<bool> {
        let file = &segment.file;
        if segment_of_file(Path::new(file)) != Some(id) {
            bail!("the local database is damaged: it calls the file of segment {id} {file}");
        }
        let there = self.store.size(file)?;
        if there.is_some() && there == segment.disk_bytes {
            return Ok(true);
        }
        if there.is_none() && self.was_pruned(database, id)? {
            return Ok(false);
        }
        let state = if there.is_none() {
            "is not"
        } else {
            "does not have its size"
        };
        bail!(
            "the local state names {file}, which {state} in {}: use the --localdb that belongs to this store; if it does, and the file \
             is lost, pileus clean --localdb={} --lost={id} lets the next backup store again what was in it; pileus verify --dest={} names all \
             that are lost",
            self.store.path().display(),
            shell_word(database.directory()),
            shell_word(self.store.path())
        );
    }
}
