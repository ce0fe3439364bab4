//! The first half of a restore: everything that needs no segment, and a plan of what does.
//!
//! Entries come in path order. Directories, links and special files are made at once; files with contents are put in the spool and
//! their references among the tasks. What has to wait for everything else (hard links, the attributes of directories) is noted.

mod directories;
mod files;
mod links;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use anyhow::Result;

use self::links::First;
pub(super) use self::links::{LinkKey, link_key};
use super::Restorer;
use super::abilities::Granule;
use super::blocked::Blocked;
use super::collision::{self, Decision, Kept, Overwrite, decide};
use super::contents::name_taken;
use super::folding::{Claims, TAKEN};
use super::incomplete;
use super::layout::Placed;
use super::rest::Failed;
use super::spool::{Place, Spool, SpoolWriter, Work};
use super::target::{self, DirCursor, Made};
use super::tasks::Task;
use crate::chosen::{Relation, Wanted};
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
    /// Files that were restored before another name of theirs was found to be there, unchanged: with that name.
    pub(crate) rejoined: HashMap<Place, Place>,
    /// Directories that get their attributes last, in path order.
    pub(crate) directories: Vec<Place>,
    /// Directories that keep their modes, and which, though they are open to their owner for the time.
    pub(crate) opened_up: Vec<(EntryPath, u32)>,
}

/// A directory that was met.
struct Above {
    path: EntryPath,
    /// Whether this restore made it.
    made: Made,
    /// Whether another directory of the snapshot is the same in the target: then what is found in it may be the other one's.
    is_shared: bool,
}

/// Makes the plan, and everything that needs no segment.
pub(crate) struct Planner<'r, 't> {
    restorer: &'r Restorer<'t>,
    cursor: DirCursor<'t>,
    /// Directories above the PATHs that were met, but nothing that was chosen below them yet.
    leading: Vec<Entry>,
    /// The directories above the current entry.
    above: Vec<Above>,
    claims: Claims,
    blocked: Blocked,
    spool: SpoolWriter,
    tasks: Sorter<Task>,
    numbers: HashMap<SegmentId, u32>,
    segments: Vec<SegmentId>,
    sequential: Vec<Place>,
    linked: HashMap<LinkKey, First>,
    links: Vec<(Place, Place)>,
    rejoined: HashMap<Place, Place>,
    directories: Vec<Place>,
    opened_up: Vec<(EntryPath, u32)>,
    kept: Kept,
    /// Number of entries of which the snapshot may lack extended attributes.
    incomplete: u64,
}

