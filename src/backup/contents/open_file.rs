//! An open regular file, and where its contents end.
//!
//! The file is opened so that whatever took its place since the scan saw it can neither be followed (a symbolic link) nor block
//! the run (a FIFO).
//!
//! It is read until its end, whatever its size says: files that the kernel or a program makes up have a size of 0, of a page, or one
//! of a moment ago, and any contents. More bytes than the size says have two reasons. If the size has changed too, the file grows: its
//! contents are those of the moment when it was opened, and a file that grows without end does not hold the run. If the size is the
//! same, it tells nothing, and the file is read on, but not for ever. A read that ends short at the very size is taken for the end, so
//! a plain file costs no read more than it has blocks; only an empty one costs a read.
//!
//! Whole blocks of a sparse file that lie in a hole are not read ([`crate::holes`]); what is recorded is the same. A file system has told of
//! holes where data was just written and not yet on the disk (<https://github.com/openzfs/zfs/issues/15526>), so a file that changed
//! in the last minute is read whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::Contents;
use crate::backup::scan::{file_type, pseudo_file_system};
use crate::format::BLOCK_BYTES;
use crate::holes;

/// For how long a file must not have changed for its holes to be believed: the kernel begins to write after 30 seconds, and looks every 5.
const SETTLED_SECONDS: i64 = 60;

/// How many bytes are read behind the size of a file whose size does not say where it ends.
const BEHIND_SIZE_BYTES_MAX: u64 = 16 << 30;

/// How many bytes are read of a file that the kernel makes up; `/proc/kcore` would have 128 TiB.
const MADE_UP_BYTES_MAX: u64 = 1 << 30;

/// An open regular file, with its stat from after the opening.
pub(in crate::backup) struct OpenFile {
    /// The descriptor.
    pub file: File,
    /// What `fstat` said: the attributes that belong to the contents.
    pub stat: FileStat,
    /// How far the last hole goes that was asked for; none if holes are read like anything else.
    hole_end: Option<u64>,
    /// Where the next read begins.
    at: u64,
    end: End,
}

/// What is known of the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is expected where the size says.
    AtSize,
    /// It is anywhere; this is how far the file is read.
    Before(u64),
    /// It was reached.
    Reached,
    /// It was not reached, and the file is not read on.
    GivenUp,
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take_next(buffer, |mut file, buffer, _| file.read(buffer))
    }
}

impl Contents for OpenFile {
    fn skip_block(&mut self, at: u64) -> io::Result<bool> {
        let end = at.saturating_add(BLOCK_BYTES as u64);
        let Some(known) = self.hole_end.filter(|_| end <= self.size()) else {
            return Ok(false);
        };
        let hole_end = if known >= end {
            known
        } else {
            holes::hole_end(&self.file, at)
        };
        self.hole_end = Some(hole_end);
        let in_hole = hole_end >= end;
        self.at = if in_hole { end } else { at };
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(in_hole)
    }
}

impl OpenFile {
    /// Takes an open file whose holes are read.
    pub(in crate::backup) fn new(file: File, stat: FileStat) -> Self {
        Self {
            file,
            stat,
            hole_end: None,
            at: 0,
            end: End::AtSize,
        }
    }

    /// Begins again.
    pub(in crate::backup) fn rewind(&mut self) -> io::Result<()> {
        (self.at, self.end) = (0, self.expected_end());
        self.file.rewind()
    }

