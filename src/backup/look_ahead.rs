//! Lets the scan run ahead of the rest of a backup, in a thread of its own; and in a first backup the reading of small files, in another.
//!
//! An unchanged night is little but `fstatat`; looking at the next paths while the conductor decides about the last ones takes the
//! time of the scan alone. The lead is small and bounded, in paths and in open directories: what was seen long ago may be gone.
//! A stat that is a little old is as good as a fresh one: what changed after it is found changed by the next run. Only the question
//! whether a file changed *just before* it was looked at needs the time of that look; and when a large file came between, the conductor
//! looks again.
//!
//! With a million small files, listing them takes about 3 seconds of processor time, reading them 8, recording them 4 and compressing
//! them 9: threads of their own, one behind the other, keep two cores busy.

mod batch;

use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use nix::sys::stat::FileStat;

use self::batch::Batch;
use super::Clock;
use super::read_ahead::Ahead;
use super::run::Interrupted;
use super::scan::{Met, Scanner};
use crate::format::path::EntryPath;

/// Batches that wait between one thread and the next. With one in each of three hands, no more than seven are in memory.
const BATCHES_AHEAD: usize = 2;

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

/// Scans and hands every path over in order, small files with their contents if `reads_all` says that all will be read. An error of the visitor ends the scan.
pub(super) fn scan(
    scanner: Scanner<'_>,
    clock: &dyn Clock,
    reads_all: bool,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    thread::scope(|scope| {
        let (sender, mut batches) = sync_channel(BATCHES_AHEAD);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let walker = named("scan")
            .spawn_scoped(scope, move || walk(&scanner, clock, &sender))
            .context("cannot start a thread")?;
        let reader = reads_all.then(|| {
            let (sender, read) = sync_channel(BATCHES_AHEAD);
            let unread = std::mem::replace(&mut batches, read);
            named("read ahead").spawn_scoped(scope, move || read_files(&unread, clock, &sender))
        });
        let reader = reader.transpose().context("cannot start a thread")?;
        let visited = visit_all(&batches, visitor);
        // Who sends notices that nobody listens any more.
        drop(batches);
        let panicked = |_| Err(anyhow!("the scan panicked"));
        let read = reader.map_or(Ok(()), |reader| reader.join().or_else(panicked));
        let ended = walker.join().unwrap_or_else(panicked);
        visited.and(read).and(ended)
    })
}

fn walk(scanner: &Scanner<'_>, clock: &dyn Clock, sender: &SyncSender<Batch>) -> Result<()> {
    let mut batch = Batch::new(clock.now());
    // Whoever does not listen any more has ended the run, and says why.
    let send = |batch| sender.send(batch).map_err(|_| Interrupted);
    scanner.scan(&mut |met| {
        match met {
            Met::Seen(seen) => batch.push(seen),
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

/// Reads the small files of all batches, and ends when no more come or nobody takes them.
fn read_files(batches: &Receiver<Batch>, clock: &dyn Clock, sender: &SyncSender<Batch>) {
    for mut batch in batches {
        batch.read_files(clock);
        if sender.send(batch).is_err() {
            return;
        }
    }
}

fn visit_all(batches: &Receiver<Batch>, visitor: &mut dyn Visitor) -> Result<()> {
    let mut path = EntryPath::scan_root();
    for batch in batches {
        batch.visit_all(&mut path, visitor)?;
    }
    Ok(())
}
