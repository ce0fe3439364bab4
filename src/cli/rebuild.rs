//! `pileus rebuild`.

use std::time::Instant;

use jiff::Timestamp;
use pileus::rebuild::{self, RebuildOptions};
use serde_json::json;

use super::arguments::Rebuild;
use super::{Failure, done_with};
use crate::console::Console;
use pileus::wording::{self, count};

pub(crate) fn run(arguments: &Rebuild, console: &Console) -> Result<u8, Failure> {
    let local = arguments.localdb.as_ref().unwrap_or(&arguments.dest);
    let options = RebuildOptions {
        store: arguments.dest.clone(),
        local: local.clone(),
        scheme: arguments.scheme.clone(),
        deep: arguments.deep,
        jobs: super::jobs(arguments.jobs.as_deref())?,
        unfilter: arguments.unfilter.clone(),
        patience: arguments.wait.patience()?,
    };
    let begun = Instant::now();
    let report = rebuild::run(&options, Timestamp::now(), console)?;
    let seconds = begun.elapsed().as_secs_f64();
    console.summary(&json!({
        "type": "summary", "command": "rebuild", "deep": options.deep, "snapshots": report.snapshots, "segments": report.segments,
        "entries": report.entries, "blocks": report.blocks, "problems": report.problems, "seconds": seconds,
    }));
    let mut told = vec![
        count(report.segments, "segment"),
        count(report.entries, "path"),
    ];
    if options.deep {
        told.push(count(report.blocks, "block"));
    }
    console.tell_terminal(&format!(
        "rebuilt from {}: {}, in {seconds:.1} s",
        count(report.snapshots, "snapshot"),
        told.join(", ")
    ));
    if let Some(problems) = wording::problems(report.problems) {
        console.tell_terminal(&problems);
    }
    Ok(done_with(report.problems))
}
