//! The stat cache: what the last run of a scheme saw of every path, in path order, so that the next run opens only what changed.
//!
//! It is one file for each scheme, read from front to back in step with the walk and written in step with the metadata log: never
//! looked up path by path, never held in memory. A block of the file belongs to one piece of the log and is checked by its digest
//! before anything in it is believed; what is damaged is forgotten, since a wrong reference would spoil a snapshot.
//!
//! An unchanged tree leaves the file as it is. Otherwise a new one is written beside it and takes its place when the snapshot and
//! the database's transaction are durable: a crash leaves an old cache, which is still true of what it knows.
//!
//! It never decides what is trusted: [`crate::backup`] does. docs/local-state.md, "Stat cache", has layout and argument.

mod block;
mod code;
mod data;
mod head;
mod reader;
mod writer;

pub use block::{Block, BlockBuilder, Cursor, Record, SegmentUse, StanzaPlace};
pub use reader::{Damaged, StatCacheReader};
pub use writer::{FinishedCache, StatCacheWriter};

use crate::format::entry::{FileContents, FileTime};

/// Says of an entry with a good digest that it cannot be understood, and the way out.
pub const NONSENSE: &str = "the stat cache has an entry that makes no sense: remove the statcache files of the local state; the next run \
    then reads every file";

/// First bytes of the file. The number is the version of its layout; another one is not read.
const MAGIC: &[u8; 16] = b"pileus stats  2\n";

/// Bytes of a block's digest that are kept: enough for damage, which nobody forges.
const DIGEST_BYTES: usize = 16;

/// Length and digest in front of each block.
const BLOCK_HEADER_BYTES: usize = 8 + DIGEST_BYTES;

/// An entry of the index by inode: inode and offset of the block.
const INDEX_ENTRY_BYTES: usize = 16;

/// Files of at least this size can be found by their inode, as the previous version of a file that was renamed.
pub const LARGE_FILE_BYTES: u64 = 64 << 10;

/// Name of the file of a scheme, without and with a scheme.
const FILE_NAME: &str = "statcache";
/// Ending of an unfinished file. No scheme can have a `~` in its name, so it never is the file of another scheme.
const PART_SUFFIX: &str = "~part";
/// Ending of a file that a checkpoint puts in place.
const CHECKPOINT_SUFFIX: &str = "~checkpoint";

/// What of a stat has to agree for a file to be taken as unchanged. The device number is not in it: it changes with mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatKey {
    /// The type of file: the upper 4 bits of `st_mode`.
    pub kind: u8,
    /// Length in bytes, as `stat` tells it.
    pub size: u64,
    /// Last change of the contents.
    pub mtime: FileTime,
    /// Last change of contents or attributes.
    pub ctime: FileTime,
    /// Inode number.
    pub inode: u64,
}

impl StatKey {
    /// Stands for a change time and an inode that nobody knows.
    pub const UNKNOWN_CTIME: FileTime = FileTime {
        seconds: 0,
        nanoseconds: 0,
    };

    /// Tells whether nothing that this key knows speaks against `now` being the same. Enough to tell people what changed; a file is only
    /// taken as unchanged if the keys are equal.
    #[must_use]
    pub fn may_be(&self, now: &Self) -> bool {
        let known = if self.ctime == Self::UNKNOWN_CTIME {
            Self {
                ctime: self.ctime,
                inode: self.inode,
                ..*now
            }
        } else {
            *now
        };
        *self == known
    }
}

/// What speaks against taking a file as unchanged though its stat is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// It could change without a trace in its times.
    pub volatile: bool,
    /// It changed while it was read, every time.
    pub unstable: bool,
    /// Not everything in it was backed up: if that is otherwise now, its entry is another. Directories only.
    pub partial: bool,
    /// It is known from a metadata log, not from a backup here: its blocks may be missing from the block index. Regular files only.
    pub rebuilt: bool,
}

/// Everything that is remembered of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The stat that its entry was made from.
    pub key: StatKey,
    /// The device number, of a file with several hard links: stanzas name it, and all links of a file have to name the same.
    pub device: Option<u64>,
    /// What speaks against trusting it.
    pub doubts: Doubts,
    /// Contents of a regular file, without `@reference`s.
    pub contents: Option<FileContents>,
    /// Segments of the lists that hold the references of a large file.
    pub lists: Vec<SegmentUse>,
}

/// Returns the name of a scheme's file; the scheme may be empty.
fn file_name(scheme: &str) -> String {
    if scheme.is_empty() {
        FILE_NAME.to_owned()
    } else {
        format!("{FILE_NAME}-{scheme}")
    }
}

/// Tells whether a file of this name may be a stat cache, or an unfinished one.
pub(super) fn is_stat_cache(name: &str) -> bool {
    let unfinished = name
        .strip_suffix(CHECKPOINT_SUFFIX)
        .or_else(|| name.strip_suffix(PART_SUFFIX));
    let finished = unfinished.unwrap_or(name);
    let scheme = finished.strip_prefix(FILE_NAME);
    scheme.is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('-')
                .is_some_and(|scheme| crate::format::snapshot_name::check_scheme(scheme).is_ok())
    })
}

fn digest(body: &[u8]) -> [u8; DIGEST_BYTES] {
    let hash = blake3::hash(body);
    hash.as_bytes()[..DIGEST_BYTES]
        .try_into()
        .expect("a hash is longer")
}

#[cfg(test)]
mod tests;
