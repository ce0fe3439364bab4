//! `--lost` and `--lost-from` of `pileus clean`: which segments are damaged, as people, `verify` and `ls` name them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use pileus::clean::lost::{self, Before, LostOptions};
use pileus::format::object_ref::SegmentId;
use pileus::local::lock::Waiting;
use pileus::store::expected::segment_of_file;
use serde_json::{Value, json};

use super::arguments::Clean;
use super::{DONE, Failure};
use crate::console::Console;
use pileus::wording::count;

pub(crate) fn run(arguments: &Clean, console: &Console) -> Result<u8, Failure> {
    let begun = Instant::now();
    let patience = arguments.wait.patience()?;
    let mut segments = BTreeSet::new();
    for name in &arguments.lost {
        let id = segment(name).ok_or_else(|| Failure::Usage(no_segment("--lost=", name)))?;
        segments.insert(id);
    }
    for file in &arguments.lost_from {
        segments.extend(read(file)?);
    }
    let options = LostOptions {
        local: arguments.localdb.clone(),
        segments,
        dry_run: arguments.dry_run,
    };
    let waiting = Waiting {
        patience,
        stop: None,
        monitor: console,
    };
    let found = lost::run(&options, Timestamp::now(), &waiting)?;
    for (id, before) in &found {
        let (word, told) = match before {
            Before::Usable if options.dry_run => ("usable", "would be marked"),
            Before::Usable => ("usable", "marked"),
            Before::Expired => ("expired", "was marked before"),
            Before::Unknown => ("unknown", "is not known here, so nothing new refers to it"),
        };
        console.summary(&json!({ "type": "lost", "segment": id.to_string(), "before": word }));
        console.tell(&format!("{id}  {told}"));
    }
    let marked = found.iter().filter(|(_, before)| *before == Before::Usable);
    let marked = marked.count() as u64;
    console.tell(&match (marked, options.dry_run) {
        (0, _) => "nothing to mark".to_owned(),
        (_, true) => format!("{} would be marked", count(marked, "segment")),
        (_, false) => format!(
            "{} marked: the next backup of each scheme stores what it still has of them again",
            count(marked, "segment")
        ),
    });
    console.summary(&json!({
        "type": "summary", "command": "clean", "dry_run": options.dry_run, "segments": marked, "named": found.len(), "problems": 0,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(DONE)
}

/// Understands the name of a segment, or of its file, wherever that lies.
fn segment(name: &str) -> Option<SegmentId> {
    SegmentId::parse(name.as_bytes())
        .ok()
        .or_else(|| segment_of_file(Path::new(name)))
}

fn no_segment(place: &str, name: &str) -> String {
    format!(
        "{place}{name} is no segment: name it like 00e75d73-0265-4dc2-aadd-91f25d6da412, or its file"
    )
}

/// Reads the segments that a file names: what `verify --json` printed, or a name in each line.
fn read(file: &Path) -> Result<BTreeSet<SegmentId>> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    let mut segments = BTreeSet::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        let place = || format!("{shown}:{}: ", index + 1);
        if line.starts_with('{') {
            segments.extend(told(line).with_context(|| format!("{}not usable", place()))?);
        } else if !line.is_empty() && !line.starts_with('#') {
            let id = segment(line);
            segments.insert(id.with_context(|| no_segment(&place(), line))?);
        }
    }
    Ok(segments)
}

/// Returns the damaged segment of which a line of `verify --json` tells, if it does.
fn told(line: &str) -> Result<Option<SegmentId>> {
    let object: Value = serde_json::from_str(line).context("it is no JSON")?;
    match object["type"].as_str() {
        Some("problem") => {}
        // Then what was found up to there is not all.
        Some("error") => bail!("verify failed: {}", object["message"]),
        _ => return Ok(None),
    }
    match object["segment"].as_str() {
        Some(name) => Ok(Some(segment(name).with_context(|| no_segment("", name))?)),
        None => Ok(None),
    }
}
