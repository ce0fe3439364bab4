//! A database whose disk has no room: when SQLite's shared memory is safe there, and the error that says so.
//!
//! SQLite maps a file for what connections share (`-shm`). It writes a byte of each page of that file, so that the page has its room on
//! disk before it is touched. Where blocks are smaller than pages that is not enough: touching the rest of a page of a full disk kills the
//! process (SIGBUS). Where changed pages get new blocks (btrfs), the same may happen. So it is only used where there is room.

use std::fmt;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::Sharing;

/// SQLite writes at least one byte into each piece of this length.
const PAGE_BYTES: u64 = 4096;

/// Below this much free room, the database is not shared: shared memory takes some 32 KiB for each 16 MiB of a transaction.
const FREE_BYTES_MIN: u64 = 16 << 20;

/// Tells whether a database in `directory` may use shared memory.
pub(super) fn sharing(directory: &Path) -> Sharing {
    let has_small_blocks = statvfs(directory)
        .is_ok_and(|room| room.fragment_size().min(room.block_size()) < PAGE_BYTES);
    if has_small_blocks || is_short(directory) {
        Sharing::No
    } else {
        Sharing::Yes
    }
}

/// Whether the disk of `directory` has too little room for shared memory, be it for the moment of a look.
pub(super) fn is_short(directory: &Path) -> bool {
    statvfs(directory).is_ok_and(|room| {
        room.blocks_available().saturating_mul(room.fragment_size()) < FREE_BYTES_MIN
    })
}

/// The disk of the database has no room, or fails; the text says where, and what helps.
#[derive(Debug)]
pub struct NoRoom(String);

impl NoRoom {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoRoom {}
