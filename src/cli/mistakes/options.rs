//! An option that there is not: what does here what it does elsewhere, or the nearest one.
//!
//! The parser has a guess of its own, but it likes whatever begins alike (`--tag`, so `--staging-size`), and offers names that no help
//! shows. So the slips that have a meaning stand in a table, and of the rest only what is near is offered.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use pileus::wording::shell_word;

use crate::cli::config::nearest::nearest;

/// As few letters as tell what the beginning of a name is meant for.
const BEGINNING_MIN: usize = 3;

/// What the store is named with elsewhere.
pub(super) const REPOSITORY: [&str; 3] = ["--repo", "--repository", "-r"];

/// Options of other programs, the option that a command must have for a row to be about it, and what is told.
const ELSEWHERE: [(&[&str], &str, &str); 12] = [
    (
        &["--exclude-file", "--iexclude-file", "--excludes"],
        "exclude-from",
        "use --exclude-from",
    ),
    (&["-e"], "exclude", "use --exclude"),
    (
        &["--tag", "--tags"],
        "scheme",
        "there are no tags: --scheme names a series",
    ),
    (&["--host"], "scheme", "--scheme names a series"),
    (
        &["--to", "--into", "--output", "-t", "-o"],
        "target",
        "use --target",
    ),
    (&["--force", "-f"], "overwrite", "use --overwrite=always"),
    (&["--force", "-f"], "reread", "use --reread"),
    (
        &["--quick"],
        "level",
        "leave it out: without --level, files of the store are compared with their checksums and not opened",
    ),
    (
        &["--read-data"],
        "level",
        "use --level=objects, or --level=files for each file by itself",
    ),
    (&REPOSITORY, "dest", "use --dest"),
    (&["-n"], "dry-run", "use --dry-run"),
    (&["-x"], "one-file-system", "use --one-file-system"),
];

/// Options of other programs for what is typed here without one.
const PATH_OPTIONS: [&str; 3] = ["--path", "--paths", "-p"];

/// Says what to type in place of an option that the command does not have.
pub(super) fn unknown(error: &clap::Error, command: &Command) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    if !word.starts_with('-') {
        return named_without_option(word, command);
    }
    let name = command.get_name();
    let whole = whole(word);
    if let Some(long) = with_one_dash(&whole, command) {
        let found = format!("unexpected argument '{whole}' found");
        return Some(format!("{found}; write it with two dashes: {long}"));
    }
    if let Some(instead) = instead(word, command) {
        return Some(format!("there is no option {word} of {name}: {instead}"));
    }
    let found = format!("unexpected argument '{whole}' found");
    let Some(long) = word.strip_prefix("--") else {
        let is_path = takes_paths(command);
        let path = shell_word(format!("./{whole}"));
        let path = format!("; a PATH that begins with - is written {path}");
        return Some(found + if is_path { &path } else { "" });
    };
    let near = meant(long, command);
    let near = near.map(|near| format!("; a similar argument exists: '--{near}'"));
    Some(found + &near.unwrap_or_default())
}

/// Returns the word that was typed: of `-dash`, the parser tells only the letter that it does not know.
fn whole(told: &str) -> String {
    let typed = std::env::args_os().skip(1);
    let words: Vec<_> = typed
        .take_while(|word| word != "--")
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let letter = told.trim_start_matches('-');
    let is_short = |word: &&String| word.starts_with('-') && !word.starts_with("--");
    let mut shorts = words.iter().filter(is_short);
    let found = if told.starts_with("--") {
        None
    } else {
        let first = shorts.clone().find(|word| word.starts_with(told));
        first.or_else(|| shorts.find(|word| word.contains(letter)))
    };
    found.cloned().unwrap_or_else(|| told.to_owned())
}

/// Returns a known option that was typed with one dash as it should have been.
fn with_one_dash(word: &str, command: &Command) -> Option<String> {
    let name = word.strip_prefix('-')?;
    let (name, value) = name
        .split_once('=')
        .map_or((name, None), |(name, value)| (name, Some(value)));
    let is_known = command
        .get_arguments()
        .any(|argument| is_named(argument, name));
    let value = value.map_or(String::new(), |value| format!("={}", shell_word(value)));
    is_known.then(|| format!("--{name}{value}"))
}

/// Tells whether an option has this long name, also as one that help does not show.
pub(super) fn is_named(argument: &Arg, name: &str) -> bool {
    let aliases = argument.get_all_aliases().unwrap_or_default();
    argument.get_long() == Some(name) || aliases.contains(&name)
}

/// Answers a word that no PATH can be: most likely the store.
fn named_without_option(word: &str, command: &Command) -> Option<String> {
    let store = |word: &OsString| {
        let word = word.to_string_lossy();
        word.starts_with("--dest") || word.starts_with("--store")
    };
    let has_dest = command
        .get_arguments()
        .any(|a| a.get_long() == Some("dest"));
    if !has_dest || takes_paths(command) || std::env::args_os().any(|word| store(&word)) {
        return None;
    }
    let dest = shell_word(word);
    Some(format!(
        "unexpected argument '{word}' found; the store is named with --dest={dest}"
    ))
}

/// Returns what the table has for this word and command.
fn instead(word: &str, command: &Command) -> Option<&'static str> {
    if PATH_OPTIONS.contains(&word) && takes_paths(command) {
        return Some("a PATH is typed without an option");
    }
    let has = |long: &str| command.get_arguments().any(|a| a.get_long() == Some(long));
    let mut rows = ELSEWHERE.iter();
    let row = rows.find(|(words, option, _)| words.contains(&word) && has(option));
    row.map(|(.., instead)| *instead)
}

/// Returns the option that was meant: the only one with this beginning, or the nearest.
fn meant(long: &str, command: &Command) -> Option<String> {
    let options = command.get_arguments().filter_map(Arg::get_long);
    let options: Vec<_> = options.map(str::to_owned).collect();
    let mut begun = options.iter().filter(|option| option.starts_with(long));
    let only = begun.next().filter(|_| begun.next().is_none());
    let only = only.filter(|_| long.chars().count() >= BEGINNING_MIN);
    only.cloned()
        .or_else(|| nearest(long, &options).map(str::to_owned))
}

fn takes_paths(command: &Command) -> bool {
    let mut positionals = command.get_positionals();
    positionals.any(|argument| matches!(argument.get_id().as_str(), "paths" | "path"))
}