impl<'r, 't> Planner<'r, 't> {
    pub(crate) fn new(restorer: &'r Restorer<'t>, directory: &Path) -> Result<Self> {
        Ok(Self {
            restorer,
            cursor: DirCursor::new(restorer.target),
            leading: Vec::new(),
            above: Vec::new(),
            claims: Claims::default(),
            blocked: Blocked::default(),
            spool: SpoolWriter::create(directory)?,
            tasks: Sorter::new(directory),
            numbers: HashMap::new(),
            segments: Vec::new(),
            sequential: Vec::new(),
            linked: HashMap::new(),
            links: Vec::new(),
            rejoined: HashMap::new(),
            directories: Vec::new(),
            opened_up: Vec::new(),
            kept: Kept::default(),
            incomplete: 0,
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
                self.incomplete += u64::from(entry.incomplete);
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
        incomplete::tell(self.incomplete, self.restorer.monitor);
        Ok(Plan {
            spool: self.spool.finish(),
            tasks: self.tasks.finish()?,
            segments: self.segments,
            sequential: self.sequential,
            links: self.links,
            rejoined: self.rejoined,
            directories: self.directories,
            opened_up: self.opened_up,
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

    /// Adds to an entry what is there and may have been in the snapshot.
    fn add_living(&mut self, entry: &mut Entry) {
        let (parent, name) = entry.path.split();
        if let Ok(parent) = self.cursor.enter(parent) {
            let living = incomplete::living(parent, name, entry);
            entry.xattrs.extend(living);
        }
    }

    /// Notes a directory that gets its attributes last.
    fn finish_later(&mut self, entry: &Entry) -> Result<()> {
        let place = self.spool.add(entry, Work::none(false))?;
        self.directories.push(place);
        Ok(())
    }

    /// Remembers a directory above the entries that follow.
    fn remember_above(&mut self, directory: &EntryPath, made: Made, is_shared: bool) {
        self.above
            .retain(|above| directory.is_within(&above.path) && above.path != *directory);
        self.above.push(Above {
            path: directory.clone(),
            made,
            is_shared,
        });
    }

    fn add_other(&mut self, mut entry: Entry, objects: &mut ObjectCache<'_>) -> Result<()> {
        if self.is_left_out(&entry) {
            return Ok(());
        }
        let replace = match self.decide(&entry) {
            Ok(Decision::Create) => false,
            Ok(Decision::Replace) => true,
            Ok(Decision::Leave) => return self.leave(&entry),
            Ok(Decision::LeaveNewer) => return Ok(()),
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
        if replace {
            self.add_living(&mut entry);
        }
        let key = link_key(&entry);
        if let Some(first) = key.as_ref().and_then(|key| self.linked.get(key)) {
            let first = first.place;
            let place = self.spool.add(&entry, Work::of_link(&entry, replace))?;
            self.links.push((place, first));
            return Ok(());
        }
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
            self.linked.insert(
                key,
                First {
                    place,
                    is_kept: false,
                },
            );
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
            Ok(opened) => {
                self.restorer.give_attributes(opened, name, None, entry);
                self.restorer.remember_link(opened, entry);
                self.restorer.restored(&entry.path, 0);
                if !replace && !self.is_all_made(parent) {
                    let opened = self.cursor.enter(parent)?;
                    // It could be made, so it is nobody else's.
                    drop(self.claims.is_taken(parent, opened, name));
                }
                Ok(Some(self.spool.add(entry, Work::none(replace))?))
            }
            Err(error) => {
                let reason = format!("cannot be made: {}", name_taken(&error));
                self.restorer
                    .fail(&entry.path, &Failed::new(&error, reason));
                Ok(None)
            }
        }
    }

    fn decide(&mut self, entry: &Entry) -> io::Result<Decision> {
        let (parent, name) = entry.path.split();
        self.ensure_parent(parent)?;
        if self.is_all_made(parent) {
            // A name that is there twice fails to be created the second time.
            return Ok(Decision::Create);
        }
        let is_shared = self.above(parent).is_some_and(|above| above.is_shared);
        let opened = self.cursor.enter(parent)?;
        let there = target::stat(opened, name)?;
        let granule = there.as_ref().map_or(Granule::EXACT, |there| {
            let keeps = || match self.restorer.options.overwrite {
                // Nothing is changed here, also not the time of the directory.
                Overwrite::Never => Granule::of_time(there),
                _ => self.restorer.attributes.granule(opened, there),
            };
            collision::granule(there, entry, keeps)
        });
        let decision = decide(self.restorer.options, there.as_ref(), entry, granule);
        if let Decision::Replace | Decision::Leave | Decision::LeaveNewer = decision
            && (is_shared || self.claims.is_taken(parent, opened, name)?)
        {
            return Ok(Decision::Refuse(TAKEN));
        }
        Ok(decision)
    }

    /// Returns a directory above the current entry, or the one it is.
    fn above(&self, directory: &[u8]) -> Option<&Above> {
        let above = &mut self.above.iter().rev();
        above.find(|above| above.path.as_bytes() == directory)
    }

    /// Tells whether nothing but this restore's own files can be in a directory, since it made that.
    fn is_all_made(&self, directory: &[u8]) -> bool {
        self.above(directory)
            .is_some_and(|above| above.made == Made::Created)
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
