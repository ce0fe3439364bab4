//! Paths in which somebody counted on a shell: `~` and `$HOME` mean nothing in a configuration file, and most shells leave `--dest=~/backup`
//! as it is. Taken by the letter they name what nobody has, so the mistake is told before anything is done.
//!
//! Only what surely is one is refused: `~` alone or before a `/`, and, where no shell was at work, `$NAME` or `${NAME}` at the beginning. What is
//! really called so can be written with `./` before it.

use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// What help calls the values that are paths.
const PATH_VALUES: [&str; 3] = ["DIR", "FILE", "PATH"];

/// Tells whether the value of an option is a path.
pub(super) fn takes_path(argument: &Arg) -> bool {
    let names = argument.get_value_names().unwrap_or_default();
    names
        .iter()
        .any(|name| PATH_VALUES.contains(&name.as_str()))
}

/// Says what is wrong with a path that is configured, if it counts on a shell.
pub(super) fn refused(name: &str, value: &OsStr) -> Option<String> {
    let value = value.to_string_lossy();
    (begins_with_tilde(&value) || begins_with_variable(&value)).then(|| {
        format!(
            "{name} is \"{value}\", but ~ and $ are not expanded here: write the whole path (\"./{value}\" if it is really called so)"
        )
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
}
