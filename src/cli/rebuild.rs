//! `pileus rebuild`.

use std::time::Instant;

use jiff::Timestamp;
use pileus::rebuild::{self, RebuildOptions};
use serde_json::json;

use super::arguments::Rebuild;
use super::{Failure, done_with};
use crate::console::Console;

pub(crate) fn run(arguments: &Rebuild, console: &Console) -> Result<u8, Failure> {
    let local = arguments.localdb.as_ref().unwrap_or(&arguments.dest);
    let options = RebuildOptions {
        store: arguments.dest.clone(),
        local: local.clone(),
        scheme: arguments.scheme.clone(),
        deep: arguments.deep,
        jobs: super::jobs(arguments.jobs.as_deref())?,
        unfilter: arguments.unfilter.clone(),
    };
    let begun = Instant::now();
    let report = rebuild::run(&options, Timestamp::now(), console)?;
    let seconds = begun.elapsed().as_secs_f64();
    console.summary(&json!({
        "type": "summary", "command": "rebuild", "deep": options.deep, "snapshots": report.snapshots, "segments": report.segments,
        "entries": report.entries, "blocks": report.blocks, "problems": report.problems, "seconds": seconds,
    }));
    let blocks = if options.deep {
        format!(", {} blocks", report.blocks)
    } else {
        String::new()
    };
    let problems = match report.problems {
        0 => String::new(),
        count => format!(", {count} problems"),
    };
    console.tell_terminal(&format!(
        "rebuilt from {} snapshots: {} segments, {} paths{blocks}{problems} ({seconds:.1} s)",
        report.snapshots, report.segments, report.entries
    ));
    Ok(done_with(report.problems))
}
