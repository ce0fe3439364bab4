//! Reads the objects of a segment in the order they stand in it.
//!
//! Nothing in a segment is trusted: members that are not regular files or not called `<this segment>/<sequence>` are passed over
//! as if they were not there, an object larger than [`OBJECT_BYTES_MAX`] is refused, and what follows the archive is bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::OFlag;
use nix::unistd::User;
use tar::{Archive, EntryType};

use super::filter;
use crate::format::checksum::{Algorithm, Checksum, Hasher};
use crate::format::object_ref::{ObjectId, SegmentId};

/// Largest object that is taken from a store, in bytes. Data objects hold at most 1 MiB; the root of a metadata log holds about
/// 110 bytes for each 64 KiB of log, so this is enough for the log of some 30 million files.
pub const OBJECT_BYTES_MAX: u64 = 16 << 20;

/// Most bytes behind the end of the archive: tar programs pad to records of 10 KiB, some to more.
const TRAILER_BYTES_MAX: u64 = 1 << 20;

/// A segment opened for reading once, from the front.
pub struct SegmentReader {
    id: SegmentId,
    /// The same open file as that which the stream reads.
    file: File,
    stream: Box<dyn Read + Send>,
    /// Whether a program may have made the stream, so that it can be the wrong one.
    by_program: bool,
}

impl SegmentReader {
    /// Opens the segment's file; `extension` is what follows `.tar` in its name and says how to undo the filter.
    pub fn open(
        id: SegmentId,
        path: &Path,
        extension: &str,
        unfilter: Option<&str>,
    ) -> Result<Self> {
        let opened = open_regular(path).context("cannot open")?;
        let file = opened.try_clone().context("cannot open")?;
        Ok(Self {
            id,
            file,
            stream: filter::decoder(opened, extension, unfilter)?,
            by_program: unfilter.is_some() && !filter::Codec::is_known_extension(extension),
        })
    }

    /// Returns the checksum of the file as it is on disk. What is read for it need not be read from the disk again.
    pub fn checksum(&self, algorithm: Algorithm) -> io::Result<Checksum> {
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            match self.file.read_at(&mut buffer, offset)? {
                0 => return Ok(hasher.finish()),
                count => {
                    hasher.update(&buffer[..count]);
                    offset += count as u64;
                }
            }
        }
    }

    /// Reads objects front to back. `wants` is asked for each sequence number; the data of those wanted goes to `visit`, which
    /// may end the reading early. Returns whether the segment was read to its end, trailing padding included.
    pub fn read(
        mut self,
        mut wants: impl FnMut(u32) -> bool,
        mut visit: impl FnMut(u32, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<bool> {
        let by_program = self.by_program;
        let tar_error = |error| tar_error(error, by_program);
        let mut data = Vec::new();
        let mut archive = Archive::new(&mut self.stream);
        for member in archive.entries().map_err(tar_error)?.raw(true) {
            let mut member = member.map_err(tar_error)?;
            let Some(sequence) = object_sequence(self.id, &member) else {
                continue;
            };
            if !wants(sequence) {
                continue;
            }
            let size = member.header().entry_size().map_err(tar_error)?;
            if size > OBJECT_BYTES_MAX {
                bail!(
                    "object {sequence:08x} claims {size} bytes; objects have at most {OBJECT_BYTES_MAX}"
                );
            }
            data.clear();
            member.read_to_end(&mut data).map_err(tar_error)?;
            if data.len() as u64 != size {
                bail!(
                    "object {sequence:08x} is cut short: {} of {size} bytes",
                    data.len()
                );
            }
            if visit(sequence, &data)?.is_break() {
                return Ok(false);
            }
        }
        let trailer = io::copy(
            &mut self.stream.take(TRAILER_BYTES_MAX + 1),
            &mut io::sink(),
        )
        .context("cannot read")?;
        if trailer > TRAILER_BYTES_MAX {
            bail!("more than {TRAILER_BYTES_MAX} bytes behind the end of the archive");
        }
        Ok(true)
    }
}

/// Says what is wrong with a segment. The words of the tar reader are left out where they repeat the bytes that it stumbled over:
/// these are contents of files, which have no place in a message.
fn tar_error(error: io::Error, by_program: bool) -> anyhow::Error {
    let text = error.to_string();
    if text.contains("numeric field")
        || text.contains("when getting")
        || text.contains("archive header")
    {
        return if by_program {
            anyhow!(
                "what --unfilter makes of it is no tar file: see that it is the command, with the right key; else the segment is damaged"
            )
        } else {
            anyhow!("a tar header in it is damaged")
        };
    }
    anyhow::Error::new(error).context("cannot read")
}

/// Opens a file of a store. Anything but a regular file is refused: opening a FIFO would wait for ever.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|error| with_owner(error, path))?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// Says whose file it is, where it may not be opened: that user's run, or root's, can.
fn with_owner(error: io::Error, path: &Path) -> io::Error {
    let kind = error.kind();
    match fs::symlink_metadata(path) {
        Ok(metadata) if kind == io::ErrorKind::PermissionDenied => {
            let user = User::from_uid(metadata.uid().into()).ok().flatten();
            let owner = user.map_or(metadata.uid().to_string(), |user| user.name);
            io::Error::new(kind, format!("{error}: it belongs to {owner}"))
        }
        _ => error,
    }
}

/// Returns the sequence number of a member that is an object of segment `id`.
fn object_sequence<R: Read>(id: SegmentId, member: &tar::Entry<'_, R>) -> Option<u32> {
    let header = member.header();
    let regular = matches!(header.entry_type(), EntryType::Regular);
    let object = ObjectId::parse(&header.path_bytes()).ok()?;
    (regular && object.segment == id).then_some(object.sequence)
}
