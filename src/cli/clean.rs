//! `pileus clean`, and `--clean` of `pileus backup`.

use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use pileus::clean::{self, CleanOptions};
use pileus::local::lock::Waiting;
use pileus::local::utilization::Expiring;
use pileus::monitor::{Event, Monitor};
use serde_json::json;

use super::arguments::Clean;
use super::{DONE, Failure, lost, size};
use crate::console::Console;
use pileus::wording::count;

/// What is marked if nothing else is said: measured, docs/decisions/0009-clean-threshold.md.
pub(crate) const BELOW: &str = "0.7";

pub(crate) fn run(arguments: &Clean, console: &Console) -> Result<u8, Failure> {
    if !arguments.lost.is_empty() || !arguments.lost_from.is_empty() {
        return lost::run(arguments, console);
    }
    let begun = Instant::now();
    let options = CleanOptions {
        local: arguments.localdb.clone(),
        below: below(&arguments.below).map_err(Failure::Usage)?,
        dry_run: arguments.dry_run,
    };
    let waiting = Waiting {
        patience: arguments.wait.patience()?,
        stop: None,
        monitor: console,
    };
    let expiring = clean::run(&options, Timestamp::now(), &waiting)?;
    show(&expiring, &options, console);
    let sum = |bytes: fn(&Expiring) -> u64| expiring.iter().map(bytes).sum::<u64>();
    console.summary(&json!({
        "type": "summary", "command": "clean", "dry_run": options.dry_run, "segments": expiring.len(),
        "data_bytes": sum(|s| s.data_bytes), "live_bytes": sum(|s| s.live_bytes), "problems": 0,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(DONE)
}

/// Cleans before a backup; the first one has nothing to clean.
pub(crate) fn before_backup(
    local: &Path,
    waiting: &Waiting<'_>,
    console: &Console,
) -> Result<(), Failure> {
    let options = CleanOptions {
        local: local.to_owned(),
        below: below(BELOW).map_err(Failure::Usage)?,
        dry_run: false,
    };
    if clean::has_local_state(local)? {
        let expiring = clean::run(&options, Timestamp::now(), waiting)?;
        // Most nights find nothing, which is worth no line.
        if !expiring.is_empty() || console.is_verbose() {
            console.event(&Event::Note(&total(&expiring, false)));
        }
    }
    Ok(())
}

/// Prints the segments: always in a dry run, which is for that; otherwise as notes are.
fn show(expiring: &[Expiring], options: &CleanOptions, console: &Console) {
    let tell = |text: &str| {
        if options.dry_run {
            console.tell(text);
        } else if !console.is_json() {
            console.event(&Event::Note(text));
        }
    };
    for segment in expiring {
        let (days, used) = (segment.age_seconds / 86_400, segment.utilization() * 100.0);
        console.summary(&json!({
            "type": "expired", "segment": segment.id.to_string(), "data_bytes": segment.data_bytes,
            "live_bytes": segment.live_bytes, "age_seconds": segment.age_seconds, "class": segment.class,
        }));
        let live = size::show(segment.live_bytes);
        tell(&format!(
            "{}  {live} of {} still used ({used:.0} %), {} old",
            segment.id,
            size::show(segment.data_bytes),
            count(days.unsigned_abs(), "day"),
        ));
    }
    tell(&total(expiring, options.dry_run));
}

fn total(expiring: &[Expiring], dry_run: bool) -> String {
    if expiring.is_empty() {
        return "no segment is used so poorly that it would be marked as expired".to_owned();
    }
    let live: u64 = expiring.iter().map(|segment| segment.live_bytes).sum();
    let marked = if dry_run { "would be marked" } else { "marked" };
    format!(
        "{} {marked} as expired: the next backups write up to {} again",
        count(expiring.len() as u64, "segment"),
        size::show(live)
    )
}

fn below(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| (0.0..=1.0).contains(n));
    number.ok_or_else(|| format!("--below={text} is out of range: use 0 to 1, such as {BELOW}"))
}
