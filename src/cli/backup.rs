//! `pileus backup`.

use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use pileus::backup::{self, BackupOptions, BackupReport, Clock, Selection, Sources};
use pileus::format::object_ref::SegmentId;
use pileus::format::snapshot_name::check_scheme;
use pileus::store::filter::{Codec, Filter};
use serde_json::json;

use super::arguments::Backup;
use super::{Failure, done_with, size};
use crate::console::Console;

/// Smaller segments would be all framing, larger ones would not fit in memory when a program filters them.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;

pub(crate) fn run(arguments: &Backup, console: &Console) -> Result<u8, Failure> {
    let options =
        options(arguments, super::jobs(arguments.jobs.as_deref())?).map_err(Failure::Usage)?;
    let begun = Instant::now();
    let names = Box::new(|| SegmentId::from_bytes(*uuid::Uuid::new_v4().as_bytes()));
    let report = backup::run(&options, &SystemClock, names, console)?;
    summarize(&report, begun.elapsed().as_secs_f64(), console);
    Ok(done_with(report.problems))
}

/// Checks everything that can be wrong with the command line before anything is touched.
fn options(arguments: &Backup, jobs: usize) -> Result<BackupOptions, String> {
    Sources::parse(&arguments.paths)?;
    if let Some(scheme) = &arguments.scheme {
        check_scheme(scheme).map_err(|e| e.to_string())?;
    }
    let segment_bytes =
        size::parse(&arguments.segment_size).map_err(|e| format!("--segment-size: {e}"))?;
    if !SEGMENT_BYTES.contains(&segment_bytes) {
        return Err(format!(
            "--segment-size={} is out of range: use 4K to 1G",
            arguments.segment_size
        ));
    }
    Ok(BackupOptions {
        store: arguments.dest.clone(),
        local: arguments.localdb.clone(),
        sources: arguments.paths.clone(),
        selection: Selection::excluding(&arguments.exclude)?,
        scheme: arguments.scheme.clone().unwrap_or_default(),
        filter: filter(arguments)?,
        signature_filter: arguments.signature_filter.clone(),
        segment_bytes: usize::try_from(segment_bytes).map_err(|e| e.to_string())?,
        jobs,
    })
}

fn filter(arguments: &Backup) -> Result<Filter, String> {
    let Some(command) = &arguments.filter else {
        if arguments.filter_extension.is_some() {
            return Err("--filter-extension goes with --filter=COMMAND".to_owned());
        }
        return Codec::parse(arguments.compression.as_deref().unwrap_or("bzip2"))
            .map(Filter::Builtin);
    };
    if arguments.compression.is_some() {
        return Err(
            "--filter and --compression exclude each other: let the filter command compress"
                .to_owned(),
        );
    }
    let known = Filter::known_extension(command);
    let extension = match (&arguments.filter_extension, known) {
        (Some(extension), _) => extension.clone(),
        (None, Some(known)) => known.to_owned(),
        (None, None) => {
            return Err(format!(
                "cannot tell what files \"{command}\" makes: add --filter-extension=.EXT (or =\"\" for none)"
            ));
        }
    };
    check_extension(&extension)?;
    Ok(Filter::Command {
        command: command.clone(),
        extension,
    })
}

/// The extension becomes part of file names that a reader finds again by their beginning.
fn check_extension(extension: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let reserved = extension.ends_with(pileus::store::dir::PART_SUFFIX);
    if extension.is_empty()
        || extension.starts_with('.')
            && extension.len() > 1
            && extension.bytes().all(plain)
            && !reserved
    {
        return Ok(());
    }
    Err(format!(
        "--filter-extension={extension} cannot be used: write a dot and letters or digits, such as .gpg"
    ))
}

fn summarize(report: &BackupReport, seconds: f64, console: &Console) {
    let entries = report.new_entries + report.old_entries;
    console.summary(&json!({
        "type": "summary", "command": "backup",
        "snapshot": report.snapshot.to_string(),
        "entries": entries, "new": report.new_entries, "old": report.old_entries,
        "source_bytes": report.source_bytes, "read_bytes": report.read_bytes,
        "new_data_bytes": report.new_data_bytes, "metadata_bytes": report.metadata_bytes,
        "disk_bytes": report.disk_bytes, "segments": report.segments,
        "problems": report.problems, "seconds": seconds,
    }));
    console.tell_terminal(&format!(
        "snapshot {}: {entries} entries, {} in files, {} new",
        report.snapshot,
        size::show(report.source_bytes),
        report.new_entries
    ));
    console.tell_terminal(&format!(
        "stored {} of data and {} of metadata as {} in {} segments, in {seconds:.1} s",
        size::show(report.new_data_bytes),
        size::show(report.metadata_bytes),
        size::show(report.disk_bytes),
        report.segments
    ));
    if report.problems > 0 {
        console.tell_terminal(&format!("{} problems, named above", report.problems));
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wait_until(&self, instant: Timestamp) {
        // A negative duration (the instant has passed) does not convert, and then there is nothing to wait for.
        if let Ok(rest) = std::time::Duration::try_from(instant.duration_since(Timestamp::now())) {
            thread::sleep(rest);
        }
    }
}
