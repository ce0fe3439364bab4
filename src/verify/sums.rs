//! Level *sums*: files of the store against the checksums that a descriptor vouches for.
//!
//! Descriptors up to version 0.10 name a sums file, that of 0.11 a `meta/` file with the same knowledge in stanzas.

use std::collections::{BTreeSet, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::Subject;
use super::sample::Drawn;
use crate::format::checksum::{Checksum, Hasher};
use crate::format::object_ref::SegmentId;
use crate::format::stanza::{LogItem, LogItems};
use crate::format::{FormatError, sums};
use crate::monitor::Counter;
use crate::store::catalog::{Catalog, split_segment_file};
use crate::store::filter;
use crate::store::segment_reader::open_regular;

/// A file of the store, and what it must be.
type Expected = (PathBuf, Checksum);

/// Largest unfiltered `meta/` file, in bytes.
const META_BYTES_MAX: u64 = 64 << 20;

/// Compares all files that the snapshots' sums name, each once and segments only if they were drawn; returns how many.
pub(super) fn verify(
    catalog: &Catalog,
    subjects: &[Subject],
    drawn: &Drawn,
    monitor: &Counter<'_>,
) -> u64 {
    let mut files: BTreeSet<Expected> = BTreeSet::new();
    for subject in subjects {
        match expected_files(catalog, subject) {
            Ok(expected) => {
                tell_unnamed_segments(subject, &expected, monitor);
                files.extend(
                    expected
                        .into_iter()
                        .filter(|(file, _)| segment_of_file(file).is_none_or(|id| drawn.has(id))),
                );
            }
            Err(error) => monitor.problem(
                subject.name.to_string().as_bytes(),
                format_args!("its sums cannot be used: {error:#}"),
            ),
        }
    }
    let count = files.len() as u64;
    for (file, wanted) in files {
        if let Err(error) = compare(catalog, &file, &wanted) {
            monitor.problem(
                file.as_os_str().as_encoded_bytes(),
                format_args!("{error:#}"),
            );
        }
    }
    count
}

/// A segment that the snapshot needs but whose checksum nobody knows could be replaced unnoticed.
fn tell_unnamed_segments(subject: &Subject, expected: &[Expected], monitor: &Counter<'_>) {
    let named: HashSet<SegmentId> = expected
        .iter()
        .filter_map(|(file, _)| segment_of_file(file))
        .collect();
    // The reverse is what a descriptor looks like that lost its end.
    for segment in named
        .iter()
        .filter(|id| subject.descriptor.segments.binary_search(id).is_err())
    {
        let reason =
            format_args!("its sums name segment {segment}, which its descriptor does not list");
        monitor.problem(subject.name.to_string().as_bytes(), reason);
    }
    for segment in subject
        .descriptor
        .segments
        .iter()
        .filter(|id| !named.contains(id))
    {
        monitor.problem(
            subject.name.to_string().as_bytes(),
            format_args!("needs segment {segment}, which its sums do not name"),
        );
    }
}

fn segment_of_file(file: &Path) -> Option<SegmentId> {
    split_segment_file(file.file_name()?.to_str()?).map(|(id, _)| id)
}

fn expected_files(catalog: &Catalog, subject: &Subject) -> Result<Vec<Expected>> {
    if let Some(wanted) = &subject.descriptor.segment_metadata {
        return from_meta_file(catalog, subject, wanted);
    }
    let file = PathBuf::from(subject.name.sums_file());
    let text = catalog.read_file(&file)?;
    if let Some(wanted) = &subject.descriptor.checksums {
        wanted
            .verify(&text)
            .with_context(|| file.display().to_string())?;
    }
    let sums = sums::parse(&text)?;
    sums.into_iter()
        .map(|sum| Ok((PathBuf::from(&sum.file), sum.checksum()?)))
        .collect()
}

fn from_meta_file(
    catalog: &Catalog,
    subject: &Subject,
    wanted: &Checksum,
) -> Result<Vec<Expected>> {
    let (file, extension) = catalog
        .meta_file(&subject.name)
        .ok_or_else(|| anyhow!("its meta file is missing"))?;
    let bytes = catalog.read_file(file)?;
    wanted
        .verify(&bytes)
        .with_context(|| file.display().to_string())?;
    let opened = open_regular(&catalog.root().join(file)).context("cannot open it")?;
    let mut text = Vec::new();
    filter::decoder(opened, extension, None)?
        .take(META_BYTES_MAX)
        .read_to_end(&mut text)
        .context("cannot read it")?;
    LogItems::new(&text)
        .map(|item| segment_of(item).map_err(anyhow::Error::from))
        .collect()
}

fn segment_of(item: Result<LogItem<'_>, FormatError>) -> Result<Expected, FormatError> {
    let LogItem::Stanza(stanza) = item? else {
        return Err(FormatError::plain("a reference in a meta file"));
    };
    let path = stanza
        .get("path")
        .and_then(|path| std::str::from_utf8(path).ok());
    let path = path.filter(|p| {
        !p.starts_with('/') && !p.split('/').any(|part| matches!(part, ".." | "." | ""))
    });
    let path = path.ok_or_else(|| FormatError::plain("no usable path in a meta file"))?;
    let checksum = stanza
        .get("checksum")
        .ok_or_else(|| FormatError::plain("no checksum in a meta file"))?;
    Ok((path.into(), Checksum::parse(checksum)?))
}

fn compare(catalog: &Catalog, file: &Path, wanted: &Checksum) -> Result<()> {
    let opened = open_regular(&catalog.root().join(file));
    let mut opened = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("is missing"),
        opened => opened.context("cannot open it")?,
    };
    let mut hasher = Hasher::new(wanted.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match opened.read(&mut buffer).context("cannot read it")? {
            0 => return differs(&hasher.finish(), wanted),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn differs(found: &Checksum, wanted: &Checksum) -> Result<()> {
    if found == wanted {
        Ok(())
    } else {
        Err(anyhow!("is damaged: checksum {found}, wanted {wanted}"))
    }
}
