//! From one path to the next: the directories of the present path, and what is still to come in each.
//!
//! Only the top and the lowest [`OPEN_DIRECTORIES_MAX`] directories stay open; another one is opened again through `..`, or from the top,
//! and must then still be the same directory.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::Result;
use nix::sys::stat::{FileStat, fstat};

use super::open::open_same;
use super::{Called, Met, Scanner, Seen, Visit, identity, tags};
use crate::format::path::EntryPath;
use crate::mount::{self, Mount};
use crate::names::Names;
use crate::rules::{Rule, RuleId};

/// Directories of the current path that are kept open at once.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// A directory that is being walked.
pub(super) struct Level {
    path: EntryPath,
    /// `None` while too many deeper directories are open.
    directory: Option<Arc<OwnedFd>>,
    pub(super) identity: (u64, u64),
    /// The mount that it is in; only known if others are left out.
    pub(super) mount: Option<Mount>,
    names: Names,
    next: usize,
    /// The rule that leaves it out, if it is only passed through.
    pub(super) left_out_by: Option<RuleId>,
    /// Whether it is handed over as soon as something in it is, and then whether it was named as a source.
    waiting: Option<bool>,
    /// Whether it brought rules of its own.
    has_rules: bool,
}

impl Level {
    /// Lets it be handed over only when something in it is.
    pub(super) fn waits(&mut self, is_named: bool) {
        self.waiting = Some(is_named);
    }
}

