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

/// What help calls the values that are paths.
const PATH_VALUES: [&str; 3] = ["DIR", "FILE", "PATH"];

/// Those of them that are places on this machine, and not names of what is stored.
const PLACE_VALUES: [&str; 2] = ["DIR", "FILE"];

/// Tells whether the value of an option is a place on this machine.
pub(super) fn takes_place(argument: &Arg) -> bool {
    is_called(argument, &PLACE_VALUES)
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
    if matches!(value, "" | "-") || Path::new(value).is_absolute() {
        return None;
    }
    let whole = std::path::absolute(value).unwrap_or_else(|_| Path::new("/").join(value));
    Some(format!(
        "{name} is \"{value}\", which begins at another directory with each run: write the whole path, such as \"{}\"",
        whole.display()
    ))
}

/// Says what is wrong with a path that is configured, if it counts on a shell.
pub(super) fn refused(name: &str, value: &OsStr) -> Option<String> {
    let value = value.to_string_lossy();
    (begins_with_tilde(&value) || begins_with_variable(&value)).then(|| {
        format!("{name} is \"{value}\", but ~ and $ are not expanded here: write the whole path")
    })
}

/// Refuses options that were typed as `--dest=~/backup`: a shell replaces `~` only at the beginning of a word.
pub(super) fn ensure_none_typed(command: &Command, matches: &ArgMatches) -> Result<(), String> {
    for argument in command
        .get_arguments()
        .filter(|argument| takes_path(argument))
    {
        let id = argument.get_id().as_str();
        let Some(long) = argument.get_long() else {
            continue;
        };
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        for value in matches.try_get_raw(id).ok().flatten().into_iter().flatten() {
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
