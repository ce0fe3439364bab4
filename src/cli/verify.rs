//! `pileus verify`.

use std::time::Instant;

use anyhow::anyhow;
use jiff::Timestamp;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::verify::{self, Level, Sample, VerifyOptions, VerifyReport};
use serde_json::json;

use super::arguments::Verify;
use super::{Failure, done_with, healing};
use crate::console::Console;
use pileus::wording::{self, count};

/// More threads than this would only take memory: what they unfilter is looked at by one.
const JOBS_MAX: usize = 4;

pub(crate) fn run(arguments: &Verify, console: &Console) -> Result<u8, Failure> {
    let level = level(&arguments.level).map_err(Failure::Usage)?;
    let sample = arguments.sample.as_deref().map(sample).transpose();
    let sample = sample.map_err(Failure::Usage)?;
    let catalog = Catalog::open(&arguments.stored.dest)?;
    let scheme = arguments.stored.scheme.as_deref();
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
        return Err(anyhow!(
            "there is no snapshot{} in {}",
            wording::of_scheme(scheme),
            arguments.stored.dest.display()
        )
        .into());
    }
    let options = VerifyOptions {
        store: arguments.stored.dest.clone(),
        snapshots,
        level,
        sample,
        jobs: super::jobs(None)?.min(JOBS_MAX),
        verify_signature: arguments.verify_signature.clone(),
        unfilter: arguments.stored.unfilter.clone(),
    };
    let begun = Instant::now();
    let report = verify::run(&options, console)?;
    let seconds = begun.elapsed().as_secs_f64();
    console.summary(&json!({
        "type": "summary", "command": "verify", "level": arguments.level, "snapshots": report.snapshots,
        "sampled_segments": report.sampled_segments, "seed": sample.map(|sample| sample.seed),
        "store_files": report.store_files, "objects": report.objects, "files": report.files,
        "problems": report.problems, "seconds": seconds,
    }));
    healing::advise(&report.damage, arguments, console);
    tell(&report, arguments, level, sample, seconds, console);
    Ok(done_with(report.problems))
}

/// Says what was looked at, if somebody is watching.
fn tell(
    report: &VerifyReport,
    arguments: &Verify,
    level: Level,
    sample: Option<Sample>,
    seconds: f64,
    console: &Console,
) {
    let told = [
        count(report.snapshots, "snapshot"),
        count(report.store_files, "store file"),
        count(report.objects, "object"),
        count(report.files, "different file"),
    ];
    let depth = match level {
        Level::Sums => 2,
        Level::Objects => 3,
        Level::Files => 4,
    };
    console.tell_terminal(&format!(
        "verified {}, in {seconds:.1} s",
        told[..depth].join(", ")
    ));
    if let Some(sample) = sample {
        let segments = count(report.sampled_segments.unwrap_or(0), "segment");
        console.tell_terminal(&format!(
            "a sample of {segments}; --sample={}:{} reads the same",
            arguments
                .sample
                .as_deref()
                .and_then(|text| text.split(':').next())
                .unwrap_or_default(),
            sample.seed
        ));
    }
    let problems = wording::problems(report.problems);
    console.tell_terminal(problems.as_deref().unwrap_or("no damage"));
}

/// Reads `PERCENT[:SEED]`; without a seed, the clock gives one.
fn sample(text: &str) -> Result<Sample, String> {
    let wrong = || {
        format!(
            "--sample={text} is not a part: write per cent from 0.01 to 100, such as --sample=10"
        )
    };
    let (percent, seed) = match text.split_once(':') {
        Some((percent, seed)) => (percent, seed.parse().map_err(|_| wrong())?),
        None => (text, now()),
    };
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || whole.len() > 3 || part.len() > 2 {
        return Err(wrong());
    }
    let hundredths = format!("{whole}{part:0<2}").parse().map_err(|_| wrong())?;
    match hundredths {
        share @ 1..=10_000 => Ok(Sample { share, seed }),
        _ => Err(wrong()),
    }
}

/// Returns a number that is another one each time.
fn now() -> u64 {
    let nanoseconds = Timestamp::now().as_nanosecond().unsigned_abs() % (1 << 53);
    u64::try_from(nanoseconds).expect("less than 2^53, which JSON has room for")
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
