//! What the file systems of the target can keep: how exact times are, modes, owners, extended attributes.
//!
//! That is found out by trying once in each, with a temporary file, when the first entry gets its attributes there. What cannot be kept is
//! counted and reported once for all entries, at the end; nothing of it is tried again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::stat::{FileStat, Mode, fchmod, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use super::target;
use crate::format::entry::FileTime;
use crate::monitor::Counter;
use crate::wording::count;

const NANOSECONDS: u64 = 1_000_000_000;

/// The steps in which a file system counts times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granule(u64);

impl Granule {
    /// Times as they are stored.
    pub(crate) const EXACT: Self = Self(1);
    /// Those of FAT.
    pub(crate) const COARSEST: Self = Self(2 * NANOSECONDS);
    const ALL: [Self; 7] = [
        Self::EXACT,
        Self(100),
        Self(1_000),
        Self(1_000_000),
        Self(10_000_000),
        Self(NANOSECONDS),
        Self::COARSEST,
    ];

    /// Returns what becomes of a time where it is kept in these steps.
    pub(crate) fn kept(self, time: FileTime) -> FileTime {
        let seconds = i64::try_from(self.0.div_ceil(NANOSECONDS)).unwrap_or(1);
        let step = u32::try_from(self.0.min(NANOSECONDS)).unwrap_or(1);
        FileTime {
            seconds: time.seconds - time.seconds.rem_euclid(seconds),
            nanoseconds: time.nanoseconds - time.nanoseconds % step,
        }
    }

    /// Returns the largest steps in which a file's time may have been kept.
    pub(crate) fn of_time(there: &FileStat) -> Self {
        let time = modified(there);
        let may_be = |granule: &&Self| granule.kept(time) == time;
        *Self::ALL.iter().rev().find(may_be).unwrap_or(&Self::EXACT)
    }
}

/// What a file system keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    pub(crate) granule: Granule,
    /// Whether the time of the last change can be set without that of the last access (exfat-fuse then sets neither).
    pub(crate) mtime_alone: bool,
    pub(crate) modes: bool,
    pub(crate) owners: bool,
}

impl Abilities {
    /// What is assumed where nothing can be tried.
    const ALL: Self = Self {
        granule: Granule::EXACT,
        mtime_alone: true,
        modes: true,
        owners: true,
    };

    /// Tries it with a temporary file, if there can be one.
    fn try_in(directory: BorrowedFd<'_>) -> Option<Self> {
        let nameless = target::create_nameless(directory);
        if let Ok(file) = nameless {
            return Some(Self::of_file(file.as_fd()));
        }
        let name = format!(".pileus-{}-try.part", std::process::id()).into_bytes();
        let file = target::create_file(directory, &name).ok()?;
        let abilities = Self::of_file(file.as_fd());
        drop(target::remove(directory, &name));
        Some(abilities)
    }

    fn of_file(file: BorrowedFd<'_>) -> Self {
        let alone = try_times(file, TimeSpec::UTIME_OMIT);
        let granule = alone.or_else(|| try_times(file, TimeSpec::new(TRIED.seconds, 0)));
        Self {
            granule: granule.unwrap_or(Granule::EXACT),
            mtime_alone: alone.is_some() || granule.is_none(),
            modes: [0o640, 0o604]
                .into_iter()
                .any(|mode| keeps_mode(file, mode).unwrap_or(false)),
            owners: !may_change_owners() || keeps_owner(file),
        }
    }
}

/// A time that every step but the finest cuts down.
const TRIED: FileTime = FileTime {
    seconds: 1_600_000_001,
    nanoseconds: 123_456_789,
};

/// Returns in which steps a time is kept; none if it is not set at all.
fn try_times(file: BorrowedFd<'_>, accessed: TimeSpec) -> Option<Granule> {
    let time = TimeSpec::new(TRIED.seconds, TRIED.nanoseconds.into());
    futimens(file, &accessed, &time).ok()?;
    let found = modified(&fstat(file).ok()?);
    let mut granules = Granule::ALL.into_iter();
    granules.find(|granule| granule.kept(TRIED) == found)
}

