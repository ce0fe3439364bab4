//! The options that choose what is backed up or restored.
//!
//! `--include`, `--exclude` and `--exclude-from` are one list: the order in which they were typed is the order in which they are asked.
//! A derived parser would give each option's values by itself, so this one is written by hand.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use pileus::backup::{Selection, Sources};
use pileus::format::path::EntryPath;
use pileus::rules::{Action, Rule};

use super::config::unexpanded::refused_pattern;
use super::size;

/// The rules of the command line, in the order in which they were typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleArguments {
    given: Vec<(Kind, OsString)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Include,
    Exclude,
    ExcludeFrom,
}

/// What of the sources is taken, and what else is a source.
#[derive(Debug, Args)]
pub(crate) struct ChoosingArguments {
    #[command(flatten)]
    rules: RuleArguments,

    /// Take only the tag of directories that a CACHEDIR.TAG marks as caches
    #[arg(long)]
    exclude_caches: bool,

    /// Take nothing else of directories that have a file of this name
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<OsString>,

    /// Leave out files of more than this
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<String>,

    /// Leave out what is mounted below a PATH
    #[arg(long)]
    one_file_system: bool,

    /// Let files of this name rule what is taken of their directories: lines of "+ PATTERN" and "- PATTERN"
    #[arg(long, value_name = "NAME")]
    dir_rules: Option<OsString>,

    /// Back up what the lines of a file name, too; - for standard input
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// The names of --files-from end in NUL, as find -print0 writes them
    #[arg(long, requires = "files_from")]
    null: bool,

    /// Record the one PATH, a directory, under this name
    #[arg(long, value_name = "PATH", conflicts_with = "files_from")]
    as_path: Option<PathBuf>,
}

/// The options, with what they take and what they do.
const OPTIONS: [(Kind, &str, &str, &str); 3] = [
    (
        Kind::Include,
        "include",
        "PATTERN",
        "Take what matches, even if a later --exclude matches it; the first that matches decides. Without any --exclude it leaves nothing out",
    ),
    (
        Kind::Exclude,
        "exclude",
        "PATTERN",
        "Leave out what matches: * and ? stop at /, ** does not, a leading / anchors, a trailing / means directories only",
    ),
    (
        Kind::ExcludeFrom,
        "exclude-from",
        "FILE",
        "Leave out what the lines of a file match; lines may also begin with \"+ \", \"- \" or #",
    ),
];

