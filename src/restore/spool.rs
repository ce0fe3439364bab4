//! The entries of files whose contents are still to come, in an unlinked temporary file in the target.
//!
//! A restore meets files in path order but writes them in segment order. Keeping a million entries in memory would cost hundreds
//! of megabytes; here each costs its stanza once on disk, and is named by its place.

use std::path::Path;

use anyhow::{Context, Result};

use crate::format::entry::{Entry, EntryKind};
use crate::format::object_ref::ObjectRef;
use crate::format::path::EntryPath;
use crate::format::stanza::Stanza;
pub(crate) use crate::spool::Place;
use crate::spool::{self, Reader};

/// What a file's writer has to know besides its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Number of object references that have to arrive before the file is complete.
    pub(crate) tasks: u32,
    /// Whether an existing file is to be replaced.
    pub(crate) replace: bool,
    /// Whether nothing can come between making the file and its last byte.
    pub(crate) in_one_step: bool,
    /// Length of the file.
    pub(crate) size: u64,
}

const HEADER_BYTES: u32 = 21;

/// Takes entries, one after the other.
pub(crate) struct SpoolWriter {
    spool: spool::Spool,
    stanza: Vec<u8>,
}

/// Keeps entries for all workers.
pub(crate) struct Spool {
    spool: spool::Spool,
}

/// Gives entries back by place, to one worker.
pub(crate) struct SpoolReader<'s>(Reader<'s>);

impl Work {
    /// What is to be known of an entry without contents of its own.
    pub(crate) fn none(replace: bool) -> Self {
        Self {
            tasks: 0,
            replace,
            in_one_step: true,
            size: 0,
        }
    }

    /// What is to be known of a name that becomes a link, or a copy where there can be no link.
    pub(crate) fn of_link(entry: &Entry, replace: bool) -> Self {
        let EntryKind::File(contents) = &entry.kind else {
            return Self::none(replace);
        };
        Self {
            tasks: 1,
            replace,
            in_one_step: false,
            size: contents.size,
        }
    }
}

impl SpoolWriter {
    /// Makes a spool; its file has no name and is gone when it is closed.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        Ok(Self {
            spool: spool::Spool::create(directory)?,
            stanza: Vec::new(),
        })
    }

    /// Adds an entry and returns its place.
    pub(crate) fn add(&mut self, entry: &Entry, work: Work) -> Result<Place> {
        self.stanza.clear();
        entry.encode(&mut self.stanza);
        let path = entry.path.as_bytes();
        let length = |bytes: usize| u32::try_from(bytes).context("an entry of more than 4 GiB");
        let mut header = [0; HEADER_BYTES as usize];
        header[..4].copy_from_slice(&length(path.len())?.to_le_bytes());
        header[4..8].copy_from_slice(&length(self.stanza.len())?.to_le_bytes());
        header[8..12].copy_from_slice(&work.tasks.to_le_bytes());
        header[12..20].copy_from_slice(&work.size.to_le_bytes());
        header[20] = u8::from(work.replace) | u8::from(work.in_one_step) << 1;
        self.spool.add(&[&header, path, &self.stanza])
    }

    /// Adds what a reference says of a whole object and returns its place.
    pub(crate) fn add_claim(&mut self, reference: &ObjectRef) -> Result<Place> {
        self.stanza.clear();
        reference.encode(&mut self.stanza);
        let length =
            u8::try_from(self.stanza.len()).context("a reference of more than 255 bytes")?;
        self.spool.add(&[&[length], &self.stanza])
    }

    /// Ends the writing.
    pub(crate) fn finish(self) -> Spool {
        Spool { spool: self.spool }
    }
}

impl Spool {
    /// Starts to give entries back.
    pub(crate) fn reader(&self) -> SpoolReader<'_> {
        SpoolReader(Reader::new(&self.spool))
    }
}

impl SpoolReader<'_> {
    /// Returns the path of an entry and what its writer has to know.
    pub(crate) fn path(&mut self, place: Place) -> Result<(EntryPath, Work)> {
        let (path_bytes, _, work) = self.header(place)?;
        let path = self.0.bytes(place + u64::from(HEADER_BYTES), path_bytes)?;
        Ok((EntryPath::new(path.to_vec())?, work))
    }

    /// Returns an entry.
    pub(crate) fn entry(&mut self, place: Place) -> Result<(Entry, Work)> {
        let (path_bytes, stanza_bytes, work) = self.header(place)?;
        let text = self.0.bytes(
            place + u64::from(HEADER_BYTES) + u64::from(path_bytes),
            stanza_bytes,
        )?;
        let stanza = Stanza::parse(text.trim_ascii_end())?;
        Ok((Entry::from_stanza(&stanza)?, work))
    }

    /// Returns a reference that says something of a whole object.
    pub(crate) fn claim(&mut self, place: Place) -> Result<ObjectRef> {
        let length = self.0.bytes(place, 1)?[0];
        Ok(ObjectRef::parse(self.0.bytes(place + 1, length.into())?)?)
    }

    fn header(&mut self, place: Place) -> Result<(u32, u32, Work)> {
        let header = self.0.bytes(place, HEADER_BYTES)?;
        let number =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let size = u64::from_le_bytes(header[12..20].try_into().expect("eight bytes"));
        Ok((
            number(0),
            number(4),
            Work {
                tasks: number(8),
                replace: header[20] & 1 != 0,
                in_one_step: header[20] & 2 != 0,
                size,
            },
        ))
    }
}
