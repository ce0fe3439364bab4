//! Walks the sources in path order and hands over every path with its stat.
//!
//! Everything is looked up relative to the descriptor of its directory: no path is too long, and no directory that is swapped for
//! a symbolic link in mid-walk leads elsewhere. Here is what becomes of one path: taken, left out, or passed through; [`walk`] goes
//! from one to the next.
//!
//! What is left out is not looked into. A directory that a rule leaves out is passed through if another rule takes something below it:
//! it is then handed over once something in it is, as the directories above a source are, and not at all if nothing is.
//!
//! What cannot be listed or looked at is a problem of its own path; the walk goes on.

mod link;
mod met;
mod mounted;
mod open;
mod tags;
mod walk;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::selection::Selection;
use super::source::{Source, Sources};
use crate::format::path::EntryPath;
use crate::monitor::Counter;
use crate::mount::Mount;
use crate::rules::{RuleId, RuleStack, Verdict};
pub(super) use met::{Called, Met, OwnDirectory, Seen, Visit};
pub(super) use open::{exists, is_directory, pseudo_file_system};
use walk::Level;

/// Walks sources.
pub(super) struct Scanner<'r> {
    sources: &'r Sources,
    selection: &'r Selection,
    own_directories: &'r [OwnDirectory],
    monitor: &'r Counter<'r>,
    /// Whether to hand over what is left out too, and why.
    reasons: bool,
    /// Whether no complete snapshot came before this one: what its user took for granted shows only now.
    is_first: bool,
    /// Sources that were not met yet.
    awaited: RefCell<BTreeMap<EntryPath, Awaited>>,
    /// The rules at the present place.
    rules: RefCell<RuleStack>,
    /// How many directories are passed through that were not handed over yet.
    waiting: Cell<usize>,
}

/// How a source was named.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// Whether a link of that name is to be followed.
    follow: bool,
    /// Whether it comes from a list: rules thin such a list out, and nobody needs to be told.
    listed: bool,
}

/// What is known of a path before it is opened.
struct Look {
    stat: FileStat,
    verdict: Verdict,
    is_source: bool,
    /// Whether it is a source that was named by itself.
    is_named: bool,
    /// The directory behind it, if a source was named with a `/` at its end.
    behind: Option<Arc<OwnedFd>>,
}

impl<'r> Scanner<'r> {
    /// Prepares a scan of `sources` without what `selection` leaves out and without the own files of `own_directories`.
    pub(super) fn new(
        sources: &'r Sources,
        selection: &'r Selection,
        own_directories: &'r [OwnDirectory],
        monitor: &'r Counter<'r>,
        reasons: bool,
        is_first: bool,
    ) -> Self {
        let awaited = sources
            .paths
            .iter()
            .map(|source| {
                let (follow, listed) = (source.follow, source.listed);
                (source.path.clone(), Awaited { follow, listed })
            })
            .collect();
        Self {
            sources,
            selection,
            own_directories,
            monitor,
            reasons,
            is_first,
            awaited: RefCell::new(awaited),
            rules: RefCell::new(RuleStack::new(selection.rules.clone())),
            waiting: Cell::new(0),
        }
    }

