//! Which of what was typed and what is configured is in force.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file::{NOT_HERE, PATHS, Setting, Value};
use super::nearest::nearest;
use super::{elsewhere, unexpanded, variables};

/// Options that exclude one another, and of which the one that was typed counts.
const EXCLUSIVE: [&[&str]; 1] = [&["compression", "filter"]];

/// What help calls the values that may be written as numbers.
const NUMBER_VALUES: [&str; 6] = [
    "N",
    "SIZE",
    "AGE",
    "DURATION",
    "UTILIZATION",
    "PERCENT[:SEED]",
];

/// An option that is configured and in force.
pub(super) struct Configured {
    /// As it would be typed.
    pub(super) argument: OsString,
    /// Where it came from.
    pub(super) source: String,
    /// Whether there may be others of the same name, typed or configured.
    many: bool,
}

impl Configured {
    /// Whether this is the option of that name, such as `--scheme`.
    pub(super) fn is_option(&self, name: &str) -> bool {
        self.parts().0 == name
    }

    /// Tells whether a message speaks of this option.
    pub(super) fn is_named_in(&self, message: &str) -> bool {
        let (option, _) = self.parts();
        let ends_name = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-');
        let mut places = message.match_indices(&option);
        option.starts_with("--") && places.any(|(at, _)| ends_name(&message[at + option.len()..]))
    }

    /// Tells whether a message is about the value of this option, and of no other.
    pub(super) fn is_meant_by(&self, message: &str) -> bool {
        let (option, value) = self.parts();
        if !option.starts_with("--") {
            return message.contains(&format!("\"{option}\""));
        }
        let begins = |rest: &str| rest.starts_with([':', '=']);
        let is_subject = message.strip_prefix(&option).is_some_and(begins);
        // Where only one can be in force, it is this one, whatever else the message says.
        is_subject && !self.many || self.is_named_in(message) && message.contains(&value)
    }

    /// Returns the option and its value, which is empty if it takes none.
    fn parts(&self) -> (String, String) {
        let text = self.argument.to_string_lossy();
        let (option, value) = text.split_once('=').unwrap_or((&text, ""));
        (option.to_owned(), value.to_owned())
    }
}

/// What was typed, with the settings that may add to it.
pub(super) struct Given<'g> {
    command: &'g Command,
    matches: &'g ArgMatches,
    /// Those that are for this command and profile, the most important first.
    settings: Vec<&'g Setting>,
    /// The profile, if its name was typed in place of a PATH.
    profile_as_path: Option<String>,
    /// The PATHs of a backup as they were typed.
    typed_paths: Vec<String>,
    /// The names of all profiles.
    profiles: Vec<String>,
}

impl<'g> Given<'g> {
    /// Finds out which profile is meant; an unknown one is an error.
    pub(super) fn new(
        definition: &'g Command,
        name: &str,
        matches: &'g ArgMatches,
        settings: &'g [Setting],
    ) -> Result<Self, String> {
        let command = definition
            .get_subcommands()
            .find(|command| command.get_name() == name);
        let command = command.ok_or_else(|| format!("there is no command {name}"))?;
        let mut profiles: Vec<_> = settings
            .iter()
            .filter_map(|s| s.profile.as_deref())
            .collect();
        profiles.sort_unstable();
        profiles.dedup();
        let typed_paths = typed_paths(name, matches);
        let only_path = only_path(&typed_paths).cloned();
        let only_path = only_path.filter(|path| profiles.contains(&path.as_str()));
        let named = matches.get_one::<String>("profile").cloned();
        let named = named.or_else(|| std::env::var("PILEUS_PROFILE").ok());
        let profile = only_path.clone().or(named);
        if let Some(profile) = profile.as_deref().filter(|name| !profiles.contains(name)) {
            let there_are = match &profiles[..] {
                [] => "there is none in the configuration".to_owned(),
                [one] => format!("there is only {one}"),
                some => format!("there are {}", some.join(", ")),
            };
            return Err(format!("there is no profile \"{profile}\": {there_are}"));
        }
        let mut settings: Vec<_> = settings
            .iter()
            .filter(|s| s.profile.is_none() || s.profile == profile)
            .filter(|s| {
                s.command
                    .as_deref()
                    .is_none_or(|command| command == name || tells_of(name, command, &s.key))
            })
            .collect();
        // Stable: of several files, the first stays the first.
        settings.sort_by_key(|s| {
            (
                s.profile.is_none(),
                s.command.as_deref() != Some(name),
                s.command.is_none(),
            )
        });
        Ok(Self {
            command,
            matches,
            settings,
            profile_as_path: only_path,
            typed_paths,
            profiles: profiles.into_iter().map(ToOwned::to_owned).collect(),
        })
    }

