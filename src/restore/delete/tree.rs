//! Removes one name of the target with all below it.
//!
//! Whoever else may write to the target can rename, swap and replace at any moment. So each name is removed relative to the descriptor of
//! the directory that it was listed in; a directory that is entered again must be the one that was listed; and a directory is removed only
//! by the call that takes no other thing and no directory with anything in it. At the worst, something is left over and named.
//!
//! Depth costs the names on the way, no descriptors and no stack.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::stat::fstat;

use crate::format::path::EntryPath;
use crate::monitor::{Counter, PathStatus};
use crate::mount::{self, Mount};
use crate::names::Names;
use crate::restore::target::{self, DirCursor};
use crate::rules::{RuleId, RuleStack};

/// A directory of the target whose names were read.
pub(super) struct Opened {
    /// Where it is in the target.
    pub(super) path: EntryPath,
    pub(super) names: Names,
    /// Number of names that have been looked at.
    pub(super) next: usize,
    /// The mount of the tree that it is in.
    pub(super) mount: Mount,
    /// Device and inode number.
    identity: (u64, u64),
}

/// Why nothing is deleted in a directory.
pub(super) enum Refused {
    /// It is not there, or is none; whoever restores it tells.
    Absent,
    /// It is not to be touched.
    Kept(&'static str),
    /// The kernel said no.
    Failed(String),
}

impl Refused {
    /// Tells it, if it is worth telling.
    pub(super) fn tell(&self, path: &EntryPath, monitor: &Counter<'_>) {
        match self {
            Self::Absent => {}
            Self::Kept(why) => monitor.note(&format!("{path}: nothing in it is deleted: {why}")),
            Self::Failed(why) => monitor.problem(path.as_bytes(), why),
        }
    }
}

impl Opened {
    /// Reads the names of a directory, if it is in the given mount (or there is none to be in) and is not the store.
    pub(super) fn open(
        cursor: &mut DirCursor<'_>,
        path: &EntryPath,
        mount: Option<Mount>,
        store: Option<(u64, u64)>,
    ) -> Result<Self, Refused> {
        let held = cursor
            .enter(path.as_bytes())
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refused::Absent,
                _ => Refused::Failed(format!("nothing in it is deleted: {error}")),
            })?;
        let cannot = |error: io::Error| {
            Refused::Failed(format!(
                "cannot be listed, so nothing in it is deleted: {error}"
            ))
        };
        let found = fstat(held).map_err(|errno| cannot(errno.into()))?;
        let identity = (found.st_dev, found.st_ino);
        if Some(identity) == store {
            return Err(Refused::Kept("it is the store"));
        }
        let here = mount::mount(held).map_err(cannot)?;
        if mount.is_some_and(|mount| mount != here) {
            return Err(Refused::Kept(
                "it is another file system; name it as PATH to delete in it",
            ));
        }
        let listed = target::open_to_list(held).map_err(cannot)?;
        let (names, failed) = Names::read(listed.as_fd(), |_| false);
        match failed {
            Some(errno) => Err(cannot(errno.into())),
            None => Ok(Self {
                path: path.clone(),
                names,
                next: 0,
                mount: here,
                identity,
            }),
        }
    }

    /// Returns the directory whose names were read, or an error if another one has its name now.
    fn enter<'c>(&self, cursor: &'c mut DirCursor<'_>) -> io::Result<BorrowedFd<'c>> {
        let held = cursor.enter(self.path.as_bytes())?;
        let found = fstat(held)?;
        if (found.st_dev, found.st_ino) == self.identity {
            Ok(held)
        } else {
            Err(io::Error::other("its directory was replaced meanwhile"))
        }
    }
}

/// Removes trees, or tells what it would remove.
pub(super) struct Removal<'a, 'r> {
    pub(super) cursor: &'a mut DirCursor<'r>,
    pub(super) rules: &'a RuleStack,
    pub(super) store: Option<(u64, u64)>,
    pub(super) dry_run: bool,
    pub(super) monitor: &'a Counter<'a>,
    pub(super) deleted: u64,
}