    /// Visits the directories above each source, the source, and all below it, in path order. A visitor's error ends the scan.
    /// A source that is left out, or lies behind a link inside another source, is a problem.
    pub(super) fn scan(&self, visit: &mut Visit<'_>) -> Result<()> {
        let mut previous: Option<&EntryPath> = None;
        for source in &self.sources.paths {
            // One inside another was met on the way, or cannot be: its place in the order has passed.
            if previous.is_some_and(|previous| source.path.is_within(previous)) {
                continue;
            }
            let base = self.open_base(source)?;
            if let Some(on_disk) = &source.on_disk {
                self.awaited.borrow_mut().remove(&source.path);
                let directory = open::open_renamed(&base, on_disk, source.follow)?;
                let stat = fstat(&directory).context("cannot look at the source")?;
                self.walk_itself(&source.path, Arc::new(directory), stat, visit)?;
            } else if source.path.is_scan_root() {
                self.awaited.borrow_mut().remove(&source.path);
                let stat = fstat(&base).context("cannot look at the source")?;
                self.walk_itself(&source.path, Arc::new(base.into()), stat, visit)?;
            } else {
                let base = Arc::new(OwnedFd::from(base));
                self.scan_source(base, &source.path, previous, visit)?;
            }
            previous = Some(&source.path);
        }
        for (source, awaited) in self.awaited.take() {
            let reason = "was left out: a pattern excludes what it is in, or it lies in what is mounted there or behind a symbolic link in another PATH";
            if awaited.listed {
                self.monitor.note(&format!("{source} {reason}"));
            } else {
                self.monitor.problem(source.as_bytes(), reason);
            }
        }
        Ok(())
    }

    /// Opens what the sources are relative to; for reading only if that is to be backed up itself.
    fn open_base(&self, source: &Source) -> Result<File> {
        let access = if source.path.is_scan_root() {
            OFlag::O_RDONLY
        } else {
            OFlag::O_PATH
        };
        let flags = access | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = open(&self.sources.base, flags, Mode::empty()).map_err(std::io::Error::from);
        opened
            .map(File::from)
            .with_context(|| format!("cannot open {}", self.sources.base.display()))
    }

    /// Visits a directory by itself, without asking whether it is taken, and all below it.
    fn walk_itself(
        &self,
        path: &EntryPath,
        directory: Arc<OwnedFd>,
        stat: FileStat,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        visit(Met::Seen(Seen {
            path,
            parent: &directory,
            called: Called::Itself,
            stat,
            partial: false,
            rule: None,
        }))?;
        let level = self.list(path.clone(), directory, &stat, None, visit)?;
        self.walk(vec![level], visit)
    }

    /// Visits one source, and before it those directories above it that the previous source did not already have.
    fn scan_source(
        &self,
        base: Arc<OwnedFd>,
        source: &EntryPath,
        previous: Option<&EntryPath>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let components: Vec<_> = source.components().collect();
        let (_, above) = components
            .split_last()
            .expect("a source that is not the scan root has a name");
        let mut directory = base;
        let mut path = EntryPath::scan_root();
        for component in above {
            path = path.join(component);
            // Links above a source are followed: they are part of how the user named it. What is recorded is the directory.
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let opened = openat(&directory, *component, flags, Mode::empty());
            let looked = opened.and_then(|inner| Ok((fstat(&inner)?, Arc::new(inner))));
            let (stat, inner) = match looked {
                Ok(found) => found,
                Err(errno) => {
                    self.awaited.borrow_mut().remove(source);
                    let reason = format_args!("cannot open {path} above it: {}", errno.desc());
                    self.monitor.problem(source.as_bytes(), reason);
                    return Ok(());
                }
            };
            if !previous.is_some_and(|previous| previous.is_within(&path)) {
                // Named by itself: its name above may be that of a link.
                visit(Met::Seen(Seen {
                    path: &path,
                    parent: &inner,
                    called: Called::Itself,
                    stat,
                    // What else is in it is none of the sources.
                    partial: true,
                    rule: None,
                }))?;
            }
            directory = inner;
        }
        let mut levels = Vec::new();
        self.meet(&directory, source, &mut levels, visit)?;
        self.walk(levels, visit)
    }

