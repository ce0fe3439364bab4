//! What a stanza means: one file of a snapshot with everything that a restore brings back.
//!
//! Reading accepts every key of the lineage (docs/format.md, "Entries"); writing produces the portable subset with pileus's
//! additions.

mod encode;
mod parse;

use super::checksum::Checksum;
use super::object_ref::DataRef;
use super::path::EntryPath;

pub use encode::encode_data;
pub use parse::{parse_data, stanza_path};

/// One file, directory, link or special file at the moment of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was.
    pub path: EntryPath,
    /// What it was.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits (12 bits).
    pub mode: u32,
    /// Owning user.
    pub user: Owner,
    /// Owning group.
    pub group: Owner,
    /// Last change of contents.
    pub mtime: FileTime,
    /// Last change of the inode; written for regular files only, read where present.
    pub ctime: Option<FileTime>,
    /// Identity for hard links: equal strings with `links` above 1 are links of one another.
    pub inode: Option<Vec<u8>>,
    /// Number of hard links to the file, at least 1.
    pub links: u64,
    /// Whether the file may have changed in the second it was read, so that its times prove nothing next time.
    pub volatile: bool,
    /// Whether it is a directory of which the snapshot does not have everything that no rule left out: one above a source, or on
    /// which a file system was mounted that was not entered.
    pub partial: bool,
    /// Whether it may have had extended attributes that are not here, since they could not be read or stored.
    pub incomplete: bool,
    /// Extended attributes as the kernel names them, sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// One extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// The type of an entry with what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File(FileContents),
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink {
        /// The link's text, bytes.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

impl EntryKind {
    /// Returns the letter of the `type` field.
    #[must_use]
    pub fn letter(&self) -> char {
        match self {
            Self::File(_) => 'f',
            Self::Directory => 'd',
            Self::Symlink { .. } => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::CharDevice(_) => 'c',
            Self::BlockDevice(_) => 'b',
        }
    }
}

/// The contents of a regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContents {
    /// Length in bytes.
    pub size: u64,
    /// Checksum of all contents.
    pub checksum: Option<Checksum>,
    /// Where the contents are, in file order.
    pub data: Vec<DataRef>,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The unit.
    pub minor: u32,
}

/// A user or group: the number, and the name it had at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The numeric id.
    pub id: u32,
    /// The name, if the number had one.
    pub name: Option<Vec<u8>>,
}

/// An instant on a file's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// 0 to 999,999,999, always counted forward.
    pub nanoseconds: u32,
}

impl Entry {
    /// Tells whether other entries of the snapshot may be hard links of this one.
    #[must_use]
    pub fn may_be_hard_link(&self) -> bool {
        self.links > 1 && self.inode.is_some() && !matches!(self.kind, EntryKind::Directory)
    }
}

#[cfg(test)]
mod tests;
