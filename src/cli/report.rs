//! `pileus report`.
//!
//! The page goes to a file, which is replaced in one step, or to standard output, which has nothing else then. Nothing is written where it
//! would lie among the files of the store.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use pileus::age::Age;
use pileus::local::database::look;
use pileus::local::lock::Patience;
use pileus::prune::retention::Rules;
use pileus::prune::{self, Fate, Plan, PruneOptions};
use pileus::report::{self, Foreseen, NextPrune, ReportOptions};
use serde_json::json;

use super::arguments::Report as Arguments;
use super::prune::{keep_rules, shown};
use super::replacing::replace;
use super::{Failure, done_with};
use crate::console::{Aside, Console};

/// How old a file that nothing names has to be for a prune to take it, if that is not said.
const ORPHAN_AGE: &str = "1d";

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<u8, Failure> {
    let rules = keep_rules(&arguments.keep).map_err(Failure::Usage)?;
    let file = file(arguments, console)?;
    let (now, begun) = (Timestamp::now(), Instant::now());
    let local = super::local_state(arguments.localdb.as_ref(), &arguments.stored.dest);
    let options = ReportOptions {
        store: arguments.stored.dest.clone(),
        scheme: arguments.stored.scheme.clone(),
        localdb: local.clone(),
        unfilter: arguments.stored.unfilter.clone(),
        prune: foresee(arguments, local, rules, now),
    };
    let report = report::run(&options, now, &Aside(console))?;
    let Some(file) = file else {
        console.bytes(report.page.as_bytes())?;
        return Ok(done_with(report.problems));
    };
    write(&file, report.page.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let (removed, freed_bytes) = match &options.prune {
        Foreseen::Planned(plan) => (Some(plan.removed.len()), Some(plan.freed_bytes)),
        Foreseen::NoRules | Foreseen::Unknown(_) => (None, None),
    };
    console.summary(&json!({
        "type": "summary", "command": "report", "file": file.to_string_lossy(), "page_bytes": report.page.len(),
        "snapshots": report.snapshots, "store_bytes": report.store_bytes, "store_files": report.store_files,
        "weekly_bytes": report.weekly_bytes, "runs": report.runs.map(|(_, all)| all),
        "runs_with_problems": report.runs.map(|(bad, _)| bad), "prune_removed": removed, "prune_freed_bytes": freed_bytes,
        "problems": report.problems, "seconds": begun.elapsed().as_secs_f64(),
    }));
    console.tell_terminal(&format!("the report is in {}", file.display()));
    Ok(done_with(report.problems))
}

/// Returns the file that the page goes to; none for standard output.
fn file(arguments: &Arguments, console: &Console) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = arguments
        .output
        .as_ref()
        .filter(|file| *file != Path::new("-"))
    else {
        if console.is_json() {
            return Err(Failure::Usage(
                "with --json, say where the page goes: -o report.html".to_owned(),
            ));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::Usage(
                "a page is not for a terminal: write it to a file (-o report.html)".to_owned(),
            ));
        }
        return Ok(None);
    };
    let directory = file
        .parent()
        .filter(|directory| *directory != Path::new(""));
    // A link may lead there too.
    let places = [directory.unwrap_or(Path::new(".")), file].map(fs::canonicalize);
    if let Ok(store) = fs::canonicalize(&arguments.stored.dest)
        && places
            .iter()
            .flatten()
            .any(|place| place.starts_with(&store))
    {
        return Err(Failure::Usage(format!(
            "{} would lie in the store, which only backups write to: choose another place",
            file.display()
        )));
    }
    Ok(Some(file.clone()))
}

/// Writes the page. What a link leads to is replaced, not the link; what is no file is written to.
fn write(file: &Path, page: &[u8]) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(there) if !there.is_file() => fs::write(file, page),
        Ok(there) => {
            let mode = there.permissions().mode() & 0o777;
            replace(&fs::canonicalize(file)?, page, Some(mode))
        }
        Err(_) => replace(file, page, None),
    }
}

/// Plans what a prune by these rules would do.
fn foresee(
    arguments: &Arguments,
    local: Option<PathBuf>,
    rules: Rules,
    now: Timestamp,
) -> Foreseen {
    if rules.is_empty() {
        return Foreseen::NoRules;
    }
    if let Err(why) = rules.check_zone() {
        return Foreseen::Unknown(why);
    }
    let age = Age::parse(ORPHAN_AGE).expect("a length of time");
    let options = PruneOptions {
        store: arguments.stored.dest.clone(),
        local,
        scheme: arguments.stored.scheme.clone(),
        all_hosts: false,
        rules,
        pin: Vec::new(),
        unpin: Vec::new(),
        remove: Vec::new(),
        orphans_before: age.before(now),
        dry_run: true,
        patience: Patience::None,
    };
    // That local state cannot be read is told by the report itself.
    let sequence = options
        .local
        .as_ref()
        .and_then(|directory| look::snapshots(directory).ok());
    match prune::foresee(&options, sequence.as_deref(), now) {
        Ok(plan) => Foreseen::Planned(next_prune(&plan, arguments)),
        Err(error) => Foreseen::Unknown(format!("{error:#}")),
    }
}

fn next_prune(plan: &Plan, arguments: &Arguments) -> NextPrune {
    let removed = plan
        .snapshots
        .iter()
        .filter_map(|snapshot| match &snapshot.fate {
            Fate::Removed(cause) => Some((snapshot.name.clone(), cause.to_string())),
            Fate::Kept(_) => None,
        });
    let removed: Vec<_> = removed.collect();
    NextPrune {
        rules: shown(&arguments.keep),
        kept: (plan.snapshots.len() - removed.len()) as u64,
        freed_bytes: plan.freed_bytes(),
        stopped: plan.stopped.clone(),
        removed,
    }
}
