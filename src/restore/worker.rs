//! The second half of a restore: segments are read once each, by several workers, and their objects written where they belong.
//!
//! A file of one object is made, checked, written and finished in one go. A file of several may be touched by several workers, in
//! any order: the first one makes it at full length, each writes its parts in place, and whoever writes the last part reads the
//! file back, compares its checksum and finishes it.

use std::fmt::Display;
use std::ops::ControlFlow;

use anyhow::{Error, Result, ensure};

use super::Restorer;
use super::contents::{LEFT_OUT, Opened, compare};
use super::rest::Failed;
use super::spool::{Place, Spool, SpoolReader, Work};
use super::target::DirCursor;
use super::tasks::Task;
use super::unfinished::{Progress, Unfinished};
use crate::format::checksum::Checksum;
use crate::format::entry::{Entry, EntryKind};
use crate::format::known_checksums::KnownChecksums;
use crate::format::object_ref::SegmentId;
use crate::format::path::EntryPath;
use crate::sorter::Sorted;
use crate::store::catalog::Catalog;
use crate::store::segment_reader::SegmentReader;

/// Most tasks of one segment that are in memory at once; a segment with more is read again for the rest.
const BATCH_TASKS: usize = 128 << 10;

/// The tasks of one segment.
pub(crate) struct Batch {
    segment: SegmentId,
    tasks: Vec<Task>,
}

/// Takes the next batch off the sorted tasks.
pub(crate) fn next_batch(
    sorted: &mut Sorted<Task>,
    segments: &[SegmentId],
) -> Result<Option<Batch>> {
    let Some(first) = sorted.take()? else {
        return Ok(None);
    };
    let mut tasks = vec![first];
    while tasks.len() < BATCH_TASKS
        && let Some(task) = sorted.take_if(|task| task.segment == first.segment)?
    {
        tasks.push(task);
    }
    Ok(Some(Batch {
        segment: segments[first.segment as usize],
        tasks,
    }))
}

/// Restores batches, one at a time.
pub(crate) struct Worker<'r, 't> {
    restorer: &'r Restorer<'t>,
    spool: SpoolReader<'r>,
    catalog: &'r Catalog,
    unfinished: &'r Unfinished,
    cursor: DirCursor<'t>,
    /// The file of several parts that was written to last.
    last: Option<(Place, Opened)>,
    /// Checksums of the object that is at hand.
    known: KnownChecksums,
}

impl<'r, 't> Worker<'r, 't> {
    pub(crate) fn new(
        restorer: &'r Restorer<'t>,
        spool: &'r Spool,
        catalog: &'r Catalog,
        unfinished: &'r Unfinished,
    ) -> Self {
        Self {
            restorer,
            spool: spool.reader(),
            catalog,
            unfinished,
            cursor: DirCursor::new(restorer.target),
            last: None,
            known: KnownChecksums::default(),
        }
    }

    /// Reads a segment and writes all that is wanted of it. Damage is a problem of the files that it touches.
    pub(crate) fn restore(&mut self, batch: &Batch) -> Result<()> {
        let tasks = &batch.tasks;
        let with = |sequence: u32| {
            let begin = tasks.partition_point(|task| task.sequence < sequence);
            let count = tasks[begin..].partition_point(|task| task.sequence == sequence);
            begin..begin + count
        };
        let mut done = vec![false; tasks.len()];
        let mut left = tasks.len();
        // An error of the restore itself, which must not be taken for damage of the segment.
        let mut fatal = None;
        let read = self.open(batch.segment).and_then(|reader| {
            reader.read(
                |sequence| !with(sequence).is_empty(),
                |sequence, data| {
                    self.restorer.rest.ensure_going_on().map_err(Error::msg)?;
                    self.known = KnownChecksums::default();
                    for index in with(sequence) {
                        // A second object of the same name counts for nothing.
                        if !std::mem::replace(&mut done[index], true) {
                            left -= 1;
                            if let Err(error) = self.settle(&tasks[index], Ok(data)) {
                                fatal = Some(error);
                                return Ok(ControlFlow::Break(()));
                            }
                        }
                    }
                    Ok(if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    })
                },
            )
        });
        if let Some(error) = fatal {
            return Err(error);
        }
        let reason = match read {
            Ok(_) => "an object is missing from its segment".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        for (task, done) in tasks.iter().zip(done) {
            if !done {
                let name = object_name(batch.segment, task.sequence);
                self.settle(task, Err(format!("object {name}: {reason}")))?;
            }
        }
        Ok(())
    }

    fn open(&self, segment: SegmentId) -> Result<SegmentReader> {
        self.restorer.rest.ensure_going_on().map_err(Error::msg)?;
        let unfilter = self.restorer.options.unfilter.as_deref();
        self.catalog.open_segment(segment, unfilter)
    }

