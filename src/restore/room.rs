//! A target that is full: the files that have no room any more are told of once, not each.
//!
//! Directories, links and attributes are restored all the same; what there is stays usable, and a second restore with
//! `--overwrite=if-changed` brings the rest.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether the target has room; shared by all workers.
#[derive(Default)]
pub(crate) struct Room {
    /// Files that were not tried any more, and one for the first that did not fit; 0 as long as there is room.
    left_out: AtomicU64,
}

impl Room {
    /// Learns from an error of writing; `true` if it says that there is no room.
    pub(crate) fn learn(&self, error: &io::Error) -> bool {
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        if is_full {
            self.left_out.fetch_max(1, Ordering::Relaxed);
        }
        is_full
    }

    /// Tells whether there was no room for an earlier file.
    pub(crate) fn is_full(&self) -> bool {
        self.left_out.load(Ordering::Relaxed) > 0
    }

    /// Counts a file that is not tried.
    pub(crate) fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Says at the end what is missing, and the way out.
    pub(crate) fn told(&self) -> Option<String> {
        let more = self.left_out.load(Ordering::Relaxed).checked_sub(1)?;
        Some(format!(
            "is full, so {more} more files are left out: make room, and restore again with --overwrite=if-changed"
        ))
    }
}
