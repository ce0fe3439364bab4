//! What a restore does once all contents are written: hard links, and the attributes of directories.
//!
//! Links wait for the file that they are names of, which may be anywhere in the store. Directories come last, the deepest first, since
//! whatever is made in one changes its times, and a mode may forbid to make anything.

use std::io;

use anyhow::Result;
use nix::unistd::geteuid;

use super::Restorer;
use super::planner::Plan;
use super::target::{self, DirCursor};
use crate::format::entry::Entry;

impl Restorer<'_> {
    /// Makes the names of files that were restored under another one.
    pub(super) fn make_links(&self, plan: &Plan) -> Result<()> {
        let (mut from, mut to) = (DirCursor::new(self.target), DirCursor::new(self.target));
        let inodes = self
            .linked_inodes
            .lock()
            .expect("no worker panicked while it held the lock");
        let mut spool = plan.spool.reader();
        for &(place, first) in &plan.links {
            let ((path, work), (first, _)) = (spool.path(place)?, spool.path(first)?);
            let Some(expected) = inodes.get(&first) else {
                // Then the first name was left out with the rest, and so is this one.
                if self.rest.leaves_out() {
                    continue;
                }
                self.problem(
                    path.as_bytes(),
                    format_args!("is a link of {first}, which could not be restored"),
                );
                continue;
            };
            let ((parent, name), (first_parent, first_name)) = (path.split(), first.split());
            let linked = from.enter(first_parent).and_then(|from_fd| {
                let there = target::stat(from_fd, first_name)?;
                if there.is_none_or(|there| (there.st_dev, there.st_ino) != *expected) {
                    return Err(io::Error::other("another file has its name now"));
                }
                let to_fd = to.enter(parent)?;
                target::place(to_fd, name, work.replace, |name| {
                    target::hard_link(from_fd, first_name, to_fd, name)
                })
            });
            match linked {
                Ok(()) => self.restored(&path, 0),
                Err(error) => self.problem(
                    path.as_bytes(),
                    format_args!("cannot be linked to {first}: {error}"),
                ),
            }
        }
        Ok(())
    }

    /// Gives directories their attributes, the deepest first: making anything in one changes its times.
    pub(super) fn finish_directories(&self, plan: &Plan) -> Result<()> {
        let mut cursor = DirCursor::new(self.target);
        let mut spool = plan.spool.reader();
        for &place in plan.directories.iter().rev() {
            let (entry, _) = spool.entry(place)?;
            if self.rest.is_over() && would_lock_out(&entry) {
                continue;
            }
            let (parent, name) = entry.path.split();
            match cursor.enter(parent) {
                Ok(parent) => {
                    self.give_attributes(parent, name, None, &entry);
                    self.restored(&entry.path, 0);
                }
                Err(error) => self.problem(
                    entry.path.as_bytes(),
                    format_args!("its attributes are lost: {error}"),
                ),
            }
        }
        Ok(())
    }
}

/// Tells whether a directory, once it has its mode, would keep out the restore that brings the rest of what is in it.
fn would_lock_out(entry: &Entry) -> bool {
    entry.mode & 0o300 != 0o300 && !geteuid().is_root()
}
