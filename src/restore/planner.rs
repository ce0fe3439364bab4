//! The first half of a restore: everything that needs no segment, and a plan of what does.
//!
//! Entries come in path order. Directories, links and special files are made at once; files with contents are put in the spool and
//! their references among the tasks. What has to wait for everything else (hard links, the attributes of directories) is noted.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::Restorer;
use super::collision::{Decision, decide};
use super::contents::Opened;
use super::spool::{Place, Spool, SpoolWriter, Work};
use super::target::{self, DirCursor, Made};
use super::tasks::Task;
use crate::chosen::{Chosen, Relation};
use crate::file_reader;
use crate::format::checksum::Checksum;
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::object_ref::{DataRef, ObjectRef, SegmentId, Slice};
use crate::format::path::EntryPath;
use crate::metadata_log::LogError;
use crate::sorter::{Sorted, Sorter};
use crate::store::object_cache::ObjectCache;

/// What is left to do after the plan is made.
pub(crate) struct Plan {
    pub(crate) spool: Spool,
    pub(crate) tasks: Sorted<Task>,
    /// Segments by their number in the tasks.
    pub(crate) segments: Vec<SegmentId>,
    /// Files whose references do not say where in the file they belong: each is read from front to back.
    pub(crate) sequential: Vec<Place>,
    /// Entries to be linked, with the entry that they are links of.
    pub(crate) links: Vec<(Place, Place)>,
    /// Directories that get their attributes last, in path order.
    pub(crate) directories: Vec<Place>,
}

/// Makes the plan, and everything that needs no segment.
pub(crate) struct Planner<'r, 't> {
    restorer: &'r Restorer<'t>,
    cursor: DirCursor<'t>,
    /// The directories above the current entry, and whether this restore made them.
    above: Vec<(EntryPath, Made)>,
    spool: SpoolWriter,
    tasks: Sorter<Task>,
    numbers: HashMap<SegmentId, u32>,
    segments: Vec<SegmentId>,
    sequential: Vec<Place>,
    linked: HashMap<LinkKey, Place>,
    links: Vec<(Place, Place)>,
    directories: Vec<Place>,
}

/// Entries with equal keys are hard links of one another. The inode alone is not enough: device numbers change between runs, and
/// entries that were recorded on different days may then collide.
type LinkKey = (Vec<u8>, char, u64, Option<Checksum>);

/// A reference whose place in the file is known.
struct Placed {
    reference: ObjectRef,
    index: usize,
    offset: u64,
    length: u64,
}

/// Where a file's references go.
enum Layout {
    /// Each at a known offset, with its length and its number among the file's references.
    Known(Vec<Placed>),
    /// Some only where the one before it ends.
    Unknown,
}

impl<'r, 't> Planner<'r, 't> {
    pub(crate) fn new(restorer: &'r Restorer<'t>, directory: &Path) -> Result<Self> {
        Ok(Self {
            restorer,
            cursor: DirCursor::new(restorer.target),
            above: Vec::new(),
            spool: SpoolWriter::create(directory)?,
            tasks: Sorter::new(directory),
            numbers: HashMap::new(),
            segments: Vec::new(),
            sequential: Vec::new(),
            linked: HashMap::new(),
            links: Vec::new(),
            directories: Vec::new(),
        })
    }

