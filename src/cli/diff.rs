//! `pileus diff`.

use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use pileus::changes::Aspect;
use pileus::diff::{self, DiffOptions, DiffReport, Difference, Other};
use pileus::format::entry::{DeviceNumber, Entry, EntryKind, Owner};
use pileus::format::escape;
use pileus::format::snapshot_name::SnapshotName;
use pileus::pattern::Pattern;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use serde_json::{Value, json};

use super::arguments::Diff;
use super::{DONE, Failure, PROBLEMS, ls, size};
use crate::console::{Console, json_text};
use pileus::wording;

/// Prints a line for each difference, in path order.
pub(crate) fn run(arguments: &Diff, console: &Console) -> Result<u8, Failure> {
    let only = super::entry_paths(&arguments.only)?;
    let excluded = Pattern::all(&arguments.exclude).map_err(Failure::Usage)?;
    let catalog = Catalog::open(&arguments.stored.dest)?;
    let choose = |wanted: &str| {
        let scheme = arguments.stored.scheme.as_deref();
        snapshot::choose(&catalog, wanted, scheme, Timestamp::now())
    };
    let old = choose(&arguments.old)?;
    let new = match &arguments.new {
        Some(wanted) => Other::Snapshot(choose(wanted)?),
        None => Other::Disk {
            root: arguments.root.clone(),
            read_contents: arguments.contents,
        },
    };
    let options = DiffOptions {
        store: arguments.stored.dest.clone(),
        old,
        new,
        only,
        excluded,
        unfilter: arguments.stored.unfilter.clone(),
    };
    let begun = Instant::now();
    let mut gone = None;
    let report = diff::run(&options, console, &mut |difference| {
        if difference.new.is_none() && !difference.path.as_bytes().contains(&b'/') {
            gone.get_or_insert_with(|| difference.path.clone());
        }
        if console.is_json() {
            console.line(&object(difference).to_string())
        } else {
            console.line(&line(difference, console.is_verbose()))
        }
    })?;
    let new = match &options.new {
        Other::Snapshot(name) => Some(name),
        Other::Disk { .. } => None,
    };
    tell(&options.old, new, &report, begun, console);
    if let (Other::Disk { root, .. }, Some(path)) = (&options.new, gone) {
        let root = root.as_deref().unwrap_or(Path::new("/")).display();
        let advice = format!(
            "{path} is not in {root}: if it was backed up by a relative path, say where that begins: --root=DIR"
        );
        console.note_aside(&advice);
    }
    if report.is_same() && report.problems == 0 {
        Ok(DONE)
    } else {
        Ok(PROBLEMS)
    }
}

fn tell(
    old: &SnapshotName,
    new: Option<&SnapshotName>,
    report: &DiffReport,
    begun: Instant,
    console: &Console,
) {
    let seconds = begun.elapsed().as_secs_f64();
    console.summary(&json!({
        "type": "summary", "command": "diff", "old": old.to_string(), "new": new.map(ToString::to_string),
        "added": report.added, "removed": report.removed, "changed": report.changed, "metadata": report.metadata,
        "not_compared": report.not_compared, "added_bytes": report.added_bytes, "removed_bytes": report.removed_bytes,
        "problems": report.problems, "seconds": seconds,
    }));
    let new = new.map_or("the disk".to_owned(), ToString::to_string);
    let unknown = match report.not_compared {
        0 => String::new(),
        count => format!(", {count} not compared"),
    };
    if report.is_same() {
        let found = match (report.is_partial, report.compared) {
            (false, _) => "no difference",
            (true, 0) => "nothing can be compared",
            (true, _) => "no difference in what can be compared",
        };
        console.tell_terminal(&format!("{old} to {new}: {found}, in {seconds:.1} s"));
    } else {
        let changed = report.changed + report.metadata;
        let (added, removed) = (report.added, report.removed);
        console.tell_terminal(&format!(
            "{old} to {new}: {added} added, {removed} removed, {changed} changed"
        ));
        console.tell_terminal(&format!(
            "{} only in metadata{unknown}; {} more, {} less, in {seconds:.1} s",
            report.metadata,
            size::show(report.added_bytes),
            size::show(report.removed_bytes),
        ));
    }
    if let Some(problems) = wording::problems(report.problems) {
        console.tell_terminal(&problems);
    }
}

