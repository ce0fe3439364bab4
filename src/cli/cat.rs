//! `pileus cat`.

use anyhow::{Context, anyhow};
use pileus::file_reader::{self, Part};
use pileus::format::entry::{Entry, EntryKind};
use pileus::format::escape;
use pileus::format::path::EntryPath;
use pileus::metadata_log::MetadataLogReader;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::store::object_cache::ObjectCache;

use super::arguments::Cat;
use super::{DONE, Failure};
use crate::console::Console;

/// Writes the contents of one file to standard output; if they turn out damaged, the exit code says so behind them.
pub(crate) fn run(arguments: &Cat, console: &Console) -> Result<u8, Failure> {
    let path = EntryPath::from_argument(&arguments.path).map_err(Failure::Usage)?;
    if console.is_json() {
        return Err(Failure::Usage(
            "cat prints contents, not JSON: leave out --json".to_owned(),
        ));
    }
    let of = &arguments.which;
    let catalog = Catalog::open(&of.stored.dest)?;
    let (name, descriptor) = super::open_snapshot(of, &catalog)?;
    let mut objects = ObjectCache::new(&catalog, of.stored.unfilter.as_deref())?;
    let entry = find(
        &path,
        MetadataLogReader::new(&mut objects, descriptor.root),
        console,
    )?;
    let entry = entry
        .with_context(|| format!("{path} {}", snapshot::lacks(catalog.root(), &name, &path)))?;
    let EntryKind::File(contents) = &entry.kind else {
        let hint = no_file(&entry.kind);
        return Err(anyhow!("{path} is not a regular file in snapshot {name}{hint}").into());
    };
    let zeros = vec![0; 64 << 10];
    let printed = file_reader::read(contents, &mut objects, &mut |part| match part {
        Part::Bytes(bytes) => console.bytes(bytes),
        Part::Zeros(mut count) => {
            while count > 0 {
                let step = usize::try_from(count)
                    .unwrap_or(usize::MAX)
                    .min(zeros.len());
                console.bytes(&zeros[..step])?;
                count -= step as u64;
            }
            Ok(())
        }
    });
    printed.with_context(|| format!("{path}, of which something may have been printed"))?;
    Ok(DONE)
}

/// Says what there is in place of a file, and what shows it.
fn no_file(kind: &EntryKind) -> String {
    match kind {
        EntryKind::Directory => ", but a directory: pileus ls shows what is in it".to_owned(),
        EntryKind::Symlink { target } => {
            format!(", but a symbolic link to {}", escape(target))
        }
        _ => String::new(),
    }
}

fn find(
    path: &EntryPath,
    log: MetadataLogReader<'_, '_>,
    console: &Console,
) -> anyhow::Result<Option<Entry>> {
    for item in log {
        match item {
            Ok(entry) if entry.path == *path => return Ok(Some(entry)),
            Ok(_) => {}
            // The entry may be in what is lost: this explains why it is not found.
            Err(error) => {
                if error.is_news()? {
                    console.problem(&error.subject, &error.reason);
                }
            }
        }
    }
    Ok(None)
}
