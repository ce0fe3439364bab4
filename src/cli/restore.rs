//! `pileus restore`.

use std::time::Instant;

use pileus::restore::{self, Overwrite, OwnerPolicy, RestoreOptions, RestoreReport};
use pileus::store::catalog::Catalog;
use serde_json::json;

use super::arguments::Restore;
use super::{Failure, done_with, size};
use crate::console::Console;

pub(crate) fn run(arguments: &Restore, console: &Console) -> Result<u8, Failure> {
    let overwrite = overwrite(&arguments.overwrite).map_err(Failure::Usage)?;
    let paths = super::entry_paths(&arguments.paths)?;
    let rules = arguments.rules.rules().map_err(Failure::Usage)?;
    let jobs = super::jobs(arguments.jobs.as_deref())?;
    let catalog = Catalog::open(&arguments.which.stored.dest)?;
    let snapshot = super::choose(&arguments.which, &catalog)?;
    let options = RestoreOptions {
        store: arguments.which.stored.dest.clone(),
        snapshot,
        target: arguments.target.clone(),
        paths,
        rules,
        dry_run: arguments.dry_run,
        overwrite,
        owner: owner(arguments),
        xattrs: !arguments.no_xattrs,
        sparse: !arguments.no_sparse,
        jobs,
        verify_signature: arguments.verify_signature.clone(),
        unfilter: arguments.which.stored.unfilter.clone(),
    };
    let begun = Instant::now();
    let report = restore::run(&options, console)?;
    summarize(
        &report,
        options.dry_run,
        begun.elapsed().as_secs_f64(),
        console,
    );
    Ok(done_with(report.problems))
}

fn overwrite(text: &str) -> Result<Overwrite, String> {
    match text {
        "never" => Ok(Overwrite::Never),
        "always" => Ok(Overwrite::Always),
        "if-changed" => Ok(Overwrite::IfChanged),
        "if-newer" => Ok(Overwrite::IfNewer),
        other => Err(format!(
            "--overwrite={other} is unknown: use never, always, if-changed or if-newer"
        )),
    }
}

fn owner(arguments: &Restore) -> OwnerPolicy {
    match (arguments.no_owner, arguments.numeric_owner) {
        (true, _) => OwnerPolicy::Keep,
        (_, true) => OwnerPolicy::Numbers,
        _ => OwnerPolicy::Names,
    }
}

fn summarize(report: &RestoreReport, dry_run: bool, seconds: f64, console: &Console) {
    console.summary(&json!({
        "type": "summary", "command": "restore", "snapshot": report.snapshot.to_string(), "entries": report.entries,
        "bytes": report.bytes, "dry_run": dry_run, "problems": report.problems, "seconds": seconds,
    }));
    let problems = if report.problems > 0 {
        format!(", {} problems, named above", report.problems)
    } else {
        String::new()
    };
    if dry_run {
        let (entries, bytes) = (report.entries, size::show(report.bytes));
        let snapshot = &report.snapshot;
        console.tell(&format!(
            "dry run: would restore {entries} entries, {bytes}, from {snapshot}{problems}; nothing was written"
        ));
        return;
    }
    console.tell_terminal(&format!(
        "restored {} entries, {}, from {} in {seconds:.1} s{problems}",
        report.entries,
        size::show(report.bytes),
        report.snapshot
    ));
}
