//! Holes of sparse files, which need not be read to know their null bytes.
//!
//! Reading them costs more than hashing them: the kernel clears a page of its cache for every 4 KiB, copies it, and throws something
//! else out of the cache for it. Of a hole that was not in the cache, each GB took 2.5 s of the kernel and 0.5 s of SHA-1 (2026-11-22).
//!
//! Where holes are is only asked, by `SEEK_DATA`; a file system that cannot tell says that all is data. Whoever asks decides whether the
//! answer may be trusted.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::format::BLOCK_BYTES;

/// Zeros that are hashed at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Tells whether a file may have a hole that is worth looking for, from its size and the 512-byte blocks that its stat says it takes.
pub(crate) fn may_have_holes(size: u64, disk_blocks: u64) -> bool {
    disk_blocks.saturating_mul(512) + BLOCK_BYTES as u64 <= size
}

/// Returns the end of the hole that a file has at `at`, or `at` if there is none or nothing is known. Moves the file's offset.
pub(crate) fn hole_end(file: &File, at: u64) -> u64 {
    let Ok(offset) = i64::try_from(at) else {
        return at;
    };
    let end = match lseek(file, offset, Whence::SeekData) {
        Ok(data) => u64::try_from(data).ok(),
        // No data follow: the hole goes to the end of the file.
        Err(Errno::ENXIO) => file.metadata().ok().map(|metadata| metadata.len()),
        Err(_) => None,
    };
    end.unwrap_or(at).max(at)
}

/// Returns so many null bytes, in pieces.
pub(crate) fn zeros(bytes: u64) -> impl Iterator<Item = &'static [u8]> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let count = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        left -= count as u64;
        (count > 0).then(|| &ZEROS[..count])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn holes_end_where_data_begin_or_the_file_ends() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(10 << 20).expect("is lengthened");
        file.write_all_at(&[1; 4096], 4 << 20).expect("writes");
        assert_eq!(hole_end(&file, 0), 4 << 20);
        assert_eq!(hole_end(&file, 4 << 20), 4 << 20, "there are data");
        assert_eq!(hole_end(&file, 5 << 20), 10 << 20);
        assert_eq!(hole_end(&file, 11 << 20), 11 << 20, "behind the end");
        let metadata = file.metadata().expect("is there");
        assert!(may_have_holes(metadata.len(), metadata.blocks()));
        assert!(!may_have_holes(10 << 20, 20 << 10));
    }

    #[test]
    fn zeros_are_as_many_as_were_asked_for() {
        for bytes in [0, 1, 65_536, 65_537, 1 << 20] {
            let pieces = zeros(bytes).inspect(|piece| assert!(piece.iter().all(|&b| b == 0)));
            assert_eq!(pieces.map(|piece| piece.len() as u64).sum::<u64>(), bytes);
        }
    }
}
