//! What happens when a name of the snapshot is taken in the target.

use nix::sys::stat::{FileStat, SFlag};

use super::target::file_type;
use crate::format::entry::{Entry, EntryKind, FileTime};

/// Which existing files a restore replaces. A directory gives way to anything else
/// only with `--delete`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// None: each is a problem.
    #[default]
    Never,
    /// All.
    Always,
    /// Those of another type, size or modification time.
    IfChanged,
    /// Those modified before the snapshot's version was.
    IfNewer,
}

/// What to do with one entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Make it; nothing is in the way.
    Create,
    /// Remove what is there, then make it.
    Replace,
    /// What is there may stay, and nobody needs to be told.
    Leave,
    /// It cannot be restored.
    Refuse(&'static str),
}

/// Decides about an entry that is not a directory, given what is there.
pub(crate) fn decide(overwrite: Overwrite, there: Option<&FileStat>, entry: &Entry) -> Decision {
    let Some(there) = there else {
        return Decision::Create;
    };
    if file_type(there) == SFlag::S_IFDIR {
        return Decision::Refuse("a directory is in its place");
    }
    let replace = match overwrite {
        Overwrite::Never => {
            return Decision::Refuse(
                "exists already; --overwrite=if-changed or always would replace it",
            );
        }
        Overwrite::Always => true,
        Overwrite::IfChanged => differs(there, entry),
        Overwrite::IfNewer => modified(there) < entry.mtime,
    };
    if replace {
        Decision::Replace
    } else {
        Decision::Leave
    }
}

/// Tells whether what is there gives way to an entry, if one of the two is a directory: as it would if both were none.
pub(crate) fn gives_way(overwrite: Overwrite, there: &FileStat, entry: &Entry) -> bool {
    match overwrite {
        Overwrite::Never => false,
        Overwrite::Always | Overwrite::IfChanged => true,
        Overwrite::IfNewer => modified(there) < entry.mtime,
    }
}

/// Says why a directory is not made where something else is.
pub(crate) fn no_directory(overwrite: Overwrite) -> &'static str {
    match overwrite {
        Overwrite::Never => {
            "something that is not a directory is there; --overwrite=if-changed or always would replace it"
        }
        Overwrite::IfNewer => "something newer that is not a directory is there",
        // As far as it could be seen, it would have been replaced.
        Overwrite::Always | Overwrite::IfChanged => "something that is not a directory is there",
    }
}

fn differs(there: &FileStat, entry: &Entry) -> bool {
    let size = match &entry.kind {
        EntryKind::File(contents) if file_type(there) == SFlag::S_IFREG => contents.size,
        // Links and special files are cheap to make and have no size to go by.
        _ => return true,
    };
    i64::try_from(size) != Ok(there.st_size) || modified(there) != entry.mtime
}

fn modified(there: &FileStat) -> FileTime {
    FileTime {
        seconds: there.st_mtime,
        nanoseconds: u32::try_from(there.st_mtime_nsec).unwrap_or(0),
    }
}
