//! A snapshot as a tar stream: the conductor of `pileus export`.
//!
//! Members come in path order, so a directory stands before what is in it. Contents are read through the object cache; a file of up to
//! [`CHECKED_FIRST_BYTES`] is read once before its header is written, so that a damaged one is left out of the archive. A larger one
//! would cost its reading twice: if it turns out damaged, what is missing is filled with zeros, and the problem says so.
//!
//! Nothing but the snapshot decides about a byte of the archive. Sockets have no place in one and are left out with a note.

mod acl;
mod pax;
mod sparse;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::chosen::{Chosen, Relation};
use crate::file_reader::{self, Expanded, Part};
use crate::format::entry::{DeviceNumber, Entry, EntryKind, FileContents};
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::metadata_log::MetadataLogReader;
use crate::monitor::{Counter, Monitor};
use crate::snapshot;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;
use pax::Member;
use sparse::SparseMap;

/// Largest file that is read before it is written.
const CHECKED_FIRST_BYTES: u64 = 256 << 20;

/// Archives are whole records of twenty blocks.
const RECORD_BYTES: u64 = 20 * 512;

const ZEROS: &[u8] = &[0; 64 << 10];

/// What is exported.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The store.
    pub store: PathBuf,
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// Only these and all below them; everything if empty.
    pub paths: Vec<EntryPath>,
    /// Shell command that undoes a filter which no built-in codec knows.
    pub unfilter: Option<String>,
}

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Members written.
    pub entries: u64,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// Number of problems told.
    pub problems: u64,
}

