//! From arguments to a run of the library, and from its result to an exit code.
//!
//! Each subcommand has a file that turns what was typed into options, checks what only a whole command line can tell, and prints
//! the result. [`config`] adds what need not be typed. Exit codes are those of docs/manual.md, "Exit codes".

mod arguments;
mod around;
mod backup;
mod beginning;
mod cat;
mod choosing;
mod clean;
mod completions;
mod config;
mod diff;
mod export;
mod find;
mod future;
mod healing;
mod hooks;
mod interruption;
mod list;
mod lost;
mod ls;
mod man;
mod metrics;
mod mistakes;
mod outcome;
mod piping;
mod prune;
mod rebuild;
mod remembering;
mod replacing;
mod report;
mod restore;
mod series;
mod stats;
mod verify;
mod waiting;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use jiff::Timestamp;
use pileus::format::descriptor::Descriptor;
use pileus::format::path::EntryPath;
use pileus::format::snapshot_name::SnapshotName;
use pileus::local::database::FILE_NAME;
use pileus::local::lock::Locked;
pub(crate) use pileus::size;
use pileus::snapshot;
use pileus::store::catalog::Catalog;

use crate::console::{Console, Written};
use arguments::{Arguments, Command, Which};

/// Everything was done.
const DONE: u8 = 0;
/// Nothing was published.
const FAILED: u8 = 1;
/// The command line was wrong.
const USAGE: u8 = 2;
/// Done, but some things could not be read or written, or a difference was found.
const PROBLEMS: u8 = 3;
/// Another run holds the lock.
const LOCKED: u8 = 4;
/// Ended early by a signal.
const INTERRUPTED: u8 = 130;
/// What a shell shows for a program that SIGPIPE ended: the reader of its output has gone.
const CLOSED_PIPE: u8 = 141;

const JOBS_MAX: usize = 256;

/// Why a command did not do its work.
enum Failure {
    /// The command line is wrong; the text says what to type instead.
    Usage(String),
    /// The run failed.
    Run(anyhow::Error),
}

