//! Which segments of earlier runs this run may refer to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Error, Result, anyhow, bail};

use crate::format::object_ref::SegmentId;
use crate::format::sums::FileSum;
use crate::local::database::{Database, KnownSegment};
use crate::monitor::Counter;
use crate::store::dir::StoreDir;
use crate::store::expected::segment_of_file;
use crate::store::lengths;
use crate::wording::shell_word;

/// Remembers for each segment that came up whether it may be referred to; some 60 bytes for each.
pub(super) struct Segments<'r> {
    store: Arc<StoreDir>,
    monitor: &'r Counter<'r>,
    usable: HashMap<SegmentId, bool>,
}

impl<'r> Segments<'r> {
    pub(super) fn new(store: Arc<StoreDir>, monitor: &'r Counter<'r>) -> Self {
        Self {
            store,
            monitor,
            usable: HashMap::new(),
        }
    }

    /// Takes note of a segment that this run writes.
    pub(super) fn add_own(&mut self, id: SegmentId) {
        self.usable.insert(id, true);
    }

    /// Makes sure that segments are whole in the store still, by their lengths `bytes`, now that a snapshot is to refer to them. Where several machines use one store, what
    /// one of them prunes is guarded by no lock of the other; those of this run, which no snapshot has yet, by nothing but `--orphan-age`.
    pub(super) fn ensure_still_there(&self, sums: &[FileSum], bytes: &[u64]) -> Result<()> {
        let store = self.store.path().display();
        for (FileSum { file, .. }, &bytes) in sums.iter().zip(bytes) {
            let Some(found) = self.store.size(file)? else {
                bail!(
                    "{file} went from {store} while this run referred to it, so there is no snapshot: something else prunes there; run it \
                     again"
                );
            };
            if let Some(fault) = lengths::fault(Path::new(file), found, Some(bytes)) {
                bail!(
                    "{file} in {store} {fault}, so there is no snapshot: see that nothing else writes there, and run it again"
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

    /// Looks for a known segment in the store. One that is missing though it is needed, or is not whole by its length, is reported, and
    /// expires: what is in it is stored again. Where all are missing, the store is not what it seems, and the run ends.
    fn is_there(&self, database: &Database, id: SegmentId, segment: &KnownSegment) -> Result<bool> {
        let file = &segment.file;
        if segment_of_file(Path::new(file)) != Some(id) {
            bail!("the local database is damaged: it calls the file of segment {id} {file}");
        }
        let store = self.store.path();
        let fault = match self.store.size(file)? {
            Some(found) => lengths::fault(Path::new(file), found, segment.disk_bytes),
            None if self.was_pruned(database, id)? => return Ok(false),
            None if database.has_segment_in(store)? => Some("is missing from the store".to_owned()),
            None => return Err(nothing_is_there(database, id, file, store)),
        };
        let Some(fault) = fault else {
            return Ok(true);
        };
        database.expire_segment(id, 0)?;
        self.monitor.problem_of_state(
            file.as_bytes(),
            format_args!(
                "{fault}: what of it is needed is stored again; pileus verify --dest={} names what older snapshots lost",
                shell_word(store)
            ),
        );
        Ok(false)
    }
}

/// Says that local state may be that of another store, and what helps if it is not.
fn nothing_is_there(database: &Database, id: SegmentId, file: &str, store: &Path) -> Error {
    anyhow!(
        "the local state names {file}, which is not in {}, nor is any other segment that it knows: use the --localdb that belongs to this \
         store; if it does, and the files are lost, pileus clean --localdb={} --lost={id} lets the next backup store again what was in one; \
         pileus verify --dest={} names all that are lost",
        store.display(),
        shell_word(database.directory()),
        shell_word(store)
    )
}
