//! `pileus backup`.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use pileus::backup::{
    self, BackupOptions, BackupReport, Clock, Deduplicate, Sources, StatusCounts, Surroundings,
    Written,
};
use pileus::format::escape;
use pileus::format::object_ref::SegmentId;
use pileus::format::segment_group::SegmentGroup;
use pileus::format::snapshot_name::check_scheme;
use pileus::local::lock::{Patience, Waiting};
use pileus::monitor::{Event, Monitor};
use pileus::store::filter::{Codec, Filter};
use serde_json::json;

use super::arguments::Backup;
use super::remembering::Remembering;
use super::{Failure, INTERRUPTED, around, beginning, clean, done_with, interruption, size};
use crate::console::Console;
use pileus::wording::{self, count};

/// Smaller segments would be all framing, larger ones would not fit in memory when a program filters them.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;

/// A checkpoint costs a snapshot of its own.
const CHECKPOINT_BYTES_MIN: u64 = 1 << 20;

pub(crate) fn run(arguments: &Backup, console: &Console) -> Result<u8, Failure> {
    let (jobs, patience) = (
        super::jobs(arguments.jobs.as_deref())?,
        arguments.wait.patience()?,
    );
    let options = options(arguments, jobs, patience).map_err(Failure::Usage)?;
    let options = BackupOptions {
        reasons: options.dry_run && console.is_verbose(),
        ..options
    };
    if let Some(told) = arguments.choosing.without_effect() {
        // No reason to have no backup: what is too much in it harms nobody.
        console.event(&Event::Warning(&told));
    }
    let begun = Instant::now();
    let stop = interruption::stop_in_order()?;
    let remembering = Remembering::new(console);
    let surroundings = Surroundings {
        clock: &SystemClock,
        names: Box::new(|| SegmentId::from_bytes(*uuid::Uuid::new_v4().as_bytes())),
        stop: &stop,
        monitor: &remembering,
        host: host(arguments).map_err(Failure::Usage)?,
        state_id: uuid::Uuid::new_v4().simple().to_string(),
    };
    let report = around::run(arguments, &options, &stop, &remembering, || {
        if arguments.clean {
            let local = arguments.localdb.as_ref().unwrap_or(&arguments.dest);
            let waiting = Waiting {
                patience,
                stop: Some(&stop),
                monitor: console,
            };
            match clean::before_backup(local, &waiting, console) {
                Err(_) if stop.load(Ordering::Relaxed) => return Ok(BackupReport::interrupted()),
                cleaned => cleaned?,
            }
        }
        let report = backup::run(&options, surroundings);
        let report = report.map_err(beginning::with_way_out)?;
        // Before hooks print anything: they come behind the backup.
        tell(&report, &options, begun.elapsed().as_secs_f64(), console);
        Ok(report)
    })?;
    summarize(&report, &options, begun.elapsed().as_secs_f64(), console);
    if report.interrupted {
        console.error(&match &report.snapshot {
            Some(checkpoint) => format!("interrupted: what was done until now is in {checkpoint}"),
            None => "interrupted: there is no snapshot".to_owned(),
        });
        return Ok(INTERRUPTED);
    }
    Ok(done_with(report.problems))
}

/// Checks everything that can be wrong with the command line before anything is touched.
fn options(arguments: &Backup, jobs: usize, patience: Patience) -> Result<BackupOptions, String> {
    if let Some(scheme) = &arguments.scheme {
        check_scheme(scheme).map_err(|e| format!("--scheme: {e}"))?;
    }
    let segment_bytes =
        size::parse(&arguments.segment_size).map_err(|e| format!("--segment-size: {e}"))?;
    if !SEGMENT_BYTES.contains(&segment_bytes) {
        return Err(format!(
            "--segment-size={} is out of range: use 4K to 1G",
            arguments.segment_size
        ));
    }
    let piped = arguments.piping.piped()?;
    Ok(BackupOptions {
        store: arguments.dest.clone(),
        local: arguments.localdb.clone(),
        patience,
        sources: sources(arguments, piped.is_some())?,
        piped,
        selection: arguments.choosing.selection()?,
        scheme: arguments.scheme.clone().unwrap_or_default(),
        filter: filter(arguments)?,
        all_through_codec: compression(arguments).1,
        filter_asked_for: arguments.filter.is_some() || arguments.compression.is_some(),
        signature_filter: arguments.signature_filter.clone(),
        segment_bytes: usize::try_from(segment_bytes).map_err(|e| e.to_string())?,
        jobs,
        deduplicate: deduplicate(&arguments.deduplicate)?,
        reread: arguments.reread,
        full_metadata: arguments.full_metadata,
        checkpoint_bytes: checkpoint_bytes(&arguments.checkpoint)?,
        leave_checkpoints: arguments.leave_checkpoints,
        skip_if_unchanged: arguments.skip_if_unchanged,
        new_store: arguments.new_store,
        places: beginning::places(),
        accept_loss: arguments.accept_loss,
        dry_run: arguments.dry_run,
        reasons: false,
        staging_bytes: staging_bytes(arguments.staging_size.as_deref())?,
    })
}

/// Returns the name that the machine goes by in descriptors.
fn host(arguments: &Backup) -> Result<String, String> {
    let Some(host) = &arguments.host else {
        let name = nix::unistd::gethostname().unwrap_or_default();
        return Ok(escape(name.as_encoded_bytes()));
    };
    if host.is_empty() || host.trim() != host || escape(host.as_bytes()) != *host {
        return Err(format!(
            "--host={host} cannot be used: write a name such as desk"
        ));
    }
    Ok(host.clone())
}