impl Scanner<'_> {
    /// Walks everything below open directories.
    pub(super) fn walk(&self, mut levels: Vec<Level>, visit: &mut Visit<'_>) -> Result<()> {
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.get(level.next) else {
                self.ascend(&mut levels, visit)?;
                continue;
            };
            level.next += 1;
            let path = level.path.join(name);
            let directory = level
                .directory
                .as_ref()
                .map(Arc::clone)
                .expect("the lowest directory is open");
            let depth = levels.len();
            self.meet(&directory, &path, &mut levels, visit)?;
            if levels.len() > depth
                && let Some(high @ 1..) = levels.len().checked_sub(OPEN_DIRECTORIES_MAX)
            {
                levels[high].directory = None;
            }
        }
        Ok(())
    }

    /// Lists a directory that was opened, and takes up the rules that it brings.
    pub(super) fn list(
        &self,
        path: EntryPath,
        directory: Arc<OwnedFd>,
        stat: &FileStat,
        left_out_by: Option<RuleId>,
        visit: &mut Visit<'_>,
    ) -> Result<Level> {
        let identity = identity(stat);
        let wanted = self.selection.one_file_system;
        let mount = wanted.then(|| mount::mount(directory.as_fd()).ok());
        let own = self
            .own_directories
            .iter()
            .find(|own| own.identity == identity);
        let leave_out = |name: &[u8]| own.is_some_and(|own| (own.is_own)(name));
        let (mut names, failed) = Names::read(directory.as_fd(), leave_out);
        if let Some(errno) = failed {
            let reason = format_args!("cannot list all of the directory: {}", errno.desc());
            self.monitor.problem(path.as_bytes(), reason);
        }
        if names.left_out > 0 {
            self.monitor.note(&format!(
                "{path}: left out {} files of the store itself",
                names.left_out
            ));
        }
        if let Some((why, tags)) = tags::closed_by(self.selection, &directory, &names) {
            self.close(&path, &mut names, why, &tags, visit)?;
        }
        let rules = match &self.selection.dir_rules {
            // What a rule leaves out has no say.
            Some(name) if left_out_by.is_none() && names.has(name) => {
                self.read_rules(&path, &directory, name)
            }
            _ => Vec::new(),
        };
        let has_rules = !rules.is_empty();
        if has_rules {
            self.rules.borrow_mut().push(&path, rules);
        }
        Ok(Level {
            path,
            directory: Some(directory),
            identity,
            mount: mount.flatten(),
            names,
            next: 0,
            left_out_by,
            waiting: None,
            has_rules,
        })
    }

    /// Leaves everything in a directory out but its tags.
    fn close(
        &self,
        path: &EntryPath,
        names: &mut Names,
        why: &str,
        tags: &[Vec<u8>],
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let is_tag = |name: &[u8]| tags.iter().any(|tag| tag == name);
        if self.reasons {
            let listed = (0..).map_while(|index| names.get(index));
            for name in listed.filter(|name| !is_tag(name)) {
                visit(Met::LeftOut(&path.join(name), why.into()))?;
            }
        }
        names.retain(is_tag);
        Ok(())
    }

    fn read_rules(&self, path: &EntryPath, directory: &OwnedFd, name: &[u8]) -> Vec<Rule> {
        let path = path.join(name);
        let shown = path.to_string();
        let tell = |reason: String| {
            let reason = reason.strip_prefix(&format!("{shown}:")).unwrap_or(&reason);
            let reason = format_args!("this rule is ignored: line {reason}");
            self.monitor.problem(path.as_bytes(), reason);
        };
        tags::read_rules(directory, name, &shown, tell).unwrap_or_else(|error| {
            let reason = format_args!("cannot read it, so its rules are ignored: {error}");
            self.monitor.problem(path.as_bytes(), reason);
            Vec::new()
        })
    }

    /// Visits the directories of the present path that were only passed through so far: there is something in them.
    pub(super) fn visit_waiting(&self, levels: &mut [Level], visit: &mut Visit<'_>) -> Result<()> {
        self.waiting.set(0);
        for depth in 0..levels.len() {
            if levels[depth].waiting.take().is_none() {
                continue;
            }
            let open = levels[depth].directory.clone();
            let directory = open.or_else(|| open_from_top(&levels[..=depth]).map(Arc::new));
            let path = &levels[depth].path;
            // Looked at anew: what was seen when it was opened may be long ago.
            let Some((stat, directory)) = directory.and_then(|d| Some((fstat(&d).ok()?, d))) else {
                let reason = "was moved while it was being backed up; it is left out";
                self.monitor.problem(path.as_bytes(), reason);
                continue;
            };
            visit(Met::Seen(Seen {
                path,
                parent: &directory,
                called: Called::Itself,
                stat,
                partial: false,
                // A rule is against it; it is there for what is in it.
                rule: None,
            }))?;
        }
        Ok(())
    }

    /// Leaves the lowest directory; opens the one above it again if it was closed.
    fn ascend(&self, levels: &mut Vec<Level>, visit: &mut Visit<'_>) -> Result<()> {
        let left = levels.pop();
        let mut lower = match left {
            Some(left) => self.leave(left, visit)?,
            None => None,
        };
        while let Some(level) = levels.last().filter(|level| level.directory.is_none()) {
            let through_parent = lower
                .take()
                .and_then(|lower| open_same(&lower, b"..", level.identity));
            if let Some(directory) = through_parent.or_else(|| open_from_top(levels)) {
                levels.last_mut().expect("is there").directory = Some(Arc::new(directory));
                continue;
            }
            self.monitor.problem(
                level.path.as_bytes(),
                "was moved while it was being backed up; the rest of it is left out",
            );
            if let Some(left) = levels.pop() {
                self.leave(left, visit)?;
            }
        }
        Ok(())
    }

    /// Ends a directory: its rules end with it, and if nothing in it was taken, neither is it.
    fn leave(&self, level: Level, visit: &mut Visit<'_>) -> Result<Option<Arc<OwnedFd>>> {
        if level.has_rules {
            self.rules.borrow_mut().pop();
        }
        if let (Some(is_named), Some(rule)) = (level.waiting, level.left_out_by) {
            self.waiting.update(|count| count - 1);
            let told = self.rules.borrow().rule(rule).told().to_owned();
            let why = format!("a pattern excludes it ({told}), and nothing in it is taken");
            self.leave_out(&level.path, is_named, &why, &told, visit)?;
        }
        Ok(level.directory)
    }
}

/// Opens the lowest directory again by its names from the top one, which is always open.
fn open_from_top(levels: &[Level]) -> Option<OwnedFd> {
    let (top, below) = levels.split_first()?;
    let mut directory = top.directory.as_ref()?.as_fd().try_clone_to_owned().ok()?;
    for level in below {
        directory = open_same(&directory, level.path.split().1, level.identity)?;
    }
    Some(directory)
}