/// A directory that is being emptied.
struct Emptied {
    opened: Opened,
    /// Whether something in it stays.
    is_kept: bool,
}

impl Removal<'_, '_> {
    /// Removes a name of `directory`, which a rule may leave out, with all below it. Returns whether nothing of it is left.
    pub(super) fn remove(
        &mut self,
        path: &EntryPath,
        directory: &Opened,
        left_out_by: Option<RuleId>,
    ) -> bool {
        let mut emptied = match self.begin(path, directory, left_out_by) {
            Begun::Gone => return true,
            Begun::Stays => return false,
            Begun::Entered(opened) => vec![opened],
        };
        loop {
            let innermost = emptied.last_mut().expect("the last one returns below");
            let opened = &mut innermost.opened;
            if let Some(name) = opened.names.get(opened.next) {
                let path = opened.path.join(name);
                opened.next += 1;
                match self.begin(&path, &innermost.opened, None) {
                    Begun::Gone => {}
                    Begun::Stays => innermost.is_kept = true,
                    Begun::Entered(below) => emptied.push(below),
                }
                continue;
            }
            let done = emptied.pop().expect("there is an innermost one");
            let above = emptied.last().map_or(directory, |above| &above.opened);
            let is_gone = !done.is_kept
                && self.settle(&done.opened.path, above, |parent, name| {
                    target::remove_directory(parent, name)
                });
            match emptied.last_mut() {
                Some(above) => above.is_kept |= !is_gone,
                None => return is_gone,
            }
        }
    }

    /// Removes what has nothing below it; opens a directory.
    fn begin(
        &mut self,
        path: &EntryPath,
        directory: &Opened,
        left_out_by: Option<RuleId>,
    ) -> Begun {
        let name = path.split().1;
        let held = directory.enter(self.cursor);
        let there = match held.and_then(|held| target::stat(held, name)) {
            Ok(Some(there)) => there,
            Ok(None) => return Begun::Gone,
            Err(error) => {
                self.failed(path, &error);
                return Begun::Stays;
            }
        };
        let is_directory = super::is_directory(&there);
        let verdict = self.rules.decide(path, is_directory, left_out_by);
        if verdict.left_out_by().is_some() {
            return Begun::Stays;
        }
        if !is_directory {
            return if self.settle(path, directory, target::remove) {
                Begun::Gone
            } else {
                Begun::Stays
            };
        }
        match Opened::open(self.cursor, path, Some(directory.mount), self.store) {
            Ok(opened) => Begun::Entered(Emptied {
                opened,
                is_kept: false,
            }),
            Err(Refused::Absent) => {
                let error = io::Error::other("was replaced meanwhile");
                self.failed(path, &error);
                Begun::Stays
            }
            Err(refused) => {
                refused.tell(path, self.monitor);
                Begun::Stays
            }
        }
    }

    /// Removes one thing, or tells that it would be; returns whether its name is free.
    fn settle(
        &mut self,
        path: &EntryPath,
        directory: &Opened,
        remove: impl FnOnce(BorrowedFd<'_>, &[u8]) -> io::Result<()>,
    ) -> bool {
        let removed = match directory.enter(self.cursor) {
            Ok(_) if self.dry_run => Ok(()),
            Ok(held) => remove(held, path.split().1),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => {
                self.deleted += 1;
                self.monitor.path(PathStatus::Deleted, path, None);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => {
                self.failed(path, &error);
                false
            }
        }
    }

    fn failed(&self, path: &EntryPath, error: &io::Error) {
        let reason = format_args!("cannot be deleted: {error}");
        self.monitor.problem(path.as_bytes(), reason);
    }
}

/// What became of a name.
enum Begun {
    Gone,
    Stays,
    Entered(Emptied),
}
