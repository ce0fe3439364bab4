//! Which entries of a snapshot are meant by the PATHs of a command.

use crate::format::path::EntryPath;

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