impl Args for RuleArguments {
    fn augment_args(command: Command) -> Command {
        OPTIONS
            .iter()
            .fold(command, |command, (_, name, value, help)| {
                command.arg(
                    Arg::new(*name)
                        .long(*name)
                        .value_name(*value)
                        .action(ArgAction::Append)
                        .value_parser(ValueParser::os_string())
                        .help(*help),
                )
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for (kind, name, ..) in OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<OsString>(name).into_iter().flatten();
            given.extend(
                places
                    .zip(values)
                    .map(|(place, value)| (place, kind, value.clone())),
            );
        }
        given.sort_by_key(|(place, ..)| *place);
        let given = given.into_iter().map(|(_, kind, value)| (kind, value));
        Ok(Self {
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl RuleArguments {
    /// Compiles the rules; the error names the one that is wrong.
    pub(super) fn rules(&self) -> Result<Vec<Rule>, String> {
        let mut rules = Vec::new();
        for (kind, value) in &self.given {
            let shown = value.to_string_lossy();
            let (action, option) = match kind {
                Kind::Include => (Action::Include, "--include"),
                Kind::Exclude => (Action::Exclude, "--exclude"),
                Kind::ExcludeFrom => {
                    rules.extend(read(value, &shown)?);
                    continue;
                }
            };
            let rule = Rule::new(action, value, format!("{option}={shown}"));
            rules.push(rule.map_err(|e| format!("{option}: {e}"))?);
        }
        Ok(rules)
    }
}

impl RuleArguments {
    /// Says what is wrong with includes where nothing is excluded. Other programs have an `--include` that takes nothing else.
    pub(super) fn without_effect(&self) -> Option<String> {
        let mut kinds = self.given.iter().map(|(kind, _)| kind);
        let (_, first) = self.given.first()?;
        kinds.all(|kind| matches!(kind, Kind::Include)).then(|| {
            let first = first.to_string_lossy();
            format!("--include={first} leaves nothing out by itself: add --exclude='*' behind it")
        })
    }
}

fn read(file: &OsStr, shown: &str) -> Result<Vec<Rule>, String> {
    let text = fs::read(file).map_err(|e| format!("--exclude-from={shown} cannot be read: {e}"))?;
    for (index, line) in text.split(|&b| b == b'\n').enumerate() {
        let pattern = line
            .strip_prefix(b"+ ")
            .or_else(|| line.strip_prefix(b"- "));
        let pattern = OsStr::from_bytes(pattern.unwrap_or(line).trim_ascii_end());
        if let Some(told) = refused_pattern(pattern) {
            let line = index + 1;
            return Err(format!(
                "{shown}:{line}: {}: {told}",
                pattern.to_string_lossy()
            ));
        }
    }
    Rule::read_lines(&text, shown, Some(Action::Exclude)).collect()
}

impl ChoosingArguments {
    /// Says what is wrong with rules that do nothing.
    pub(super) fn without_effect(&self) -> Option<String> {
        self.rules.without_effect()
    }

    /// Interprets what says which of the files in the sources are taken.
    pub(super) fn selection(&self) -> Result<Selection, String> {
        let tags = self.exclude_if_present.iter();
        let dir_rules = self.dir_rules.as_ref();
        let larger = self.exclude_larger_than.as_deref();
        Ok(Selection {
            rules: self.rules.rules()?,
            dir_rules: dir_rules
                .map(|name| file_name("--dir-rules", name))
                .transpose()?,
            exclude_caches: self.exclude_caches,
            tags: tags
                .map(|name| file_name("--exclude-if-present", name))
                .collect::<Result<_, _>>()?,
            file_bytes_max: larger
                .map(size::parse)
                .transpose()
                .map_err(|e| format!("--exclude-larger-than: {e}"))?,
            one_file_system: self.one_file_system,
        })
    }

    /// Interprets PATHs and lists.
    pub(super) fn sources(&self, paths: &[PathBuf]) -> Result<Sources, String> {
        let mut listed = Vec::new();
        for file in &self.files_from {
            self.read_list(file, &mut listed)?;
        }
        if paths.is_empty() && listed.is_empty() {
            return Err("nothing to back up: --files-from names nothing".to_owned());
        }
        let sources = Sources::parse(paths, &listed)?;
        match &self.as_path {
            Some(path) => {
                let recorded = sources.recorded_as(path);
                // Some of what may be wrong with it names the option already.
                recorded.map_err(|e| match e.strip_prefix("--as-path ") {
                    Some(_) => e,
                    None => format!("--as-path: {e}"),
                })
            }
            None => Ok(sources),
        }
    }

    fn read_list(&self, file: &Path, listed: &mut Vec<PathBuf>) -> Result<(), String> {
        let mut list = Vec::new();
        let read = if file == Path::new("-") {
            io::stdin().read_to_end(&mut list).map(drop)
        } else {
            fs::read(file).map(|bytes| list = bytes)
        };
        let shown = file.display();
        read.map_err(|e| format!("--files-from={shown} cannot be read: {e}"))?;
        if !self.null && list.contains(&0) {
            return Err(format!(
                "--files-from={shown} has a NUL in it: add --null if its names end in one"
            ));
        }
        let end = if self.null { 0 } else { b'\n' };
        for (index, name) in list.split(|&b| b == end).enumerate() {
            if name.is_empty() {
                continue;
            }
            let path = PathBuf::from(OsStr::from_bytes(name));
            EntryPath::from_argument(&path)
                .map_err(|error| format!("{shown}:{}: {error}", index + 1))?;
            listed.push(path);
        }
        Ok(())
    }
}

fn file_name(option: &str, name: &OsString) -> Result<Vec<u8>, String> {
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
        let shown = name.to_string_lossy();
        return Err(format!(
            "{option}={shown} is no name of a file in a directory: write it without /"
        ));
    }
    Ok(bytes.to_vec())
}
