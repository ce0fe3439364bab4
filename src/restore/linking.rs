//! Hard links, which wait for the file that they are names of: it may be anywhere in the store.
//!
//! Where there can be no link, or no more, a name becomes a copy, which is the one to link to where the first cannot be reached. Where the
//! first name could not be made, the next one becomes the first.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Result;
use nix::errno::Errno;

use super::Restorer;
use super::abilities::Lost;
use super::contents::{Opened, name_taken};
use super::planner::Plan;
use super::rest::Failed;
use super::sequential;
use super::spool::{Place, SpoolReader, Work};
use super::target::{self, DirCursor};
use crate::format::entry::{Entry, EntryKind};
use crate::format::path::EntryPath;
use crate::store::object_cache::ObjectCache;

/// Bytes that are copied at once.
const COPIED_BYTES: usize = 256 << 10;

/// A name that others can be linked to.
#[derive(Clone)]
struct Source {
    path: EntryPath,
    identity: (u64, u64),
}

/// Makes links, one after the other.
struct Linker<'r, 't> {
    restorer: &'r Restorer<'t>,
    plan: &'r Plan,
    spool: SpoolReader<'r>,
    from: DirCursor<'t>,
    to: DirCursor<'t>,
    /// For first names, what to link to: several where one does not do for all.
    sources: HashMap<Place, Vec<Source>>,
}

impl Restorer<'_> {
    /// Makes the names of files that were restored under another one.
    pub(super) fn make_links(&self, plan: &Plan, objects: &mut ObjectCache<'_>) -> Result<()> {
        let mut linker = Linker {
            restorer: self,
            plan,
            spool: plan.spool.reader(),
            from: DirCursor::new(self.target),
            to: DirCursor::new(self.target),
            sources: HashMap::new(),
        };
        for (&restored, &kept) in &plan.rejoined {
            linker.rejoin(restored, kept)?;
        }
        for &(place, first) in &plan.links {
            if self.rest.is_stopped() {
                break;
            }
            let first = plan.rejoined.get(&first).copied().unwrap_or(first);
            linker.make(place, first, objects)?;
        }
        Ok(())
    }

    fn source(&self, path: &EntryPath) -> Option<Source> {
        let inodes = self.linked_inodes.lock();
        let identity = *inodes.expect("nobody panics while it is held").get(path)?;
        let path = path.clone();
        Some(Source { path, identity })
    }
}

impl Linker<'_, '_> {
    /// Makes a file that was restored a link of another name of it, which was there.
    fn rejoin(&mut self, restored: Place, kept: Place) -> Result<()> {
        let (path, _) = self.spool.path(restored)?;
        let (first, _) = self.spool.path(kept)?;
        if self.restorer.source(&path).is_none() {
            return Ok(());
        }
        if let Some(source) = self.restorer.source(&first)
            && self.link(&path, true, &source).is_err()
        {
            self.restorer.attributes.file_systems().lose(Lost::Link);
        }
        Ok(())
    }

    fn make(&mut self, place: Place, first: Place, objects: &mut ObjectCache<'_>) -> Result<()> {
        let (path, work) = self.spool.path(place)?;
        let (first_path, _) = self.spool.path(first)?;
        let restorer = self.restorer;
        let sources = self.sources.entry(first).or_default();
        if sources.is_empty() {
            sources.extend(restorer.source(&first_path));
        }
        let sources = sources.clone();
        if sources.is_empty() {
            return self.make_first(place, first, &path, objects);
        }
        let mut cannot = None;
        for source in sources.iter().rev() {
            match self.link(&path, work.replace, source) {
                Ok(()) => {
                    restorer.restored(&path, 0);
                    return Ok(());
                }
                Err(error) if target::cannot_link(&error) => cannot = Some((source, error)),
                Err(error) => {
                    let first = &source.path;
                    let reason = format!("cannot be linked to {first}: {}", name_taken(&error));
                    restorer.fail(&path, &Failed::new(&error, reason));
                    return Ok(());
                }
            }
        }
        let Some((source, error)) = cannot else {
            return Ok(());
        };
        if self.copy(place, source, objects)? {
            restorer.attributes.file_systems().lose(Lost::Link);
            let may_be_linked = [Errno::EXDEV, Errno::EMLINK].map(|errno| Some(errno as i32));
            if may_be_linked.contains(&error.raw_os_error()) {
                self.add_source(first, &path);
            }
        }
        Ok(())
    }