fn sources(arguments: &Backup, is_piped: bool) -> Result<Sources, String> {
    if is_piped {
        return Ok(Sources::none());
    }
    let paths = arguments.paths.iter().cloned();
    let paths = paths.chain(arguments.piping.paths());
    arguments.choosing.sources(&paths.collect::<Vec<_>>())
}

fn deduplicate(word: &str) -> Result<Deduplicate, String> {
    match word {
        "always" => Ok(Deduplicate::Always),
        "verify" => Ok(Deduplicate::Verify),
        "never" => Ok(Deduplicate::Never),
        _ => Err(format!(
            "--deduplicate={word} is unknown: use always, verify or never"
        )),
    }
}

fn checkpoint_bytes(text: &str) -> Result<u64, String> {
    match size::parse(text).map_err(|e| format!("--checkpoint: {e}"))? {
        bytes @ CHECKPOINT_BYTES_MIN.. => Ok(bytes),
        _ => Err(format!("--checkpoint={text} is too small: use 1M or more")),
    }
}

fn staging_bytes(text: Option<&str>) -> Result<Option<u64>, String> {
    let bytes = text.map(size::parse).transpose();
    bytes.map_err(|e| format!("--staging-size: {e}"))
}

/// Returns the codec that was asked for, and whether it gets what it does not shrink, too.
fn compression(arguments: &Backup) -> (&str, bool) {
    let text = arguments.compression.as_deref().unwrap_or("bzip2");
    text.strip_suffix(",all")
        .map_or((text, false), |codec| (codec, true))
}

fn filter(arguments: &Backup) -> Result<Filter, String> {
    let Some(command) = &arguments.filter else {
        if arguments.filter_extension.is_some() {
            return Err("--filter-extension goes with --filter=COMMAND".to_owned());
        }
        return Codec::parse(compression(arguments).0)
            .map_err(|e| format!("--compression: {e}"))
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

/// Prints the summary for machines, which counts the problems of hooks too.
fn summarize(report: &BackupReport, options: &BackupOptions, seconds: f64, console: &Console) {
    let (entries, written) = (report.entries, report.groups.total());
    let groups: serde_json::Map<_, _> = report.groups.iter().map(json_of_group).collect();
    console.summary(&json!({
        "type": "summary", "command": "backup",
        "snapshot": report.snapshot.as_ref().map(ToString::to_string),
        "interrupted": report.interrupted, "dry_run": options.dry_run,
        "same_as": report.same_as.as_ref().map(ToString::to_string),
        "entries": entries.total(), "new": entries.new, "old": entries.old, "partial": entries.partial,
        "repack": entries.repack, "sub_file": entries.sub_file, "added": entries.added, "changed": entries.changed,
        "metadata": entries.metadata,
        "gone": entries.gone,
        "source_bytes": report.source_bytes, "read_bytes": report.read_bytes,
        "new_data_bytes": report.groups.new_data_bytes(), "metadata_bytes": report.groups.metadata_bytes(),
        "disk_bytes": written.disk_bytes, "segments": written.segments, "groups": groups,
        "problems": report.problems, "seconds": seconds,
    }));
}

/// Prints the summary for people.
fn tell(report: &BackupReport, options: &BackupOptions, seconds: f64, console: &Console) {
    let (entries, written) = (report.entries, report.groups.total());
    let found = {
        let (total, bytes) = (entries.total(), size::show(report.source_bytes));
        format!("{} with {bytes} in files", count(total, "entry"))
    };
    if let Some(last) = &report.same_as {
        let told = format!("nothing changed since {last}, so there is no new snapshot");
        if options.dry_run {
            console.tell(&told);
        } else {
            console.tell_terminal(&told);
        }
        return;
    }
    if options.dry_run {
        // Asked for, so it is told wherever standard output goes.
        console.tell(&format!("dry run: {found}: {}", news(&entries)));
        console.tell(&format!(
            "would read {} and write {} for {} of new data; nothing was written",
            size::show(report.read_bytes),
            size::show(written.disk_bytes),
            size::show(report.groups.new_data_bytes())
        ));
        return;
    }
    if let Some(snapshot) = &report.snapshot {
        console.tell_terminal(&format!("snapshot {snapshot}: {found}, in {seconds:.1} s"));
    }
    console.tell_terminal(&format!(
        "{}; read {}, added {} as {}",
        news(&entries),
        size::show(report.read_bytes),
        size::show(written.data_bytes),
        size::show(written.disk_bytes)
    ));
    if let Some(problems) = wording::problems(report.problems) {
        console.tell_terminal(&problems);
    }
}

fn json_of_group((group, written): (SegmentGroup, Written)) -> (String, serde_json::Value) {
    let value = json!({
        "data_bytes": written.data_bytes, "disk_bytes": written.disk_bytes, "segments": written.segments,
    });
    (group.to_string(), value)
}

/// Says what there is that the last snapshot does not have. Statuses are about contents; people ask about files.
fn news(entries: &StatusCounts) -> String {
    let (added, changed) = (entries.added, entries.changed);
    let metadata = entries.metadata;
    let unchanged = entries.total() - added - changed - metadata;
    let metadata = match metadata {
        0 => String::new(),
        count => format!(", {count} only in metadata"),
    };
    let gone = match entries.gone {
        0 => String::new(),
        gone => format!(", {gone} gone"),
    };
    format!("{added} new, {changed} changed{metadata}, {unchanged} unchanged{gone}")
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn wait_until(&self, instant: Timestamp) {
        // A negative duration (the instant has passed) does not convert, and then there is nothing to wait for. Nor is there sense in
        // waiting for a clock that was set back in mid-run, perhaps by a day.
        let rest = std::time::Duration::try_from(instant.duration_since(Timestamp::now()));
        if let Some(rest) = rest.ok().filter(|rest| rest.as_secs() < 2) {
            thread::sleep(rest);
        }
    }
}
