//! The staging area: a copy of a file that does not hold still, to be backed up in its place.
//!
//! A copy is a file without a name in the directory of local state, so the kernel takes it away however the run ends. There is
//! one at a time, and none of a file that is larger than the bound: by default a tenth of what is free there at that moment.
//!
//! Where the file system can, a copy shares the blocks of the file. Such a *reflink* is made between two writes, so it is the
//! state of one moment whatever happens to the file, and costs no room before the file changes. Every other copy is made step by
//! step, so that the run can be ended in between; zeros in it become holes. Whether such a copy is any good, the stat of the file
//! tells afterwards: [`super::read`] decides.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::fstat;
use nix::sys::statvfs::statvfs;

use super::contents::{self, OpenFile};
use crate::format::BLOCK_BYTES;

/// The default bound: one part in this many of the free space.
const FREE_PARTS: u64 = 10;

/// Where copies are made, and how large they may be.
pub(super) struct Staging {
    directory: PathBuf,
    bound_bytes: Option<u64>,
}

/// A copy that is being made.
pub(super) struct Copying<'o> {
    original: &'o mut OpenFile,
    copy: File,
    buffer: Vec<u8>,
    /// How much is copied.
    bytes: u64,
    bound_bytes: u64,
    reflink: bool,
}

/// A copy, whole.
pub(super) struct Copy {
    /// The copy at its beginning, with its own stat.
    pub(super) open: OpenFile,
    /// Whether it is the state of one moment by the way it was made.
    pub(super) reflink: bool,
}

impl Staging {
    /// Copies go to `directory` and have at most `bound_bytes`: nothing is copied if that is 0, `None` is a part of the free space.
    pub(super) fn new(directory: &Path, bound_bytes: Option<u64>) -> Self {
        Self {
            directory: directory.to_owned(),
            bound_bytes,
        }
    }

    /// Begins a copy of a file as it is now; the error says why there can be none.
    pub(super) fn begin<'o>(&self, original: &'o mut OpenFile) -> Result<Copying<'o>, String> {
        let in_directory =
            |error: io::Error| format!("staging area {}: {error}", self.directory.display());
        let bound_bytes = self.bound_bytes().map_err(in_directory)?;
        if bound_bytes == 0 || original.size() > bound_bytes {
            return Err(no_room(bound_bytes));
        }
        let copy = tempfile::tempfile_in(&self.directory).map_err(in_directory)?;
        // Whatever the reason that there is no reflink, most often another file system, a plain copy is tried.
        let reflink = rustix::fs::ioctl_ficlone(&copy, &original.file).is_ok();
        if !reflink {
            // A reflink may have failed half-way, and holes are not written to.
            copy.set_len(0).map_err(in_directory)?;
        }
        Ok(Copying {
            original,
            copy,
            buffer: vec![0; if reflink { 0 } else { BLOCK_BYTES }],
            bytes: 0,
            bound_bytes,
            reflink,
        })
    }

    fn bound_bytes(&self) -> io::Result<u64> {
        if let Some(bytes) = self.bound_bytes {
            return Ok(bytes);
        }
        let space = statvfs(&self.directory)?;
        let free_bytes = space
            .blocks_available()
            .saturating_mul(space.fragment_size());
        Ok(free_bytes / FREE_PARTS)
    }
}

impl Copying<'_> {
    /// Copies the next bytes, at most a block; `false` when nothing is left.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        if self.reflink {
            return Ok(false);
        }
        let count = match self.original.copy_next(&mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            read => read?,
        };
        let bytes = &self.buffer[..count];
        let after = self.bytes + count as u64;
        if after > self.bound_bytes {
            // Its size said less.
            return Err(io::Error::other(no_room(self.bound_bytes)));
        }
        if !contents::is_zero(bytes) {
            self.copy.write_all_at(bytes, self.bytes)?;
        }
        self.bytes = after;
        Ok(count > 0)
    }

    /// Completes the copy, for which nothing may be left.
    pub(super) fn finish(self) -> io::Result<Copy> {
        if !self.reflink {
            self.copy.set_len(self.bytes)?;
        }
        let stat = fstat(&self.copy)?;
        Ok(Copy {
            open: OpenFile::new(self.copy, stat),
            reflink: self.reflink,
        })
    }
}

fn no_room(bound_bytes: u64) -> String {
    format!("the staging area may have {bound_bytes} bytes, see --staging-size")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn open(path: &Path) -> OpenFile {
        let file = File::open(path).expect("opens");
        let stat = fstat(&file).expect("is looked at");
        OpenFile::new(file, stat)
    }

    fn copied(staging: &Staging, original: &mut OpenFile) -> Copy {
        let mut copying = staging.begin(original).expect("may be copied");
        while copying.advance().expect("is copied") {}
        copying.finish().expect("is whole")
    }

    #[test]
    fn a_copy_has_the_same_bytes_is_sparse_and_leaves_no_name() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("original");
        let file = File::create(&path).expect("is made");
        file.write_all_at(b"begin", 0).expect("is written");
        file.write_all_at(b"end", (9 << 20) - 1)
            .expect("is written");
        file.set_len((12 << 20) + 5)
            .expect("gets a hole at its end");
        let staging = Staging::new(dir.path(), None);
        let mut copy = copied(&staging, &mut open(&path)).open;
        let metadata = copy.file.metadata().expect("is looked at");
        assert!(metadata.blocks() * 512 <= 4 << 20, "{metadata:?}");
        let mut bytes = Vec::new();
        assert_eq!(copy.file.stream_position().expect("has a position"), 0);
        copy.file.read_to_end(&mut bytes).expect("is read");
        assert!(bytes == std::fs::read(&path).expect("is read"));
        let names = std::fs::read_dir(dir.path()).expect("is listed").count();
        assert_eq!(names, 1);
    }

    #[test]
    fn a_copy_ends_where_the_file_ends_now_and_at_its_size_at_opening() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("original");
        std::fs::write(&path, vec![7; 3 << 20]).expect("is written");
        let staging = Staging::new(dir.path(), None);
        for (length, expected) in [(5 << 20, 3 << 20), (1000, 1000)] {
            std::fs::write(&path, vec![7; 3 << 20]).expect("is written");
            let mut original = open(&path);
            let file = File::options().write(true).open(&path).expect("opens");
            file.set_len(length).expect("changes its length");
            let copy = copied(&staging, &mut original);
            // A reflink is made after the opening, and then has all that there is.
            let expected = if copy.reflink { length } else { expected };
            assert_eq!(u64::try_from(copy.open.stat.st_size), Ok(expected));
        }
    }

    #[test]
    fn nothing_above_the_bound_is_copied_and_nothing_at_all_with_0() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("original");
        for (bytes, bound, may) in [
            (1000, Some(1000), true),
            (1001, Some(1000), false),
            (0, Some(0), false),
            (1000, None, true),
        ] {
            std::fs::write(&path, vec![7; bytes]).expect("is written");
            let begun = Staging::new(dir.path(), bound)
                .begin(&mut open(&path))
                .map(|_| ());
            assert_eq!(begun.is_ok(), may, "{bytes} {bound:?} {begun:?}");
        }
    }

    #[test]
    fn a_staging_area_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("original");
        std::fs::write(&path, b"bytes").expect("is written");
        let staging = Staging::new(&dir.path().join("missing"), Some(1000));
        let why = staging.begin(&mut open(&path)).map(|_| ());
        let why = why.expect_err("there is no such directory");
        assert!(why.contains("missing"), "{why}");
    }
}