impl Failure {
    /// Returns the exit code.
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Run(error) if error.downcast_ref::<Locked>().is_some() => LOCKED,
            Self::Run(_) => FAILED,
        }
    }

    /// Says in one line why.
    fn told(&self) -> String {
        match self {
            Self::Usage(text) => text.clone(),
            Self::Run(error) => format!("{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

/// Parses the command line, runs the command and returns its exit code.
pub(crate) fn main() -> ExitCode {
    let given = with_help_as_option(std::env::args_os().collect());
    let expanded = match config::expand(given) {
        Ok(expanded) => expanded,
        Err(text) => {
            mistakes::unparsed(&std::env::args_os().collect::<Vec<_>>()).error(&text);
            return ExitCode::from(USAGE);
        }
    };
    let arguments = match Arguments::try_parse_from(&expanded.line) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(mistakes::answer(&error, &expanded)),
    };
    let console = Console::new(arguments.verbosity(), arguments.json);
    match arguments.progress.as_str() {
        "auto" => console.draw_if(None),
        "always" => console.draw_if(Some(true)),
        "never" => console.draw_if(Some(false)),
        other => {
            console.error(&expanded.blame(&format!(
                "--progress={other} is unknown: use auto, always or never"
            )));
            return ExitCode::from(USAGE);
        }
    }
    if let Err(error) = console.answer_signal() {
        console.error(&format!("cannot wait for signals: {error}"));
        return ExitCode::from(FAILED);
    }
    expanded.warn(&console);
    if !matches!(arguments.command, Command::Backup(_) | Command::Restore(_)) {
        interruption::end_at_once();
    }
    series::note(&arguments.command, &expanded, &console);
    future::warn(&arguments.command, &console);
    let result = match &arguments.command {
        Command::Backup(backup) => backup::run(backup, &console),
        Command::Restore(restore) => restore::run(restore, &console),
        Command::List(list) => list::run(list, &console),
        Command::Ls(ls) => ls::run(ls, &console),
        Command::Cat(cat) => cat::run(cat, &console),
        Command::Export(export) => export::run(export, &console),
        Command::Find(find) => find::run(find, &console),
        Command::Diff(diff) => diff::run(diff, &console),
        Command::Stats(stats) => stats::run(stats, &console),
        Command::Report(report) => report::run(report, &console),
        Command::Verify(verify) => verify::run(verify, &console),
        Command::Prune(prune) => prune::run(prune, &console),
        Command::Clean(clean) => clean::run(clean, &console),
        Command::Rebuild(rebuild) => rebuild::run(rebuild, &console),
        Command::Completions(completions) => completions::run(completions, &console),
        Command::Man(man) => man::run(man, &console),
        Command::Config(config) => config::run(config, &arguments, &console),
    };
    let is_only_output = arguments.command.is_only_output();
    let mut is_cut = false;
    let code = result.unwrap_or_else(|failure| match failure {
        Failure::Run(error) if is_only_output && is_broken_pipe(&error) => {
            is_cut = true;
            FAILED
        }
        failure => {
            let told = failure.told();
            let is_usage = matches!(failure, Failure::Usage(_));
            console.error(&if is_usage {
                expanded.blame(&told)
            } else {
                told
            });
            failure.code()
        }
    });
    ExitCode::from(finish(&arguments.command, code, is_cut, &console))
}

/// Writes what is left of the output, and returns the exit code: output that was lost is no success.
///
/// Where the output is the work, a reader that has gone away ends pileus as it ends cat(1), by SIGPIPE. A backup or a restore goes on without
/// one.
fn finish(command: &Command, code: u8, is_cut: bool, console: &Console) -> u8 {
    match console.finish() {
        Ok(Written::Cut) if command.is_only_output() => interruption::end_by_closed_pipe(),
        _ if is_cut => interruption::end_by_closed_pipe(),
        Err(error) if matches!(code, DONE | PROBLEMS) => {
            console.error(&format!("{error:#}"));
            if command.is_only_output() {
                FAILED
            } else {
                PROBLEMS
            }
        }
        Ok(_) | Err(_) => code,
    }
}

/// Returns the directory of local state: the one that is named, else the store, if it is there.
fn local_state(named: Option<&PathBuf>, store: &Path) -> Option<PathBuf> {
    let is_in_store = || store.join(FILE_NAME).is_file();
    named
        .cloned()
        .or_else(|| is_in_store().then(|| store.to_owned()))
}

/// Takes `help COMMAND`, as many programs know it, for `COMMAND --help`.
fn with_help_as_option(mut given: Vec<OsString>) -> Vec<OsString> {
    if given.get(1).is_some_and(|word| word == "help") {
        given.remove(1);
        given.push("--help".into());
    }
    given
}

/// Returns the exit code of a run that went through with this many problems.
fn done_with(problems: u64) -> u8 {
    if problems == 0 { DONE } else { PROBLEMS }
}

/// Interprets PATH arguments.
fn entry_paths(arguments: &[PathBuf]) -> Result<Vec<EntryPath>, Failure> {
    let paths = arguments.iter().map(|path| EntryPath::from_argument(path));
    paths.collect::<Result<_, _>>().map_err(Failure::Usage)
}

/// Returns the number of worker threads: what was asked for, else one for each core.
fn jobs(asked: Option<&str>) -> Result<usize, Failure> {
    let Some(asked) = asked else {
        return Ok(thread::available_parallelism().map_or(1, NonZero::get));
    };
    match asked.parse() {
        Ok(jobs @ 1..=JOBS_MAX) => Ok(jobs),
        _ => Err(Failure::Usage(format!(
            "--jobs={asked} is out of range: use 1 to {JOBS_MAX}"
        ))),
    }
}

/// Finds the snapshot that was asked for.
fn choose(which: &Which, catalog: &Catalog) -> anyhow::Result<SnapshotName> {
    snapshot::choose(
        catalog,
        &which.snapshot,
        which.stored.scheme.as_deref(),
        Timestamp::now(),
    )
}

/// Finds the snapshot that was asked for and makes sure that something of it can be read.
fn open_snapshot(which: &Which, catalog: &Catalog) -> anyhow::Result<(SnapshotName, Descriptor)> {
    let name = choose(which, catalog)?;
    let descriptor = snapshot::open_chosen(catalog, &name, None)?;
    catalog.ensure_readable(&descriptor.segments, which.stored.unfilter.as_deref())?;
    Ok((name, descriptor))
}

/// Whoever reads the output has seen enough (`pileus ls | head`); that is not an error of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
