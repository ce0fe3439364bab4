//! What the segments of a snapshot must be, by the checksums that its descriptor vouches for.
//!
//! Descriptors up to version 0.10 name a sums file, that of 0.11 a `meta/` file with the same knowledge in stanzas.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::catalog::{Catalog, split_segment_file};
use super::filter;
use super::segment_reader::open_regular;
use crate::format::checksum::Checksum;
use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::format::stanza::{LogItem, LogItems};
use crate::format::{FormatError, sums};

/// A file, relative to the store, and what it must be.
pub type Expected = (PathBuf, Checksum);

/// Largest unfiltered `meta/` file, in bytes.
const META_BYTES_MAX: u64 = 64 << 20;

/// Reads the checksums of all segments that a snapshot needs; an error if they are not what the descriptor vouches for.
pub fn files(
    catalog: &Catalog,
    name: &SnapshotName,
    descriptor: &Descriptor,
) -> Result<Vec<Expected>> {
    if let Some(wanted) = &descriptor.segment_metadata {
        return from_meta_file(catalog, name, wanted);
    }
    let file = PathBuf::from(name.sums_file());
    let text = catalog.read_file(&file)?;
    if let Some(wanted) = &descriptor.checksums {
        wanted
            .verify(&text)
            .with_context(|| file.display().to_string())?;
    }
    let sums = sums::parse(&text)?;
    sums.into_iter()
        .map(|sum| Ok((PathBuf::from(&sum.file), sum.checksum()?)))
        .collect()
}

/// Returns the segment whose file it is, if it is one.
#[must_use]
pub fn segment_of_file(file: &Path) -> Option<SegmentId> {
    split_segment_file(file.file_name()?.to_str()?).map(|(id, _)| id)
}

fn from_meta_file(
    catalog: &Catalog,
    name: &SnapshotName,
    wanted: &Checksum,
) -> Result<Vec<Expected>> {
    let (file, extension) = catalog
        .meta_file(name)
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