    /// Looks at a path and visits it, unless it is left out; a directory to walk into becomes the lowest level.
    fn meet(
        &self,
        directory: &Arc<OwnedFd>,
        path: &EntryPath,
        levels: &mut Vec<Level>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let (above, around) = levels.last().map_or((None, None), |level| {
            (level.left_out_by, Some((level.identity.0, level.mount)))
        });
        let Some(look) = self.look(directory, path, above) else {
            return Ok(());
        };
        let is_directory = file_type(&look.stat) == SFlag::S_IFDIR;
        match look.verdict {
            Verdict::LeftOut(rule) => {
                let rules = self.rules.borrow();
                let may_have_wanted =
                    || rules.may_include_below(path, rule) || self.is_named_below(path);
                if !is_directory || !may_have_wanted() {
                    let why = format!("a pattern excludes it ({})", rules.rule(rule).told());
                    let told = rules.rule(rule).told();
                    return self.leave_out(path, look.is_named, &why, told, visit);
                }
            }
            Verdict::Taken(_) if self.is_too_large(&look.stat) => {
                let why = "it is larger than --exclude-larger-than says";
                return self.leave_out(path, look.is_named, why, "--exclude-larger-than", visit);
            }
            Verdict::Taken(_) => {}
        }
        let around = around.filter(|_| !look.is_source);
        let inner = if is_directory {
            self.enter(directory, path, &look, around)
        } else {
            None
        };
        if let Verdict::Taken(rule) = look.verdict {
            if self.waiting.get() > 0 {
                self.visit_waiting(levels, visit)?;
            }
            let (parent, called) = match &look.behind {
                Some(behind) => (behind, Called::Itself),
                None => (directory, Called::ByItsName),
            };
            visit(Met::Seen(Seen {
                path,
                parent,
                called,
                stat: look.stat,
                partial: is_directory && inner.is_none(),
                rule: self.told(rule),
            }))?;
        }
        if let Some(inner) = inner {
            let left_out_by = look.verdict.left_out_by();
            let mut level = self.list(path.clone(), inner, &look.stat, left_out_by, visit)?;
            if left_out_by.is_some() {
                level.waits(look.is_named);
                self.waiting.update(|count| count + 1);
            }
            levels.push(level);
        }
        Ok(())
    }

    /// Looks at one name and decides about it; none if it is not there or the store's own.
    fn look(
        &self,
        directory: &Arc<OwnedFd>,
        path: &EntryPath,
        above: Option<RuleId>,
    ) -> Option<Look> {
        let name = path.split().1;
        let awaited = self.awaited.borrow_mut().remove(path);
        if awaited.is_some() && self.is_own(directory, name) {
            self.monitor
                .note(&format!("{path} is left out: it is the store's own"));
            return None;
        }
        let mut behind = None;
        let follow = awaited.is_some_and(|awaited| awaited.follow);
        let stat = if follow {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let opened = openat(directory, name, flags, Mode::empty());
            opened.and_then(|inner| {
                let stat = fstat(&inner)?;
                behind = Some(Arc::new(inner));
                Ok(stat)
            })
        } else {
            fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        };
        let stat = match stat {
            Ok(stat) => stat,
            // What is left out anyway is missed by nobody.
            Err(_) if awaited.is_none() && self.is_left_out(path, above) => return None,
            Err(_) if awaited.is_none() && self.is_mount_to_leave_out(directory, name) => {
                self.note_mount(path);
                return None;
            }
            Err(errno) => {
                let reason = match (errno, follow) {
                    (_, true) => format!("cannot list the directory: {}", errno.desc()),
                    (Errno::ENOENT, _) => "vanished while it was being backed up".to_owned(),
                    _ => format!("cannot look at it: {}", errno.desc()),
                };
                self.monitor.problem(path.as_bytes(), reason);
                return None;
            }
        };
        let is_directory = file_type(&stat) == SFlag::S_IFDIR;
        let is_named = awaited.is_some_and(|awaited| !awaited.listed);
        // What is named is wanted, whatever becomes of the directory that it is in.
        let above = above.filter(|_| !is_named);
        let verdict = self.rules.borrow().decide(path, is_directory, above);
        if is_named && file_type(&stat) == SFlag::S_IFLNK && verdict.left_out_by().is_none() {
            self.tell_of_link(directory, path);
        }
        Some(Look {
            stat,
            verdict,
            is_source: awaited.is_some(),
            is_named,
            behind,
        })
    }