    /// Does one task, or notes that it cannot be done. An error ends the restore.
    fn settle(&mut self, task: &Task, object: Result<&[u8], String>) -> Result<()> {
        let bytes = object.and_then(|object| self.part(task, object));
        if self
            .last
            .as_ref()
            .is_some_and(|(place, _)| *place == task.file)
        {
            return self.settle_part(task, bytes, None);
        }
        let (path, work) = self.spool.path(task.file)?;
        if work.tasks > 1 {
            return self.settle_part(task, bytes, Some((path, work)));
        }
        if self.restorer.rest.is_stopped() {
            return Ok(());
        }
        let bytes = match bytes {
            Ok(bytes) if self.restorer.rest.may_fit(bytes.len() as u64) => bytes,
            Ok(_) => {
                self.restorer.rest.leave_out();
                return Ok(());
            }
            Err(reason) => {
                self.restorer.problem(path.as_bytes(), left_out(reason));
                return Ok(());
            }
        };
        let mut restored = self.restore_whole(task, bytes, work);
        while restored.as_ref().is_err_and(|failed| failed.no_room) && self.make_room()? {
            restored = self.restore_whole(task, bytes, work);
        }
        if let Err(failed) = restored {
            if failed.no_room {
                self.restorer.rest.learn_too_long(bytes.len() as u64);
            }
            self.restorer.fail(&path, &failed);
        }
        Ok(())
    }

    /// Gives up the longest of the files of several parts, for the sake of shorter ones; returns whether there was one.
    fn make_room(&mut self) -> Result<bool> {
        let Some((place, identity)) = self.unfinished.longest() else {
            return Ok(false);
        };
        match &self.last {
            Some((last, opened)) if *last == place => opened.empty(),
            _ => {
                let (path, work) = self.spool.path(place)?;
                let opened = Opened::reopen(&mut self.cursor, place, &path, work, identity);
                opened.iter().for_each(Opened::empty);
            }
        }
        Ok(true)
    }

