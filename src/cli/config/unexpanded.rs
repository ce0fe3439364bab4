//! Paths in which somebody counted on a shell: `~` and `$HOME` mean nothing in a configuration file, and most shells leave `--dest=~/backup`
//! as it is. Taken by the letter they name what nobody has, so the mistake is told before anything is done.
//!
//! Only what surely is one is refused: `~` alone or before a `/`, and, where no shell was at work, `$NAME` or `${NAME}` at the beginning. What is
//! really called so can be written with `./` before it.
//!
//! A configuration file serves runs from any directory, and cron's is not that of the terminal in which it was tried: a relative `dest`
//! would be another store there. PATHs may be relative, since what is stored is named as they are.

use std::ffi::OsStr;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use pileus::wording::shell_word;

use super::elsewhere;

/// What help calls the values that are paths.
const PATH_VALUES: [&str; 3] = ["DIR", "FILE", "PATH"];

/// Those of them that are places on this machine, and not names of what is stored.
const PLACE_VALUES: [&str; 2] = ["DIR", "FILE"];

/// Tells whether the value of an option is a place on this machine.
pub(super) fn takes_place(argument: &Arg) -> bool {
    is_called(argument, &PLACE_VALUES)
}

/// What help calls the values that are patterns of stored paths.
const PATTERN_VALUE: &str = "PATTERN";

/// Whether the value of an option is a pattern.
pub(super) fn takes_pattern(argument: &Arg) -> bool {
    is_called(argument, &[PATTERN_VALUE])
}

/// Tells whether the value of an option is a path.
pub(super) fn takes_path(argument: &Arg) -> bool {
    is_called(argument, &PATH_VALUES)
}

fn is_called(argument: &Arg, values: &[&str]) -> bool {
    let mut names = argument.get_value_names().unwrap_or_default().iter();
    names.any(|name| values.contains(&name.as_str()))
}

/// Says what is wrong with a place in a configuration file, if each run would look for it somewhere else; `-` is standard input or output.
pub(super) fn relative(name: &str, value: &str) -> Option<String> {
    if matches!(value, "" | "-") || Path::new(value).is_absolute() || elsewhere::is_local_url(value)
    {
        return None;
    }
    let whole = std::path::absolute(value).unwrap_or_else(|_| Path::new("/").join(value));
    Some(format!(
        "{name} is \"{value}\", which begins at another directory with each run: write the whole path, such as \"{}\"",
        whole.display()
    ))
}

/// Says what is wrong with a path or pattern that is configured, if it counts on a shell.
pub(super) fn refused(name: &str, value: &OsStr) -> Option<String> {
    let value = value.to_string_lossy();
    (begins_with_tilde(&value) || begins_with_variable(&value)).then(|| {
        let such_as = whole(&value).map(|whole| format!(", such as \"{whole}\""));
        let such_as = such_as.unwrap_or_default();
        format!("{name} is \"{value}\", but ~ and $ are not expanded here: write the whole path{such_as}")
    })
}

/// Says what is wrong with a pattern that was typed or stands in a list, if it begins with `~`: it would match what is called so, and a
/// home directory never.
pub(in crate::cli) fn refused_pattern(pattern: &OsStr) -> Option<String> {
    let pattern = pattern.to_string_lossy();
    let rest = pattern.strip_prefix('~')?;
    begins_with_tilde(&pattern).then(|| {
        let whole = whole(&pattern).map(shell_word);
        let whole = whole.unwrap_or_else(|| "the whole path".to_owned());
        let called_so = shell_word(format!("\\~{rest}"));
        format!("~ is no home directory in a pattern: write {whole}, or {called_so} for what is called ~")
    })
}

/// Returns a value that begins at a home directory with that of this user; none if it is not known.
fn whole(value: &str) -> Option<String> {
    let rest = value
        .strip_prefix('~')
        .or_else(|| value.strip_prefix("$HOME"));
    let rest = rest.or_else(|| value.strip_prefix("${HOME}"))?;
    let home = std::env::var("HOME").ok()?;
    let is_home = home.starts_with('/') && (rest.is_empty() || rest.starts_with('/'));
    is_home.then(|| format!("{}{rest}", home.trim_end_matches('/')))
}

/// Refuses options that were typed as `--dest=~/backup`, since a shell replaces `~` only at the beginning of a word, and directories that
/// are places of another program.
pub(super) fn ensure_none_typed(command: &Command, matches: &ArgMatches) -> Result<(), String> {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        if takes_pattern(argument) {
            ensure_no_home(argument, matches)?;
        }
        let Some(long) = argument.get_long().filter(|_| takes_path(argument)) else {
            continue;
        };
        for value in matches.try_get_raw(id).ok().flatten().into_iter().flatten() {
            let refused = elsewhere::refused_typed(&format!("--{long}"), value);
            if let Some(told) = refused.filter(|_| elsewhere::takes_directory(argument)) {
                return Err(told);
            }
            let value = value.to_string_lossy();
            if begins_with_tilde(&value) {
                return Err(format!(
                    "--{long}={value}: no shell has replaced the ~: write --{long} {value}, with a blank, or the whole path"
                ));
            }
        }
    }
    Ok(())
}

/// Refuses patterns that were typed with a `~` at their beginning.
fn ensure_no_home(argument: &Arg, matches: &ArgMatches) -> Result<(), String> {
    let id = argument.get_id().as_str();
    for value in matches.try_get_raw(id).ok().flatten().into_iter().flatten() {
        if let Some(told) = refused_pattern(value) {
            let option = argument.get_long().map(|long| format!("--{long}="));
            let (option, shown) = (option.unwrap_or_default(), value.to_string_lossy());
            return Err(format!("{option}{shown}: {told}"));
        }
    }
    Ok(())
}

fn begins_with_tilde(value: &str) -> bool {
    value == "~" || value.starts_with("~/")
}

fn begins_with_variable(value: &str) -> bool {
    let Some(rest) = value.strip_prefix('$') else {
        return false;
    };
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_counts_on_a_shell_is_refused() {
        for value in ["~", "~/src", "$HOME", "$HOME/src", "${HOME}/src", "$_x"] {
            assert!(refused("dest", OsStr::new(value)).is_some(), "{value}");
        }
        for value in [
            "",
            "./~/src",
            "~anna",
            "~backup/x",
            "/srv/~/x",
            "$",
            "$1",
            "/srv/$HOME",
            "./$RECYCLE.BIN",
            "a$b",
        ] {
            assert_eq!(refused("dest", OsStr::new(value)), None, "{value}");
        }
    }

    #[test]
    fn a_place_is_the_same_for_every_run() {
        for value in ["store", "./store", "../store", ".", "./~"] {
            let told = relative("dest", value).expect(value);
            let at = std::env::current_dir().expect("there is one");
            assert!(
                told.contains(&format!("such as \"{}", at.display())),
                "{told}"
            );
        }
        for value in ["", "-", "/", "/store"] {
            assert_eq!(relative("dest", value), None, "{value}");
        }
    }
}
