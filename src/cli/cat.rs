//! `pileus cat`.
//!
//! As with cat(1), files come in the order in which they are typed, and one that cannot be printed does not keep the others back. So the
//! log is read first, up to the last of them, and what it says of them is kept: memory grows with what is typed, not with the snapshot.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Result, anyhow, bail};
use pileus::file_reader::{self, Part};
use pileus::format::entry::{Entry, EntryKind};
use pileus::format::escape;
use pileus::format::path::EntryPath;
use pileus::metadata_log::MetadataLogReader;
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use pileus::store::object_cache::ObjectCache;
use pileus::wording::shell_word;

use super::arguments::Cat;
use super::{FAILED, Failure, done_with};
use crate::console::Console;

/// Writes the contents of files to standard output; if they turn out damaged, the exit code says so behind them.
pub(crate) fn run(arguments: &Cat, console: &Console) -> Result<u8, Failure> {
    let paths = super::entry_paths(&arguments.paths)?;
    if console.is_json() {
        return Err(Failure::Usage(
            "cat prints contents, not JSON: leave out --json".to_owned(),
        ));
    }
    let of = &arguments.which;
    let catalog = Catalog::open(&of.stored.dest)?;
    let (name, descriptor) = super::open_snapshot(of, &catalog)?;
    let mut objects = ObjectCache::new(&catalog, of.stored.unfilter.as_deref())?;
    let listing = format!(
        "pileus ls --dest={} --snapshot={name}",
        shell_word(catalog.root())
    );
    let log = MetadataLogReader::new(&mut objects, descriptor.root);
    let mut found: BTreeMap<_, _> = paths.iter().map(|path| (path, None)).collect();
    let lost = find(&mut found, log, console)?;
    // What was lost is of no account where everything asked for is there.
    let mut problems = 0;
    let mut is_any_printed = false;
    for path in &paths {
        let reason = match found.get(path).and_then(Option::as_ref) {
            None => snapshot::lacks(catalog.root(), &name, path, lost > 0),
            Some(entry) => match print(entry, &mut objects, &listing, console)? {
                Ok(()) => {
                    is_any_printed = true;
                    continue;
                }
                Err(error) => format!("{error:#}"),
            },
        };
        problems += 1;
        console.problem(path.as_bytes(), &reason);
    }
    if is_any_printed {
        Ok(done_with(problems))
    } else {
        Ok(FAILED)
    }
}

/// Prints a file. The error in the result is one of this file, the other one is of standard output and ends the run.
fn print(
    entry: &Entry,
    objects: &mut ObjectCache<'_>,
    shown: &str,
    console: &Console,
) -> Result<Result<()>> {
    let EntryKind::File(contents) = &entry.kind else {
        return Ok(Err(anyhow!("is no regular file{}", no_file(entry, shown))));
    };
    let mut output = Ok(());
    let mut is_begun = false;
    let read = file_reader::read(contents, objects, &mut |part| {
        is_begun = true;
        output = print_part(part, console);
        if output.is_err() {
            bail!("nobody takes it");
        }
        Ok(())
    });
    let partly = if is_begun {
        "cannot be printed whole, and part of it is printed already"
    } else {
        "cannot be printed"
    };
    output.map(|()| read.map_err(|error| error.context(partly)))
}

fn print_part(part: Part<'_>, console: &Console) -> Result<()> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    let mut count = match part {
        Part::Bytes(bytes) => return console.bytes(bytes),
        Part::Zeros(count) => count,
    };
    while count > 0 {
        let step = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        console.bytes(&ZEROS[..step])?;
        count -= step as u64;
    }
    Ok(())
}

/// Says what there is in place of a file, and what shows it.
fn no_file(entry: &Entry, listing: &str) -> String {
    match &entry.kind {
        EntryKind::Directory => {
            let dashes = if entry.path.as_bytes().starts_with(b"-") {
                "-- "
            } else {
                ""
            };
            let path = shell_word(OsStr::from_bytes(entry.path.as_bytes()));
            format!(", but a directory: {listing} {dashes}{path} shows what is in it")
        }
        EntryKind::Symlink { target } => {
            format!(", but a symbolic link to {}", escape(target))
        }
        _ => String::new(),
    }
}

/// Looks for paths in a log, up to the last one that is there. Returns how many parts of the log were lost on the way: a path that is not
/// found may have been in one.
fn find(
    wanted: &mut BTreeMap<&EntryPath, Option<Entry>>,
    log: MetadataLogReader<'_, '_>,
    console: &Console,
) -> Result<u64> {
    let (mut missing, mut lost) = (wanted.len(), 0);
    for item in log {
        match item {
            Ok(entry) => {
                if let Some(place) = wanted.get_mut(&entry.path)
                    && place.is_none()
                {
                    *place = Some(entry);
                    missing -= 1;
                }
            }
            Err(error) => {
                if error.is_news()? {
                    console.problem(&error.subject, &error.reason);
                    lost += 1;
                }
            }
        }
        if missing == 0 {
            break;
        }
    }
    Ok(lost)
}
