//! The options that choose what is backed up or restored.
//!
//! `--include`, `--exclude` and `--exclude-from` are one list: the order in which they were typed is the order in which they are asked.
//! A derived parser would give each option's values by itself, so this one is written by hand.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use pileus::backup::Selection;
use pileus::rules::{Action, Rule};

use super::arguments::Backup;
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

/// The options, with what they take and what they do.
const OPTIONS: [(Kind, &str, &str, &str); 3] = [
    (
        Kind::Include,
        "include",
        "PATTERN",
        "Take what matches, even if a later --exclude matches it; the first that matches decides",
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
            let (action, told) = match kind {
                Kind::Include => (Action::Include, format!("--include={shown}")),
                Kind::Exclude => (Action::Exclude, format!("--exclude={shown}")),
                Kind::ExcludeFrom => {
                    rules.extend(read(value, &shown)?);
                    continue;
                }
            };
            rules.push(Rule::new(action, value, told)?);
        }
        Ok(rules)
    }
}

fn read(file: &OsStr, shown: &str) -> Result<Vec<Rule>, String> {
    let text = fs::read(file).map_err(|e| format!("--exclude-from={shown} cannot be read: {e}"))?;
    Rule::read_lines(&text, shown, Some(Action::Exclude)).collect()
}

/// Interprets everything that says what of the sources is taken.
pub(super) fn selection(arguments: &Backup) -> Result<Selection, String> {
    let file_name = |option: &str, name: &OsString| {
        let bytes = name.as_bytes();
        if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
            let shown = name.to_string_lossy();
            return Err(format!(
                "{option}={shown} is no name of a file in a directory: write it without /"
            ));
        }
        Ok(bytes.to_vec())
    };
    let tags = arguments.exclude_if_present.iter();
    let dir_rules = arguments.dir_rules.as_ref();
    let larger = arguments.exclude_larger_than.as_deref();
    Ok(Selection {
        rules: arguments.rules.rules()?,
        dir_rules: dir_rules
            .map(|name| file_name("--dir-rules", name))
            .transpose()?,
        exclude_caches: arguments.exclude_caches,
        tags: tags
            .map(|name| file_name("--exclude-if-present", name))
            .collect::<Result<_, _>>()?,
        file_bytes_max: larger
            .map(size::parse)
            .transpose()
            .map_err(|e| format!("--exclude-larger-than: {e}"))?,
        one_file_system: arguments.one_file_system,
    })
}
