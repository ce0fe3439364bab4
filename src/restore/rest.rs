//! Why a restore leaves out the rest: the target is full, or a signal said stop. Either is told once, not for each file.
//!
//! Directories get their attributes all the same, unless that would keep out the restore that brings the rest; nothing half is left under
//! any name, and what there is stays usable.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether files are still restored; shared by all workers.
pub(crate) struct Rest<'r> {
    /// Files that were not tried any more, and one for the first that did not fit; 0 as long as there is room.
    without_room: AtomicU64,
    stop: &'r AtomicBool,
}

impl<'r> Rest<'r> {
    pub(crate) fn new(stop: &'r AtomicBool) -> Self {
        Self {
            without_room: AtomicU64::new(0),
            stop,
        }
    }

    /// Learns from an error of writing.
    pub(crate) fn learn(&self, error: &io::Error) {
        if let ErrorKind::StorageFull | ErrorKind::QuotaExceeded = error.kind() {
            self.without_room.fetch_max(1, Ordering::Relaxed);
        }
    }

    /// Tells whether the next file is left out; it is counted if that is for want of room.
    pub(crate) fn leaves_out(&self) -> bool {
        if self.is_full() {
            self.without_room.fetch_add(1, Ordering::Relaxed);
        }
        self.is_over()
    }

    /// Tells whether files are left out that another restore should bring.
    pub(crate) fn is_over(&self) -> bool {
        self.is_full() || self.is_stopped()
    }

    fn is_full(&self) -> bool {
        self.without_room.load(Ordering::Relaxed) > 0
    }

    /// Tells whether the restore is to end, with what it has begun undone.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fails if the restore is to end, with a reason that nobody is told for a single file.
    pub(crate) fn ensure_going_on(&self) -> Result<(), String> {
        if self.is_stopped() {
            return Err("interrupted".to_owned());
        }
        Ok(())
    }

    /// Says at the end what is missing since there was no room, and the way out.
    pub(crate) fn told(&self) -> Option<String> {
        let more = self.without_room.load(Ordering::Relaxed).checked_sub(1)?;
        Some(format!(
            "is full, so {more} more files are left out: make room, and run the same again"
        ))
    }
}