    /// Plans one item of the metadata log. An error ends the restore; everything else is a problem of the entry.
    pub(crate) fn add(
        &mut self,
        item: Result<Entry, LogError>,
        chosen: &mut Chosen,
        objects: &mut ObjectCache<'_>,
    ) -> Result<()> {
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                self.restorer.problem(&error.subject, error.reason);
                return Ok(());
            }
        };
        let relation = chosen.relate(&entry.path);
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        match relation {
            // The target itself stands for the scan root and keeps its own attributes.
            _ if entry.path.is_root() => Ok(()),
            Relation::Outside => Ok(()),
            Relation::Above if !is_directory => Ok(()),
            _ if is_directory => self.add_directory(&entry, relation),
            _ => self.add_other(entry, objects),
        }
    }

    /// Ends the planning.
    pub(crate) fn finish(self) -> Result<Plan> {
        Ok(Plan {
            spool: self.spool.finish()?,
            tasks: self.tasks.finish()?,
            segments: self.segments,
            sequential: self.sequential,
            links: self.links,
            directories: self.directories,
        })
    }

    fn add_directory(&mut self, entry: &Entry, relation: Relation) -> Result<()> {
        let (parent, name) = entry.path.split();
        let made = self.ensure_parent(parent).and_then(|()| {
            let parent = self.cursor.enter(parent)?;
            if self.restorer.options.replaces()
                && is_replaceable(target::stat(parent, name)?.as_ref())
            {
                target::remove(parent, name)?;
            }
            target::make_directory(parent, name)
        });
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                self.restorer.problem(
                    entry.path.as_bytes(),
                    format_args!("cannot make the directory: {error}"),
                );
                return Ok(());
            }
        };
        self.above.retain(|(path, _)| entry.path.is_within(path));
        self.above.push((entry.path.clone(), made));
        // A directory that was there and only leads to what is wanted is none of this restore's business.
        if relation == Relation::Within || made == Made::Created {
            let place = self.spool.add(
                entry,
                Work {
                    tasks: 0,
                    replace: false,
                    size: 0,
                },
            )?;
            self.directories.push(place);
        }
        Ok(())
    }

    fn add_other(&mut self, mut entry: Entry, objects: &mut ObjectCache<'_>) -> Result<()> {
        let replace = match self.decide(&entry) {
            Ok(Decision::Create) => false,
            Ok(Decision::Replace) => true,
            Ok(Decision::Leave) => return Ok(()),
            Ok(Decision::Refuse(reason)) => {
                self.restorer.problem(entry.path.as_bytes(), reason);
                return Ok(());
            }
            Err(error) => {
                self.restorer.problem(entry.path.as_bytes(), error);
                return Ok(());
            }
        };
        if let Some(first) = link_key(&entry).and_then(|key| self.linked.get(&key).copied()) {
            let place = self.spool.add(
                &entry,
                Work {
                    tasks: 0,
                    replace,
                    size: 0,
                },
            )?;
            self.links.push((place, first));
            return Ok(());
        }
        let key = link_key(&entry);
        let place = match &mut entry.kind {
            EntryKind::File(contents) => {
                let expanded = file_reader::expand(std::mem::take(&mut contents.data), objects);
                match expanded.and_then(|data| Ok((layout(&data, contents.size)?, data))) {
                    Ok((layout, data)) => {
                        contents.data = data;
                        Some(self.add_file(&entry, layout, replace)?)
                    }
                    Err(error) => {
                        self.restorer.problem(
                            entry.path.as_bytes(),
                            format_args!("cannot be restored: {error:#}"),
                        );
                        None
                    }
                }
            }
            _ => self.add_special(&entry, replace)?,
        };
        if let (Some(key), Some(place)) = (key, place) {
            self.linked.insert(key, place);
        }
        Ok(())
    }

    /// Puts a file in the spool and its references among the tasks; a file that needs no segment is made at once.
    fn add_file(&mut self, entry: &Entry, layout: Layout, replace: bool) -> Result<Place> {
        let EntryKind::File(FileContents { size, .. }) = entry.kind else {
            unreachable!("only called for files");
        };
        let references = match layout {
            Layout::Known(references) => references,
            Layout::Unknown => {
                let place = self.spool.add(
                    entry,
                    Work {
                        tasks: 1,
                        replace,
                        size,
                    },
                )?;
                self.sequential.push(place);
                return Ok(place);
            }
        };
        let work = Work {
            tasks: u32::try_from(references.len())?,
            replace,
            size,
        };
        let place = self.spool.add(entry, work)?;
        if references.is_empty() {
            let opened = Opened::create(self.restorer, &mut self.cursor, &entry.path, work);
            match opened {
                Ok(opened) => self.restorer.complete(&mut self.cursor, &opened, entry),
                Err(error) => self.restorer.problem(entry.path.as_bytes(), error),
            }
        }
        for placed in references {
            let task = self.task(&placed, place)?;
            self.tasks.add(task)?;
        }
        Ok(place)
    }

    /// Makes a link or special file with its attributes.
    fn add_special(&mut self, entry: &Entry, replace: bool) -> Result<Option<Place>> {
        let (parent, name) = entry.path.split();
        let made = self.cursor.enter(parent).and_then(|parent| {
            if replace {
                target::remove(parent, name)?;
            }
            target::make_special(parent, name, &entry.kind)?;
            Ok(parent)
        });
        match made {
            Ok(parent) => {
                self.restorer.give_attributes(parent, name, None, entry);
                self.restorer.restored(&entry.path, 0);
                Ok(Some(self.spool.add(
                    entry,
                    Work {
                        tasks: 0,
                        replace,
                        size: 0,
                    },
                )?))
            }
            Err(error) => {
                self.restorer.problem(
                    entry.path.as_bytes(),
                    format_args!("cannot be made: {error}"),
                );
                Ok(None)
            }
        }
    }

    fn decide(&mut self, entry: &Entry) -> std::io::Result<Decision> {
        let (parent, name) = entry.path.split();
        self.ensure_parent(parent)?;
        if self
            .above
            .last()
            .is_some_and(|(path, made)| path.as_bytes() == parent && *made == Made::Created)
        {
            // Nothing but this restore's own files can be in a directory that it made; a name that is there twice fails to be
            // created the second time.
            return Ok(Decision::Create);
        }
        let there = target::stat(self.cursor.enter(parent)?, name)?;
        Ok(decide(
            self.restorer.options.overwrite,
            there.as_ref(),
            entry,
        ))
    }

    /// Makes the directories above an entry whose own entries were not met: lost to damage, or never recorded.
    fn ensure_parent(&mut self, parent: &[u8]) -> std::io::Result<()> {
        if parent == b"."
            || self
                .above
                .last()
                .is_some_and(|(path, _)| path.as_bytes() == parent)
        {
            return Ok(());
        }
        match self.cursor.enter(parent) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            entered => return entered.map(drop),
        }
        let mut path = EntryPath::root();
        for name in parent.split(|&b| b == b'/') {
            target::make_directory(self.cursor.enter(path.as_bytes())?, name)?;
            path = path.join(name);
        }
        Ok(())
    }

    fn task(&mut self, placed: &Placed, file: Place) -> Result<Task> {
        let Placed {
            reference,
            index,
            offset,
            length,
        } = placed;
        let start = if let Slice::Part { start, .. } = reference.slice {
            start
        } else {
            0
        };
        let must_be_checked =
            reference.checksum.is_some() || matches!(reference.slice, Slice::Exactly(_));
        Ok(Task {
            segment: self.number(reference.object.segment)?,
            sequence: reference.object.sequence,
            file,
            offset: *offset,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            length: u32::try_from(*length).unwrap_or(u32::MAX),
            checked_reference: if must_be_checked {
                u32::try_from(*index)?
            } else {
                Task::UNCHECKED
            },
        })
    }

    fn number(&mut self, segment: SegmentId) -> Result<u32> {
        if let Some(&number) = self.numbers.get(&segment) {
            return Ok(number);
        }
        let number = u32::try_from(self.segments.len())?;
        self.segments.push(segment);
        self.numbers.insert(segment, number);
        Ok(number)
    }
}