fn keeps_mode(file: BorrowedFd<'_>, mode: u32) -> io::Result<bool> {
    fchmod(file, Mode::from_bits_truncate(mode))?;
    Ok(fstat(file)?.st_mode & 0o777 == mode)
}

/// Tells whether a refusal would be the file system's: without this right nobody can say.
fn may_change_owners() -> bool {
    const CAP_CHOWN: u64 = 1;
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut lines = status.lines();
    let rights = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok());
    rights.is_some_and(|rights| rights & CAP_CHOWN != 0)
}

/// Tries an owner that nobody is. One that a user namespace does not know says nothing about the file system.
fn keeps_owner(file: BorrowedFd<'_>) -> bool {
    const ID: u32 = 12_345;
    match fchown(file, Some(Uid::from_raw(ID)), Some(Gid::from_raw(ID))) {
        Ok(()) => fstat(file).is_ok_and(|found| (found.st_uid, found.st_gid) == (ID, ID)),
        Err(nix::errno::Errno::EINVAL) => true,
        Err(_) => false,
    }
}

/// Returns the time of the last change of contents.
pub(crate) fn modified(there: &FileStat) -> FileTime {
    FileTime {
        seconds: there.st_mtime,
        nanoseconds: u32::try_from(there.st_mtime_nsec).unwrap_or(0),
    }
}

/// What can be lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lost {
    Owner,
    Xattr,
    Mode,
    Fraction,
    Link,
}

/// The file systems of a target, and what of the snapshot they did not keep.
#[derive(Default)]
pub(crate) struct FileSystems {
    known: Mutex<Vec<(u64, Abilities)>>,
    lost: [AtomicU64; 5],
}

impl FileSystems {
    /// Returns what the file system with this number keeps. It is tried in `directory`, whose own times that changes.
    pub(crate) fn abilities(&self, directory: BorrowedFd<'_>, device: u64) -> Abilities {
        // Held while it is tried: the others need the answer.
        let mut known = self.known.lock().expect("nobody panics while it is held");
        if let Some((_, abilities)) = known.iter().find(|(known, _)| *known == device) {
            return *abilities;
        }
        let is_here = fstat(directory).is_ok_and(|found| found.st_dev == device);
        if !is_here {
            return Abilities::ALL;
        }
        let Some(abilities) = Abilities::try_in(directory) else {
            return Abilities::ALL;
        };
        known.push((device, abilities));
        abilities
    }

    /// Counts an entry of which something is lost.
    pub(crate) fn lose(&self, what: Lost) {
        self.lost[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Reports what the target cannot keep, each thing once.
    pub(crate) fn tell(&self, monitor: &Counter<'_>) {
        for (what, text) in [
            (Lost::Owner, "owners, so these are not the stored ones"),
            (Lost::Xattr, "extended attributes, so these are left out"),
            (Lost::Mode, "modes, so these are not the stored ones"),
            (
                Lost::Fraction,
                "times as exactly as they are stored, so these are cut down",
            ),
            (Lost::Link, "these hard links, so there are copies"),
        ] {
            let lost = self.lost[what as usize].load(Ordering::Relaxed);
            if lost > 0 {
                monitor.warn(&format!(
                    "the target cannot keep {text}: {}",
                    count(lost, "entry")
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64, nanoseconds: u32) -> FileTime {
        FileTime {
            seconds,
            nanoseconds,
        }
    }

    #[test]
    fn times_are_cut_down_to_the_steps_of_a_file_system() {
        for (granule, kept) in [
            (Granule::EXACT, time(7, 123_456_789)),
            (Granule(100), time(7, 123_456_700)),
            (Granule(NANOSECONDS), time(7, 0)),
            (Granule::COARSEST, time(6, 0)),
        ] {
            assert_eq!(granule.kept(time(7, 123_456_789)), kept);
        }
        assert_eq!(Granule::COARSEST.kept(time(-1, 5)), time(-2, 0));
    }
}
