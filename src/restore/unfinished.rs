//! Files of several parts that are being written, by any number of workers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Result, ensure};

use super::rest::Failed;
use super::spool::Place;

/// Why a file is given up that others need the room of.
const NO_ROOM: &str = "does not fit into the target with the files that are shorter";

/// Files of several parts that are not complete yet.
#[derive(Default)]
pub(crate) struct Unfinished {
    files: Mutex<HashMap<Place, Progress>>,
}

impl Unfinished {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Place, Progress>> {
        self.files
            .lock()
            .expect("no worker panics while it holds the lock")
    }

    /// Chooses the longest of the files that take room, and returns its place and inode.
    pub(super) fn longest(&self) -> Option<(Place, (u64, u64))> {
        let mut files = self.lock();
        let takes_room = files
            .iter_mut()
            .filter(|(_, progress)| !progress.no_room && progress.identity.is_some());
        let (place, progress) = takes_room.max_by_key(|(_, progress)| progress.size)?;
        progress.fail(Failed {
            reason: NO_ROOM.to_owned(),
            no_room: true,
        });
        Some((*place, progress.identity?))
    }

    pub(super) fn has_failed(&self, place: Place) -> bool {
        let files = self.lock();
        files.get(&place).is_some_and(|file| file.no_room)
    }

    /// Makes sure that nothing was forgotten once all work is done.
    pub(crate) fn ensure_none(&self) -> Result<()> {
        let count = self
            .files
            .lock()
            .expect("no worker panicked while it held the lock")
            .len();
        ensure!(count == 0, "{count} files were left unfinished");
        Ok(())
    }
}

/// What is known of a file of several parts while it is being written.
pub(super) struct Progress {
    pub(super) remaining: u32,
    pub(super) failure: Option<String>,
    /// Whether it failed for want of room: then it takes none any more.
    pub(super) no_room: bool,
    /// Length of the file.
    pub(super) size: u64,
    /// Device and inode number, unless the file could not be made.
    pub(super) identity: Option<(u64, u64)>,
}

impl Progress {
    pub(super) fn fail(&mut self, failed: Failed) {
        self.no_room |= failed.no_room;
        self.failure.get_or_insert(failed.reason);
    }
}
