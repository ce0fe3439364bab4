//! The names in one directory of the disk.

use std::os::fd::BorrowedFd;

use nix::dir::Dir;
use nix::errno::Errno;

/// The sorted names of a directory, packed: a directory of a million files costs its names and 4 bytes each.
#[derive(Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// Where each name begins in `bytes`, in path order; a name ends at a NUL.
    starts: Vec<u32>,
    /// Number of names that were left out.
    pub(crate) left_out: u64,
}

impl Names {
    /// Reads the names that are not left out. With an error of the kernel come the names that were read before it.
    pub(crate) fn read(
        directory: BorrowedFd<'_>,
        leave_out: impl Fn(&[u8]) -> bool,
    ) -> (Self, Option<Errno>) {
        let mut names = Self::default();
        let failed = names.fill(directory, leave_out).err();
        let bytes = &names.bytes;
        names
            .starts
            .sort_unstable_by_key(|&start| name_at(bytes, start));
        // Some file systems that are made of several list a name once for each.
        names
            .starts
            .dedup_by(|a, b| name_at(bytes, *a) == name_at(bytes, *b));
        (names, failed)
    }

    fn fill(
        &mut self,
        directory: BorrowedFd<'_>,
        leave_out: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Errno> {
        let own = directory
            .try_clone_to_owned()
            .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
        for entry in Dir::from_fd(own)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if leave_out(name.to_bytes()) {
                self.left_out += 1;
                continue;
            }
            // Four billion bytes of names in one directory are beyond every file system.
            self.starts
                .push(u32::try_from(self.bytes.len()).map_err(|_| Errno::EOVERFLOW)?);
            self.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
        Ok(())
    }

    /// Returns the number of names.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Tells whether a name is there.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        let found = self
            .starts
            .binary_search_by(|&start| name_at(&self.bytes, start).cmp(name));
        found.is_ok()
    }

    /// Drops all names but those for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.starts.retain(|&start| keep(name_at(bytes, start)));
    }

    /// Returns a name by its place in path order.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        self.starts
            .get(index)
            .map(|&start| name_at(&self.bytes, start))
    }
}

fn name_at(bytes: &[u8], start: u32) -> &[u8] {
    let rest = &bytes[start as usize..];
    let end = rest
        .iter()
        .position(|&b| b == 0)
        .expect("names are stored with their NUL");
    &rest[..end]
}
