//! What this machine remembers of the places of stores: which file system each of them was on.
//!
//! Without it, a disk that is not mounted is an empty directory, in which the first backup of all would be made once more. It is one small text
//! file for all stores, a line for each store that is on a mounted file system: path, mount point, type and source, divided by tabs. A lost
//! file costs that warning and nothing else.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::format::percent;

/// Type of the mount point that a file system is mounted on when somebody looks.
const AUTOMOUNT: &str = "autofs";

/// A file system and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory it is mounted on.
    pub point: PathBuf,
    /// Its type, such as `ext4`.
    pub kind: String,
    /// The device or server it comes from.
    pub source: String,
}

impl Mount {
    /// Finds the file system of a path, whose last component need not exist; none if the kernel does not say.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let table = fs::read("/proc/self/mountinfo").ok()?;
        Self::find(&table, &whole(path)?)
    }

    fn find(table: &[u8], path: &Path) -> Option<Self> {
        let mounts = table.split(|&b| b == b'\n').filter_map(Self::parse);
        let above = mounts.filter(|mount| path.starts_with(&mount.point));
        // Of several on one mount point, the last one hides the others.
        above.max_by_key(|mount| mount.point.components().count())
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&b| b == b' ');
        let point = unescaped(fields.nth(4)?);
        let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
        let mut text = || Some(String::from_utf8_lossy(&unescaped(behind.next()?)).into_owned());
        Some(Self {
            point: PathBuf::from(std::ffi::OsString::from_vec(point)),
            kind: text()?,
            source: text()?,
        })
    }

    /// Whether this file system is gone if `now` is that of the same store.
    #[must_use]
    pub fn is_gone(&self, now: Option<&Self>) -> bool {
        let is_bare = |now: &Self| now.kind == AUTOMOUNT && self.kind != AUTOMOUNT;
        now.is_some_and(|now| now.point != self.point || is_bare(now))
    }
}

/// The file system that a store was on, as it is remembered; none if it was that of `/`, or is not known.
#[must_use]
pub fn remembered(file: &Path, store: &Path) -> Option<Mount> {
    let store = whole(store)?;
    let lines = fs::read(file).ok()?;
    let mut places = lines.split(|&b| b == b'\n').filter_map(parse);
    places
        .find(|(path, _)| *path == store)
        .map(|(_, mount)| mount)
}

/// Remembers which file system a store is on.
pub fn remember(file: &Path, store: &Path) -> io::Result<()> {
    let Some(store) = whole(store) else {
        return Ok(());
    };
    let mount = Mount::of(&store).filter(|mount| mount.point != Path::new("/"));
    let old = fs::read(file).unwrap_or_default();
    let mut new = Vec::with_capacity(old.len());
    for line in old.split_inclusive(|&b| b == b'\n') {
        if parse(line.trim_ascii_end()).is_none_or(|(path, _)| path != store) {
            new.extend_from_slice(line);
        }
    }
    if let Some(mount) = mount {
        push(&store, &mount, &mut new);
    }
    if new.len() == old.len() && sorted(&new) == sorted(&old) {
        return Ok(());
    }
    replace(file, &new)
}

fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = text.split(|&b| b == b'\n').collect();
    lines.sort_unstable();
    lines
}

fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let part = file.with_extension(format!("{}~part", std::process::id()));
    let written = super::open_private(&part).and_then(|mut opened| {
        opened.set_len(0)?;
        opened.write_all(text)
    });
    let replaced = written.and_then(|()| fs::rename(&part, file));
    replaced.inspect_err(|_| drop(fs::remove_file(&part)))
}

fn push(store: &Path, mount: &Mount, text: &mut Vec<u8>) {
    let fields: [&OsStr; 4] = [
        store.as_os_str(),
        mount.point.as_os_str(),
        OsStr::new(&mount.kind),
        OsStr::new(&mount.source),
    ];
    for (index, field) in fields.iter().enumerate() {
        percent::encode(field.as_bytes(), text);
        text.push(if index == 3 { b'\n' } else { b'\t' });
    }
}

fn parse(line: &[u8]) -> Option<(PathBuf, Mount)> {
    let mut fields = line.split(|&b| b == b'\t');
    let mut next = || percent::decode(fields.next()?).ok();
    let path = |bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (store, point, kind, source) = (next()?, next()?, next()?, next()?);
    let mount = Mount {
        point: path(point),
        kind: text(kind),
        source: text(source),
    };
    Some((path(store), mount))
}

/// Returns the whole path of a directory without links; what is missing at its end stays as it is.
fn whole(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    if let Ok(whole) = path.canonicalize() {
        return Some(whole);
    }
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

/// Undoes the octal codes that the kernel writes for blanks and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| byte == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(decoded) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(decoded);
            rest = &behind[3..];
        } else {
            plain.push(byte);
            rest = behind;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        30 22 0:44 / /mnt/my\\040disk rw master:1 - autofs systemd-1 rw\n\
        31 30 8:17 / /mnt/my\\040disk rw - ext4 /dev/sdb1 rw\n";

    #[test]
    fn the_file_system_of_a_path_is_the_last_one_on_the_nearest_mount_point() {
        let kind = |path| Mount::find(TABLE, Path::new(path)).map(|mount| mount.source);
        assert_eq!(kind("/mnt/my disk/store").as_deref(), Some("/dev/sdb1"));
        assert_eq!(kind("/mnt/my diskette").as_deref(), Some("/dev/sda1"));
        assert_eq!(kind("/").as_deref(), Some("/dev/sda1"));
        let mount = |path| Mount::find(TABLE, Path::new(path));
        let automount = Mount::find(
            TABLE
                .strip_suffix(b"31 30 8:17 / /mnt/my\\040disk rw - ext4 /dev/sdb1 rw\n")
                .expect("is last"),
            Path::new("/mnt/my disk"),
        );
        let disk = mount("/mnt/my disk").expect("is found");
        assert!(!disk.is_gone(Some(&disk)));
        assert!(disk.is_gone(automount.as_ref()));
        assert!(disk.is_gone(mount("/mnt").as_ref()));
        assert!(!disk.is_gone(None), "nothing is known");
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let mount = Mount {
            point: "/mnt/a\tb\nc".into(),
            kind: "fuse.sshfs".to_owned(),
            source: "user@nas:/srv x".to_owned(),
        };
        let mut text = Vec::new();
        push(Path::new("/mnt/a\tb\nc/store"), &mount, &mut text);
        let line = text.strip_suffix(b"\n").expect("is a line");
        assert_eq!(parse(line), Some(("/mnt/a\tb\nc/store".into(), mount)));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"/a\t/b"), None);
    }
}
