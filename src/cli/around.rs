//! What stands around a backup: hooks before and behind it, and metrics of it.
//!
//! A dry run has neither. Metrics come last, so that they count a hook that failed. What fails behind the run is a problem, since its snapshot exists.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use pileus::backup::{BackupOptions, BackupReport};

use super::Failure;
use super::arguments::Backup;
use super::outcome::Outcome;
use crate::console::Console;

/// Runs a backup with all that stands around it. What failed behind it is told, and counted as a problem of the report.
pub(super) fn run(
    arguments: &Backup,
    options: &BackupOptions,
    stop: &AtomicBool,
    console: &Console,
    back_up: impl FnOnce() -> Result<BackupReport, Failure>,
) -> Result<BackupReport, Failure> {
    if options.dry_run {
        return back_up();
    }
    // Hooks may change the working directory, and metrics outlive it.
    let store = std::path::absolute(&options.store).unwrap_or_else(|_| options.store.clone());
    let store: PathBuf = store.components().collect();
    let mut result = match arguments.hooks.before(&store, &options.scheme) {
        Ok(()) => back_up(),
        // Ctrl-C reaches both: then it is not the hook that failed.
        Err(_) if stop.load(Ordering::Relaxed) => Ok(BackupReport {
            interrupted: true,
            ..BackupReport::default()
        }),
        Err(error) => Err(error.context("nothing was backed up").into()),
    };
    let outcome = Outcome::of(&result);
    if let Err(error) = arguments.hooks.last(&outcome, &store, &options.scheme) {
        add_problem(&mut result, console, &error);
    }
    result
}

fn add_problem(
    result: &mut Result<BackupReport, Failure>,
    console: &Console,
    error: &anyhow::Error,
) {
    console.problem(b"hook", &format!("{error:#}"));
    if let Ok(report) = result {
        report.problems += 1;
    }
}
