//! Command lines that do not parse: help as it is, a mistake in one line that says what to type instead.
//!
//! The parser's own words are taken apart, since they fill a screen. Whoever comes from another program finds the command that does here what
//! the one that was typed does there; so does, in [`options`], whoever types its options. [`order`] answers whoever types options before
//! the command, [`piped`] whoever forgets the `--` before that of a pipe.

mod options;
mod order;
mod piped;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use pileus::wording::shell_word;

use super::config::{Expanded, definition};
use super::{DONE, USAGE};
use crate::console::{Console, Verbosity};

/// Commands of other programs, and what there is in their place.
const ELSEWHERE: [(&[&str], &str); 15] = [
    (&["check", "fsck", "scrub"], "use verify"),
    (&["snapshots"], "use list"),
    (&["init"], "the first backup makes the store"),
    (&["forget"], "use prune"),
    (&["create", "save"], "use backup"),
    (&["extract", "recover"], "use restore"),
    (&["dump"], "use cat"),
    (&["delete", "remove", "rm"], "use prune --remove=NAME"),
    (&["info"], "use stats"),
    (&["mount"], "use ls, cat, restore or export"),
    (
        &["compact", "gc"],
        "use prune; clean marks what is poorly used",
    ),
    (
        &["unlock", "break-lock"],
        "the lock of a run goes with its process",
    ),
    (&["tag"], "there are no tags, --scheme names a series"),
    (&["copy"], "use cp or rsync, files of a store never change"),
    (&["key"], "there are no keys, --filter encrypts"),
];

/// Makes a console for a command line that does not parse; JSON is printed if it looks as if it had been asked for.
pub(super) fn unparsed(typed: &[OsString]) -> Console {
    let json = typed
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json");
    Console::new(Verbosity::Normal, json)
}

/// Answers a command line that does not parse, and returns the exit code.
pub(super) fn answer(error: &clap::Error, expanded: &Expanded) -> u8 {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // A closed standard output is the only way this fails, and then nobody is listening.
        drop(error.print());
        let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        return if asked { DONE } else { USAGE };
    }
    let text = error.render().to_string();
    let typed: Vec<_> = std::env::args_os().collect();
    let command = command(&text, &typed);
    let message = if command == "pileus" {
        repository(error, &typed).or_else(|| order::answer(error, &definition(), &typed))
    } else {
        piped::answer(error, &typed)
    };
    let message = message
        .or_else(|| elsewhere(error))
        .or_else(|| missing(error))
        .or_else(|| misplaced(error, &command))
        .or_else(|| unknown(error, &command))
        .unwrap_or_else(|| in_one_line(&text));
    let told = format!("{message} (see: {command} --help)");
    let console = unparsed(&expanded.line);
    expanded.warn(&console);
    console.error(&expanded.blame(&told));
    USAGE
}

/// Returns the command whose help tells more: that of the parser's usage line. Where there is none, as for a value that is missing, it is the
/// one that was typed.
fn command(text: &str, typed: &[OsString]) -> String {
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    if let (None, Some(word)) = (usage, typed.get(1))
        && let Some(command) = definition().find_subcommand(word)
    {
        return format!("pileus {}", command.get_name());
    }
    let usage = usage.filter(|usage| !usage.starts_with("pileus <"));
    let words = usage.unwrap_or("pileus").split_whitespace();
    words
        .take_while(|w| !w.starts_with(['-', '<', '[']))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns the parser's words without what is the same for all mistakes, and without a way to pass as a PATH what is an option with a slip.
fn in_one_line(text: &str) -> String {
    let told = text
        .split("\n\n")
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let lines = told
        .flat_map(str::lines)
        .filter(|line| !line.trim_start().starts_with("tip: to pass "));
    let words = lines
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ");
    words
        .strip_prefix("error: ")
        .unwrap_or(&words)
        .replace(" tip: ", "; ")
}

/// Says what to type in place of an option that a command does not have.
fn unknown(error: &clap::Error, command: &str) -> Option<String> {
    let definition = definition();
    let command = definition.find_subcommand(command.strip_prefix("pileus ")?)?;
    options::unknown(error, command)
}

/// Says that a command which only reads the store knows no local state, and that clean knows nothing else; backup has both options, so both
/// are typed.
fn misplaced(error: &clap::Error, command: &str) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let command = command.strip_prefix("pileus ")?;
    match (error.kind(), word.as_str()) {
        (ErrorKind::UnknownArgument, "--localdb") => Some(format!(
            "{command} needs no local state: leave --localdb out"
        )),
        (ErrorKind::UnknownArgument, "--dest") if command == "clean" => Some(
            "clean works on local state, not on a store: write --localdb=DIR instead of --dest"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Says which arguments are missing.
fn missing(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let Some(ContextValue::Strings(arguments)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let shown = |argument: &String| argument.replace(" <", "=").replace(['<', '>'], "");
    let shown: Vec<_> = arguments.iter().map(shown).collect();
    let are = if shown.len() == 1 { "is" } else { "are" };
    Some(format!("{} {are} missing", shown.join(" and ")))
}

/// Answers whoever names the store as other programs have it, before the command: `-r DIR snapshots`.
fn repository(error: &clap::Error, typed: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let is_own = |word: &OsString| definition().find_subcommand(word).is_some();
    if !options::REPOSITORY.contains(&word.as_str()) || typed.iter().any(is_own) {
        return None;
    }
    let at = typed.iter().position(|typed| typed == word.as_str());
    let store = at.and_then(|at| typed.get(at + 1));
    let store = store.map_or("DIR".to_owned(), shell_word);
    let words = typed.iter().filter_map(|word| word.to_str());
    let mut instead = words.filter_map(|word| {
        let mut rows = ELSEWHERE.iter();
        let (_, instead) = rows.find(|(words, _)| words.contains(&word))?;
        instead.strip_prefix("use ")?.split([' ', ',', ';']).next()
    });
    let command = instead.next().unwrap_or("COMMAND");
    Some(format!(
        "there is no option {word}: the store is named behind the command: pileus {command} --dest={store}"
    ))
}

/// Says what there is in place of another program's command.
fn elsewhere(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let mut rows = ELSEWHERE.iter();
    let (_, instead) = rows.find(|(words, _)| words.contains(&word.as_str()))?;
    Some(format!("there is no command {word}: {instead}"))
}

/// Returns a word as it is typed; of an option, name and value are quoted apart.
fn shown(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    if !bytes.starts_with(b"-") {
        return shell_word(word);
    }
    let parts = bytes.splitn(2, |&byte| byte == b'=');
    let parts: Vec<_> = parts
        .map(|part| shell_word(OsStr::from_bytes(part)))
        .collect();
    parts.join("=")
}