    /// Cuts a task's bytes out of its object.
    fn part<'d>(&mut self, task: &Task, object: &'d [u8]) -> Result<&'d [u8], String> {
        if task.claim != Task::UNCHECKED {
            self.check_object(task, object)
                .map_err(|error| format!("object {:08x} {error:#}", task.sequence))?;
        }
        let start = task.start as usize;
        let end = start
            .checked_add(task.length as usize)
            .filter(|&end| end <= object.len());
        end.map(|end| &object[start..end]).ok_or_else(|| {
            format!(
                "object {:08x} is damaged: it has {} bytes, wanted are {} from {start}",
                task.sequence,
                object.len(),
                task.length
            )
        })
    }

    /// Compares an object with what the file's reference says about it.
    fn check_object(&mut self, task: &Task, object: &[u8]) -> Result<()> {
        ensure!(task.claim != Task::LOST, "lost its reference");
        let reference = self.spool.claim(task.claim)?;
        let range = reference.range(object.len() as u64)?;
        let length = range.end - range.start;
        ensure!(
            length == u64::from(task.length),
            "has {length} bytes, wanted are {}",
            task.length
        );
        reference
            .checksum
            .map_or(Ok(()), |wanted| Ok(self.known.verify(&wanted, object)?))
    }

    /// Restores a file that has one part.
    fn restore_whole(&mut self, task: &Task, bytes: &[u8], work: Work) -> Result<(), Failed> {
        let (entry, _) = self
            .spool
            .entry(task.file)
            .map_err(|error| format!("{error:#}"))?;
        if bytes.len() as u64 == work.size
            && let Some(wanted) = checksum(&entry)
        {
            let compared = compare(&wanted, &Checksum::of(wanted.algorithm(), bytes));
            compared.map_err(left_out)?;
        }
        let opened = Opened::create_with(
            self.restorer,
            &mut self.cursor,
            task.file,
            &entry.path,
            work,
            bytes,
        )?;
        let written = opened.write(task.offset, bytes, self.restorer.options.sparse);
        let written = match written.map_err(|error| cannot_be_written(&error)) {
            Err(failed) if failed.no_room => {
                opened.discard(&mut self.cursor)?;
                return Err(failed);
            }
            written => written.map_err(|failed| failed.reason),
        };
        self.restorer.moved(&entry.path, u64::from(task.length));
        let verified = written.and_then(|()| match checksum(&entry) {
            // The rest of the file is zeros.
            Some(wanted) if bytes.len() as u64 != work.size => {
                opened.verify(&wanted, &self.restorer.rest)
            }
            _ => Ok(()),
        });
        if let Err(reason) = verified {
            self.restorer.give_up(&mut self.cursor, &opened, &reason);
            return Ok(());
        }
        self.restorer
            .complete_verified(&mut self.cursor, &opened, &entry);
        Ok(())
    }

    /// Writes a part of a file that has several.
    fn settle_part(
        &mut self,
        task: &Task,
        bytes: Result<&[u8], String>,
        file: Option<(EntryPath, Work)>,
    ) -> Result<()> {
        let opened = match file {
            Some((path, work)) => self.open_file(task.file, &path, work),
            None => Ok(()),
        };
        let written = match (opened, bytes) {
            (Err(failed), _) => Err(failed),
            (_, Err(reason)) => Err(reason.into()),
            // What was written since would take the room again.
            (Ok(()), Ok(_)) if self.unfinished.has_failed(task.file) => Ok(()),
            (Ok(()), Ok(bytes)) => self.write_part(task, bytes),
        };
        let finished = {
            let mut files = self.unfinished.lock();
            let progress = files
                .get_mut(&task.file)
                .expect("was added when the file was opened");
            progress.remaining -= 1;
            if let Err(failed) = written {
                progress.fail(failed);
            }
            if progress.remaining == 0 {
                files.remove(&task.file)
            } else {
                None
            }
        };
        finished.map_or(Ok(()), |progress| self.finish(task.file, progress))
    }

    fn write_part(&self, task: &Task, bytes: &[u8]) -> Result<(), Failed> {
        let (_, opened) = self.last.as_ref().expect("was just opened");
        let written = opened.write(task.offset, bytes, self.restorer.options.sparse);
        if let Err(failed) = written.map_err(|error| cannot_be_written(&error)) {
            if failed.no_room {
                opened.empty();
            }
            return Err(failed);
        }
        self.restorer.moved(&opened.path, u64::from(task.length));
        Ok(())
    }

    /// Opens a file of several parts; makes it if this is the first of them.
    fn open_file(&mut self, place: Place, path: &EntryPath, work: Work) -> Result<(), Failed> {
        self.last = None;
        // Held while the file is made, so that nobody else makes it at the same time.
        let mut files = self.unfinished.lock();
        let opened = match files.get(&place) {
            Some(Progress { identity: None, .. }) => {
                return Err("could not be made".to_owned().into());
            }
            Some(Progress {
                identity: Some(identity),
                ..
            }) => {
                let identity = *identity;
                drop(files);
                Opened::reopen(&mut self.cursor, place, path, work, identity)?
            }
            None => {
                let going_on = self.restorer.rest.ensure_going_on().map_err(Failed::from);
                let made = going_on.and_then(|()| {
                    Opened::create(self.restorer, &mut self.cursor, place, path, work)
                });
                let made = made.and_then(|opened| {
                    let identity = opened.identity();
                    let identity = identity.map_err(|e| format!("cannot look at it: {e}"))?;
                    Ok((identity, opened))
                });
                let mut progress = Progress {
                    remaining: work.tasks,
                    failure: None,
                    no_room: false,
                    size: work.size,
                    identity: made.as_ref().ok().map(|(identity, _)| *identity),
                };
                let opened = made.map(|(_, opened)| opened).map_err(|failed| {
                    progress.fail(failed);
                    Failed::from("could not be made".to_owned())
                });
                files.insert(place, progress);
                opened?
            }
        };
        self.last = Some((place, opened));
        Ok(())
    }

    /// Checks and completes a file whose last part has been settled.
    fn finish(&mut self, place: Place, progress: Progress) -> Result<()> {
        let (entry, work) = self.spool.entry(place)?;
        let opened = match (
            self.last.take_if(|(last, _)| *last == place),
            progress.identity,
        ) {
            (Some((_, opened)), _) => Ok(opened),
            (None, Some(identity)) => {
                Opened::reopen(&mut self.cursor, place, &entry.path, work, identity)
            }
            (None, None) => Err("could not be made".to_owned()),
        };
        match (opened, progress.failure) {
            (opened, Some(reason)) if progress.no_room => {
                let left = opened.map_or(Ok(()), |opened| opened.discard(&mut self.cursor));
                let reason = match left {
                    Ok(()) => reason,
                    Err(left) => format!("{reason}; {left}"),
                };
                let no_room = true;
                self.restorer.fail(&entry.path, &Failed { reason, no_room });
            }
            (Ok(opened), None) => self.restorer.complete(&mut self.cursor, &opened, &entry),
            (Ok(opened), Some(reason)) => {
                self.restorer.give_up(&mut self.cursor, &opened, &reason);
            }
            (Err(_), Some(_)) if self.restorer.rest.is_stopped() => {}
            (Err(reason), failure) => self
                .restorer
                .problem(entry.path.as_bytes(), failure.unwrap_or(reason)),
        }
        Ok(())
    }
}

/// Returns the checksum of a file's contents, if its entry has one.
pub(crate) fn checksum(entry: &Entry) -> Option<Checksum> {
    match &entry.kind {
        EntryKind::File(contents) => contents.checksum,
        _ => None,
    }
}

fn cannot_be_written(error: &std::io::Error) -> Failed {
    let reason = format!("cannot be written: {error}");
    Failed::new(error, reason)
}

/// Says what becomes of a file that is not even begun.
fn left_out(reason: impl Display) -> String {
    format!("{reason}; {LEFT_OUT}")
}

fn object_name(segment: SegmentId, sequence: u32) -> String {
    crate::format::object_ref::ObjectId { segment, sequence }.to_string()
}
