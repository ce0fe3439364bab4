//! `pileus ls`.

use std::time::Instant;

use anyhow::anyhow;
use jiff::Timestamp;
use pileus::chosen::{Chosen, Relation};
use pileus::format::entry::{Entry, EntryKind, Owner};
use pileus::format::escape;
use pileus::metadata_log::MetadataLogReader;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::store::object_cache::ObjectCache;
use serde_json::{Value, json};

use super::arguments::Ls;
use super::{Failure, done_with};
use crate::console::{Console, json_text};

/// Prints a line for each entry, in path order.
pub(crate) fn run(arguments: &Ls, console: &Console) -> Result<u8, Failure> {
    let begun = Instant::now();
    let paths: Vec<_> = super::entry_paths(&arguments.paths)?;
    let of = &arguments.which;
    let catalog = Catalog::open(&of.stored.dest)?;
    let (name, descriptor) = super::open_snapshot(of, &catalog)?;
    let mut objects = ObjectCache::new(&catalog, of.stored.unfilter.as_deref())?;
    let mut chosen = Chosen::new(&paths);
    let (mut entries, mut problems) = (0_u64, 0_u64);
    for item in MetadataLogReader::new(&mut objects, descriptor.root) {
        match item {
            Ok(entry) if chosen.relate(&entry.path) == Relation::Within => {
                entries += 1;
                let line = match (console.is_json(), arguments.long) {
                    (true, _) => object(&entry).to_string(),
                    (false, true) => long(&entry),
                    (false, false) => entry.path.to_string(),
                };
                console.line(&line)?;
            }
            Ok(_) => {}
            Err(error) => {
                if error.is_news()? {
                    problems += 1;
                    console.problem(&error.subject, &error.reason);
                }
            }
        }
    }
    let is_lossy = problems > 0;
    let reason = |path| snapshot::lacks(catalog.root(), &name, path, is_lossy);
    let mut unmet: Vec<_> = chosen.unmet().collect();
    // As cat has it: a run fails if nothing that was asked for is there. What is lost may have had it, and was looked for all the same.
    let failed = unmet.pop_if(|_| entries == 0 && !is_lossy);
    for path in unmet {
        problems += 1;
        console.problem(path.as_bytes(), &reason(path));
    }
    if let Some(path) = failed {
        return Err(anyhow!("{path}: {}", reason(path)).into());
    }
    console.summary(&json!({
        "type": "summary", "command": "ls", "snapshot": name.to_string(), "entries": entries, "problems": problems,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(done_with(problems))
}

fn long(entry: &Entry) -> String {
    let arrow = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", escape(target)),
        _ => String::new(),
    };
    format!("{} {}{arrow}", attributes(entry), entry.path)
}

/// Returns all of a long line that stands before the path.
pub(super) fn attributes(entry: &Entry) -> String {
    let size = match &entry.kind {
        EntryKind::File(contents) => contents.size.to_string(),
        EntryKind::CharDevice(d) | EntryKind::BlockDevice(d) => format!("{},{}", d.major, d.minor),
        _ => "0".to_owned(),
    };
    format!(
        "{} {:<8} {:<8} {size:>12} {}",
        mode(entry),
        shown_owner(&entry.user),
        shown_owner(&entry.group),
        time(entry),
    )
}

/// Returns type and permissions as ls(1) shows them.
fn mode(entry: &Entry) -> String {
    let letter = match &entry.kind {
        EntryKind::File(_) => '-',
        kind => kind.letter(),
    };
    let mut text = String::from(letter);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn shown_owner(owner: &Owner) -> String {
    owner
        .name
        .as_ref()
        .map_or_else(|| owner.id.to_string(), |name| escape(name))
}

/// Returns the modification time, UTC; seconds since 1970 if no calendar holds it.
pub(super) fn time(entry: &Entry) -> String {
    let time = Timestamp::new(entry.mtime.seconds, 0);
    time.map_or_else(
        |_| format!("{:>19}", entry.mtime.seconds),
        |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

pub(super) fn object(entry: &Entry) -> Value {
    let mut object = json!({
        "type": "entry", "path": json_text(entry.path.as_bytes()), "kind": entry.kind.letter().to_string(), "mode": format!("{:04o}", entry.mode),
        "uid": entry.user.id, "gid": entry.group.id,
        "user": entry.user.name.as_deref().map(json_text), "group": entry.group.name.as_deref().map(json_text),
        "mtime": entry.mtime.seconds, "mtime_nsec": entry.mtime.nanoseconds, "links": entry.links,
    });
    match &entry.kind {
        EntryKind::File(contents) => {
            object["size"] = json!(contents.size);
            object["checksum"] = json!(contents.checksum.map(|c| c.to_string()));
        }
        EntryKind::Symlink { target } => object["target"] = json!(json_text(target)),
        EntryKind::CharDevice(d) | EntryKind::BlockDevice(d) => {
            object["device"] = json!(format!("{}/{}", d.major, d.minor));
        }
        _ => {}
    }
    object
}