    /// Refuses a word that is neither a file nor a profile but nearly the name of one, and a profile that does not stand alone.
    pub(super) fn ensure_no_slip(&self) -> Result<(), String> {
        let is_there = |path: &str| std::fs::symlink_metadata(path).is_ok();
        let Some(word) = only_path(&self.typed_paths) else {
            return self.ensure_no_profile_among_paths(is_there);
        };
        if self.profile_as_path.is_some() || is_there(word) {
            return Ok(());
        }
        nearest(word, &self.profiles).map_or(Ok(()), |nearest| {
            Err(format!(
                "there is neither a file nor a profile \"{word}\": the nearest profile is \"{nearest}\""
            ))
        })
    }

    /// What is called like a profile may be a relative PATH, if it is there and all others are relative too.
    fn ensure_no_profile_among_paths(&self, is_there: impl Fn(&str) -> bool) -> Result<(), String> {
        let paths = &self.typed_paths;
        let all_relative = !paths.iter().any(|path| path.starts_with('/'));
        let is_profile = |path: &&String| self.profiles.contains(path);
        let mut meant = paths.iter().filter(is_profile);
        meant
            .find(|path| !(all_relative && is_there(path)))
            .map_or(Ok(()), |profile| {
                Err(format!(
                    "\"{profile}\" is a profile, and names what to back up by itself: leave out the other PATHs, or write ./{profile} for the directory"
                ))
            })
    }

    /// Says so if the name of a profile is taken as that of a directory, since something stands beside it.
    pub(super) fn profile_taken_as_path(&self) -> Option<String> {
        let mut paths = self.typed_paths.iter();
        let taken = paths.find(|path| self.profiles.contains(path))?;
        (self.typed_paths.len() > 1).then(|| {
            format!(
                "\"{taken}\" is taken as a PATH, since others stand beside it, and not as the profile of this name: write ./{taken} if that is meant"
            )
        })
    }

