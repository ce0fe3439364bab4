//! Directories are made at once, and get their attributes last.

use std::io::{self, ErrorKind};

use anyhow::Result;
use nix::sys::stat::SFlag;
use nix::unistd::geteuid;

use super::super::attributes;
use super::super::collision::{self, gives_way, no_directory};
use super::super::folding::SHARED;
use super::super::rest::Failed;
use super::super::target::{self, Made};
use super::Planner;
use crate::chosen::Relation;
use crate::format::entry::Entry;
use crate::format::path::EntryPath;

impl Planner<'_, '_> {
    pub(super) fn add_directory(&mut self, entry: &Entry, relation: Relation) -> Result<()> {
        if self.is_left_out(entry) {
            return Ok(());
        }
        let overwrite = self.restorer.options.overwrite;
        let (made, is_noted) = match self.make_directory(entry) {
            Ok(made) => made,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.blocked.begin(&entry.path, no_directory(overwrite));
                return Ok(());
            }
            Err(error) => {
                let reason = format!("cannot make the directory: {error}");
                let failed = Failed::new(&error, reason);
                if failed.no_room {
                    self.restorer.fail(&entry.path, &failed);
                    self.blocked.begin_for_room(&entry.path);
                } else {
                    self.blocked.begin(&entry.path, error);
                }
                return Ok(());
            }
        };
        // It may have been made before its entry came, for what is below it.
        let known = self.above(entry.path.as_bytes());
        let known = known.map(|known| (known.made, known.is_shared));
        let (made, is_shared) = known.unwrap_or_else(|| {
            let is_shared = !is_noted && self.is_shared(entry, made);
            (made, is_shared)
        });
        self.remember_above(&entry.path, made, is_shared);
        if is_shared {
            return Ok(());
        }
        if made == Made::Created {
            self.finish_later(entry)?;
        } else if !collision::keeps_attributes(overwrite, relation) {
            self.open_up(entry);
            let mut entry = entry.clone();
            self.add_living(&mut entry);
            self.finish_later(&entry)?;
        } else if let Some(mode) = self.open_up(entry) {
            self.opened_up.push((entry.path.clone(), mode));
        }
        if made == Made::Existed
            && collision::keeps_attributes(overwrite, relation)
            && relation == Relation::Within
        {
            self.kept.directories += 1;
        }
        Ok(())
    }

    /// Lets its owner write to a directory that was there, for the time until it gets the mode that it is to have; returns the one it had.
    fn open_up(&mut self, entry: &Entry) -> Option<u32> {
        let (parent, name) = entry.path.split();
        let parent = self.cursor.enter(parent).ok()?;
        if geteuid().is_root() {
            return None;
        }
        let there = target::stat(parent, name).ok()??;
        let mode = there.st_mode & 0o7777;
        if mode & 0o700 == 0o700 || there.st_uid != geteuid().as_raw() {
            return None;
        }
        // If it cannot be, what is to be made in it says so.
        attributes::set_mode(parent, name, mode | 0o700).ok()?;
        Some(mode)
    }

    /// Makes a directory unless there is one. Something else gives way to it, but for what this restore put there; returns whether that
    /// noted the name.
    fn make_directory(&mut self, entry: &Entry) -> io::Result<(Made, bool)> {
        let (parent, name) = entry.path.split();
        self.ensure_parent(parent)?;
        let is_own = self.is_all_made(parent);
        let mut is_noted = false;
        let opened = self.cursor.enter(parent)?;
        if !is_own
            && let Some(there) = target::stat(opened, name)?
            && target::file_type(&there) != SFlag::S_IFDIR
            && gives_way(self.restorer.options.overwrite, &there, entry)
        {
            if self.claims.is_taken(parent, opened, name)? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            is_noted = true;
            target::remove(opened, name)?;
        }
        Ok((target::make_directory(opened, name)?, is_noted))
    }

    /// Tells whether an entry is below a directory that cannot be made.
    pub(super) fn is_left_out(&mut self, entry: &Entry) -> bool {
        let is_left_out = self.blocked.leaves_out(&entry.path, self.restorer.monitor);
        if is_left_out && self.blocked.is_for_room() {
            self.restorer.rest.leave_out();
        }
        is_left_out
    }

    /// Tells whether a directory that was met for the first time is another one's, too, and reports it.
    fn is_shared(&mut self, entry: &Entry, made: Made) -> bool {
        let (parent, name) = entry.path.split();
        let above = self
            .above(parent)
            .map(|above| (above.made, above.is_shared));
        let is_taken = match (above, made) {
            (Some((Made::Created, _)), Made::Created) => false,
            (Some((Made::Created, _)), Made::Existed) => true,
            // That was reported for the directory above.
            (Some((_, true)), made) => return made == Made::Existed,
            _ => self.cursor.enter(parent).is_ok_and(|opened| {
                let is_taken = self.claims.is_taken(parent, opened, name);
                is_taken.unwrap_or(true)
            }),
        };
        if is_taken {
            self.restorer.problem(entry.path.as_bytes(), SHARED);
        }
        is_taken
    }

    /// Makes the directories above an entry whose own entries were not met: lost to damage, or never recorded.
    pub(super) fn ensure_parent(&mut self, parent: &[u8]) -> io::Result<()> {
        if parent == b"." || self.above(parent).is_some() {
            return Ok(());
        }
        match self.cursor.enter(parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            entered => return entered.map(drop),
        }
        let mut path = EntryPath::scan_root();
        for name in parent.split(|&b| b == b'/') {
            let made = target::make_directory(self.cursor.enter(path.as_bytes())?, name)?;
            path = path.join(name);
            let known = self.above(path.as_bytes());
            let (made, is_shared) =
                known.map_or((made, false), |known| (known.made, known.is_shared));
            self.remember_above(&path, made, is_shared);
        }
        Ok(())
    }
}