    /// Tells whether a path of which nothing else is known is left out by the rules, as a directory or as anything else.
    fn is_left_out(&self, path: &EntryPath, above: Option<RuleId>) -> bool {
        let rules = self.rules.borrow();
        [false, true].into_iter().any(|is_directory| {
            let verdict = rules.decide(path, is_directory, above);
            verdict.left_out_by().is_some()
        })
    }

    fn is_too_large(&self, stat: &FileStat) -> bool {
        let max = self.selection.file_bytes_max;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        file_type(stat) == SFlag::S_IFREG && max.is_some_and(|max| size > max)
    }

    /// Leaves a path out; if somebody named it, that is a problem. `told` names what decided.
    fn leave_out(
        &self,
        path: &EntryPath,
        is_named: bool,
        why: &str,
        told: &str,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if is_named {
            self.monitor
                .problem(path.as_bytes(), format_args!("was left out: {why}"));
        }
        if self.reasons {
            visit(Met::LeftOut(path, told.into()))?;
        }
        Ok(())
    }

    /// Returns how to name a rule, if reasons are asked for.
    fn told(&self, rule: Option<RuleId>) -> Option<Arc<str>> {
        let rule = rule.filter(|_| self.reasons)?;
        Some(self.rules.borrow().rule(rule).told().into())
    }

    /// Tells whether a source that was named by itself, and was not met yet, lies below a directory.
    fn is_named_below(&self, directory: &EntryPath) -> bool {
        let awaited = self.awaited.borrow();
        let behind = awaited.range((Bound::Excluded(directory), Bound::Unbounded));
        let below = behind.take_while(|(path, _)| path.is_within(directory));
        below.into_iter().any(|(_, awaited)| !awaited.listed)
    }

    /// Opens a directory for listing; none after telling why not. `around` is the device of the directory above and its mount if that is
    /// known, if it matters that this one is another.
    fn enter(
        &self,
        parent: &Arc<OwnedFd>,
        path: &EntryPath,
        look: &Look,
        around: Option<(u64, Option<Mount>)>,
    ) -> Option<Arc<OwnedFd>> {
        let is_mounted = around.is_some_and(|(device, _)| device != look.stat.st_dev);
        if is_mounted && self.selection.one_file_system {
            self.note_mount(path);
            return None;
        }
        if let Some(behind) = &look.behind {
            return Some(Arc::clone(behind));
        }
        match open::open_seen(parent, path.split().1, &look.stat) {
            Ok(inner) => {
                let around = around.and_then(|(_, mount)| mount);
                if mounted::is_other(&inner, around) {
                    self.note_mount(path);
                    return None;
                }
                let pseudo = is_mounted
                    .then(|| open::pseudo_file_system(&inner))
                    .flatten();
                let Some(kind) = pseudo else {
                    return Some(Arc::new(inner));
                };
                self.monitor.note(&format!(
                    "{path}: what is in it is left out: it is no files but {kind}, which the kernel makes up"
                ));
            }
            Err(open::Closed::Replaced) => {
                let reason = "was replaced while it was being backed up; its contents are left out";
                self.monitor.problem(path.as_bytes(), reason);
            }
            Err(open::Closed::Failed(errno)) => {
                let reason = format_args!("cannot list the directory: {}", errno.desc());
                self.monitor.problem(path.as_bytes(), reason);
            }
        }
        None
    }

    /// Tells whether a source is one of the store's own files.
    fn is_own(&self, directory: impl AsFd, name: &[u8]) -> bool {
        let identity = fstat(directory).map(|stat| identity(&stat));
        self.own_directories
            .iter()
            .any(|own| Ok(own.identity) == identity && (own.is_own)(name))
    }
}

/// Returns what kind of file a stat is of.
pub(super) fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Returns what identifies a file while it is open: device and inode number.
pub(super) fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
