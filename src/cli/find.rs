//! `pileus find`.

use std::time::Instant;

use pileus::find::{self, End, FindOptions, Version};
use pileus::format::path::EntryPath;
use pileus::pattern::Pattern;
use serde_json::{Value, json};

use super::arguments::Find;
use super::{Failure, done_with, ls};
use crate::console::{Console, json_text};
use pileus::wording::{self, count};

/// Prints each path once, and below it each version.
pub(crate) fn run(arguments: &Find, console: &Console) -> Result<u8, Failure> {
    let options = FindOptions {
        store: arguments.stored.dest.clone(),
        patterns: Pattern::all(&arguments.patterns).map_err(Failure::Usage)?,
        scheme: arguments.stored.scheme.clone(),
        unfilter: arguments.stored.unfilter.clone(),
    };
    let begun = Instant::now();
    let mut told: Option<EntryPath> = None;
    let report = find::run(&options, console, &mut |version| {
        if console.is_json() {
            return console.line(&object(version).to_string());
        }
        let path = &version.entry.path;
        if told.as_ref() != Some(path) {
            console.line(&path.to_string())?;
            told = Some(path.clone());
        }
        lines(version)
            .iter()
            .try_for_each(|line| console.line(line))
    })?;
    console.summary(&json!({
        "type": "summary", "command": "find", "snapshots": report.snapshots, "paths": report.paths, "versions": report.versions,
        "problems": report.problems, "seconds": begun.elapsed().as_secs_f64(),
    }));
    let searched = count(report.snapshots, "snapshot");
    if report.versions == 0 {
        console.tell_terminal(&format!("nothing found in {searched}"));
    } else {
        let versions = count(report.versions, "version");
        let paths = count(report.paths, "path");
        console.tell_terminal(&format!("{versions} of {paths} in {searched}"));
    }
    if let Some(problems) = wording::problems(report.problems) {
        console.tell_terminal(&problems);
    }
    Ok(done_with(report.problems))
}

/// Returns what a version was like, the snapshots that have it, and the one that has nothing there any more, or of which nobody knows. Where
/// it only changed, the next version says in which.
fn lines(version: &Version<'_>) -> Vec<String> {
    let range = match version.snapshots {
        1 => version.first.to_string(),
        count => format!("{} to {} ({count})", version.first, version.last),
    };
    let mut lines = vec![
        format!("    {}", ls::attributes(version.entry)),
        format!("        in {range}"),
    ];
    match version.end {
        Some(End::Vanished(name)) => lines.push(format!("        gone in {name}")),
        Some(End::Lost(name)) => lines.push(format!("        unknown in {name}")),
        Some(End::Changed(_)) | None => {}
    }
    lines
}

fn object(version: &Version<'_>) -> Value {
    let mut object = ls::object(version.entry);
    let (changed, gone, unknown) = match version.end {
        None => (None, None, None),
        Some(End::Changed(name)) => (Some(name), None, None),
        Some(End::Vanished(name)) => (None, Some(name), None),
        Some(End::Lost(name)) => (None, None, Some(name)),
    };
    object["type"] = json!("version");
    object["path"] = json!(json_text(version.entry.path.as_bytes()));
    object["scheme"] = json!(version.first.scheme());
    object["first"] = json!(version.first.to_string());
    object["last"] = json!(version.last.to_string());
    object["snapshots"] = json!(version.snapshots);
    object["changed_in"] = json!(changed.map(ToString::to_string));
    object["gone_in"] = json!(gone.map(ToString::to_string));
    object["unknown_in"] = json!(unknown.map(ToString::to_string));
    object
}
