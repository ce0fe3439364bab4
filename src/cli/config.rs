//! Configuration files and environment variables: options that need not be typed.
//!
//! Every option has a key of its long name, in a TOML file, and a variable `PILEUS_NAME`. What is set there is put on the command line, as if it had been
//! typed behind what was, and then the command line is parsed as always: so there is one definition of every option, and one place where
//! values are checked. In force is, in this order: what was typed; the environment; the profile, for the command and for all; the file, for the
//! command and for all; of several files, the user's before the system's. Options that may be given more than once are gathered from all of them.
//!
//! A file that others may write to is refused: its filters and hooks run with the rights of whoever makes the backup.

pub(super) mod elsewhere;
mod file;
mod merge;
pub(super) mod nearest;
pub(super) mod unexpanded;
mod variables;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgMatches, Command, CommandFactory};
use pileus::monitor::{Event, Monitor as _};

use super::arguments::{Arguments, Config, ConfigAction};
use super::{DONE, Failure};
use crate::console::Console;
use file::Setting;
use merge::{Configured, Given};

/// The file for all users of a machine.
const SYSTEM_FILE: &str = "/etc/pileus.toml";

/// Name of the file in the user's configuration directory.
const USER_FILE: &str = "pileus.toml";

/// A command line with what is configured put behind what was typed.
pub(crate) struct Expanded {
    pub(crate) line: Vec<OsString>,
    configured: Vec<Configured>,
    /// What may be meant otherwise than it is taken.
    warnings: Vec<String>,
}

