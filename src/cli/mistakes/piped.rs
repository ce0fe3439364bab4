//! `--stdin-from-command` whose command is typed without the `--` before it: then it is taken for PATHs, and its options for those of pileus.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use pileus::wording::shell_word;

use super::shown;
use crate::cli::config::{definition, relaxed};

const OPTION: &str = "stdin_from_command";

/// Returns what to type, if that is what is wrong with this command line.
pub(super) fn answer(error: &clap::Error, typed: &[OsString]) -> Option<String> {
    let is_foreign = match error.kind() {
        ErrorKind::ArgumentConflict => false,
        ErrorKind::UnknownArgument => true,
        _ => return None,
    };
    if typed.iter().any(|word| word == "--") {
        return None;
    }
    let matches = relaxed(definition()).try_get_matches_from(typed).ok()?;
    let ("backup", backup) = matches.subcommand()? else {
        return None;
    };
    let name: &OsString = backup.get_one(OPTION)?;
    let paths: Vec<_> = backup.get_raw("paths")?.collect();
    let first = paths.first()?;
    // Behind an option that pileus does not have, all is the command's.
    let behind = typed.iter().position(|word| word == first)?;
    let command: Vec<&OsStr> = if is_foreign {
        typed[behind..].iter().map(OsString::as_os_str).collect()
    } else {
        paths
    };
    let command = command.into_iter().map(|word| format!(" {}", shown(word)));
    Some(format!(
        "write -- before the command: --stdin-from-command={} --{}",
        shell_word(name),
        command.collect::<String>()
    ))
}
