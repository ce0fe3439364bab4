//! `pileus list`.

use std::time::Instant;

use jiff::Timestamp;
use pileus::format::descriptor::Descriptor;
use pileus::format::snapshot_name::SnapshotName;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::wording;
use serde_json::{Value, json};

use super::arguments::List;
use super::{Failure, done_with, size};
use crate::console::{Console, table_columns};

/// Prints a line for each snapshot, oldest first. A descriptor that cannot be used is a problem, not the end of the list.
pub(crate) fn run(arguments: &List, console: &Console) -> Result<u8, Failure> {
    let (begun, now) = (Instant::now(), Timestamp::now());
    let catalog = Catalog::open(&arguments.dest)?;
    let wanted = |name: &&SnapshotName| {
        arguments
            .scheme
            .as_ref()
            .is_none_or(|scheme| name.scheme() == scheme)
    };
    let names: Vec<_> = catalog.snapshots().filter(wanted).collect();
    let columns = Columns::of(&names, &catalog, now);
    if !names.is_empty() && !console.is_json() {
        console.line(&columns.header())?;
    }
    let mut problems = 0;
    for &name in &names {
        let pinned = catalog.is_pinned(name);
        match catalog.descriptor(name) {
            Ok(descriptor) if console.is_json() => {
                console.line(&object(name, &descriptor, pinned).to_string())?;
            }
            Ok(descriptor) => console.line(&columns.row(name, &descriptor, pinned))?,
            Err(error) => {
                console.problem(
                    name.to_string().as_bytes(),
                    &snapshot::way_out(&error, &arguments.dest, name),
                );
                problems += 1;
            }
        }
    }
    console.summary(&json!({
        "type": "summary", "command": "list", "snapshots": names.len(), "problems": problems,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    if names.is_empty() {
        let of_scheme = wording::of_scheme(arguments.scheme.as_deref());
        let there = wording::schemes(catalog.snapshots().map(SnapshotName::scheme));
        let others = there.filter(|_| arguments.scheme.is_some());
        let others = others.map(|others| format!("; {others}"));
        console.tell(&format!(
            "no snapshots{of_scheme} in {}{}",
            arguments.dest.display(),
            others.unwrap_or_default()
        ));
    }
    Ok(done_with(problems))
}

/// What the table looks like.
struct Columns {
    /// The length of the longest name.
    name: usize,
    /// Whether the time has a column: where that would make lines wider than the terminal, names have to say it.
    time: bool,
    /// Snapshots that are later are marked.
    now: Timestamp,
}

impl Columns {
    fn of(names: &[&SnapshotName], catalog: &Catalog, now: Timestamp) -> Self {
        let name = names.iter().map(|name| name.to_string().len()).max();
        let mut columns = Self {
            name: name.unwrap_or(0).max("SNAPSHOT".len()),
            time: true,
            now,
        };
        if let Some(room) = table_columns() {
            let fits = |name: &&SnapshotName| {
                let descriptor = catalog.descriptor(name);
                descriptor.map_or(true, |descriptor| {
                    columns
                        .row(name, &descriptor, catalog.is_pinned(name))
                        .len()
                        <= room
                })
            };
            columns.time = columns.header().len() <= room && names.iter().all(fits);
        }
        columns
    }

    fn header(&self) -> String {
        self.line(
            "SNAPSHOT",
            "TIME (UTC)",
            ["ENTRIES", "SOURCE", "ADDED", "NOTES"],
        )
    }

    /// Snapshots of the older programs do not say what they hold; `-` stands for that.
    fn row(&self, name: &SnapshotName, descriptor: &Descriptor, pinned: bool) -> String {
        let totals = descriptor.totals;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let time = descriptor.date.strftime("%Y-%m-%d %H:%M").to_string();
        let entries = or_dash(totals.map(|t| t.entries.to_string()));
        let source = or_dash(totals.map(|t| size::show(t.source_bytes)));
        let added = or_dash(totals.map(|t| size::show(t.added_disk_bytes)));
        let marks = [
            (descriptor.date > self.now, "from the future"),
            (name.is_checkpoint(), "checkpoint"),
            (pinned, "pinned"),
            (descriptor.signed, "signed"),
        ];
        let marks = marks.iter().filter(|(holds, _)| *holds);
        let mut notes: Vec<_> = marks.map(|(_, mark)| (*mark).to_owned()).collect();
        let problems = descriptor.problems.filter(|&problems| problems > 0);
        notes.extend(problems.map(|problems| wording::count(problems, "problem")));
        let cells = [&entries, &source, &added, &notes.join(", ")];
        self.line(&name.to_string(), &time, cells.map(String::as_str))
    }

    fn line(&self, name: &str, time: &str, cells: [&str; 4]) -> String {
        let time = if self.time {
            format!(" {time:<16}")
        } else {
            String::new()
        };
        let [entries, source, added, notes] = cells;
        let width = self.name;
        let line = format!("{name:width$} {time} {entries:>7} {source:>10} {added:>10}  {notes}");
        line.trim_end().to_owned()
    }
}

fn object(name: &SnapshotName, descriptor: &Descriptor, pinned: bool) -> Value {
    let totals = descriptor.totals;
    json!({
        "type": "snapshot", "snapshot": name.to_string(), "scheme": name.scheme(), "time": descriptor.date.to_string(),
        "entries": totals.map(|t| t.entries), "source_bytes": totals.map(|t| t.source_bytes),
        "added_data_bytes": totals.map(|t| t.added_data_bytes), "added_disk_bytes": totals.map(|t| t.added_disk_bytes),
        "segments": descriptor.segments.len(), "producer": descriptor.producer,
        "checkpoint": name.is_checkpoint(), "pinned": pinned, "signed": descriptor.signed,
        "problems": descriptor.problems,
    })
}
