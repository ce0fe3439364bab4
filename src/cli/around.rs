//! What stands around a backup: hooks before and behind it, metrics of it, and what local state remembers of how it ended.
//!
//! A dry run has none of them. Metrics come behind the hooks, so that they count one that failed; what is remembered comes last. What fails behind the run is a problem, since its snapshot exists.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use pileus::backup::{BackupOptions, BackupReport};
use pileus::local::database::OtherStore;
use pileus::local::lock::Locked;

use super::arguments::Backup;
use super::metrics::Measured;
use super::outcome::Outcome;
use super::remembering::Remembering;
use super::{Failure, metrics};

/// Runs a backup with all that stands around it. What failed behind it is told, and counted as a problem of the report.
pub(super) fn run(
    arguments: &Backup,
    options: &BackupOptions,
    stop: &AtomicBool,
    remembering: &Remembering<'_>,
    back_up: impl FnOnce() -> Result<BackupReport, Failure>,
) -> Result<BackupReport, Failure> {
    if options.dry_run {
        return back_up();
    }
    // Hooks may change the working directory, and metrics outlive it.
    let store = std::path::absolute(&options.store).unwrap_or_else(|_| options.store.clone());
    let store: PathBuf = store.components().collect();
    let local = options.local.as_ref().map(std::path::absolute);
    let local = local.and_then(Result::ok).unwrap_or_else(|| store.clone());
    let (started, begun) = (Timestamp::now(), Instant::now());
    remembering.step_aside();
    let mut result = match arguments.hooks.before(&store, &options.scheme) {
        Ok(()) => back_up(),
        // Ctrl-C reaches both: then it is not the hook that failed.
        Err(_) if stop.load(Ordering::Relaxed) => Ok(BackupReport::interrupted()),
        Err(error) => Err(error.context("nothing was backed up").into()),
    };
    let outcome = Outcome::of(&result);
    remembering.step_aside();
    if let Err(error) = arguments.hooks.last(&outcome, &store, &options.scheme) {
        add_problem(&mut result, remembering, b"hook", &error);
    }
    if let Some(file) = &arguments.metrics_file {
        let measured = Measured {
            scheme: &options.scheme,
            store: &store,
            outcome: &Outcome::of(&result),
            started,
            duration: begun.elapsed(),
        };
        if let Err(error) = metrics::write(file, &measured) {
            let subject = file.as_os_str().as_encoded_bytes();
            add_problem(&mut result, remembering, subject, &error);
        }
    }
    if !is_somebody_elses(&result) {
        let outcome = Outcome::of(&result);
        remembering.write(&local, &options.scheme, &outcome, started, begun.elapsed());
    }
    result
}

/// Tells whether the run failed because local state is in use, or of another store: then it is not to remember this.
fn is_somebody_elses(result: &Result<BackupReport, Failure>) -> bool {
    match result {
        Err(Failure::Run(error)) => error.is::<Locked>() || error.is::<OtherStore>(),
        _ => false,
    }
}

fn add_problem(
    result: &mut Result<BackupReport, Failure>,
    remembering: &Remembering<'_>,
    subject: &[u8],
    error: &anyhow::Error,
) {
    remembering.problem(subject, &format!("{error:#}"));
    if let Ok(report) = result {
        report.problems += 1;
    }
}