    /// Reads what comes next without moving the file's offset, for a copy.
    pub(in crate::backup) fn copy_next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take_next(buffer, FileExt::read_at)
    }

    fn take_next(
        &mut self,
        buffer: &mut [u8],
        read: impl FnOnce(&File, &mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let asked = match self.end {
            End::Reached | End::GivenUp => return Ok(0),
            End::AtSize => buffer.len(),
            End::Before(limit) => {
                let left = usize::try_from(limit - self.at);
                left.map_or(buffer.len(), |left| left.min(buffer.len()))
            }
        };
        let count = read(&self.file, &mut buffer[..asked], self.at)?;
        let taken = self.take(asked, count);
        self.at += taken as u64;
        Ok(taken)
    }

    /// Returns how many of `count` bytes, which a read for `asked` gave, belong to the contents, and learns about their end.
    fn take(&mut self, asked: usize, count: usize) -> usize {
        let size = self.size();
        let after = self.at + count as u64;
        match self.end {
            _ if count == 0 => self.end = End::Reached,
            End::AtSize if after > size => {
                if !fstat(&self.file).is_ok_and(|now| now.st_size == self.stat.st_size) {
                    self.end = End::Reached;
                    return usize::try_from(size.saturating_sub(self.at)).unwrap_or(count);
                }
                self.end = End::Before(self.limit());
            }
            End::AtSize if after == size && count < asked => self.end = End::Reached,
            End::Before(limit) if after >= limit => self.end = End::GivenUp,
            _ => {}
        }
        count
    }

    /// A size that no file has that the kernel makes up is none.
    fn expected_end(&self) -> End {
        if self.size() > MADE_UP_BYTES_MAX && pseudo_file_system(&self.file).is_some() {
            End::Before(MADE_UP_BYTES_MAX)
        } else {
            End::AtSize
        }
    }

    /// Returns how far a file is read whose size tells nothing.
    fn limit(&self) -> u64 {
        if pseudo_file_system(&self.file).is_some() {
            MADE_UP_BYTES_MAX
        } else {
            self.size().saturating_add(BEHIND_SIZE_BYTES_MAX)
        }
    }

    /// Compares the file's stat with that from before the reading, and its end with where the reading ended.
    pub(in crate::backup) fn what_changed(&self, read_bytes: u64) -> Option<String> {
        let Ok(now) = fstat(&self.file) else {
            return Some("cannot look at it after reading".to_owned());
        };
        let before = &self.stat;
        if now.st_size < before.st_size {
            return Some(format!(
                "shrank while it was being read: {read_bytes} bytes are stored"
            ));
        }
        if now.st_size > before.st_size {
            return Some(format!(
                "grew while it was being read: its first {read_bytes} bytes are stored"
            ));
        }
        let times = |s: &FileStat| (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
        // It may have been cut and written again within one tick of its clock.
        let goes_on = || read_bytes < self.size() && self.has_byte_at(read_bytes);
        (times(&now) != times(before) || goes_on())
            .then(|| "changed while it was being read: what was read is stored".to_owned())
    }

    fn has_byte_at(&self, at: u64) -> bool {
        self.file.read_at(&mut [0], at).is_ok_and(|count| count > 0)
    }

    /// Says that the end was not reached, if so.
    pub(in crate::backup) fn no_end(&self) -> Option<String> {
        (self.end == End::GivenUp).then(|| {
            format!(
                "goes on and on, though its size is said to be {}: its first {} bytes are stored",
                self.stat.st_size, self.at
            )
        })
    }

    /// Lets holes be passed over, if at the time `now`, in seconds since 1970, the file has not changed for long enough.
    pub(in crate::backup) fn skip_holes_at(&mut self, now: i64) {
        let blocks = u64::try_from(self.stat.st_blocks).unwrap_or(u64::MAX);
        let is_settled = now.saturating_sub(self.stat.st_ctime) >= SETTLED_SECONDS;
        if is_settled && holes::may_have_holes(self.size(), blocks) {
            self.hole_end = Some(0);
        }
    }

    /// Returns its size when it was opened.
    pub(in crate::backup) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

/// Opens a file that the scan saw as a regular file; the error says why it cannot be backed up.
pub(in crate::backup) fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OpenFile, String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = match openat(parent, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::EPERM) => openat(parent, name, flags, Mode::empty()),
        opened => opened,
    };
    let replaced = || "was replaced by something else while it was being backed up".to_owned();
    let file: File = match opened {
        Ok(fd) => fd.into(),
        Err(Errno::ENOENT) => return Err("vanished while it was being backed up".to_owned()),
        Err(Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => return Err(replaced()),
        Err(errno) => return Err(format!("cannot open it: {}", errno.desc())),
    };
    let stat = fstat(&file).map_err(|errno| format!("cannot look at it: {}", errno.desc()))?;
    // Another regular file of that name, put there by a rename, is as good: what is recorded is what fstat says of it.
    if file_type(&stat) != SFlag::S_IFREG {
        return Err(replaced());
    }
    let mut open = OpenFile::new(file, stat);
    open.end = open.expected_end();
    Ok(open)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::backup::contents::{fill, is_zero};

    const BLOCK: u64 = BLOCK_BYTES as u64;

    /// Opens a file of four blocks and a half, of which the second alone has data.
    fn sparse() -> OpenFile {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(4 * BLOCK + 100).expect("is lengthened");
        file.write_all_at(&[7; 4096], BLOCK + BLOCK / 2)
            .expect("writes");
        let stat = fstat(&file).expect("is looked at");
        OpenFile::new(file, stat)
    }

    /// Returns which blocks were passed over; what is not passed over is read.
    fn skipped(open: &mut OpenFile) -> Vec<bool> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = 0;
        let mut skipped = Vec::new();
        while at < open.size() {
            let skips = open.skip_block(at).expect("seeks");
            if !skips {
                let count = fill(open, &mut block).expect("reads");
                assert_eq!(is_zero(&block[..count]), at != BLOCK, "at {at}");
            }
            at += BLOCK;
            skipped.push(skips);
        }
        skipped
    }

    #[test]
    fn whole_blocks_in_holes_are_passed_over_and_all_else_is_read() {
        let mut open = sparse();
        open.skip_holes_at(open.stat.st_ctime + SETTLED_SECONDS);
        assert_eq!(skipped(&mut open), [true, false, true, true, false]);
    }

    #[test]
    fn the_holes_of_a_file_that_has_just_changed_are_read() {
        let mut open = sparse();
        open.skip_holes_at(open.stat.st_ctime + SETTLED_SECONDS - 1);
        assert_eq!(skipped(&mut open), [false; 5]);
    }
}
