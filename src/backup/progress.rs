//! How far a backup has come, told to whoever wants to know.
//!
//! Nobody counts beforehand what there is to do: that would take as long as an unchanged night. The end is about where the last
//! snapshot of the scheme had it, and local state knows that. Paths are compared with it one by one, bytes by the sizes of the
//! files that are done, read or not.

use super::run::Run;
use crate::format::path::EntryPath;
use crate::monitor::{Bytes, Progress};

/// The file that is being read, as far as progress needs it.
#[derive(Default)]
pub(super) struct Reading {
    /// Its path, once there is one; keeps its room from file to file.
    path: Option<EntryPath>,
    is_under_way: bool,
    size: u64,
    /// What had been read of other files.
    bytes_before: u64,
}

impl Reading {
    /// Begins a file of this size.
    pub(super) fn begin(&mut self, path: &EntryPath, size: u64, bytes_before: u64) {
        self.path
            .get_or_insert_with(EntryPath::scan_root)
            .copy_from(path.as_bytes());
        (self.is_under_way, self.size, self.bytes_before) = (true, size, bytes_before);
    }

    pub(super) fn end(&mut self) {
        self.is_under_way = false;
    }

    /// Returns the path of the file that is being read.
    pub(super) fn path(&self) -> Option<&EntryPath> {
        self.path.as_ref().filter(|_| self.is_under_way)
    }

    /// Returns how much of the file is read; if it is read again, because it changed, that counts once.
    fn bytes(&self, bytes_read: u64) -> u64 {
        if self.is_under_way {
            (bytes_read - self.bytes_before).min(self.size)
        } else {
            0
        }
    }
}

impl Run<'_> {
    /// Tells how far the run has come, if anybody wants to know; `path` is what it works on.
    pub(super) fn tell_progress(&self, path: &EntryPath) {
        let monitor = self.outside.monitor;
        if !monitor.wants_progress() {
            return;
        }
        let moved = self.chunker.bytes_read();
        monitor.tell_progress(Progress {
            done: self.entries.total(),
            total: self.expected.map(|size| size.entries),
            unit: "entries",
            bytes: Some(Bytes {
                done: self.source_bytes + self.reading.bytes(moved),
                total: self.expected.map(|size| size.source_bytes),
                moved,
            }),
            path: Some(path),
            ..Progress::default()
        });
    }
}
