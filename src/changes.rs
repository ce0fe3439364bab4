//! What differs between two entries of the same path.
//!
//! Only what somebody restores: not the inode number and its change time, which every copy gets anew, nor whether a file was volatile.

use crate::format::entry::{Entry, EntryKind, FileContents, FileTime, Owner};

/// One thing about a file that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Whether it is a file, a directory, a link, …
    Type,
    /// The bytes of a regular file.
    Contents,
    /// Permissions.
    Mode,
    /// Owning user.
    User,
    /// Owning group.
    Group,
    /// Time of the last change of contents.
    Mtime,
    /// Extended attributes.
    Xattrs,
    /// Number of hard links.
    Links,
    /// Where a symbolic link points.
    Target,
    /// The number of a device.
    Device,
}

impl Aspect {
    /// Returns its name in messages and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Contents => "contents",
            Self::Mode => "mode",
            Self::User => "user",
            Self::Group => "group",
            Self::Mtime => "mtime",
            Self::Xattrs => "xattrs",
            Self::Links => "links",
            Self::Target => "target",
            Self::Device => "device",
        }
    }
}

/// How much both writers of the entries recorded: the older programs knew neither nanoseconds nor extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Everything.
    Everything,
    /// Whole seconds, and no extended attributes.
    LessThanPileus,
}

impl Recorded {
    /// Tells what can be compared with what a program of this name and version recorded, as a descriptor says it.
    #[must_use]
    pub fn by(producer: &str) -> Self {
        if producer.starts_with("pileus ") {
            Self::Everything
        } else {
            Self::LessThanPileus
        }
    }

    /// Returns what both recorded.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Everything {
            other
        } else {
            self
        }
    }

    /// Tells whether two times are the same, as far as they were recorded.
    #[must_use]
    pub fn same_time(self, old: FileTime, new: FileTime) -> bool {
        old.seconds == new.seconds
            && (old.nanoseconds == new.nanoseconds || self == Self::LessThanPileus)
    }
}

/// Whether two files have the same contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// They have.
    Same,
    /// They have not.
    Different,
    /// Size and checksums do not tell.
    Unknown,
}

/// Compares contents by what entries of snapshots say of them.
#[must_use]
pub fn contents(old: &FileContents, new: &FileContents) -> Sameness {
    if old.size != new.size {
        return Sameness::Different;
    }
    match (old.checksum, new.checksum) {
        (Some(old), Some(new)) if old == new => Sameness::Same,
        (Some(old), Some(new)) if old.algorithm() == new.algorithm() => Sameness::Different,
        _ if old.data == new.data => Sameness::Same,
        _ => Sameness::Unknown,
    }
}

/// Returns what differs, but for the contents of regular files; of different types, nothing else is compared.
///
/// The time of a directory of which either side has only a part is that of a change in anything, mostly in what lies beside a source: the
/// store itself, if it is there, would make every directory above it differ.
#[must_use]
pub fn metadata(old: &Entry, new: &Entry, recorded: Recorded) -> Vec<Aspect> {
    if old.kind.letter() != new.kind.letter() {
        return vec![Aspect::Type];
    }
    let (target, device) = match (&old.kind, &new.kind) {
        (EntryKind::Symlink { target: old }, EntryKind::Symlink { target: new }) => {
            (old != new, false)
        }
        (EntryKind::CharDevice(old), EntryKind::CharDevice(new))
        | (EntryKind::BlockDevice(old), EntryKind::BlockDevice(new)) => (false, old != new),
        _ => (false, false),
    };
    let mtime = !(old.partial || new.partial || recorded.same_time(old.mtime, new.mtime));
    let xattrs = recorded == Recorded::Everything && old.xattrs != new.xattrs;
    let differs = [
        (Aspect::Mode, old.mode != new.mode),
        (Aspect::User, !same_owner(&old.user, &new.user)),
        (Aspect::Group, !same_owner(&old.group, &new.group)),
        (Aspect::Mtime, mtime),
        (Aspect::Xattrs, xattrs),
        (Aspect::Links, old.links != new.links),
        (Aspect::Target, target),
        (Aspect::Device, device),
    ];
    let found = differs.iter().filter(|(_, differs)| *differs);
    found.map(|(aspect, _)| *aspect).collect()
}

/// A name that is known on one side only is no difference.
fn same_owner(old: &Owner, new: &Owner) -> bool {
    let names = old.name.as_ref().zip(new.name.as_ref());
    old.id == new.id && names.is_none_or(|(old, new)| old == new)
}
