//! What happens when a name of the snapshot is taken in the target.

use nix::sys::stat::{FileStat, SFlag};

use super::RestoreOptions;
use super::abilities::{Granule, modified};
use super::target::file_type;
use crate::chosen::Relation;
use crate::format::entry::{Entry, EntryKind};
use crate::format::path::EntryPath;
use crate::monitor::Counter;
use crate::wording::count;

/// Most files that look the same and are told of one by one.
const NAMED_MAX: u64 = 10;

const EXISTS: &str = "exists already; --overwrite=if-changed or always would replace it";

/// The same of one that `if-changed` takes for unchanged.
const EXISTS_THE_SAME: &str =
    "exists already, of the snapshot's size and time; --overwrite=always would replace it";

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
    /// What is there looks the same and may stay, and nobody needs to be told.
    Leave,
    /// What is there is newer and may stay.
    LeaveNewer,
    /// It cannot be restored, and what is there looks the same.
    RefuseSame,
    /// It cannot be restored.
    Refuse(&'static str),
}

/// Decides about an entry that is not a directory, given what is there.
pub(crate) fn decide(
    options: &RestoreOptions,
    there: Option<&FileStat>,
    entry: &Entry,
    granule: Granule,
) -> Decision {
    let Some(there) = there else {
        return Decision::Create;
    };
    if file_type(there) == SFlag::S_IFDIR {
        return Decision::Refuse(directory_in_place(options, entry));
    }
    let is_same = looks_the_same(there, entry, granule);
    let replace = match options.overwrite {
        Overwrite::Never if is_same => return Decision::RefuseSame,
        Overwrite::Never => return Decision::Refuse(EXISTS),
        Overwrite::Always => true,
        // Links and special files are cheap to make, and a link's text is more than its length.
        Overwrite::IfChanged => file_type(there) != SFlag::S_IFREG || !is_same,
        Overwrite::IfNewer => modified(there) < granule.kept(entry.mtime),
    };
    if replace {
        Decision::Replace
    } else if is_same {
        Decision::Leave
    } else {
        Decision::LeaveNewer
    }
}

/// Returns how exactly times are to be compared: only where one time may be the other, cut down, is it worth to ask what the target
/// keeps.
pub(crate) fn granule(there: &FileStat, entry: &Entry, keeps: impl FnOnce() -> Granule) -> Granule {
    let there = modified(there);
    if there != entry.mtime && Granule::COARSEST.kept(entry.mtime) == Granule::COARSEST.kept(there)
    {
        keeps()
    } else {
        Granule::EXACT
    }
}

/// Says that a directory is where something else belongs, and the way out: `--delete` clears places below the PATHs, not theirs.
fn directory_in_place(options: &RestoreOptions, entry: &Entry) -> &'static str {
    if options.delete {
        "a directory is in its place, where --delete leaves it: move it away"
    } else if options.paths.contains(&entry.path) {
        "a directory is in its place: move it away"
    } else {
        "a directory is in its place: --delete with --overwrite=always would remove it, with all that is in it"
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

/// Tells whether a directory that was there before keeps its mode, owner, attributes and times, whatever is restored into it: if it only
/// leads to what is wanted, it is none of this restore's business.
pub(crate) fn keeps_attributes(overwrite: Overwrite, relation: Relation) -> bool {
    overwrite == Overwrite::Never || relation != Relation::Within
}

/// What was there and stays as it is, though it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Directories that keep their attributes.
    pub(crate) directories: u64,
    /// Files of any type that look the same: a restore that is run again meets all that it brought back itself, and what else is in its way
    /// should be found among them.
    same: u64,
}

impl Kept {
    /// Takes a file that looks the same; the first of them are told of one by one.
    pub(crate) fn add_same(&mut self, path: &EntryPath, monitor: &Counter<'_>) {
        if self.same < NAMED_MAX {
            monitor.problem(path.as_bytes(), EXISTS_THE_SAME);
        }
        self.same += 1;
    }

    /// Tells how many there are, if that was not told.
    pub(crate) fn tell(self, monitor: &Counter<'_>) {
        let Self { directories, same } = self;
        let more = same.saturating_sub(NAMED_MAX);
        if more > 0 {
            let (files, exist) = (
                count(more, "more file"),
                if more == 1 { "exists" } else { "exist" },
            );
            monitor.problem(
                b"--overwrite=never",
                format_args!("{files} {exist} already, of the snapshot's size and time; --overwrite=always would replace what is there"),
            );
        }
        if directories > 0 {
            let (were, keep) = if directories == 1 {
                ("was", "keeps its")
            } else {
                ("were", "keep their")
            };
            monitor.note(&format!(
                "{} that {were} there {keep} own mode, owner and attributes; --overwrite=if-changed or always would set those of the snapshot",
                count(directories, "directory")
            ));
        }
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

/// Tells whether what is there has the type (devices are not asked for their number, and never look the same),
/// size and modification time of an entry.
fn looks_the_same(there: &FileStat, entry: &Entry, granule: Granule) -> bool {
    let size = |bytes: u64| u64::try_from(there.st_size) == Ok(bytes);
    let is_alike = match (&entry.kind, file_type(there)) {
        (EntryKind::File(contents), SFlag::S_IFREG) => size(contents.size),
        (EntryKind::Symlink { target }, SFlag::S_IFLNK) => size(target.len() as u64),
        (EntryKind::Fifo, SFlag::S_IFIFO) | (EntryKind::Socket, SFlag::S_IFSOCK) => true,
        _ => false,
    };
    is_alike && modified(there) == granule.kept(entry.mtime)
}
