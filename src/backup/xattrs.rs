//! Reads extended attributes, and knows when not all of them were there to be read.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use xattr::FileExt;

use crate::format::entry::Xattr;
use crate::format::escape;
use crate::local::stat_cache::Attributes;

/// Most bytes of extended attributes of one file: an entry has to fit in an object with room to spare.
const BYTES_MAX: usize = 1 << 20;

/// Most names that one problem tells.
const NAMES_TOLD: usize = 5;

/// What protects a file, or gives it rights. They are asked for by name where names cannot be listed.
const IMPORTANT: [&str; 4] = [
    "security.capability",
    "security.selinux",
    "system.posix_acl_access",
    "system.posix_acl_default",
];

/// The capability that shows `trusted.*`, as a bit of the kernel's set.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Extended attributes sorted by name, and what is known to be missing.
#[derive(Clone, Default)]
pub(super) struct ReadXattrs {
    /// What could be read.
    pub xattrs: Vec<Xattr>,
    /// Why something could not.
    pub problem: Option<String>,
    /// Whether the file system says that it has none.
    pub unsupported: bool,
}

impl ReadXattrs {
    /// Returns what is remembered of them.
    pub(super) fn attributes(&self) -> Attributes {
        Attributes {
            digest: Attributes::digest_of(&self.xattrs),
            incomplete: self.problem.is_some(),
            unsupported: self.unsupported,
            hidden: !sees_all(),
        }
    }
}

/// Reads those of an open file.
pub(super) fn of_file(file: &File) -> ReadXattrs {
    collect(file.list_xattr(), |name| file.get_xattr(name))
}

/// Reads those of a file that is not open. The path leads through the descriptor of its directory, so its length does not matter and
/// only the last component could be a link, which is not followed.
pub(super) fn of_name(parent: BorrowedFd<'_>, name: &[u8]) -> ReadXattrs {
    let directory = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    let path = directory.join(OsStr::from_bytes(name));
    let names = xattr::list(&path);
    let is_missing =
        |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    if names.as_ref().err().is_some_and(is_missing)
        && fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
        && fs::symlink_metadata(&path).is_err()
    {
        let reason = "its extended attributes are left out: reading them needs /proc to be mounted";
        return ReadXattrs {
            problem: Some(reason.to_owned()),
            ..ReadXattrs::default()
        };
    }
    collect(names, |name| xattr::get(&path, name))
}

fn collect(
    names: io::Result<impl Iterator<Item = OsString>>,
    get: impl Fn(&OsStr) -> io::Result<Option<Vec<u8>>>,
) -> ReadXattrs {
    let mut read = ReadXattrs::default();
    let mut names: Vec<OsString> = match names {
        Ok(names) => names.collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => return read,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            read.unsupported = true;
            return read;
        }
        Err(error) => {
            let known = IMPORTANT.map(|name| (name, get(OsStr::new(name))));
            for (name, value) in known {
                if let Ok(Some(value)) = value {
                    read.xattrs.push((name.into(), value));
                }
            }
            read.problem = Some(format!("its extended attributes are left out: {error}"));
            return read;
        }
    };
    if names.is_empty() {
        return read;
    }
    // What matters most first, in case that not all of it can be stored.
    names.sort_by_key(|name| !is_important(name));
    let (mut bytes, mut refused, mut failed) = (0, Vec::new(), Vec::new());
    let mut reason = None;
    for name in names {
        match get(&name) {
            Ok(Some(value)) if bytes + name.len() + value.len() <= BYTES_MAX => {
                bytes += name.len() + value.len();
                read.xattrs.push((name.into_vec(), value));
            }
            Ok(Some(_)) => refused.push(name),
            // It was removed since it was listed.
            Ok(None) => {}
            Err(error) => {
                failed.push(name);
                reason = Some(error.to_string());
            }
        }
    }
    read.xattrs.sort();
    let failed = reason.map(|reason| left_out(&failed, &reason));
    let too_much = format!("at most {BYTES_MAX} bytes of them can be stored of one file");
    let refused = (!refused.is_empty()).then(|| left_out(&refused, &too_much));
    read.problem = match (failed, refused) {
        (Some(failed), Some(refused)) => Some(format!("{failed}; {refused}")),
        (failed, refused) => failed.or(refused),
    };
    read
}

fn is_important(name: &OsStr) -> bool {
    IMPORTANT.iter().any(|important| name == *important)
}

fn left_out(names: &[OsString], reason: &str) -> String {
    let told = names.iter().take(NAMES_TOLD);
    let told: Vec<String> = told.map(|name| escape(name.as_bytes())).collect();
    let told = told.join(", ");
    match names.len() {
        1 => format!("its extended attribute {told} is left out: {reason}"),
        2..=NAMES_TOLD => format!("its extended attributes {told} are left out: {reason}"),
        more => {
            let others = more - NAMES_TOLD;
            format!("its extended attributes {told} and {others} more are left out: {reason}")
        }
    }
}

/// Tells whether this process may see every attribute: those of the superuser are hidden from all others.
pub(super) fn sees_all() -> bool {
    static SEES_ALL: OnceLock<bool> = OnceLock::new();
    *SEES_ALL.get_or_init(|| {
        let of_proc = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
        let (Ok(status), Ok(users)) = (of_proc("status"), of_proc("uid_map")) else {
            return false;
        };
        // In a user namespace, capabilities are those of the namespace alone.
        let is_initial = users.split_whitespace().eq(["0", "0", "4294967295"]);
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        is_initial && effective.is_some_and(|set| set & CAP_SYS_ADMIN != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> std::vec::IntoIter<OsString> {
        let names: Vec<OsString> = names.iter().map(OsString::from).collect();
        names.into_iter()
    }

    #[test]
    fn what_fits_is_kept_and_the_rest_is_named() {
        let half = vec![0; BYTES_MAX / 2];
        let read = collect(
            Ok(listed(&[
                "user.a",
                "user.b",
                "user.c",
                "system.posix_acl_access",
            ])),
            |_| Ok(Some(half.clone())),
        );
        assert_eq!(read.xattrs.len(), 1);
        assert_eq!(read.xattrs[0].0, b"system.posix_acl_access");
        let told = read.problem.expect("is told");
        assert!(
            told.contains("user.a, user.b, user.c are left out"),
            "{told}"
        );
    }

    #[test]
    fn where_names_cannot_be_listed_the_important_ones_are_asked_for() {
        let too_many = || -> io::Result<std::vec::IntoIter<OsString>> {
            Err(io::Error::from(ErrorKind::ArgumentListTooLong))
        };
        let read = collect(too_many(), |name| {
            Ok((name == "system.posix_acl_access").then(|| b"acl".to_vec()))
        });
        assert_eq!(read.xattrs.len(), 1);
        assert!(read.attributes().incomplete);
    }

    #[test]
    fn a_failure_of_many_names_five_of_them() {
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        let read = collect(Ok(listed(&many)), |_| Err(io::Error::other("broken")));
        let told = read.problem.expect("is told");
        assert_eq!(
            told,
            "its extended attributes a, b, c, d, e and 2 more are left out: broken"
        );
    }
}
