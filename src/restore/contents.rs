//! A file of the target whose contents are being written.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::Restorer;
use super::rest::{Failed, Rest};
use super::spool::{Place, Work};
use super::target::{self, DirCursor};
use crate::format::checksum::{Checksum, Hasher};
use crate::format::escape;
use crate::format::path::EntryPath;
use crate::holes;

/// Runs of zeros of this size and alignment are left as holes. Most file systems have blocks of it, and nothing shorter is free.
const HOLE_BYTES: usize = 4 << 10;

/// Smaller files are written in one call: holes in them are not worth looking for.
const SEARCHED_BYTES_MIN: usize = 64 << 10;

/// What is left of a file that could not be restored whole stays under its name with this ending.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// Most bytes of a name.
const NAME_MAX: usize = 255;

/// An open file of the target, made by this restore.
///
/// A file that is written in several steps, or that replaces another one, has a temporary name until it is complete and checked:
/// a restore that is interrupted leaves no half file under a true name, and a damaged store destroys nothing.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) path: EntryPath,
    pub(crate) work: Work,
    place: Place,
    temporary: Option<Vec<u8>>,
}

impl Opened {
    /// Makes a file of its full length, without contents.
    pub(crate) fn create(
        restorer: &Restorer<'_>,
        cursor: &mut DirCursor<'_>,
        place: Place,
        path: &EntryPath,
        work: Work,
    ) -> Result<Self, Failed> {
        let opened = Self::create_empty(restorer, cursor, place, path, work)?;
        if let Err(error) = opened.set_length(restorer.options.sparse) {
            let left = match opened.remove(cursor) {
                Ok(()) => String::new(),
                Err(error) => format!(", {}", not_removed(&error)),
            };
            let size = work.size;
            let reason = format!("cannot be given its length of {size} bytes: {error}{left}");
            return Err(Failed::new(&error, reason));
        }
        Ok(opened)
    }

    /// Makes a file of its full length; without contents, unless these are written in one call, which gives it its length.
    pub(crate) fn create_with(
        restorer: &Restorer<'_>,
        cursor: &mut DirCursor<'_>,
        place: Place,
        path: &EntryPath,
        work: Work,
        bytes: &[u8],
    ) -> Result<Self, Failed> {
        if bytes.len() as u64 == work.size && bytes.len() < SEARCHED_BYTES_MIN {
            Self::create_empty(restorer, cursor, place, path, work)
        } else {
            Self::create(restorer, cursor, place, path, work)
        }
    }

    fn create_empty(
        restorer: &Restorer<'_>,
        cursor: &mut DirCursor<'_>,
        place: Place,
        path: &EntryPath,
        work: Work,
    ) -> Result<Self, Failed> {
        let temporary = temporary_name(place, work);
        let (parent, name) = path.split();
        let name = temporary.as_deref().unwrap_or(name);
        let made = cursor
            .enter(parent)
            .and_then(|parent| target::create_file(parent, name));
        let file = made.map_err(|error| {
            restorer.cannot_have_name(place);
            let reason = format!("cannot be made: {}", name_taken(&error));
            Failed::new(&error, reason)
        })?;
        Ok(Self {
            file,
            path: path.clone(),
            work,
            place,
            temporary,
        })
    }

    /// Opens a file again that this restore made: same name, and still the same inode.
    pub(crate) fn reopen(
        cursor: &mut DirCursor<'_>,
        place: Place,
        path: &EntryPath,
        work: Work,
        identity: (u64, u64),
    ) -> Result<Self, String> {
        let temporary = temporary_name(place, work);
        let (parent, name) = path.split();
        let name = temporary.as_deref().unwrap_or(name);
        let opened = cursor
            .enter(parent)
            .and_then(|parent| target::open_file(parent, name));
        let file = opened.map_err(|error| format!("cannot go on writing it: {error}"))?;
        let opened = Self {
            file,
            path: path.clone(),
            work,
            place,
            temporary,
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

    /// Gives a complete file its own name.
    pub(crate) fn put_in_place(&self, cursor: &mut DirCursor<'_>) -> io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let (parent, name) = self.path.split();
        let placed = cursor
            .enter(parent)
            .and_then(|parent| target::rename(parent, temporary, name, self.work.replace));
        placed.map_err(|error| target::clear_away(error, temporary, &self.remove(cursor)))
    }

    /// Frees the room that the file takes, and keeps it: somebody else may still be about to write to it.
    pub(crate) fn empty(&self) {
        drop(self.file.set_len(0));
    }

    /// Returns the place of its entry in the spool.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Returns the device and inode number.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|m| (m.dev(), m.ino()))
    }

    /// Writes a part of the contents; blocks of zeros stay holes where that is wanted.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8], sparse: bool) -> io::Result<()> {
        let is_whole = bytes.len() as u64 == self.work.size;
        if !sparse || (is_whole && bytes.len() < SEARCHED_BYTES_MIN) {
            return self.file.write_all_at(bytes, offset);
        }
        let write = |range: Range<usize>| {
            let at = offset + range.start as u64;
            self.file.write_all_at(&bytes[range], at)
        };
        let mut unwritten = 0;
        for chunk in blocks(offset, bytes.len()) {
            if is_zero(&bytes[chunk.clone()]) {
                if unwritten < chunk.start {
                    write(unwritten..chunk.start)?;
                }
                unwritten = chunk.end;
            }
        }
        if unwritten < bytes.len() {
            write(unwritten..bytes.len())?;
        }
        Ok(())
    }

