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
mod builder;
mod code;
mod data;
mod head;
mod known;
mod reader;
mod writer;

pub use block::{Block, Cursor, Record, SegmentUse, StanzaPlace};
pub use builder::BlockBuilder;
pub use reader::{Damaged, StatCacheReader};
pub use writer::{FinishedCache, StatCacheWriter};

use crate::format::entry::{FileContents, FileTime, Xattr};

/// Says of an entry with a good digest that it cannot be understood, and the way out.
pub const NONSENSE: &str = "the stat cache has an entry that makes no sense: remove the statcache files of the local state; the next run \
    then reads every file";

/// First bytes of the file. The number is the version of its layout.
const MAGIC: &[u8; 16] = b"pileus stats  3\n";

/// First bytes of a file of the layout before, which is read too: a run renews its entries without reading their files.
const MAGIC_BEFORE: &[u8; 16] = b"pileus stats  2\n";

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
    /// What else a stat gives; not known of entries that an older pileus remembered.
    pub given: Option<Given>,
}

/// What a stat gives for nothing and contents do not depend on: where it changed, the entry is written anew, and nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owning user.
    pub user: u32,
    /// Owning group.
    pub group: u32,
    /// Number of hard links; 1 of a directory, where it counts something else.
    pub links: u64,
    /// The device that a device file is; 0 of all others.
    pub device: u64,
}

impl StatKey {
    /// Stands for a change time and an inode that nobody knows.
    pub const UNKNOWN_CTIME: FileTime = FileTime {
        seconds: 0,
        nanoseconds: 0,
    };

    /// Tells whether a file with the stat `now` has the contents that it had with this one.
    #[must_use]
    pub fn has_contents_of(&self, now: &Self) -> bool {
        let given = self.given;
        Self { given, ..*now } == *self
    }

    /// Tells whether a stat says of a file what this one said, as far as it is known.
    #[must_use]
    pub fn agrees_with(&self, now: &Self) -> bool {
        self.has_contents_of(now) && self.given.is_none_or(|given| Some(given) == now.given)
    }

    /// Tells whether nothing that somebody could restore speaks against `now` being the same: change times and inodes are not in
    /// it. Enough to tell people what changed.
    #[must_use]
    pub fn looks_like(&self, now: &Self) -> bool {
        // An older program recorded neither change times nor parts of seconds.
        let whole_seconds = self.ctime == Self::UNKNOWN_CTIME && self.mtime.nanoseconds == 0;
        let same_time = if whole_seconds {
            self.mtime.seconds == now.mtime.seconds
        } else {
            self.mtime == now.mtime
        };
        let same_given = self.given.is_none_or(|given| Some(given) == now.given);
        (self.kind, self.size) == (now.kind, now.size) && same_time && same_given
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

/// What is known of the extended attributes that an entry has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Digest of their names and values; 0 if there are none.
    pub digest: u64,
    /// Some could not be read or stored: they are looked at each time until nothing is missing.
    pub incomplete: bool,
    /// The file system had none, which may have been so for one night.
    pub unsupported: bool,
    /// The user that looked may not see all of them: `trusted.*` is for the superuser.
    pub hidden: bool,
}

impl Attributes {
    /// Returns the digest of attributes that are sorted by name.
    #[must_use]
    pub fn digest_of(xattrs: &[Xattr]) -> u64 {
        if xattrs.is_empty() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new();
        for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let hash = hasher.finalize();
        let digest = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash is longer"));
        digest.max(1)
    }
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
    /// What is known of its extended attributes.
    pub attributes: Attributes,
    /// When it was looked at, in seconds since 1970; of volatile entries only.
    pub seen: Option<i64>,
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
