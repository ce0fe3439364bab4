//! Options before the command, where many programs take them: here they stand behind it, as only the command says what they mean.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::options::is_named;
use super::shown;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Returns the line to type, if the parser met an option of a command before any command.
pub(super) fn answer(
    error: &clap::Error,
    definition: &Command,
    typed: &[OsString],
) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let words = typed.get(1..)?;
    if error.kind() != ErrorKind::UnknownArgument || !option.starts_with('-') {
        return None;
    }
    // What stands behind an option that takes a value is no command, whatever its name: `--dest backup list`.
    let is_value = |at: usize| at > 0 && takes_next(definition, &words[at - 1]);
    let found = words.iter().enumerate().find_map(|(at, word)| {
        let command = definition.find_subcommand(word).filter(|_| !is_value(at))?;
        Some((at, command))
    });
    let told = "options stand behind the command: pileus";
    let Some((at, command)) = found else {
        let is_known = definition.get_subcommands().any(|c| has(c, option));
        let word = words.iter().find(|word| is_of(word, option));
        return Some(format!(
            "{told} COMMAND {}",
            shown(word.filter(|_| is_known)?)
        ));
    };
    let (before, rest) = (&words[..at], &words[at + 1..]);
    if before.iter().any(|word| word == "--") {
        return None;
    }
    if !has(command, option) {
        return super::options::unknown(error, command);
    }
    let behind = before
        .iter()
        .chain(rest)
        .map(|word| format!(" {}", shown(word)));
    Some(format!(
        "{told} {}{}",
        command.get_name(),
        behind.collect::<String>()
    ))
}

/// Tells whether a word is an option of some command whose value is the next word.
fn takes_next(definition: &Command, word: &OsStr) -> bool {
    let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) else {
        return false;
    };
    let mut arguments = definition
        .get_subcommands()
        .flat_map(Command::get_arguments);
    arguments.any(|argument| {
        is_named(argument, name)
            && argument.get_action().takes_values()
            && !argument.is_require_equals_set()
    })
}

/// Tells whether a command has this option.
fn has(command: &Command, option: &str) -> bool {
    let is_short = |short: char| option.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]));
    command.get_arguments().any(|argument| {
        let long = option.strip_prefix("--");
        long.is_some_and(|name| is_named(argument, name))
            || argument.get_short().is_some_and(is_short)
    })
}

/// Tells whether a word is this option, with a value behind a `=` or without.
fn is_of(word: &OsStr, option: &str) -> bool {
    let rest = word.as_bytes().strip_prefix(option.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
}
