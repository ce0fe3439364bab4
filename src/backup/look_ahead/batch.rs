//! Paths that are handed over at once, with what belongs to them.
//!
//! A batch is bounded in paths, in open directories and in bytes of the files that are read ahead, whatever the tree is.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use nix::sys::stat::FileStat;

use super::{Found, Visitor};
use crate::backup::Clock;
use crate::backup::read_ahead::{self, FILE_BYTES_MAX, ReadAhead};
use crate::backup::scan::{Called, Seen};
use crate::format::path::EntryPath;

/// Paths after which a batch is handed over.
const BATCH_PATHS: usize = 256;

/// Directories that the paths of a batch may be in; each is an open file.
const BATCH_DIRECTORIES: usize = 16;

/// Bytes of files to be read ahead after which a batch is handed over. With what the last file has beyond it, and with files that have
/// grown since the scan, it is never more than this and two of the largest files.
const BATCH_BYTES: usize = 256 << 10;

/// Paths that follow one another.
pub(super) struct Batch {
    /// All paths, one after the other.
    paths: Vec<u8>,
    directories: Vec<Arc<OwnedFd>>,
    entries: Vec<BatchEntry>,
    /// Bytes of the files that may be read ahead, by the stats of the scan.
    small_file_bytes: usize,
    /// The files that were read ahead.
    files: Vec<ReadAhead>,
    /// Their contents, one after the other.
    contents: Vec<u8>,
    /// Before the first of the paths was looked at.
    begun: Timestamp,
}

struct BatchEntry {
    /// Where its path ends in `paths`.
    path_end: usize,
    /// What was found there; none of what is left out.
    found: Option<BatchFound>,
    /// Why it is taken or left out, if reasons are asked for.
    reason: Option<Arc<str>>,
}

struct BatchFound {
    /// Index of its directory.
    directory: usize,
    called: Called,
    stat: FileStat,
    partial: bool,
    /// Its index in `files`, if it was read ahead.
    file: Option<usize>,
}

impl Batch {
    /// Begins a batch, at a moment before the first of its paths is looked at.
    pub(super) fn new(begun: Timestamp) -> Self {
        Self {
            paths: Vec::new(),
            directories: Vec::new(),
            entries: Vec::with_capacity(BATCH_PATHS),
            small_file_bytes: 0,
            files: Vec::new(),
            contents: Vec::new(),
            begun,
        }
    }

    /// Adds a path that is to be backed up.
    pub(super) fn push(&mut self, seen: Seen<'_>) {
        let known = self.directories.last();
        if known.is_none_or(|last| !Arc::ptr_eq(last, seen.parent)) {
            self.directories.push(Arc::clone(seen.parent));
        }
        self.small_file_bytes += read_ahead::expected_bytes(&seen.stat).unwrap_or(0);
        self.paths.extend_from_slice(seen.path.as_bytes());
        self.entries.push(BatchEntry {
            path_end: self.paths.len(),
            found: Some(BatchFound {
                directory: self.directories.len() - 1,
                called: seen.called,
                stat: seen.stat,
                partial: seen.partial,
                file: None,
            }),
            reason: seen.rule,
        });
    }

    /// Adds a path that is left out.
    pub(super) fn push_left_out(&mut self, path: &EntryPath, why: Arc<str>) {
        self.paths.extend_from_slice(path.as_bytes());
        self.entries.push(BatchEntry {
            path_end: self.paths.len(),
            found: None,
            reason: Some(why),
        });
    }

    /// Tells whether it is time to hand it over.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_PATHS
            || self.directories.len() >= BATCH_DIRECTORIES
            || self.small_file_bytes >= BATCH_BYTES
    }

    /// Reads its small files; not those that have no room any more, since others have grown.
    pub(super) fn read_files(&mut self, clock: &dyn Clock) {
        self.files.reserve_exact(self.entries.len());
        // Each read asks for a byte more than is expected.
        self.contents.reserve_exact(self.small_file_bytes + 1);
        let mut path = EntryPath::scan_root();
        let mut path_begin = 0;
        for entry in &mut self.entries {
            path.copy_from(&self.paths[path_begin..entry.path_end]);
            path_begin = entry.path_end;
            let Some(found) = &mut entry.found else {
                continue;
            };
            if self.contents.len() > BATCH_BYTES + FILE_BYTES_MAX {
                return;
            }
            let parent = self.directories[found.directory].as_fd();
            let name = found.called.name(&path);
            let contents = &mut self.contents;
            if let Some(file) = read_ahead::read(parent, name, &found.stat, contents, clock) {
                found.file = Some(self.files.len());
                self.files.push(file);
            }
        }
    }

    /// Shows all paths to the visitor, each in `path`.
    pub(super) fn visit_all(&self, path: &mut EntryPath, visitor: &mut dyn Visitor) -> Result<()> {
        let mut path_begin = 0;
        for entry in &self.entries {
            path.copy_from(&self.paths[path_begin..entry.path_end]);
            path_begin = entry.path_end;
            let reason = entry.reason.as_deref();
            let Some(found) = &entry.found else {
                visitor.pass(path, reason.unwrap_or_default());
                continue;
            };
            let file = found.file.map(|at| &self.files[at]);
            visitor.visit(&Found {
                path,
                parent: self.directories[found.directory].as_fd(),
                name: found.called.name(path),
                stat: found.stat,
                seen: self.begun,
                partial: found.partial,
                rule: reason,
                ahead: file.map(|file| file.in_buffer(&self.contents)),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use nix::fcntl::AtFlags;
    use nix::sys::stat::fstatat;

    use super::*;

    struct Now;

    impl Clock for Now {
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }

        fn wait_until(&self, _: Timestamp) {}
    }

    #[test]
    fn files_that_grow_behind_the_scan_do_not_make_a_batch_grow_without_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let names: Vec<_> = (0..20).map(|number| format!("{number:02}")).collect();
        let write = |bytes: &[u8]| {
            for name in &names {
                fs::write(dir.path().join(name), bytes).expect("is written");
            }
        };
        write(b"x");
        let parent = Arc::new(OwnedFd::from(File::open(dir.path()).expect("opens")));
        let mut batch = Batch::new(Timestamp::now());
        for name in &names {
            let path = EntryPath::scan_root().join(name.as_bytes());
            batch.push(Seen {
                path: &path,
                parent: &parent,
                called: Called::ByItsName,
                stat: fstatat(&*parent, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                    .expect("is there"),
                partial: false,
                rule: None,
            });
        }
        write(&vec![b'y'; FILE_BYTES_MAX]);
        batch.read_files(&Now);
        let held = BATCH_BYTES + 2 * FILE_BYTES_MAX;
        assert!(batch.contents.len() <= held, "{}", batch.contents.len());
        assert!(!batch.files.is_empty());
        assert_eq!(batch.contents.len(), batch.files.len() * FILE_BYTES_MAX);
        let files = batch.entries.iter().map(|entry| &entry.found);
        let files: Vec<_> = files.map(|found| found.as_ref()?.file).collect();
        let (read, left) = files.split_at(batch.files.len());
        assert!(read.iter().copied().eq((0..read.len()).map(Some)));
        assert!(left.iter().all(Option::is_none), "the conductor reads them");
    }
}
