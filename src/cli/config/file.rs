//! A configuration file: TOML whose keys are the long names of options.
//!
//! At the top, and in `[profile.NAME]`, a key is for every command that has such an option; in `[COMMAND]` and `[profile.NAME.COMMAND]` for
//! that command. `paths` stands for what is typed without a name. A key that no command has is refused, with the nearest one that there is, and a
//! path that counts on a shell with its place.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::{elsewhere, unexpanded};

/// The key for PATHs.
pub(super) const PATHS: &str = "paths";

/// The table of profiles.
const PROFILE: &str = "profile";

/// Options that say where the configuration is cannot stand in it, nor one whose command is typed.
pub(super) const NOT_HERE: [&str; 5] =
    ["config", "profile", "help", "version", "stdin-from-command"];

/// A value of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The only profile that it is for; all if none.
    pub(super) profile: Option<String>,
    /// The only command that it is for; all if none.
    pub(super) command: Option<String>,
    /// The long name of the option, or [`PATHS`].
    pub(super) key: String,
    pub(super) value: Value,
    /// Whether a number stands in it without quotes.
    pub(super) has_number: bool,
    /// `FILE:LINE:COLUMN`.
    pub(super) place: String,
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Switch(bool),
    Texts(Vec<String>),
}

/// Reads a file's text; the error is one line with the place.
pub(super) fn parse(path: &Path, text: &str, definition: &Command) -> Result<Vec<Setting>, String> {
    let mut parser = Parser {
        path,
        text,
        definition,
        settings: Vec::new(),
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!(
            "{}: {}",
            parser.place(at),
            error.message().replace('\n', ", ")
        )
    })?;
    parser.table(table.get_ref(), None, None)?;
    Ok(parser.settings)
}

/// Returns the long names of a command's options; of all commands if none is named.
fn options(definition: &Command, command: Option<&str>) -> Vec<String> {
    let of = |command: &Command| -> Vec<String> {
        let longs = command
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        longs.map(str::to_owned).collect()
    };
    let mut names = of(definition);
    for subcommand in definition.get_subcommands() {
        if command.is_none_or(|command| subcommand.get_name() == command) {
            names.extend(of(subcommand));
        }
    }
    names.retain(|name| !NOT_HERE.contains(&name.as_str()));
    names.push(PATHS.to_owned());
    names
}

struct Parser<'p> {
    path: &'p Path,
    text: &'p str,
    definition: &'p Command,
    settings: Vec<Setting>,
}

