//! An option that there is not: what does here what it does elsewhere, or the nearest one.
//!
//! The parser has a guess of its own, but it likes whatever begins alike (`--tag`, so `--staging-size`), and offers names that no help
//! shows. So the slips that have a meaning stand in a table, and of the rest only what is near is offered.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::cli::config::nearest::nearest;

/// As few letters as tell what the beginning of a name is meant for.
const BEGINNING_MIN: usize = 3;

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
    (&["--repo", "--repository", "-r"], "dest", "use --dest"),
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
    if error.kind() != ErrorKind::UnknownArgument || !word.starts_with('-') {
        return None;
    }
    let name = command.get_name();
    if let Some(instead) = instead(word, command) {
        return Some(format!("there is no option {word} of {name}: {instead}"));
    }
    let found = format!("unexpected argument '{word}' found");
    let Some(long) = word.strip_prefix("--") else {
        let is_path = takes_paths(command);
        let path = "; a PATH that begins with - is written ./-";
        return Some(found + if is_path { path } else { "" });
    };
    let near = meant(long, command);
    let near = near.map(|near| format!("; a similar argument exists: '--{near}'"));
    Some(found + &near.unwrap_or_default())
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
