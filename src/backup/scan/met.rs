//! What the scan hands over.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;
use nix::sys::stat::FileStat;

use crate::format::path::EntryPath;

/// A path that exists, as the scan found it.
pub(in crate::backup) struct Seen<'s> {
    /// Its path as stored.
    pub path: &'s EntryPath,
    /// The directory it is in.
    pub parent: &'s Arc<OwnedFd>,
    /// How to name it there.
    pub called: Called,
    /// What `fstatat` said, symbolic links not followed (except for directories above a source).
    pub stat: FileStat,
    /// Whether it is a directory of which the scan does not hand over everything that no rule leaves out.
    pub partial: bool,
    /// The rule that took it, if there is one and reasons are asked for.
    pub rule: Option<Arc<str>>,
}

/// What the scan hands over.
pub(in crate::backup) enum Met<'s> {
    /// To be backed up.
    Seen(Seen<'s>),
    /// Left out, with all that may be below, and why; only if reasons are asked for.
    LeftOut(&'s EntryPath, Arc<str>),
}

/// How a path is named relative to the directory that it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backup) enum Called {
    /// By the last component of its path.
    ByItsName,
    /// `.`: it is that directory, whose name in the directory above may be another.
    Itself,
}

impl Called {
    /// Returns the name by which the directory knows what has this path.
    pub(in crate::backup) fn name(self, path: &EntryPath) -> &[u8] {
        match self {
            Self::ByItsName => path.split().1,
            Self::Itself => b".",
        }
    }
}

/// A directory whose own files are left out of every backup: the store, and local state.
pub(in crate::backup) struct OwnDirectory {
    /// Device and inode number.
    pub identity: (u64, u64),
    /// Tells the own files by name.
    pub is_own: fn(&[u8]) -> bool,
}

/// Takes every path that was found.
pub(in crate::backup) type Visit<'v> = dyn FnMut(Met<'_>) -> Result<()> + 'v;