/// Writes the archive to `out`, piece by piece. An error means that it is not complete.
pub fn run(
    options: &ExportOptions,
    monitor: &dyn Monitor,
    out: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<ExportReport> {
    let catalog = Catalog::open(&options.store)?;
    let descriptor = snapshot::open_chosen(&catalog, &options.snapshot, None)?;
    let unfilter = options.unfilter.as_deref();
    catalog.ensure_readable(&descriptor.segments, unfilter)?;
    let mut objects = ObjectCache::new(&catalog, unfilter)?;
    let mut chosen = Chosen::new(&options.paths);
    let mut export = Export {
        objects: ObjectCache::new(&catalog, unfilter)?,
        archive: Archive { out, bytes: 0 },
        links: HashMap::new(),
        monitor: Counter::new(monitor),
        entries: 0,
    };
    let mut is_lossy = false;
    for item in MetadataLogReader::new(&mut objects, descriptor.root) {
        match item {
            Ok(entry) if chosen.relate(&entry.path) == Relation::Within => export.entry(&entry)?,
            Ok(_) => {}
            Err(error) => {
                is_lossy = true;
                if error.is_news()? {
                    export.monitor.problem(&error.subject, error.reason);
                }
            }
        }
    }
    for path in chosen.unmet() {
        let reason = snapshot::lacks(&options.store, &options.snapshot, path, is_lossy);
        export.monitor.problem(path.as_bytes(), reason);
    }
    export.archive.finish()?;
    Ok(ExportReport {
        entries: export.entries,
        archive_bytes: export.archive.bytes,
        problems: export.monitor.problems(),
    })
}

/// An archive under way.
struct Export<'r, 'c> {
    objects: ObjectCache<'c>,
    archive: Archive<'r>,
    /// Hard-linked files that are in the archive, with the number of links still to come.
    links: HashMap<(char, Vec<u8>), (EntryPath, u64)>,
    monitor: Counter<'r>,
    entries: u64,
}

impl Export<'_, '_> {
    fn entry(&mut self, entry: &Entry) -> Result<()> {
        if let Some(first) = self.earlier_link(entry) {
            return self.special(entry, b'1', first.as_bytes(), None);
        }
        let nothing: &[u8] = &[];
        match &entry.kind {
            EntryKind::File(contents) => self.file(entry, contents),
            EntryKind::Directory => self.special(entry, b'5', nothing, None),
            EntryKind::Symlink { target } => self.special(entry, b'2', target, None),
            EntryKind::Fifo => self.special(entry, b'6', nothing, None),
            EntryKind::CharDevice(device) => self.special(entry, b'3', nothing, Some(*device)),
            EntryKind::BlockDevice(device) => self.special(entry, b'4', nothing, Some(*device)),
            EntryKind::Socket => {
                let path = &entry.path;
                self.monitor.note(&format!(
                    "{path}: sockets are left out, no archive has them"
                ));
                Ok(())
            }
        }
    }

    /// Returns the member that an entry is a hard link of.
    fn earlier_link(&mut self, entry: &Entry) -> Option<EntryPath> {
        let key = link_key(entry)?;
        let (path, left) = self.links.get_mut(&key)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Some(path.clone());
        }
        self.links.remove(&key).map(|(path, _)| path)
    }

    /// Writes a member without contents.
    fn special(
        &mut self,
        entry: &Entry,
        flag: u8,
        link: &[u8],
        device: Option<DeviceNumber>,
    ) -> Result<()> {
        if device.is_some_and(|device| !pax::fits(device)) {
            let reason = "is left out: its device number is larger than an archive can have";
            self.monitor.problem(entry.path.as_bytes(), reason);
            return Ok(());
        }
        let name = if flag == b'5' {
            [entry.path.as_bytes(), b"/"].concat()
        } else {
            entry.path.as_bytes().to_vec()
        };
        self.header(&Member {
            entry,
            flag,
            name: &name,
            link,
            stored_bytes: 0,
            device,
            sparse_bytes: None,
        })
    }

    fn header(&mut self, member: &Member<'_>) -> Result<()> {
        self.entries += 1;
        if let Some(key) = link_key(member.entry).filter(|_| member.flag != b'1') {
            let first = (member.entry.path.clone(), member.entry.links - 1);
            self.links.insert(key, first);
        }
        self.archive.write(&pax::headers(member))
    }

    fn file(&mut self, entry: &Entry, contents: &FileContents) -> Result<()> {
        let path = entry.path.as_bytes();
        let expanded = file_reader::expand(contents.data.clone(), contents.size, &mut self.objects);
        let mut contents = contents.clone();
        let mut usable = expanded.map(|expanded| {
            // One of too many parts to be held has no holes in the archive.
            contents.data = match expanded {
                Expanded::All(data) | Expanded::TooMany(data) => data,
            };
        });
        // One that is larger than any file can be is refused at once.
        let checked =
            contents.size <= CHECKED_FIRST_BYTES || contents.size > file_reader::FILE_BYTES_MAX;
        if usable.is_ok() && checked {
            usable = file_reader::read(&contents, &mut self.objects, &mut |_| Ok(()));
        }
        if let Err(error) = usable {
            self.monitor
                .problem(path, format_args!("is left out of the archive: {error:#}"));
            return Ok(());
        }
        let map = SparseMap::of(&contents);
        let encoded = map.as_ref().map(SparseMap::encode).unwrap_or_default();
        let data_bytes = map.as_ref().map_or(contents.size, SparseMap::data_bytes);
        self.header(&Member {
            entry,
            flag: b'0',
            name: path,
            link: &[],
            stored_bytes: data_bytes + encoded.len() as u64,
            device: None,
            sparse_bytes: map.is_some().then_some(contents.size),
        })?;
        self.archive.write(&encoded)?;
        let (count, damage) = self.contents(&contents, map.is_some())?;
        self.archive.zeros(data_bytes.saturating_sub(count))?;
        self.archive.fill(512)?;
        if let Some(damage) = damage {
            let reason = format_args!(
                "its contents in the archive are damaged, zeros stand for what is missing: {damage:#}"
            );
            self.monitor.problem(path, reason);
        }
        Ok(())
    }

    /// Writes the contents of a file; returns how many bytes that were, and the damage that ended it, if any.
    fn contents(
        &mut self,
        contents: &FileContents,
        sparse: bool,
    ) -> Result<(u64, Option<anyhow::Error>)> {
        let archive = &mut self.archive;
        let mut count = 0;
        let mut output = Ok(());
        let read = file_reader::read(contents, &mut self.objects, &mut |part| {
            output = match part {
                Part::Zeros(_) if sparse => return Ok(()),
                Part::Zeros(zeros) => archive.zeros(zeros),
                Part::Bytes(bytes) => archive.write(bytes),
            };
            count += part.length();
            match output {
                Ok(()) => Ok(()),
                Err(_) => Err(anyhow!("the archive cannot be written")),
            }
        });
        output.map(|()| (count, read.err()))
    }
}

/// Returns what hard links of one file have in common.
fn link_key(entry: &Entry) -> Option<(char, Vec<u8>)> {
    let inode = entry.inode.as_ref().filter(|_| entry.may_be_hard_link())?;
    Some((entry.kind.letter(), inode.clone()))
}

/// Counts what is written, to fill blocks.
struct Archive<'r> {
    out: &'r mut dyn FnMut(&[u8]) -> Result<()>,
    bytes: u64,
}

impl Archive<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        (self.out)(bytes)
    }

    fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let step = count.min(ZEROS.len() as u64);
            self.write(&ZEROS[..usize::try_from(step).expect("is small")])?;
            count -= step;
        }
        Ok(())
    }

    /// Writes zeros up to the next multiple of `unit` bytes.
    fn fill(&mut self, unit: u64) -> Result<()> {
        self.zeros(self.bytes.next_multiple_of(unit) - self.bytes)
    }

    /// Writes the two empty blocks that end an archive, and fills its last record.
    fn finish(&mut self) -> Result<()> {
        self.zeros(2 * 512)?;
        self.fill(RECORD_BYTES)
    }
}
