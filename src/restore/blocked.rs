//! A directory that cannot be made: what is below it is counted and told of together with it, not each by itself.
//!
//! Entries come in path order, so all that is below a directory follows it directly.

use std::fmt::Display;

use crate::format::path::EntryPath;
use crate::monitor::Counter;
use crate::wording::count;

/// The directory that could not be made last, as long as entries below it may come.
#[derive(Default)]
pub(super) struct Blocked {
    at: Option<At>,
}

struct At {
    path: EntryPath,
    /// None if it is for want of room, which is reported for all.
    reason: Option<String>,
    below: u64,
}

impl Blocked {
    /// Takes a directory that cannot be made, and why.
    pub(super) fn begin(&mut self, path: &EntryPath, reason: impl Display) {
        self.at = Some(At {
            path: path.clone(),
            reason: Some(reason.to_string()),
            below: 0,
        });
    }

    /// Takes a directory that there is no room for.
    pub(super) fn begin_for_room(&mut self, path: &EntryPath) {
        self.at = Some(At {
            path: path.clone(),
            reason: None,
            below: 0,
        });
    }

    /// Tells whether what is left out at present is left out for want of room.
    pub(super) fn is_for_room(&self) -> bool {
        self.at.as_ref().is_some_and(|at| at.reason.is_none())
    }

    /// Tells whether an entry is below the directory, and counts it; if it is not, the directory is told of.
    pub(super) fn leaves_out(&mut self, path: &EntryPath, monitor: &Counter<'_>) -> bool {
        match &mut self.at {
            Some(at) if path.is_within(&at.path) => {
                at.below += 1;
                true
            }
            _ => {
                self.tell(monitor);
                false
            }
        }
    }

    /// Tells of the directory, if there is one: nothing below it will come any more.
    pub(super) fn tell(&mut self, monitor: &Counter<'_>) {
        let Some(At {
            path,
            reason: Some(reason),
            below,
        }) = self.at.take()
        else {
            return;
        };
        let with_it = match below {
            0 => String::new(),
            below => format!("; left out with it: {} below it", count(below, "entry")),
        };
        monitor.problem(
            path.as_bytes(),
            format_args!("cannot make the directory: {reason}{with_it}"),
        );
    }
}
