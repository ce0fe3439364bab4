//! Why a restore leaves files out: they do not fit into the target, or a signal said stop. Either is reported once, not for each file.
//!
//! A file that does not fit leaves nothing behind, and smaller ones that follow are restored as long as they fit. Directories get their
//! attributes all the same, unless that would keep out the restore that brings the rest.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::wording::count;

/// Whether files are still restored; shared by all workers.
pub(crate) struct Rest<'r> {
    /// Files that were left out for want of room.
    without_room: AtomicU64,
    /// Length of the shortest file that did not fit.
    too_long: AtomicU64,
    stop: &'r AtomicBool,
}

/// Why a file could not be made or written.
pub(crate) struct Failed {
    pub(crate) reason: String,
    /// Whether it is for want of room.
    pub(crate) no_room: bool,
}

impl Failed {
    pub(crate) fn new(error: &io::Error, reason: String) -> Self {
        let no_room = is_no_room(error);
        Self { reason, no_room }
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self {
            reason,
            no_room: false,
        }
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl<'r> Rest<'r> {
    pub(crate) fn new(stop: &'r AtomicBool) -> Self {
        Self {
            without_room: AtomicU64::new(0),
            too_long: AtomicU64::new(u64::MAX),
            stop,
        }
    }

    /// Counts a file that is left out for want of room; returns whether it is the first.
    pub(crate) fn leave_out(&self) -> bool {
        self.without_room.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Learns that so many bytes did not fit, with nothing else in progress.
    pub(crate) fn learn_too_long(&self, bytes: u64) {
        self.too_long.fetch_min(bytes.max(1), Ordering::Relaxed);
    }

    /// Tells whether so many bytes are worth trying.
    pub(crate) fn may_fit(&self, bytes: u64) -> bool {
        bytes < self.too_long.load(Ordering::Relaxed)
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
        let left_out = match more {
            0 => "what did not fit is left out".to_owned(),
            1 => "1 more file is left out".to_owned(),
            _ => format!("{} are left out", count(more, "more file")),
        };
        Some(format!(
            "is full, so {left_out}: make room, and run the same again"
        ))
    }
}