fn is_replaceable(there: Option<&nix::sys::stat::FileStat>) -> bool {
    there.is_some_and(|there| target::file_type(there) != nix::sys::stat::SFlag::S_IFDIR)
}

fn link_key(entry: &Entry) -> Option<LinkKey> {
    let inode = entry.inode.as_ref().filter(|_| entry.may_be_hard_link())?;
    let (size, checksum) = match &entry.kind {
        EntryKind::File(contents) => (contents.size, contents.checksum),
        _ => (0, None),
    };
    Some((inode.clone(), entry.kind.letter(), size, checksum))
}

/// Finds the offset of each object reference in a file of `size` bytes; references that do not add up to it are an error.
fn layout(data: &[DataRef], size: u64) -> Result<Layout> {
    if i64::try_from(size).is_err() {
        anyhow::bail!("a file of {size} bytes is larger than any file system holds");
    }
    let mut references = Vec::with_capacity(data.len());
    let mut offset = 0_u64;
    for (index, reference) in data.iter().enumerate() {
        // One reference of unknown length can be placed, if it is the only one: it is as long as the file.
        let length = match reference.length() {
            Some(length) => length,
            None if index == 0 && data.len() == 1 => size,
            None => return Ok(Layout::Unknown),
        };
        if let DataRef::Object(object) = reference {
            references.push(Placed {
                reference: *object,
                index,
                offset,
                length,
            });
        }
        offset = offset
            .checked_add(length)
            .ok_or_else(|| anyhow::anyhow!("the lengths of its references overflow"))?;
    }
    if offset != size {
        anyhow::bail!("its references add up to {offset} bytes, its size is {size}");
    }
    // Nothing to write for an empty reference, and nothing that a task could end with.
    references.retain(|placed| placed.length != 0);
    Ok(Layout::Known(references))
}
