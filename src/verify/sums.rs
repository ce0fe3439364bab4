//! Level *sums*: files of the store against the checksums that a descriptor vouches for.
//!
//! A segment that is opened anyway is compared at that moment, so that the disk is read once; the others are read for it alone.
//!
//! Descriptors up to version 0.10 name a sums file, that of 0.11 a `meta/` file with the same knowledge in stanzas.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

use super::sample::Drawn;
use crate::format::checksum::{Checksum, Hasher};
use crate::format::descriptor::Descriptor;
use crate::format::object_ref::SegmentId;
use crate::format::snapshot_name::SnapshotName;
use crate::format::stanza::{LogItem, LogItems};
use crate::format::{FormatError, sums};
use crate::monitor::Counter;
use crate::store::catalog::{Catalog, split_segment_file};
use crate::store::filter;
use crate::store::segment_reader::{SegmentReader, open_regular};

/// A file of the store, and what it must be.
type Expected = (PathBuf, Checksum);

/// Largest unfiltered `meta/` file, in bytes.
const META_BYTES_MAX: u64 = 64 << 20;

/// What the sums of all snapshots say, and what was found so far.
pub(super) struct Sums<'c> {
    catalog: &'c Catalog,
    others: BTreeSet<Expected>,
    segments: BTreeMap<SegmentId, BTreeSet<Expected>>,
    outcome: Mutex<Outcome>,
}

#[derive(Default)]
struct Outcome {
    /// Segments that need not be looked at again.
    compared: HashSet<SegmentId>,
    /// What is wrong with the files of a segment.
    wrong: BTreeMap<SegmentId, String>,
}

impl<'c> Sums<'c> {
    pub(super) fn new(catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            others: BTreeSet::new(),
            segments: BTreeMap::new(),
            outcome: Mutex::default(),
        }
    }

    /// Takes in what the sums of a snapshot say; what is wrong with them is told.
    pub(super) fn gather(
        &mut self,
        name: &SnapshotName,
        descriptor: &Descriptor,
        monitor: &Counter<'_>,
    ) {
        let expected = match expected_files(self.catalog, name, descriptor) {
            Ok(expected) => expected,
            Err(error) => {
                let reason = format_args!("its sums cannot be used: {error:#}");
                monitor.problem(name.to_string().as_bytes(), reason);
                return;
            }
        };
        tell_unnamed_segments(name, descriptor, &expected, monitor);
        for expected in expected {
            match segment_of_file(&expected.0) {
                Some(id) => self.segments.entry(id).or_default().insert(expected),
                None => self.others.insert(expected),
            };
        }
    }

    /// Leaves out the segments that were not drawn.
    pub(super) fn keep(&mut self, drawn: &Drawn) {
        self.segments.retain(|id, _| drawn.has(*id));
    }

    /// Compares the files of a segment, that which was opened without opening it again. Called from several threads.
    pub(super) fn compare_opened(&self, id: SegmentId, reader: &SegmentReader) {
        let is_new = self.lock().compared.insert(id);
        if let Some(expected) = self.segments.get(&id).filter(|_| is_new) {
            self.compare_segment(id, expected, Some(reader));
        }
    }

    /// Compares everything that was not compared yet; returns how many files there were in all.
    pub(super) fn compare_rest(&self, monitor: &Counter<'_>) -> u64 {
        let rest: Vec<_> = {
            let outcome = self.lock();
            let waiting = |id: &SegmentId| !outcome.compared.contains(id);
            self.segments.iter().filter(|(id, _)| waiting(id)).collect()
        };
        for (done, (id, expected)) in (0..).zip(&rest) {
            monitor.progress(done, rest.len() as u64, "files of the store");
            self.compare_segment(**id, expected, None);
        }
        for (file, wanted) in &self.others {
            if let Err(error) = compare(self.catalog, file, wanted) {
                let reason = format_args!("{error:#}");
                monitor.problem(file.as_os_str().as_encoded_bytes(), reason);
            }
        }
        let files = self.segments.values().map(BTreeSet::len).sum::<usize>();
        (self.others.len() + files) as u64
    }

    /// Returns what is wrong with the files of segments.
    pub(super) fn wrong(&self) -> BTreeMap<SegmentId, String> {
        self.lock().wrong.clone()
    }

    fn compare_segment(
        &self,
        id: SegmentId,
        expected: &BTreeSet<Expected>,
        reader: Option<&SegmentReader>,
    ) {
        let opened = self.catalog.segment_file(id);
        for (file, wanted) in expected {
            let found = match reader.filter(|_| opened == Some(file.as_path())) {
                Some(reader) => reader
                    .checksum(wanted.algorithm())
                    .context("cannot read it")
                    .and_then(|found| differs(&found, wanted)),
                None => compare(self.catalog, file, wanted),
            };
            let Err(error) = found else { continue };
            // Only a file that is not the one in use has to be named.
            let text = match opened {
                Some(used) if used != file.as_path() => format!("{}: {error:#}", file.display()),
                _ => format!("{error:#}"),
            };
            let mut outcome = self.lock();
            let wrong = outcome.wrong.entry(id).or_default();
            if !wrong.is_empty() {
                wrong.push_str("; ");
            }
            wrong.push_str(&text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment that the snapshot needs but whose checksum nobody knows could be replaced unnoticed.
fn tell_unnamed_segments(
    name: &SnapshotName,
    descriptor: &Descriptor,
    expected: &[Expected],
    monitor: &Counter<'_>,
) {
    let named: HashSet<SegmentId> = expected
        .iter()
        .filter_map(|(file, _)| segment_of_file(file))
        .collect();
    // The reverse is what a descriptor looks like that lost its end.
    for segment in named
        .iter()
        .filter(|id| descriptor.segments.binary_search(id).is_err())
    {
        let reason =
            format_args!("its sums name segment {segment}, which its descriptor does not list");
        monitor.problem(name.to_string().as_bytes(), reason);
    }
    for segment in descriptor.segments.iter().filter(|id| !named.contains(id)) {
        monitor.problem(
            name.to_string().as_bytes(),
            format_args!("needs segment {segment}, which its sums do not name"),
        );
    }
}

fn segment_of_file(file: &Path) -> Option<SegmentId> {
    split_segment_file(file.file_name()?.to_str()?).map(|(id, _)| id)
}

fn expected_files(
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
