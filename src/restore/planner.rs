//! The first half of a restore: everything that needs no segment, and a plan of what does.
//!
//! Entries come in path order. Directories, links and special files are made at once; files with contents are put in the spool and
//! their references among the tasks. What has to wait for everything else (hard links, the attributes of directories) is noted.

mod files;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use nix::sys::stat::{FileStat, SFlag};

use super::Restorer;
use super::blocked::Blocked;
use super::collision::{self, Decision, Kept, decide, gives_way, no_directory};
use super::layout::Placed;
use super::spool::{Place, Spool, SpoolWriter, Work};
use super::target::{self, DirCursor, Made};
use super::tasks::Task;
use crate::chosen::{Relation, Wanted};
use crate::format::checksum::Checksum;
use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::{SegmentId, Slice};
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
    /// Directories above the PATHs that were met, but nothing that was chosen below them yet.
    leading: Vec<Entry>,
    /// The directories above the current entry, and whether this restore made them.
    above: Vec<(EntryPath, Made)>,
    blocked: Blocked,
    spool: SpoolWriter,
    tasks: Sorter<Task>,
    numbers: HashMap<SegmentId, u32>,
    segments: Vec<SegmentId>,
    sequential: Vec<Place>,
    linked: HashMap<LinkKey, Place>,
    links: Vec<(Place, Place)>,
    directories: Vec<Place>,
    kept: Kept,
}

/// Entries with equal keys are hard links of one another. The inode alone is not enough: device numbers change between runs, and
/// entries that were recorded on different days may then collide.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct LinkKey {
    inode: Vec<u8>,
    letter: char,
    size: u64,
    checksum: Option<Checksum>,
    /// The target of a symbolic link, or the number of a device.
    other: Vec<u8>,
}

impl<'r, 't> Planner<'r, 't> {
    pub(crate) fn new(restorer: &'r Restorer<'t>, directory: &Path) -> Result<Self> {
        Ok(Self {
            restorer,
            cursor: DirCursor::new(restorer.target),
            leading: Vec::new(),
            above: Vec::new(),
            blocked: Blocked::default(),
            spool: SpoolWriter::create(directory)?,
            tasks: Sorter::new(directory),
            numbers: HashMap::new(),
            segments: Vec::new(),
            sequential: Vec::new(),
            linked: HashMap::new(),
            links: Vec::new(),
            directories: Vec::new(),
            kept: Kept::default(),
        })
    }

