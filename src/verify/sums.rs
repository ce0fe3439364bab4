//! Level *sums*: files of the store against the checksums that a descriptor vouches for.

use std::collections::{BTreeSet, HashSet};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::Subject;
use super::sample::Drawn;
use crate::format::checksum::{Checksum, Hasher};
use crate::format::object_ref::SegmentId;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::expected::{self, Expected, segment_of_file};
use crate::store::segment_reader::open_regular;

/// Compares all files that the snapshots' sums name, each once and segments only if they were drawn; returns how many.
pub(super) fn verify(
    catalog: &Catalog,
    subjects: &[Subject],
    drawn: &Drawn,
    monitor: &Counter<'_>,
) -> u64 {
    let mut files: BTreeSet<Expected> = BTreeSet::new();
    for subject in subjects {
        match expected::files(catalog, &subject.name, &subject.descriptor) {
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
