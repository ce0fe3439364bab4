//! `pileus verify`.

use std::time::Instant;

use anyhow::anyhow;
use jiff::Timestamp;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::verify::{self, Level, VerifyOptions};
use serde_json::json;

use super::arguments::Verify;
use super::{Failure, done_with};
use crate::console::Console;

pub(crate) fn run(arguments: &Verify, console: &Console) -> Result<u8, Failure> {
    let level = level(&arguments.level).map_err(Failure::Usage)?;
    let catalog = Catalog::open(&arguments.dest)?;
    let scheme = arguments.scheme.as_deref();
    let snapshots = if arguments.snapshot == "all" {
        catalog
            .snapshots()
            .filter(|name| scheme.is_none_or(|s| name.scheme() == s))
            .cloned()
            .collect()
    } else {
        vec![snapshot::choose(
            &catalog,
            &arguments.snapshot,
            scheme,
            Timestamp::now(),
        )?]
    };
    if snapshots.is_empty() {
        let of_scheme = scheme.map_or(String::new(), |s| format!(" of scheme {s}"));
        return Err(anyhow!(
            "there is no snapshot{of_scheme} in {}",
            arguments.dest.display()
        )
        .into());
    }
    let options = VerifyOptions {
        store: arguments.dest.clone(),
        snapshots,
        level,
        verify_signature: arguments.verify_signature.clone(),
        unfilter: arguments.unfilter.clone(),
    };
    let begun = Instant::now();
    let report = verify::run(&options, console)?;
    let seconds = begun.elapsed().as_secs_f64();
    console.summary(&json!({
        "type": "summary", "command": "verify", "level": arguments.level, "snapshots": report.snapshots,
        "store_files": report.store_files, "objects": report.objects, "files": report.files,
        "problems": report.problems, "seconds": seconds,
    }));
    let problems = if report.problems == 0 {
        "no damage".to_owned()
    } else {
        format!("{} problems, named above", report.problems)
    };
    let deeper = match level {
        Level::Sums => String::new(),
        Level::Objects => format!(", {} objects", report.objects),
        Level::Files => format!(
            ", {} objects, {} different files",
            report.objects, report.files
        ),
    };
    console.tell_terminal(&format!(
        "verified {} snapshots: {} store files{deeper}: {problems} ({seconds:.1} s)",
        report.snapshots, report.store_files
    ));
    Ok(done_with(report.problems))
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "sums" => Ok(Level::Sums),
        "objects" => Ok(Level::Objects),
        "files" => Ok(Level::Files),
        other => Err(format!(
            "--level={other} is unknown: use sums, objects or files"
        )),
    }
}