    /// Plans one item of the metadata log. An error ends the restore; everything else is a problem of the entry.
    pub(crate) fn add(
        &mut self,
        item: Result<Entry, LogError>,
        wanted: &mut Wanted,
        objects: &mut ObjectCache<'_>,
    ) -> Result<()> {
        let entry = match item {
            Ok(entry) => entry,
            Err(error) => {
                if error.is_news()? {
                    self.restorer.problem(&error.subject, error.reason);
                }
                return Ok(());
            }
        };
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        match wanted.relate(&entry.path, is_directory) {
            // The target itself stands for the scan root. One that was there keeps its own attributes, whatever is overwritten.
            relation if entry.path.is_scan_root() => {
                let made = self.restorer.target.made();
                if is_directory && relation == Relation::Within && made == Made::Created {
                    self.finish_later(&entry)?;
                }
            }
            Relation::Above if is_directory => {
                self.leading
                    .retain(|above| entry.path.is_within(&above.path));
                self.leading.push(entry);
            }
            Relation::Above | Relation::Outside => {}
            Relation::Within => {
                self.make_leading(&entry.path)?;
                if is_directory {
                    self.add_directory(&entry, Relation::Within)?;
                } else {
                    self.add_other(entry, objects)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the planning.
    pub(crate) fn finish(mut self) -> Result<Plan> {
        self.blocked.tell(self.restorer.monitor);
        self.kept.tell(self.restorer.monitor);
        Ok(Plan {
            spool: self.spool.finish(),
            tasks: self.tasks.finish()?,
            segments: self.segments,
            sequential: self.sequential,
            links: self.links,
            directories: self.directories,
        })
    }

    /// Makes the directories that lead to a chosen entry, now that there is one.
    fn make_leading(&mut self, path: &EntryPath) -> Result<()> {
        for directory in std::mem::take(&mut self.leading) {
            if path.is_within(&directory.path) {
                self.add_directory(&directory, Relation::Above)?;
            }
        }
        Ok(())
    }

    fn add_directory(&mut self, entry: &Entry, relation: Relation) -> Result<()> {
        if self.blocked.leaves_out(&entry.path, self.restorer.monitor) {
            return Ok(());
        }
        let overwrite = self.restorer.options.overwrite;
        let (parent, name) = entry.path.split();
        let made = self.ensure_parent(parent).and_then(|()| {
            let parent = self.cursor.enter(parent)?;
            let is_in_the_way = |there: &FileStat| {
                target::file_type(there) != SFlag::S_IFDIR && gives_way(overwrite, there, entry)
            };
            if target::stat(parent, name)?
                .as_ref()
                .is_some_and(is_in_the_way)
            {
                target::remove(parent, name)?;
            }
            target::make_directory(parent, name)
        });
        let made = match made {
            Ok(made) => made,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.blocked.begin(&entry.path, no_directory(overwrite));
                return Ok(());
            }
            Err(error) => {
                self.blocked.begin(&entry.path, error);
                return Ok(());
            }
        };
        // It may have been made before its entry came, for what is below it.
        let made = self.made_above(entry.path.as_bytes()).unwrap_or(made);
        self.remember_above(&entry.path, made);
        if made == Made::Created || !collision::keeps_attributes(overwrite, relation) {
            self.finish_later(entry)?;
        } else if relation == Relation::Within {
            self.kept.directories += 1;
        }
        Ok(())
    }

    /// Notes a directory that gets its attributes last.
    fn finish_later(&mut self, entry: &Entry) -> Result<()> {
        let place = self.spool.add(entry, Work::none(false))?;
        self.directories.push(place);
        Ok(())
    }

    /// Remembers whether a directory above the entries that follow was made by this restore.
    fn remember_above(&mut self, directory: &EntryPath, made: Made) {
        self.above
            .retain(|(path, _)| directory.is_within(path) && path != directory);
        self.above.push((directory.clone(), made));
    }

    fn add_other(&mut self, mut entry: Entry, objects: &mut ObjectCache<'_>) -> Result<()> {
        if self.blocked.leaves_out(&entry.path, self.restorer.monitor) {
            return Ok(());
        }
        let replace = match self.decide(&entry) {
            Ok(Decision::Create) => false,
            Ok(Decision::Replace) => true,
            Ok(Decision::Leave) => return self.leave(&entry),
            Ok(Decision::RefuseSame) => {
                self.kept.add_same(&entry.path, self.restorer.monitor);
                return Ok(());
            }
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
            let place = self.spool.add(&entry, Work::none(replace))?;
            self.links.push((place, first));
            return Ok(());
        }
        let key = link_key(&entry);
        let place = match &entry.kind {
            EntryKind::File(_) => match self.add_contents(&mut entry, objects, replace)? {
                Ok(place) => Some(place),
                Err(error) => {
                    let reason = format_args!("cannot be restored: {error:#}");
                    self.restorer.problem(entry.path.as_bytes(), reason);
                    None
                }
            },
            _ => self.add_special(&entry, replace)?,
        };
        if let (Some(key), Some(place)) = (key, place) {
            self.linked.insert(key, place);
        }
        Ok(())
    }

    /// Makes a link or special file with its attributes.
    fn add_special(&mut self, entry: &Entry, replace: bool) -> Result<Option<Place>> {
        let (parent, name) = entry.path.split();
        let made = self.cursor.enter(parent).and_then(|parent| {
            target::place(parent, name, replace, |name| {
                target::make_special(parent, name, &entry.kind)
            })?;
            Ok(parent)
        });
        match made {
            Ok(parent) => {
                self.restorer.give_attributes(parent, name, None, entry);
                self.restorer.remember_link(parent, entry);
                self.restorer.restored(&entry.path, 0);
                Ok(Some(self.spool.add(entry, Work::none(replace))?))
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

    /// Lets an existing file stand for its entry, also for hard links of it.
    fn leave(&mut self, entry: &Entry) -> Result<()> {
        if let Some(key) = link_key(entry)
            && let Ok(parent) = self.cursor.enter(entry.path.split().0)
        {
            self.restorer.remember_link(parent, entry);
            let place = self.spool.add(entry, Work::none(false))?;
            self.linked.entry(key).or_insert(place);
        }
        Ok(())
    }

    fn decide(&mut self, entry: &Entry) -> std::io::Result<Decision> {
        let (parent, name) = entry.path.split();
        self.ensure_parent(parent)?;
        if self.made_above(parent) == Some(Made::Created) {
            // Nothing but this restore's own files can be in a directory that it made; a name that is there twice fails to be
            // created the second time.
            return Ok(Decision::Create);
        }
        let there = target::stat(self.cursor.enter(parent)?, name)?;
        Ok(decide(self.restorer.options, there.as_ref(), entry))
    }

    /// Tells whether a directory above the current entry was made by this restore.
    fn made_above(&self, directory: &[u8]) -> Option<Made> {
        let known = self
            .above
            .iter()
            .rev()
            .find(|(path, _)| path.as_bytes() == directory);
        known.map(|(_, made)| *made)
    }

    /// Makes the directories above an entry whose own entries were not met: lost to damage, or never recorded.
    fn ensure_parent(&mut self, parent: &[u8]) -> std::io::Result<()> {
        if parent == b"." || self.made_above(parent).is_some() {
            return Ok(());
        }
        match self.cursor.enter(parent) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            entered => return entered.map(drop),
        }
        let mut path = EntryPath::scan_root();
        for name in parent.split(|&b| b == b'/') {
            let made = target::make_directory(self.cursor.enter(path.as_bytes())?, name)?;
            path = path.join(name);
            self.remember_above(&path, self.made_above(path.as_bytes()).unwrap_or(made));
        }
        Ok(())
    }

    fn task(&mut self, placed: &Placed, file: Place) -> Result<Task> {
        let Placed {
            reference,
            offset,
            length,
        } = placed;
        let start = if let Slice::Part { start, .. } = reference.slice {
            start
        } else {
            0
        };
        Ok(Task {
            segment: self.number(reference.object.segment)?,
            sequence: reference.object.sequence,
            file,
            offset: *offset,
            start: u32::try_from(start).unwrap_or(u32::MAX),
            length: u32::try_from(*length).unwrap_or(u32::MAX),
            claim: if placed.is_checked() {
                self.spool.add_claim(reference)?
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

/// Returns what tells a file with several hard links from others; none of a file that has none.
pub(super) fn link_key(entry: &Entry) -> Option<LinkKey> {
    let inode = entry.inode.as_ref().filter(|_| entry.may_be_hard_link())?;
    let (mut size, mut checksum, mut other) = (0, None, Vec::new());
    match &entry.kind {
        EntryKind::File(contents) => (size, checksum) = (contents.size, contents.checksum),
        EntryKind::Symlink { target } => other.clone_from(target),
        EntryKind::CharDevice(d) | EntryKind::BlockDevice(d) => {
            other = format!("{}/{}", d.major, d.minor).into_bytes();
        }
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
    Some(LinkKey {
        inode: inode.clone(),
        letter: entry.kind.letter(),
        size,
        checksum,
        other,
    })
}