    /// Restores a name whose first could not be; the names that follow are links of this one.
    fn make_first(
        &mut self,
        place: Place,
        first: Place,
        path: &EntryPath,
        objects: &mut ObjectCache<'_>,
    ) -> Result<()> {
        let restorer = self.restorer;
        let (first_path, _) = self.spool.path(first)?;
        let is_unnamed = {
            let unnamed = restorer.unnamed.lock();
            unnamed
                .expect("nobody panics while it is held")
                .contains(&first)
        };
        if is_unnamed {
            sequential::restore(restorer, &self.plan.spool, place, objects)?;
            self.add_source(first, path);
        } else if restorer.rest.is_over() {
            // Then the first name was left out with the rest, and so is this one.
            restorer.rest.leave_out();
        } else {
            let reason = format_args!("is a link of {first_path}, which could not be restored");
            restorer.problem(path.as_bytes(), reason);
        }
        Ok(())
    }

    fn add_source(&mut self, first: Place, path: &EntryPath) {
        let source = self.restorer.source(path);
        self.sources.entry(first).or_default().extend(source);
    }

    fn link(&mut self, path: &EntryPath, replace: bool, source: &Source) -> io::Result<()> {
        let ((parent, name), (from, from_name)) = (path.split(), source.path.split());
        let from = self.from.enter(from)?;
        let there = target::stat(from, from_name)?;
        if there.is_none_or(|there| (there.st_dev, there.st_ino) != source.identity) {
            return Err(io::Error::other("another file has its name now"));
        }
        let to = self.to.enter(parent)?;
        target::place(to, name, replace, |name| {
            target::hard_link(from, from_name, to, name)
        })
    }

    /// Makes a name a file of its own, with the contents of another; returns whether it could.
    fn copy(
        &mut self,
        place: Place,
        source: &Source,
        objects: &mut ObjectCache<'_>,
    ) -> Result<bool> {
        let (entry, work) = self.spool.entry(place)?;
        let restorer = self.restorer;
        let before = restorer.monitor.problems();
        if !matches!(entry.kind, EntryKind::File(_)) {
            self.make_special(&entry, work);
            return Ok(restorer.monitor.problems() == before);
        }
        let (parent, name) = source.path.split();
        let opened = self.from.enter(parent);
        let Ok(from) = opened.and_then(|parent| target::open_to_read(parent, name)) else {
            sequential::restore(restorer, &self.plan.spool, place, objects)?;
            return Ok(restorer.monitor.problems() == before);
        };
        match Opened::create(restorer, &mut self.to, place, &entry.path, work) {
            Ok(opened) => match copy_contents(&from, &opened, restorer) {
                Ok(()) => restorer.complete(&mut self.to, &opened, &entry),
                Err(error) => {
                    let left = opened.discard(&mut self.to);
                    let left = left.map_or_else(|left| format!("; {left}"), |()| String::new());
                    let reason = format!("cannot be copied from {}: {error}{left}", source.path);
                    restorer.fail(&entry.path, &Failed::new(&error, reason));
                }
            },
            Err(failed) => restorer.fail(&entry.path, &failed),
        }
        Ok(restorer.monitor.problems() == before)
    }

    /// Makes a symbolic link, pipe or device a second time.
    fn make_special(&mut self, entry: &Entry, work: Work) {
        let (parent, name) = entry.path.split();
        let made = self.to.enter(parent).and_then(|parent| {
            target::place(parent, name, work.replace, |name| {
                target::make_special(parent, name, &entry.kind)
            })?;
            Ok(parent)
        });
        match made {
            Ok(parent) => {
                self.restorer.give_attributes(parent, name, None, entry);
                self.restorer.remember_link(parent, entry);
                self.restorer.restored(&entry.path, 0);
            }
            Err(error) => {
                let reason = format!("cannot be made: {}", name_taken(&error));
                self.restorer
                    .fail(&entry.path, &Failed::new(&error, reason));
            }
        }
    }
}

fn copy_contents(from: &std::fs::File, to: &Opened, restorer: &Restorer<'_>) -> io::Result<()> {
    let mut buffer = vec![0; COPIED_BYTES];
    let mut offset = 0;
    while offset < to.work.size {
        restorer.rest.ensure_going_on().map_err(io::Error::other)?;
        let count = from.read_at(&mut buffer, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write(offset, &buffer[..count], restorer.options.sparse)?;
        offset += count as u64;
    }
    Ok(())
}