    /// Reads the whole file back, but for its holes, and compares it with its checksum; that may take hours, so it can be stopped.
    pub(crate) fn verify(&self, wanted: &Checksum, rest: &Rest<'_>) -> Result<(), String> {
        let mut hasher = Hasher::new(wanted.algorithm());
        let mut buffer = vec![0; 256 << 10];
        let is_sparse = self.file.metadata();
        let is_sparse = is_sparse.is_ok_and(|m| holes::may_have_holes(m.len(), m.blocks()));
        let mut offset = 0;
        loop {
            if is_sparse {
                // A file system that tells of a hole where something was written leaves a wrong checksum, not a wrong file.
                let end = holes::hole_end(&self.file, offset);
                for zeros in holes::zeros(end - offset) {
                    rest.ensure_going_on()?;
                    hasher.update(zeros);
                }
                offset = end;
            }
            rest.ensure_going_on()?;
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
        let aside = name_aside(name);
        let from = self.temporary.as_deref().unwrap_or(name);
        let renamed = cursor
            .enter(parent)
            .and_then(|parent| target::rename(parent, from, &aside, false));
        if renamed.is_ok() {
            return format!("what could be restored is in \"{}\"", escape(&aside));
        }
        match self.discard(cursor) {
            Ok(()) => LEFT_OUT.to_owned(),
            Err(left) => left,
        }
    }

    /// Removes a file that is not complete, or says that it could not.
    pub(crate) fn discard(&self, cursor: &mut DirCursor<'_>) -> Result<(), String> {
        self.remove(cursor).map_err(|error| not_removed(&error))
    }

    fn remove(&self, cursor: &mut DirCursor<'_>) -> io::Result<()> {
        let (parent, name) = self.path.split();
        let name = self.temporary.as_deref().unwrap_or(name);
        cursor
            .enter(parent)
            .and_then(|parent| target::remove(parent, name))
    }

    fn set_length(&self, sparse: bool) -> io::Result<()> {
        self.file.set_len(self.work.size)?;
        if sparse || self.work.size == 0 {
            return Ok(());
        }
        let length = i64::try_from(self.work.size).map_err(io::Error::other)?;
        match fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            // Not every file system can; then the zeros are written like anything else.
            Err(Errno::EOPNOTSUPP) => self.write_zeros(),
            allocated => allocated.map_err(io::Error::from),
        }
    }

    fn write_zeros(&self) -> io::Result<()> {
        let zeros = [0; 16 << 10];
        let mut offset = 0;
        while offset < self.work.size {
            let step = usize::try_from(self.work.size - offset)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            self.file.write_all_at(&zeros[..step], offset)?;
            offset += step as u64;
        }
        Ok(())
    }
}

/// Returns the name that a file has until it is complete; none if it is made in one step.
fn temporary_name(place: Place, work: Work) -> Option<Vec<u8>> {
    (!work.in_one_step || work.replace)
        .then(|| format!(".pileus-{}-{place:x}.part", std::process::id()).into_bytes())
}

/// Returns the name of what is left of a file, which is as long as a name may be.
fn name_aside(name: &[u8]) -> Vec<u8> {
    let mut kept = name.len().min(NAME_MAX - DAMAGED_SUFFIX.len());
    // Not in the middle of a letter.
    while kept < name.len() && name[kept] & 0xc0 == 0x80 && kept > NAME_MAX / 2 {
        kept -= 1;
    }
    [&name[..kept], DAMAGED_SUFFIX.as_bytes()].concat()
}

/// Says why a name cannot be had, if that is because it is taken.
pub(crate) fn name_taken(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AlreadyExists {
        "its name is taken meanwhile, or the target takes that of another path for it".to_owned()
    } else {
        error.to_string()
    }
}

/// What became of a file of which nothing is left.
pub(crate) const LEFT_OUT: &str = "it is left out";

/// Says that wrong contents stand under a true name, where the target allows nothing else.
fn not_removed(error: &io::Error) -> String {
    format!("and it cannot be removed ({error}): what stands there is not what was backed up")
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

/// Returns the whole blocks of a file that so many bytes at `offset` have, relative to these bytes.
fn blocks(offset: u64, bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let block_bytes = HOLE_BYTES as u64;
    let before = (block_bytes - offset % block_bytes) % block_bytes;
    let first = usize::try_from(before).map_or(bytes, |before| before.min(bytes));
    let starts = (first..bytes).step_by(HOLE_BYTES);
    // What is short at the end may be the end of the file, or go on with the next part: it is written.
    starts
        .map(|start| start..start + HOLE_BYTES)
        .take_while(move |block| block.end <= bytes)
}

fn is_zero(bytes: &[u8]) -> bool {
    // The first bytes decide for nearly every block.
    bytes.iter().take(16).all(|&b| b == 0) && bytes.iter().fold(0, |or, &b| or | b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_file_has_a_name_that_is_not_too_long() {
        assert_eq!(name_aside(b"name"), b"name.damaged");
        let long = name_aside(&[b'n'; 255]);
        assert_eq!((long.len(), &long[247..]), (255, &b".damaged"[..]));
        let letters = "\u{e4}".repeat(127);
        let aside = String::from_utf8(name_aside(letters.as_bytes())).expect("whole letters");
        assert!(aside.len() <= 255 && aside.ends_with("\u{e4}.damaged"));
    }
}
