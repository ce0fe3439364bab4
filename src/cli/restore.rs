//! `pileus restore`.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pileus::monitor::{Event, Monitor};
use pileus::restore::{self, Overwrite, OwnerPolicy, RestoreOptions, RestoreReport};
use pileus::store::catalog::Catalog;
use serde_json::json;

use super::arguments::Restore;
use super::{Failure, INTERRUPTED, done_with, interruption, size};
use crate::console::Console;
use pileus::wording::{self, count};

pub(crate) fn run(arguments: &Restore, console: &Console) -> Result<u8, Failure> {
    let overwrite = overwrite(&arguments.overwrite).map_err(Failure::Usage)?;
    let paths = super::entry_paths(&arguments.paths)?;
    let rules = arguments.rules.rules().map_err(Failure::Usage)?;
    check_includes(arguments).map_err(Failure::Usage)?;
    let jobs = super::jobs(arguments.jobs.as_deref())?;
    check_delete(arguments, overwrite).map_err(Failure::Usage)?;
    check_target(arguments, console).map_err(Failure::Usage)?;
    let catalog = Catalog::open(&arguments.which.stored.dest)?;
    let snapshot = super::choose(&arguments.which, &catalog)?;
    let options = RestoreOptions {
        store: arguments.which.stored.dest.clone(),
        snapshot,
        target: arguments.target.clone(),
        paths,
        rules,
        delete: arguments.delete,
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
    let stop = interruption::stop_in_order()?;
    let report = match restore::run(&options, &stop, console) {
        // Whatever went wrong then may be because of the signal.
        Err(error) if stop.load(Ordering::Relaxed) => {
            console.error(&format!("interrupted: {error:#}"));
            return Ok(INTERRUPTED);
        }
        report => report?,
    };
    summarize(
        &report,
        options.dry_run,
        begun.elapsed().as_secs_f64(),
        console,
    );
    if report.interrupted {
        console.error(if options.dry_run {
            "interrupted"
        } else {
            "interrupted: what is there under its own name is whole; the same again brings the rest"
        });
        return Ok(INTERRUPTED);
    }
    Ok(done_with(report.problems))
}

/// Refuses what would restore everything where one thing was meant; what stands in the target might be replaced by it.
fn check_includes(arguments: &Restore) -> Result<(), String> {
    arguments.rules.without_effect().map_or(Ok(()), |told| {
        Err(format!(
            "{told}, or type a directory that is wanted with all in it as a PATH"
        ))
    })
}

/// Refuses to restore among the files of the store, which only backups write to, and notes a place below it.
fn check_target(arguments: &Restore, console: &Console) -> Result<(), String> {
    let (store, target) = (&arguments.which.stored.dest, &arguments.target);
    let shown = target.display();
    // What is not there yet will be where its parent is; above a name alone is the working directory.
    let there = target.ancestors().find_map(|at| {
        let at = if at.as_os_str().is_empty() {
            Path::new(".")
        } else {
            at
        };
        fs::canonicalize(at).ok().map(|place| (at == target, place))
    });
    if let (Ok(store), Some((is_target, place))) = (fs::canonicalize(store), there)
        && place.starts_with(&store)
    {
        if is_target && place == store {
            return Err(format!(
                "--target={shown} is the store itself, which only backups write to: choose another place"
            ));
        }
        console.event(&Event::Note(&format!(
            "--target={shown} lies in the store, beside its files: another place would keep them apart"
        )));
    }
    Ok(())
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

/// Refuses to delete where it is more likely a slip than a wish.
fn check_delete(arguments: &Restore, overwrite: Overwrite) -> Result<(), String> {
    if !arguments.delete {
        return Ok(());
    }
    if overwrite == Overwrite::Never {
        return Err("--delete makes the target like the snapshot, but existing files stay as they are: add --overwrite=always or if-changed".to_owned());
    }
    let is_top = std::fs::canonicalize(&arguments.target).is_ok_and(|at| at == Path::new("/"));
    if is_top && arguments.paths.is_empty() {
        return Err(
            "--delete with --target=/ needs PATHs: name the trees in which to delete".to_owned(),
        );
    }
    Ok(())
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
        "restored_bytes": report.bytes, "deleted": report.deleted, "dry_run": dry_run, "interrupted": report.interrupted, "problems": report.problems, "seconds": seconds,
    }));
    let (entries, bytes) = (count(report.entries, "entry"), size::show(report.bytes));
    let (deleted, snapshot) = (count(report.deleted, "entry"), &report.snapshot);
    if dry_run {
        console.tell(&format!(
            "dry run: would restore {entries}, {bytes}, from {snapshot}"
        ));
        if report.deleted > 0 {
            console.tell(&format!("would delete {deleted}"));
        }
        console.tell("nothing was written");
    } else {
        let of_all = report.expected.filter(|all| *all > report.entries);
        let entries = of_all.map_or(entries, |all| {
            format!("{} of {}", report.entries, count(all, "entry"))
        });
        console.tell_terminal(&format!(
            "restored {entries}, {bytes}, from {snapshot} in {seconds:.1} s"
        ));
        if report.deleted > 0 {
            console.tell_terminal(&format!(
                "deleted {deleted} that the snapshot does not have"
            ));
        }
    }
    if let Some(problems) = wording::problems(report.problems) {
        console.tell_terminal(&problems);
    }
}