impl Parser<'_> {
    fn table(
        &mut self,
        table: &DeTable<'_>,
        profile: Option<&str>,
        command: Option<&str>,
    ) -> Result<(), String> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(profiles) if (name, profile, command) == (PROFILE, None, None) => {
                    self.profiles(profiles)?;
                }
                DeValue::Table(inner) if command.is_none() => {
                    let mut known = self.commands();
                    known.extend(profile.is_none().then(|| PROFILE.to_owned()));
                    if !known.iter().any(|known| known == name) {
                        let told = no_command(name, &known, profile.is_none());
                        return Err(self.mistake(key.span().start, &told));
                    }
                    self.table(inner, profile, Some(name))?;
                }
                _ => self.setting(key, value, profile, command)?,
            }
        }
        Ok(())
    }

    fn profiles(&mut self, profiles: &DeTable<'_>) -> Result<(), String> {
        for (name, value) in profiles {
            let DeValue::Table(inner) = value.get_ref() else {
                let place = self.place(name.span().start);
                return Err(format!(
                    "{place}: a profile is a table: [profile.{}]",
                    name.get_ref()
                ));
            };
            self.table(inner, Some(name.get_ref()), None)?;
        }
        Ok(())
    }

    fn setting(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        profile: Option<&str>,
        command: Option<&str>,
    ) -> Result<(), String> {
        let name = key.get_ref().as_ref();
        let known = options(self.definition, command);
        if !known.iter().any(|known| known == name) {
            let told = self.no_option(name, &known, command);
            return Err(self.mistake(key.span().start, &told));
        }
        if name == PATHS && !matches!(value.get_ref(), DeValue::Array(_)) {
            let told = "paths is a list of texts, such as [\"/home\", \"/etc\"]";
            return Err(self.mistake(value.span().start, told));
        }
        self.ensure_whole_paths(name, value)?;
        let place = self.place(value.span().start);
        let text = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => None,
        };
        let has_number = match value.get_ref() {
            DeValue::Array(items) => items.iter().any(|item| is_number(item.get_ref())),
            other => is_number(other),
        };
        let value = match value.get_ref() {
            DeValue::Boolean(switch) => Some(Value::Switch(*switch)),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| text(item.get_ref()));
                texts.collect::<Option<_>>().map(Value::Texts)
            }
            other => text(other).map(|text| Value::Texts(vec![text])),
        };
        let value = value.ok_or_else(|| {
            format!("{place}: {name} is a text, a number, true or false, or a list of texts")
        })?;
        self.settings.push(Setting {
            profile: profile.map(str::to_owned),
            command: command.map(str::to_owned),
            key: name.to_owned(),
            value,
            has_number,
            place,
        });
        Ok(())
    }

    fn commands(&self) -> Vec<String> {
        let commands = self.definition.get_subcommands();
        commands
            .map(|command| command.get_name().to_owned())
            .collect()
    }

    /// Says what is wrong with the key of an option; one of another command is told as such.
    fn no_option(&self, name: &str, known: &[String], command: Option<&str>) -> String {
        let commands = self.definition.get_subcommands();
        let having: Vec<_> = commands
            .filter(|c| c.get_arguments().any(|a| a.get_long() == Some(name)))
            .map(Command::get_name)
            .collect();
        if name == "stdin-from-command" {
            return format!("{name} cannot stand here: it is typed, with its command");
        }
        match command {
            Some(command) if !having.is_empty() && !NOT_HERE.contains(&name) => format!(
                "there is no option \"{name}\" of {command}: it is one of {}",
                having.join(" and ")
            ),
            _ => format!("there is no option \"{name}\"{}", offer(name, known)),
        }
    }

    /// Refuses paths that count on a shell, and places that count on a working directory.
    fn ensure_whole_paths(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let commands = self.definition.get_subcommands();
        let arguments = commands.flat_map(Command::get_arguments);
        let of_this_name: Vec<_> = arguments
            .filter(|argument| argument.get_long() == Some(name))
            .collect();
        let is_any = |takes: fn(&Arg) -> bool| of_this_name.iter().any(|argument| takes(argument));
        let is_place = is_any(unexpanded::takes_place);
        let is_path = name == PATHS || is_any(unexpanded::takes_path);
        let is_directory = is_any(elsewhere::takes_directory);
        let is_pattern = is_any(unexpanded::takes_pattern);
        let refuse = |value: &Spanned<DeValue<'_>>| {
            let text = value.get_ref().as_str().filter(|_| is_path || is_pattern);
            let told = text.and_then(|text| {
                let value = OsStr::new(text);
                let elsewhere =
                    || elsewhere::refused_configured(name, value).filter(|_| is_directory);
                let relative = || unexpanded::relative(name, text).filter(|_| is_place);
                let refused = unexpanded::refused(name, value);
                refused.or_else(elsewhere).or_else(relative)
            });
            told.map_or(Ok(()), |told| Err(self.mistake(value.span().start, &told)))
        };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().try_for_each(refuse),
            _ => refuse(value),
        }
    }

    fn mistake(&self, at: usize, told: &str) -> String {
        format!("{}: {told}", self.place(at))
    }

    /// Says where a byte of the text is; lines and columns count from 1.
    fn place(&self, at: usize) -> String {
        let before = &self.text[..at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        format!("{}:{line}:{column}", self.path.display())
    }
}

fn is_number(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Integer(_) | DeValue::Float(_))
}

/// Says what is wrong with the name of a table; it may be meant as that of a profile.
fn no_command(name: &str, known: &[String], may_be_profile: bool) -> String {
    let offer = offer(name, known);
    if may_be_profile {
        format!("there is no command \"{name}\"{offer}; a profile is written [profile.{name}]")
    } else {
        format!("there is no command \"{name}\"{offer}")
    }
}

/// Offers the nearest word, if one is near.
fn offer(name: &str, known: &[String]) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!(": the nearest is \"{near}\""))
}
