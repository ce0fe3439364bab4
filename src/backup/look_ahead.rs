//! Lets the scan run ahead of the rest of a backup, in a thread of its own.
//!
//! An unchanged night is little but `fstatat`; looking at the next paths while the conductor decides about the last ones takes the
//! time of the scan alone. The lead is small and bounded, in paths and in open directories: what was seen long ago may be gone.
//! A stat that is a little old is as good as a fresh one: what changed after it is found changed by the next run. Only the question
//! whether a file changed *just before* it was looked at needs the time of that look; and when a large file came between, the conductor
//! looks again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use nix::sys::stat::FileStat;

use super::Clock;
use super::read_ahead::{self, Ahead, ReadAhead};
use super::run::Interrupted;
use super::scan::{Called, Met, Scanner, Seen};
use crate::format::path::EntryPath;

/// Paths that are handed over at once.
const BATCH_PATHS: usize = 256;

/// Directories that the paths of a batch may be in; each is an open file.
const BATCH_DIRECTORIES: usize = 16;

/// Batches that wait for the conductor.
const BATCHES_AHEAD: usize = 4;

/// Bytes of files read ahead after which a batch is handed over. With one batch being filled and one being taken, no more than
/// six times this, and six of the largest files, wait in memory.
const BATCH_BYTES: usize = 256 << 10;

/// A path that the scan found, as the conductor gets it.
#[derive(Clone, Copy)]
pub(super) struct Found<'s> {
    /// Its path as stored.
    pub path: &'s EntryPath,
    /// The directory it is in.
    pub parent: BorrowedFd<'s>,
    /// Its name in that directory.
    pub name: &'s [u8],
    /// What `fstatat` said, symbolic links not followed (except for directories above a source).
    pub stat: FileStat,
    /// A moment before it said so.
    pub seen: Timestamp,
    /// Whether it is a directory of which not everything is backed up that no rule leaves out.
    pub partial: bool,
    /// The rule that took it, if there is one and reasons are asked for.
    pub rule: Option<&'s str>,
    /// The file as it was read ahead, if it was.
    pub ahead: Option<Ahead<'s>>,
}

/// Takes what the scan found, in path order.
pub(super) trait Visitor {
    /// Takes a path that is to be backed up.
    fn visit(&mut self, found: &Found<'_>) -> Result<()>;
    /// Takes a path that is left out, if reasons are asked for.
    fn pass(&mut self, path: &EntryPath, why: &str);
}

/// Paths that follow one another.
struct Batch {
    /// All paths, one after the other.
    paths: Vec<u8>,
    directories: Vec<Arc<OwnedFd>>,
    entries: Vec<BatchEntry>,
    /// Contents of all files that were read ahead, one after the other.
    contents: Vec<u8>,
    /// Before the first of them was looked at.
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
    ahead: Option<Box<ReadAhead>>,
}

/// Scans and hands every path over in order, small files with their contents if `reads_all` says that all will be read. An error of the visitor ends the scan.
pub(super) fn scan(
    scanner: Scanner<'_>,
    clock: &dyn Clock,
    reads_all: bool,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        let walker = thread::Builder::new()
            .spawn_scoped(scope, move || walk(&scanner, clock, reads_all, &sender))
            .context("cannot start a thread")?;
        let visited = visit_all(&receiver, visitor);
        // The walker notices that nobody listens any more.
        drop(receiver);
        let ended = walker
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the scan panicked")));
        visited.and(ended)
    })
}

fn visit_all(batches: &Receiver<Batch>, visitor: &mut dyn Visitor) -> Result<()> {
    let mut path = EntryPath::scan_root();
    for batch in batches {
        let mut path_begin = 0;
        for entry in &batch.entries {
            path.copy_from(&batch.paths[path_begin..entry.path_end]);
            path_begin = entry.path_end;
            let reason = entry.reason.as_deref();
            let Some(found) = &entry.found else {
                visitor.pass(&path, reason.unwrap_or_default());
                continue;
            };
            let ahead = found.ahead.as_deref();
            visitor.visit(&Found {
                path: &path,
                parent: batch.directories[found.directory].as_fd(),
                name: match found.called {
                    Called::ByItsName => path.split().1,
                    Called::Itself => b".",
                },
                stat: found.stat,
                seen: batch.begun,
                partial: found.partial,
                rule: reason,
                ahead: ahead.map(|ahead| ahead.in_buffer(&batch.contents)),
            })?;
        }
    }
    Ok(())
}

fn walk(
    scanner: &Scanner<'_>,
    clock: &dyn Clock,
    reads_all: bool,
    sender: &SyncSender<Batch>,
) -> Result<()> {
    let mut batch = Batch::new(clock.now());
    // Whoever does not listen any more has ended the run, and says why.
    let send = |batch| sender.send(batch).map_err(|_| Interrupted);
    scanner.scan(&mut |met| {
        match met {
            Met::Seen(seen) if reads_all => batch.push_and_read(seen, clock),
            Met::Seen(seen) => batch.push(seen, None),
            Met::LeftOut(path, why) => batch.push_left_out(path, why),
        }
        if batch.is_full() {
            let full = std::mem::replace(&mut batch, Batch::new(clock.now()));
            send(full)?;
        }
        Ok(())
    })?;
    Ok(send(batch)?)
}

impl Batch {
    fn new(begun: Timestamp) -> Self {
        Self {
            paths: Vec::new(),
            directories: Vec::new(),
            entries: Vec::with_capacity(BATCH_PATHS),
            contents: Vec::new(),
            begun,
        }
    }

    fn push_and_read(&mut self, seen: Seen<'_>, clock: &dyn Clock) {
        let ahead = match seen.called {
            Called::ByItsName => {
                let (parent, name) = (seen.parent.as_fd(), seen.path.split().1);
                read_ahead::read(parent, name, &seen.stat, &mut self.contents, clock)
            }
            Called::Itself => None,
        };
        self.push(seen, ahead.map(Box::new));
    }

    fn push(&mut self, seen: Seen<'_>, ahead: Option<Box<ReadAhead>>) {
        let known = self.directories.last();
        if known.is_none_or(|last| !Arc::ptr_eq(last, seen.parent)) {
            self.directories.push(Arc::clone(seen.parent));
        }
        self.paths.extend_from_slice(seen.path.as_bytes());
        self.entries.push(BatchEntry {
            path_end: self.paths.len(),
            found: Some(BatchFound {
                directory: self.directories.len() - 1,
                called: seen.called,
                stat: seen.stat,
                partial: seen.partial,
                ahead,
            }),
            reason: seen.rule,
        });
    }

    fn push_left_out(&mut self, path: &EntryPath, why: Arc<str>) {
        self.paths.extend_from_slice(path.as_bytes());
        self.entries.push(BatchEntry {
            path_end: self.paths.len(),
            found: None,
            reason: Some(why),
        });
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_PATHS
            || self.directories.len() >= BATCH_DIRECTORIES
            || self.contents.len() >= BATCH_BYTES
    }
}
