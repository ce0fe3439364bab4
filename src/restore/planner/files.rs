//! Files with contents: their references become tasks.
//!
//! The references of most files are few and in memory for a moment. Of a file that has more than are held, lists are read twice, once to
//! see that lengths add up and once for the tasks; a few kilobytes of a hostile store lead to millions of references.

use anyhow::{Result, bail, ensure};

use super::super::contents::Opened;
use super::super::layout::{Layout, Placing, layout};
use super::super::spool::{Place, Work};
use super::super::tasks::Task;
use super::Planner;
use crate::file_reader::{self, Expanded, References};
use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::DataRef;
use crate::store::object_cache::ObjectCache;

/// What is wrong with lists that are not what they were a moment ago.
const CHANGED: &str = "its lists of references changed while they were read";

impl Planner<'_, '_> {
    /// Plans a file. The inner error is what is wrong with its references.
    pub(super) fn add_contents(
        &mut self,
        entry: &mut Entry,
        objects: &mut ObjectCache<'_>,
        replace: bool,
    ) -> Result<Result<Place>> {
        let EntryKind::File(contents) = &mut entry.kind else {
            unreachable!("only called for files");
        };
        let (size, data) = (contents.size, std::mem::take(&mut contents.data));
        match file_reader::expand(data, size, objects) {
            Ok(Expanded::All(data)) => match layout(&data, size) {
                Ok(layout) => {
                    // Even so, these may be 400,000: they are kept only where all of them are needed again.
                    if matches!(layout, Layout::Unknown) {
                        contents.data = data;
                    }
                    self.add_file(entry, layout, replace).map(Ok)
                }
                Err(error) => Ok(Err(error)),
            },
            Ok(Expanded::TooMany(data)) => match count(&data, size, objects) {
                Ok(Some(tasks)) => self.add_many(entry, &data, tasks, replace, objects),
                Ok(None) => {
                    contents.data = data;
                    self.add_file(entry, Layout::Unknown, replace).map(Ok)
                }
                Err(error) => Ok(Err(error)),
            },
            Err(error) => Ok(Err(error)),
        }
    }

    /// Puts a file in the spool and its references among the tasks; a file that needs no segment is made at once.
    fn add_file(&mut self, entry: &Entry, layout: Layout, replace: bool) -> Result<Place> {
        let size = size_of(entry);
        let Layout::Known(references) = layout else {
            let work = Work {
                tasks: 1,
                replace,
                in_one_step: false,
                size,
            };
            let place = self.spool.add(entry, work)?;
            self.sequential.push(place);
            return Ok(place);
        };
        let place = self.spool_file(entry, references.len(), replace)?;
        for placed in references {
            let task = self.task(&placed, place)?;
            self.tasks.add(task)?;
        }
        Ok(place)
    }

    /// The same for a file of more references than are held, all of which can be placed: its lists are read once more. The inner error
    /// is that they cannot be, or are others by now; then as many tasks as were promised end the file all the same, as failed.
    fn add_many(
        &mut self,
        entry: &Entry,
        data: &[DataRef],
        tasks: usize,
        replace: bool,
        objects: &mut ObjectCache<'_>,
    ) -> Result<Result<Place>> {
        let place = self.spool_file(entry, tasks, replace)?;
        let size = size_of(entry);
        let mut placing = Placing::new(size)?;
        let (mut added, mut last, mut fatal) = (0, None, None);
        let read =
            file_reader::for_each(References { data, size }, objects, &mut |reference, _| {
                let Some(placed) = placing.next(&reference)? else {
                    return Ok(());
                };
                ensure!(added < tasks, CHANGED);
                let task = self.task(&placed, place);
                match task.and_then(|task| self.tasks.add(task).map(|()| task)) {
                    Ok(task) => (added, last) = (added + 1, Some(task)),
                    Err(error) => {
                        fatal = Some(error);
                        bail!("ends the restore");
                    }
                }
                Ok(())
            });
        if let Some(error) = fatal {
            return Err(error);
        }
        let whole = read.and_then(|()| {
            ensure!(added == tasks, CHANGED);
            placing.finish()
        });
        let Err(error) = whole else {
            return Ok(Ok(place));
        };
        // Without any task, nobody begins the file.
        if let Some(last) = last {
            for _ in added..tasks {
                self.tasks.add(Task {
                    claim: Task::LOST,
                    ..last
                })?;
            }
        }
        Ok(Err(error))
    }

    /// Puts a file in the spool; one without tasks is made.
    fn spool_file(&mut self, entry: &Entry, tasks: usize, replace: bool) -> Result<Place> {
        let work = Work {
            tasks: u32::try_from(tasks)?,
            replace,
            in_one_step: tasks <= 1,
            size: size_of(entry),
        };
        let place = self.spool.add(entry, work)?;
        if tasks == 0 {
            let opened = Opened::create(self.restorer, &mut self.cursor, place, &entry.path, work);
            match opened {
                Ok(opened) => self.restorer.complete(&mut self.cursor, &opened, entry),
                Err(failed) => self.restorer.fail(&entry.path, &failed),
            }
        }
        Ok(place)
    }
}

/// Counts the tasks of a file of more references than are held; none if it has to be read from front to back, since some cannot be
/// placed.
fn count(data: &[DataRef], size: u64, objects: &mut ObjectCache<'_>) -> Result<Option<usize>> {
    let (mut placing, mut count, mut is_known) = (Placing::new(size)?, 0, true);
    file_reader::for_each(References { data, size }, objects, &mut |reference, _| {
        is_known &= reference.length().is_some();
        if is_known && placing.next(&reference)?.is_some() {
            count += 1;
        }
        Ok(())
    })?;
    if is_known {
        placing.finish()?;
    }
    Ok(is_known.then_some(count))
}

fn size_of(entry: &Entry) -> u64 {
    match &entry.kind {
        EntryKind::File(contents) => contents.size,
        _ => 0,
    }
}
