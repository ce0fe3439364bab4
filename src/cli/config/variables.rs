//! Variables of the environment that mean nothing: `PILEUS_DSET` sets no option, and nobody would notice.
//!
//! They are told of and no more: a variable may be for a program around this one. What pileus itself sets for hooks begins with `PILEUS_RUN_`,
//! and is left alone.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::file::NOT_HERE;
use super::nearest::nearest;

/// What the names of all variables begin with.
const PREFIX: &str = "PILEUS_";

/// What the names of those begin with that are set for hooks.
const OF_HOOKS: &str = "PILEUS_RUN_";

/// Returns the variable that sets an option.
pub(super) fn of_option(long: &str) -> String {
    format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

/// Says which variables set no option of any command, with the nearest that does.
pub(super) fn without_effect(
    definition: &Command,
    names: impl Iterator<Item = OsString>,
) -> Vec<String> {
    let commands = definition.get_subcommands();
    let longs = commands.flat_map(|command| command.get_arguments().filter_map(Arg::get_long));
    let mut known: Vec<_> = longs
        .filter(|long| !NOT_HERE.contains(long))
        .chain(["config", "profile"])
        .map(of_option)
        .collect();
    known.sort_unstable();
    known.dedup();
    let mut unknown: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !name.starts_with(OF_HOOKS))
        .filter(|name| !known.contains(name))
        .collect();
    unknown.sort_unstable();
    let told = |name: &String| {
        let bare = |name: &String| name[PREFIX.len()..].to_owned();
        let known: Vec<_> = known.iter().map(bare).collect();
        let near = nearest(&bare(name), &known);
        let near = near.map(|near| format!(": the nearest is {PREFIX}{near}"));
        let near = near.unwrap_or_default();
        format!("the variable {name} sets no option{near}")
    };
    unknown.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::super::definition;
    use super::*;

    #[test]
    fn only_what_looks_like_an_option_and_is_none_is_told() {
        let told = |name: &str| without_effect(&definition(), [OsString::from(name)].into_iter());
        for name in [
            "PILEUS_DEST",
            "PILEUS_KEEP_DAILY",
            "PILEUS_CONFIG",
            "PILEUS_PROFILE",
            "PILEUS_RUN_STORE",
            "PILEUS",
            "HOME",
        ] {
            assert_eq!(told(name), [""; 0], "{name}");
        }
        assert_eq!(
            told("PILEUS_DSET"),
            ["the variable PILEUS_DSET sets no option: the nearest is PILEUS_DEST"]
        );
        for name in ["PILEUS_", "PILEUS_HOME", "PILEUS_STDIN_FROM_COMMAND"] {
            let told = told(name).join("\n");
            assert_eq!(told, format!("the variable {name} sets no option"));
        }
    }
}