    /// Returns the options that environment and files add to what was typed.
    pub(super) fn configured(
        &self,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<Configured>, String> {
        let mut configured = Vec::new();
        for argument in self.command.get_arguments() {
            let Some(long) = argument.get_long() else {
                if argument.get_id() == PATHS && self.paths_are_missing() {
                    self.add_paths(&mut configured)?;
                }
                continue;
            };
            if NOT_HERE.contains(&long) || self.is_excluded(argument, long) {
                continue;
            }
            let many = is_repeatable(argument);
            if self.is_typed(argument.get_id().as_str()) && !many {
                continue;
            }
            let variable = variables::of_option(long);
            if let Some(value) = environment(&variable) {
                configured.extend(from_environment(argument, long, &variable, &value)?);
                if !many {
                    continue;
                }
            }
            for setting in self.settings.iter().filter(|s| s.key == long) {
                configured.extend(from_file(argument, long, setting)?);
                if !many {
                    break;
                }
            }
        }
        Ok(configured)
    }

    /// Takes the name of a profile out of what was typed, where it stands for the PATHs of the profile.
    pub(super) fn without_profile_name(
        &self,
        typed: Vec<OsString>,
        relaxed: &Command,
    ) -> Vec<OsString> {
        let Some(profile) = &self.profile_as_path else {
            return typed;
        };
        let is_profile = |(_, argument): &(usize, &OsString)| *argument == OsStr::new(profile);
        let places: Vec<_> = typed
            .iter()
            .enumerate()
            .filter(is_profile)
            .map(|(at, _)| at)
            .collect();
        for at in places {
            let mut without = typed.clone();
            without.remove(at);
            // The same word may be the value of an option.
            let matches = relaxed.clone().try_get_matches_from(&without);
            let paths_left = matches.as_ref().ok().and_then(ArgMatches::subcommand);
            if paths_left.is_some_and(|(name, of_command)| typed_paths(name, of_command).is_empty())
            {
                return without;
            }
        }
        typed
    }

    fn is_typed(&self, id: &str) -> bool {
        self.matches.value_source(id) == Some(ValueSource::CommandLine)
    }

    /// Tells whether something was typed that an option cannot stand beside.
    fn is_excluded(&self, argument: &Arg, long: &str) -> bool {
        let by_rule = EXCLUSIVE
            .iter()
            .filter(|names| names.contains(&long))
            .flat_map(|names| names.iter())
            .any(|other| *other != long && self.is_typed(&other.replace('-', "_")));
        let excludes = |one: &Arg, other: &Arg| {
            let conflicts = self.command.get_arg_conflicts_with(one);
            conflicts
                .iter()
                .any(|conflict| conflict.get_id() == other.get_id())
        };
        let mut others = self.command.get_arguments();
        by_rule
            || others.any(|other| {
                self.is_typed(other.get_id().as_str())
                    && (excludes(argument, other) || excludes(other, argument))
            })
    }

    fn paths_are_missing(&self) -> bool {
        let in_place_of_paths = ["behind_dashes", "stdin_name", "stdin_from_command"];
        let has_others = self.command.get_name() == "backup"
            && in_place_of_paths.iter().any(|id| self.is_typed(id));
        !has_others && (self.profile_as_path.is_some() || !self.is_typed(PATHS))
    }

    fn add_paths(&self, configured: &mut Vec<Configured>) -> Result<(), String> {
        // What is backed up is not what other commands are about.
        let is_meant = |s: &&&Setting| {
            s.key == PATHS && (self.command.get_name() == "backup" || s.command.is_some())
        };
        let Some(setting) = self.settings.iter().find(is_meant) else {
            return Ok(());
        };
        let paths = match &setting.value {
            Value::Texts(paths) if !setting.has_number => paths,
            _ => return Err(format!("{}: paths is a list of texts", setting.place)),
        };
        if let Some(option) = paths.iter().find(|path| path.starts_with('-')) {
            return Err(format!(
                "{}: {option} looks like an option: write ./{option}",
                setting.place
            ));
        }
        configured.extend(paths.iter().map(|path| Configured {
            argument: path.into(),
            source: setting.place.clone(),
            many: true,
        }));
        Ok(())
    }
}

/// Tells whether a command says what another one would do with its settings: a report foresees a prune, by the rules of that.
fn tells_of(name: &str, other: &str, key: &str) -> bool {
    name == "report" && other == "prune" && key.starts_with("keep-")
}

/// Returns the PATHs of a backup that were typed, as far as they are text.
fn typed_paths(command: &str, matches: &ArgMatches) -> Vec<String> {
    let typed = matches.try_get_raw(PATHS).ok().flatten();
    let typed = typed.filter(|_| command == "backup").into_iter().flatten();
    typed
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// Returns the PATH if there is just one.
fn only_path(paths: &[String]) -> Option<&String> {
    match paths {
        [path] => Some(path),
        _ => None,
    }
}

fn is_repeatable(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

fn takes_number(argument: &Arg) -> bool {
    let mut names = argument.get_value_names().unwrap_or_default().iter();
    names.any(|name| NUMBER_VALUES.contains(&name.as_str()))
}

/// Tells whether an option may stand without a value, as a switch does.
fn may_be_a_switch(argument: &Arg) -> bool {
    let values = argument.get_num_args();
    !takes_value(argument) || values.is_some_and(|values| values.min_values() == 0)
}

fn from_file(argument: &Arg, long: &str, setting: &Setting) -> Result<Vec<Configured>, String> {
    let place = &setting.place;
    let many = is_repeatable(argument);
    let option = |argument: String| Configured {
        argument: argument.into(),
        source: place.clone(),
        many,
    };
    match (&setting.value, takes_value(argument)) {
        (Value::Switch(false), _) if may_be_a_switch(argument) => Ok(Vec::new()),
        (Value::Switch(true), _) if may_be_a_switch(argument) => {
            Ok(vec![option(format!("--{long}"))])
        }
        (Value::Switch(_), _) => Err(format!("{place}: {long} takes a value, not true or false")),
        (Value::Texts(_), false) => {
            let slip = if setting.has_number {
                "not a number"
            } else {
                "without quotes"
            };
            Err(format!("{place}: {long} takes true or false, {slip}"))
        }
        (Value::Texts(_), true) if setting.has_number && !takes_number(argument) => Err(format!(
            "{place}: {long} takes a text, not a number: write it in quotes"
        )),
        (Value::Texts(texts), true) => {
            if texts.len() != 1 && !many {
                return Err(format!("{place}: {long} takes one value"));
            }
            Ok(texts
                .iter()
                .map(|text| option(format!("--{long}={text}")))
                .collect())
        }
    }
}

fn from_environment(
    argument: &Arg,
    long: &str,
    variable: &str,
    value: &OsStr,
) -> Result<Option<Configured>, String> {
    let source = format!("environment, {variable}");
    let switch = match value.to_str() {
        Some("1" | "true" | "yes" | "on") => Some(true),
        Some("" | "0" | "false" | "no" | "off") => Some(false),
        _ => None,
    };
    let many = is_repeatable(argument);
    if takes_value(argument) && !(may_be_a_switch(argument) && switch.is_some()) {
        if let Some(told) = elsewhere::refused_configured(variable, value)
            .filter(|_| elsewhere::takes_directory(argument))
        {
            return Err(format!("environment, {told}"));
        }
        let is_path = unexpanded::takes_path(argument) || unexpanded::takes_pattern(argument);
        if let Some(told) = unexpanded::refused(long, value).filter(|_| is_path) {
            return Err(format!("{source}: {told}"));
        }
        let name = OsString::from(format!("--{long}"));
        let argument = [name.as_os_str(), value].join(OsStr::new("="));
        return Ok(Some(Configured {
            argument,
            source,
            many,
        }));
    }
    match switch {
        Some(true) => Ok(Some(Configured {
            argument: format!("--{long}").into(),
            source,
            many,
        })),
        Some(false) => Ok(None),
        None => Err(format!(
            "{variable} is neither true nor false: write 1 or 0"
        )),
    }
}
