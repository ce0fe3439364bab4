//! `pileus stats`.

use std::time::Instant;

use pileus::stats::{self, SnapshotStats, StatsOptions, StatsReport, Utilization};
use serde_json::{Value, json};

use super::arguments::Stats;
use super::{Failure, done_with, size};
use crate::console::Console;
use pileus::wording::{self, count};

/// Characters of the longest bar of the histogram.
const BAR: u64 = 40;

/// Prints a row for each snapshot as the store grew, then the sums, then how much of the segments is used.
pub(crate) fn run(arguments: &Stats, console: &Console) -> Result<u8, Failure> {
    let options = StatsOptions {
        store: arguments.stored.dest.clone(),
        scheme: arguments.stored.scheme.clone(),
        localdb: super::local_state(arguments.localdb.as_ref(), &arguments.stored.dest),
        unfilter: arguments.stored.unfilter.clone(),
    };
    let begun = Instant::now();
    let mut store_bytes = 0;
    let report = stats::run(&options, console, &mut |stats| {
        store_bytes = stats.new_disk_bytes.saturating_add(store_bytes);
        if console.is_json() {
            return console.line(&object(stats, store_bytes).to_string());
        }
        if store_bytes == stats.new_disk_bytes {
            console.line(&format!(
                "{:>9} {:>10} {:>10} {:>10} {:>10}  SNAPSHOT",
                "ENTRIES", "SOURCE", "DATA ADDED", "DISK ADDED", "STORE"
            ))?;
        }
        console.line(&row(stats, store_bytes))
    })?;
    if console.is_json() {
        console.summary(&summary(&report, begun.elapsed().as_secs_f64()));
    } else if report.snapshots > 0 {
        for line in sums(&report) {
            console.line(&line)?;
        }
    }
    if report.snapshots == 0 {
        console.tell(&format!(
            "no snapshots{} in {}",
            wording::of_scheme(arguments.stored.scheme.as_deref()),
            arguments.stored.dest.display()
        ));
    }
    if let Some(utilization) = report.utilization.as_ref().filter(|_| !console.is_json()) {
        for line in histogram(utilization) {
            console.line(&line)?;
        }
    }
    Ok(done_with(report.problems))
}

fn row(stats: &SnapshotStats, store_bytes: u64) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    format!(
        "{:>9} {:>10} {:>10} {:>10} {:>10}  {}",
        or_dash(stats.entries.map(|n| n.to_string())),
        or_dash(stats.source_bytes.map(size::show)),
        or_dash(stats.added.map(|(data, _)| size::show(data))),
        or_dash(stats.added.map(|(_, disk)| size::show(disk))),
        size::show(store_bytes),
        stats.name,
    )
}

fn object(stats: &SnapshotStats, store_bytes: u64) -> Value {
    json!({
        "type": "stats", "snapshot": stats.name.to_string(), "scheme": stats.name.scheme(), "time": stats.date.to_string(),
        "entries": stats.entries, "source_bytes": stats.source_bytes, "added_data_bytes": stats.added.map(|a| a.0),
        "added_disk_bytes": stats.added.map(|a| a.1), "segments": stats.segments, "disk_bytes": stats.disk_bytes,
        "new_disk_bytes": stats.new_disk_bytes, "store_bytes": store_bytes,
    })
}

/// Returns how often the second number goes into the first.
fn ratio(of: u64, to: u64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // Two digits are shown.
    let ratio = of as f64 / to as f64;
    (to > 0).then_some(ratio)
}

/// How much smaller a store is than what it holds.
struct Ratios {
    /// Sources to data. None without data.
    deduplication: Option<f64>,
    /// Data to disk.
    compression: Option<f64>,
    /// Sources to disk.
    both: Option<f64>,
}

impl Ratios {
    /// What is on the disk counts, and not what the snapshots added: data of pruned ones may still be needed. How it was compressed is told
    /// by those that are there.
    fn of(report: &StatsReport) -> Self {
        let (data, disk) = report.added;
        let compression = ratio(data, disk);
        let both = ratio(report.source_bytes, report.disk_bytes);
        let deduplication = both.zip(compression);
        Self {
            deduplication: deduplication.map(|(both, compression)| both / compression),
            compression,
            both,
        }
    }
}

fn summary(report: &StatsReport, seconds: f64) -> Value {
    let (data, disk) = report.added;
    let ratios = Ratios::of(report);
    let classes = |utilization: &Utilization| {
        let class = |(at, (segments, bytes)): (usize, &(u64, u64))| json!({ "from_percent": at * 100 / stats::CLASSES, "segments": segments, "disk_bytes": bytes });
        let classes: Vec<_> = utilization.classes.iter().enumerate().map(class).collect();
        json!({ "data_bytes": utilization.data_bytes, "used_bytes": utilization.used_bytes, "classes": classes })
    };
    json!({
        "type": "summary", "command": "stats", "snapshots": report.snapshots, "entries": report.entries,
        "source_bytes": report.source_bytes, "added_data_bytes": data, "added_disk_bytes": disk,
        "segments": report.segments, "disk_bytes": report.disk_bytes, "deduplication": ratios.deduplication,
        "compression": ratios.compression, "utilization": report.utilization.as_ref().map(classes), "problems": report.problems, "seconds": seconds,
    })
}

fn sums(report: &StatsReport) -> Vec<String> {
    let ratios = Ratios::of(report);
    let shown = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    vec![
        String::new(),
        format!(
            "{} of {} in {}, in {} of {}",
            count(report.snapshots, "snapshot"),
            size::show(report.source_bytes),
            count(report.entries, "entry"),
            count(report.segments, "segment"),
            size::show(report.disk_bytes)
        ),
        format!(
            "source to data {} (deduplication), data to disk {} (compression), both {}",
            shown(ratios.deduplication),
            shown(ratios.compression),
            shown(ratios.both)
        ),
    ]
}

fn histogram(utilization: &Utilization) -> Vec<String> {
    let most = utilization.classes.iter().map(|(_, bytes)| *bytes).max();
    let most = most.unwrap_or(0).max(1);
    let used = ratio(utilization.used_bytes, utilization.data_bytes).unwrap_or(0.0);
    let mut lines = vec![
        String::new(),
        format!("{:.1} % of the data in segments is used", used * 100.0),
        format!("{:<11} {:>8} {:>10}", "UTILIZATION", "SEGMENTS", "DISK"),
    ];
    for (at, (segments, bytes)) in utilization.classes.iter().enumerate().rev() {
        let length = u128::from(*bytes) * u128::from(BAR) / u128::from(most);
        let bar = "#".repeat(usize::try_from(length).unwrap_or(0));
        let from = at * 100 / stats::CLASSES;
        let line = format!(
            "{from:>3} % and up {segments:>7} {:>10}  {bar}",
            size::show(*bytes)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines
}