fn status(difference: &Difference<'_>) -> &'static str {
    match (difference.old, difference.new, difference.aspects.first()) {
        (None, _, _) => "added",
        (_, None, _) => "removed",
        (_, _, Some(Aspect::Contents | Aspect::Type)) => "changed",
        _ => "metadata",
    }
}

fn line(difference: &Difference<'_>, verbose: bool) -> String {
    let mut text = format!("[{}] {}", status(difference), difference.path);
    let (Some(old), Some(new)) = (difference.old, difference.new) else {
        return text;
    };
    for (at, &aspect) in difference.aspects.iter().enumerate() {
        text.push_str(if at == 0 { ": " } else { ", " });
        text.push_str(aspect.name());
        if verbose {
            let values = [" ", &shown(aspect, old), " -> ", &shown(aspect, new)];
            text.extend(values);
        }
    }
    text
}

/// Shows what an entry says of an aspect, for people.
fn shown(aspect: Aspect, entry: &Entry) -> String {
    match value(aspect, entry) {
        Value::String(text) => escape(text.as_bytes()),
        Value::Number(bytes) if aspect == Aspect::Contents => format!("{bytes} bytes"),
        other => other.to_string(),
    }
}

fn object(difference: &Difference<'_>) -> Value {
    let (old, new) = (difference.old, difference.new);
    let sizes = [old, new].map(|entry| match entry.map(|entry| &entry.kind) {
        Some(EntryKind::File(contents)) => Some(contents.size),
        _ => None,
    });
    let mut changes = Vec::new();
    if let (Some(old), Some(new)) = (old, new) {
        for &aspect in difference.aspects {
            changes.push(json!({
                "what": aspect.name(), "old": value(aspect, old), "new": value(aspect, new),
            }));
        }
    }
    let kind = new.or(old).map(|entry| entry.kind.letter().to_string());
    json!({
        "type": "difference", "status": status(difference), "path": json_text(difference.path.as_bytes()), "kind": kind,
        "old_size": sizes[0], "new_size": sizes[1], "changes": changes,
    })
}

/// Returns what an entry says of an aspect.
fn value(aspect: Aspect, entry: &Entry) -> Value {
    match aspect {
        Aspect::Type => json!(entry.kind.letter().to_string()),
        Aspect::Mode => json!(format!("{:04o}", entry.mode)),
        Aspect::User => owner(&entry.user),
        Aspect::Group => owner(&entry.group),
        Aspect::Mtime => json!(time(entry)),
        Aspect::Links => json!(entry.links),
        Aspect::Xattrs => xattrs(entry),
        Aspect::Contents | Aspect::Target | Aspect::Device => match &entry.kind {
            EntryKind::File(contents) => json!(contents.size),
            EntryKind::Symlink { target } => json!(json_text(target)),
            EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => number(*device),
            _ => Value::Null,
        },
    }
}

fn number(device: DeviceNumber) -> Value {
    json!(format!("{}/{}", device.major, device.minor))
}

fn owner(owner: &Owner) -> Value {
    match &owner.name {
        Some(name) => json!(format!("{} ({})", owner.id, json_text(name))),
        None => json!(owner.id.to_string()),
    }
}

fn time(entry: &Entry) -> String {
    format!("{}.{:09}", ls::time(entry).trim(), entry.mtime.nanoseconds)
}

fn xattrs(entry: &Entry) -> Value {
    let names = entry.xattrs.iter().map(|(name, value)| {
        let value = escape(&value[..value.len().min(64)]);
        format!("{}={value}", json_text(name))
    });
    json!(names.collect::<Vec<_>>())
}
