//! Which entries of a snapshot are meant by the PATHs and rules of a command.

use crate::format::path::EntryPath;
use crate::rules::{Rule, RuleWalk};

/// PATHs, and which of them were met.
#[derive(Debug)]
pub struct Chosen {
    paths: Vec<(EntryPath, bool)>,
}

/// How an entry relates to the PATHs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is one of them or below one.
    Within,
    /// One of them is below it.
    Above,
    /// Neither.
    Outside,
}

impl Chosen {
    /// Means everything if there are no PATHs.
    #[must_use]
    pub fn new(paths: &[EntryPath]) -> Self {
        let everything = paths.is_empty().then(|| (EntryPath::scan_root(), true));
        Self {
            paths: paths
                .iter()
                .map(|path| (path.clone(), false))
                .chain(everything)
                .collect(),
        }
    }

    /// Tells how an entry relates to the PATHs, and remembers those that it is.
    pub fn relate(&mut self, path: &EntryPath) -> Relation {
        let mut relation = Relation::Outside;
        for (chosen, met) in &mut self.paths {
            if path.is_within(chosen) {
                *met = true;
                relation = Relation::Within;
            } else if relation == Relation::Outside && chosen.is_within(path) {
                relation = Relation::Above;
            }
        }
        relation
    }

    /// Returns the PATHs that no entry was, or was below.
    pub fn unmet(&self) -> impl Iterator<Item = &EntryPath> {
        self.paths
            .iter()
            .filter(|(_, met)| !met)
            .map(|(path, _)| path)
    }
}

/// PATHs, and rules for what they mean.
#[derive(Debug)]
pub struct Wanted {
    /// The PATHs.
    pub chosen: Chosen,
    rules: RuleWalk,
    /// Number of entries that the rules take, and that they leave out.
    taken: u64,
    left_out: u64,
}

impl Wanted {
    /// Means everything that the PATHs do but for what the rules leave out.
    #[must_use]
    pub fn new(paths: &[EntryPath], rules: Vec<Rule>) -> Self {
        Self {
            chosen: Chosen::new(paths),
            rules: RuleWalk::new(rules),
            taken: 0,
            left_out: 0,
        }
    }

    /// Returns the number of entries that the rules left out, if they took none.
    #[must_use]
    pub fn all_left_out(&self) -> Option<u64> {
        (self.taken == 0 && self.left_out > 0).then_some(self.left_out)
    }

    /// Tells how an entry relates to what is wanted; entries come in path order. A directory that a rule leaves out may be above
    /// something that another one takes.
    pub fn relate(&mut self, path: &EntryPath, is_directory: bool) -> Relation {
        let relation = self.chosen.relate(path);
        if relation != Relation::Within || path.is_scan_root() {
            return relation;
        }
        if self.rules.takes(path, is_directory) {
            self.taken += 1;
            return Relation::Within;
        }
        self.left_out += 1;
        if is_directory {
            Relation::Above
        } else {
            Relation::Outside
        }
    }
}
