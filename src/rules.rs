//! Rules: patterns in an order, each of which takes what it matches or leaves it out.
//!
//! For each path the first rule that matches it decides. A path that no rule matches goes as its directory goes; the uppermost ones are
//! taken. Below a directory that a rule has left out, only rules *before* that one are asked, since they alone could have decided
//! otherwise: `--include=/a/b --exclude=/a` takes `/a/b` with all below, and nothing else of `/a`. So whoever walks a tree may pass by
//! an excluded directory unless a rule before it includes something that could lie below: [`RuleStack::may_include_below`].
//!
//! This differs from rsync only in that rsync never enters an excluded directory: there, what is below needs an include for every
//! directory above it.
//!
//! Directories may bring rules of their own. They are matched relative to that directory, and asked before those from further up.

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::format::path::EntryPath;
use crate::pattern::Pattern;

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes it.
    Include,
    /// Leaves it out.
    Exclude,
}

/// A pattern with what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pattern: Pattern,
    action: Action,
    /// The rule as it was written, and where, for people.
    told: String,
}

impl Rule {
    /// Compiles a rule; `told` is how to name it. The error names the pattern.
    pub fn new(action: Action, pattern: &OsStr, told: String) -> Result<Self, String> {
        let pattern = Pattern::new(pattern)?;
        Ok(Self {
            pattern,
            action,
            told,
        })
    }

    /// Returns the rule as it was written, and where.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Reads the rules of a file, one a line; each line that is wrong is an error that names it.
    ///
    /// `+ PATTERN` includes and `- PATTERN` excludes; a bare pattern does what `bare` says, if that is allowed. Empty lines and lines
    /// that begin with `#` mean nothing. All other bytes count, blanks too.
    pub fn read_lines<'t>(
        text: &'t [u8],
        file: &'t str,
        bare: Option<Action>,
    ) -> impl Iterator<Item = Result<Self, String>> + 't {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|&b| b == b'\n').enumerate();
        lines.filter_map(move |(index, line)| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                return None;
            }
            let told = format!("{file}:{}: {}", index + 1, String::from_utf8_lossy(line));
            let (action, pattern) = match line {
                [b'+', b' ', pattern @ ..] => (Some(Action::Include), pattern),
                [b'-', b' ', pattern @ ..] => (Some(Action::Exclude), pattern),
                _ => (bare, line),
            };
            let Some(action) = action else {
                return Some(Err(format!(
                    "{told}: is no rule: begin it with \"+ \", \"- \" or #"
                )));
            };
            let rule = Self::new(action, OsStr::from_bytes(pattern), told);
            Some(rule.map_err(|error| format!("{file}:{}: {error}", index + 1)))
        })
    }
}

/// Which rule of a [`RuleStack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId {
    list: usize,
    index: usize,
}

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken, by a rule or because none is against it.
    Taken(Option<RuleId>),
    /// It is left out by this rule.
    LeftOut(RuleId),
}

impl Verdict {
    /// Returns the rule that leaves the path out, if one does.
    #[must_use]
    pub fn left_out_by(self) -> Option<RuleId> {
        match self {
            Self::LeftOut(rule) => Some(rule),
            Self::Taken(_) => None,
        }
    }

    /// Returns the rule that decided, if one did.
    #[must_use]
    pub fn rule(self) -> Option<RuleId> {
        match self {
            Self::LeftOut(rule) => Some(rule),
            Self::Taken(rule) => rule,
        }
    }
}

/// The rules that apply at one place of a tree: those for all of it, and those that the directories on the way there brought.
#[derive(Clone, Debug, Default)]
pub struct RuleStack {
    /// Each list with the length of the path that its patterns are relative to, the slash behind it included.
    lists: Vec<(usize, Vec<Rule>)>,
}

impl RuleStack {
    /// Begins with the rules for the whole tree.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut stack = Self::default();
        if !rules.is_empty() {
            stack.lists.push((0, rules));
        }
        stack
    }

    /// Adds the rules that a directory brings for what is below it.
    pub fn push(&mut self, directory: &EntryPath, rules: Vec<Rule>) {
        let base_bytes = if directory.is_scan_root() {
            0
        } else {
            directory.as_bytes().len() + 1
        };
        self.lists.push((base_bytes, rules));
    }

    /// Takes away what was pushed last.
    pub fn pop(&mut self) {
        self.lists.pop();
    }

    /// Returns a rule by what names it.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> &Rule {
        &self.lists[id.list].1[id.index]
    }

    /// Decides about a path, given the rule that leaves out the directory above it, if one does.
    #[must_use]
    pub fn decide(&self, path: &EntryPath, is_directory: bool, above: Option<RuleId>) -> Verdict {
        let matching = self.asked(above).find(|(_, base_bytes, rule)| {
            let relative = path.as_bytes().get(*base_bytes..);
            relative.is_some_and(|path| rule.pattern.matches_bytes(path, is_directory))
        });
        match (matching, above) {
            (Some((id, _, rule)), _) if rule.action == Action::Exclude => Verdict::LeftOut(id),
            (Some((id, ..)), _) => Verdict::Taken(Some(id)),
            (None, Some(above)) => Verdict::LeftOut(above),
            (None, None) => Verdict::Taken(None),
        }
    }

    /// Tells whether anything below a directory may be taken all the same, though this rule leaves the directory out.
    #[must_use]
    pub fn may_include_below(&self, directory: &EntryPath, left_out_by: RuleId) -> bool {
        self.asked(Some(left_out_by)).any(|(_, base_bytes, rule)| {
            let relative = directory.as_bytes().get(base_bytes..).unwrap_or_default();
            rule.action == Action::Include && rule.pattern.may_match_below(relative)
        })
    }

    /// Returns the rules in the order in which they are asked, up to but without `end`.
    fn asked(&self, end: Option<RuleId>) -> impl Iterator<Item = (RuleId, usize, &Rule)> {
        let lists = self.lists.iter().enumerate().rev();
        let rules = lists.flat_map(|(list, (base_bytes, rules))| {
            let rules = rules.iter().enumerate();
            rules.map(move |(index, rule)| (RuleId { list, index }, *base_bytes, rule))
        });
        rules.take_while(move |(id, ..)| Some(*id) != end)
    }
}

/// Decides about entries that come in path order, as they stand in a metadata log.
#[derive(Debug)]
pub struct RuleWalk {
    rules: RuleStack,
    /// The directories above the last path that are left out, with what leaves them out.
    left_out: Vec<(EntryPath, RuleId)>,
}

impl RuleWalk {
    /// Begins before the first path.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules: RuleStack::new(rules),
            left_out: Vec::new(),
        }
    }

    /// Tells whether an entry is taken. Its directory may be left out.
    pub fn takes(&mut self, path: &EntryPath, is_directory: bool) -> bool {
        // A directory that a rule took again ends what the one above it passes on.
        while let Some((directory, _)) = self.left_out.last()
            && !path.is_within(directory)
        {
            self.left_out.pop();
        }
        let above = self.above(path);
        let verdict = self.rules.decide(path, is_directory, above);
        if let (true, Verdict::LeftOut(rule)) = (is_directory, verdict) {
            self.left_out.push((path.clone(), rule));
        }
        verdict.left_out_by().is_none()
    }

    fn above(&self, path: &EntryPath) -> Option<RuleId> {
        let (directory, rule) = self.left_out.last()?;
        (directory.as_bytes() == path.split().0).then_some(*rule)
    }
}
