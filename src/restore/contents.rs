//! A file of the target whose contents are being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FallocateFlags, RenameFlags, fallocate, renameat2};

use super::Restorer;
use super::spool::Work;
use super::target::{self, DirCursor};
use crate::format::checksum::{Checksum, Hasher};
use crate::format::path::EntryPath;

/// Shorter runs of zeros are written: a hole for each would cost more calls than it saves space.
const HOLE_BYTES: usize = 32 << 10;

/// What is left of a file that could not be restored whole stays under its name with this ending.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// An open file of the target, made by this restore.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) path: EntryPath,
    pub(crate) work: Work,
}

impl Opened {
    /// Makes a file of its full length, without contents.
    pub(crate) fn create(
        restorer: &Restorer<'_>,
        cursor: &mut DirCursor<'_>,
        path: &EntryPath,
        work: Work,
    ) -> Result<Self, String> {
        let (parent, name) = path.split();
        let made = cursor.enter(parent).and_then(|parent| {
            if work.replace {
                match target::remove(parent, name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            target::create_file(parent, name)
        });
        let file = made.map_err(|error| format!("cannot be made: {error}"))?;
        let opened = Self {
            file,
            path: path.clone(),
            work,
        };
        opened
            .set_length(restorer.options.sparse)
            .map_err(|error| {
                format!("cannot be given its length of {} bytes: {error}", work.size)
            })?;
        Ok(opened)
    }

    /// Opens a file again that this restore made: same name, and still the same inode.
    pub(crate) fn reopen(
        cursor: &mut DirCursor<'_>,
        path: &EntryPath,
        work: Work,
        identity: (u64, u64),
    ) -> Result<Self, String> {
        let (parent, name) = path.split();
        let opened = cursor
            .enter(parent)
            .and_then(|parent| target::open_file(parent, name));
        let file = opened.map_err(|error| format!("cannot go on writing it: {error}"))?;
        let opened = Self {
            file,
            path: path.clone(),
            work,
        };
        if opened
            .identity()
            .map_err(|error| format!("cannot look at it: {error}"))?
            != identity
        {
            return Err("was replaced by another file while it was being restored".to_owned());
        }
        Ok(opened)
    }

    /// Returns the device and inode number.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|m| (m.dev(), m.ino()))
    }

    /// Writes a part of the contents; long runs of zeros stay holes where that is wanted.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8], sparse: bool) -> io::Result<()> {
        // A file of one part is written in one call: holes in small files are not worth looking for.
        if !sparse || bytes.len() < 2 * HOLE_BYTES {
            return self.file.write_all_at(bytes, offset);
        }
        let mut written = 0;
        while written < bytes.len() {
            let chunks = bytes[written..].chunks(HOLE_BYTES);
            let zeros: usize = chunks
                .clone()
                .take_while(|chunk| is_zero(chunk))
                .map(<[u8]>::len)
                .sum();
            written += zeros;
            let data: usize = bytes[written..]
                .chunks(HOLE_BYTES)
                .take_while(|chunk| !is_zero(chunk))
                .map(<[u8]>::len)
                .sum();
            self.file
                .write_all_at(&bytes[written..written + data], offset + written as u64)?;
            written += data;
        }
        Ok(())
    }

    /// Reads the whole file back and compares it with its checksum.
    pub(crate) fn verify(&self, wanted: &Checksum) -> Result<(), String> {
        let mut hasher = Hasher::new(wanted.algorithm());
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            match self.file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot be read back: {error}")),
            }
        }
        compare(wanted, &hasher.finish())
    }

    /// Takes a file that is not what it should be out of its place; returns what became of it.
    pub(crate) fn set_aside(&self, cursor: &mut DirCursor<'_>) -> String {
        let (parent, name) = self.path.split();
        let aside = [name, DAMAGED_SUFFIX.as_bytes()].concat();
        let Ok(parent) = cursor.enter(parent) else {
            return "what was restored of it could not be moved aside".to_owned();
        };
        if renameat2(
            parent,
            name,
            parent,
            aside.as_slice(),
            RenameFlags::RENAME_NOREPLACE,
        )
        .is_ok()
        {
            return format!(
                "what could be restored is in \"{}{DAMAGED_SUFFIX}\"",
                crate::format::escape(name)
            );
        }
        match target::remove(parent, name) {
            Ok(()) => "it is left out".to_owned(),
            Err(error) => format!("a damaged file could not be removed: {error}"),
        }
    }

    fn set_length(&self, sparse: bool) -> io::Result<()> {
        self.file.set_len(self.work.size)?;
        if sparse || self.work.size == 0 {
            return Ok(());
        }
        let length = i64::try_from(self.work.size).map_err(io::Error::other)?;
        fallocate(&self.file, FallocateFlags::empty(), 0, length).map_err(io::Error::from)
    }
}

/// Compares checksums; the error says both.
pub(crate) fn compare(wanted: &Checksum, found: &Checksum) -> Result<(), String> {
    if wanted == found {
        Ok(())
    } else {
        Err(format!(
            "its contents are damaged: checksum {found}, wanted {wanted}"
        ))
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |or, &b| or | b) == 0
}