impl Expanded {
    /// A command line to which nothing is added.
    fn as_typed(line: Vec<OsString>) -> Self {
        Self {
            line,
            configured: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Tells of what may be meant otherwise than it is taken.
    pub(crate) fn warn(&self, console: &Console) {
        for told in &self.warnings {
            console.event(&Event::Warning(told));
        }
    }

    /// Whether an option was configured, not typed.
    pub(crate) fn is_configured(&self, option: &str) -> bool {
        let mut configured = self.configured.iter();
        configured.any(|configured| configured.is_option(option))
    }

    /// Returns what is told of a mistake in the command line, behind the place of the configured option that it speaks of.
    pub(crate) fn blame(&self, told: &str) -> String {
        let mut configured = self.configured.iter();
        match configured.clone().find(|option| option.is_meant_by(told)) {
            Some(option) => format!("{}: {told}", option.source),
            None if configured.any(|option| option.is_named_in(told)) => {
                format!("{told} (pileus config show tells where each option comes from)")
            }
            None => told.to_owned(),
        }
    }
}

/// Adds what is configured to a command line; the error is one line for the user.
pub(crate) fn expand(typed: Vec<OsString>) -> Result<Expanded, String> {
    let definition = definition();
    // A command line that is wrong, or asks for help, is answered as it is.
    let Ok(matches) = relaxed(definition.clone()).try_get_matches_from(&typed) else {
        return Ok(Expanded::as_typed(typed));
    };
    let Some((name, of_command)) = matches.subcommand() else {
        return Ok(Expanded::as_typed(typed));
    };
    if matches!(name, "completions" | "man") {
        return Ok(Expanded::as_typed(typed));
    }
    let names = std::env::vars_os().map(|(name, _)| name);
    let mut warnings = variables::without_effect(&definition, names);
    if name == "config" {
        let expanded = Expanded::as_typed(typed);
        return Ok(Expanded {
            warnings,
            ..expanded
        });
    }
    if let Some(command) = definition.find_subcommand(name) {
        unexpanded::ensure_none_typed(command, of_command)?;
    }
    let settings = read_files(of_command, &definition)?;
    let given = Given::new(&definition, name, of_command, &settings)?;
    given.ensure_no_slip()?;
    warnings.extend(given.profile_taken_as_path());
    let configured = given.configured(&|variable| std::env::var_os(variable))?;
    let typed = given.without_profile_name(typed, &relaxed(definition.clone()));
    // What stands behind `--` is no option.
    let end = typed.iter().position(|argument| argument == "--");
    let (options, rest) = typed.split_at(end.unwrap_or(typed.len()));
    let added = configured.iter().map(|option| &option.argument);
    let line = options.iter().chain(added).chain(rest).cloned().collect();
    Ok(Expanded {
        line,
        configured,
        warnings,
    })
}

/// Shows what is in force for a command, and where it came from.
pub(crate) fn run(arguments: &Config, all: &Arguments, console: &Console) -> Result<u8, Failure> {
    let begun = Instant::now();
    let ConfigAction::Show { command } = &arguments.action;
    let mut typed = vec![OsString::from("pileus"), OsString::from(command)];
    let mut add = |name: &str, value: Option<&OsStr>| {
        if let Some(value) = value {
            typed.push([OsStr::new(name), value].join(OsStr::new("=")));
        }
    };
    add("--config", all.config.as_deref().map(Path::as_os_str));
    add("--profile", all.profile.as_deref().map(OsStr::new));
    let definition = definition();
    let unknown = || Failure::Usage(format!("{command} is not a command: see pileus --help"));
    let matches = relaxed(definition.clone())
        .try_get_matches_from(&typed)
        .map_err(|_| unknown())?;
    let (name, of_command) = matches.subcommand().ok_or_else(unknown)?;
    let shown = read_files(of_command, &definition).and_then(|settings| {
        let given = Given::new(&definition, name, of_command, &settings)?;
        given.configured(&|variable| std::env::var_os(variable))
    });
    let mut options = 0_u64;
    for option in shown.map_err(Failure::Usage)? {
        options += 1;
        let argument = option.argument.to_string_lossy().into_owned();
        if console.is_json() {
            let line = serde_json::json!({ "type": "option", "argument": argument, "source": option.source });
            console.line(&line.to_string())?;
        } else {
            console.line(&format!("{argument}  # {}", option.source))?;
        }
    }
    console.summary(&serde_json::json!({
        "type": "summary", "command": "config show", "options": options, "problems": 0,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(DONE)
}

/// Returns the definition of the command line, in which every command has the options of all.
pub(super) fn definition() -> Command {
    let mut definition = Arguments::command();
    definition.build();
    definition
}

/// Returns the definition as one that minds no mistake, to see what was typed; asking for help still ends it.
pub(super) fn relaxed(command: Command) -> Command {
    let command = command.arg_required_else_help(false).ignore_errors(true);
    command.mut_subcommands(relaxed)
}

/// Reads the configuration files, the most important one first.
fn read_files(matches: &ArgMatches, definition: &Command) -> Result<Vec<Setting>, String> {
    let typed = matches.get_one::<PathBuf>("config").cloned();
    let by = if typed.is_some() {
        "--config"
    } else {
        "PILEUS_CONFIG"
    };
    let named = typed.or_else(|| std::env::var_os("PILEUS_CONFIG").map(PathBuf::from));
    let mut settings = Vec::new();
    if let Some(path) = named {
        let missing = || {
            let path = path.display();
            format!(
                "{by}={path} does not exist: name a configuration file, or leave {by} out for those in their usual places"
            )
        };
        let text = read(&path)?.ok_or_else(missing)?;
        return file::parse(&path, &text, definition);
    }
    let user = user_directory().map(|directory| directory.join(USER_FILE));
    for path in user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]) {
        if let Some(text) = read(&path)? {
            settings.extend(file::parse(&path, &text, definition)?);
        }
    }
    Ok(settings)
}

/// Returns the user's configuration directory, as the XDG base directory specification has it.
fn user_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    ensure_ours(path).map(|()| Some(text))
}

/// Refuses a file that somebody else could have written. An empty device is nobody's.
fn ensure_ours(path: &Path) -> Result<(), String> {
    let cannot = |error| format!("cannot look at {}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(cannot)?;
    let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let is_others = metadata.uid() != 0 && metadata.uid() != own;
    if metadata.is_file() && (is_others || metadata.mode() & 0o022 != 0) {
        return Err(format!(
            "{} may be written by others, so it is not used: chown it to yourself or root, and chmod go-w",
            path.display()
        ));
    }
    Ok(())
}
