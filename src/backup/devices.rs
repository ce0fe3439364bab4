//! What is known of the file systems of the sources: whether their change times are what they should be, how fine their clocks are, and
//! whether they have extended attributes.
//!
//! The file systems of the kernel that are listed here take each change time from the clock that pileus reads too. Of all others, on other
//! machines or in user space, the clock may go behind and count in minutes, and a change time may be the modification time, or 0. So what such a file
//! system shows is taken for evidence: its clock has passed the newest time that was seen on it, and no more is known. A file that is about
//! as new as that may change once more without a trace, and is looked at again by the next run, unless that is known of
//! an earlier one: what shows the same times after as long as this clock's step, by a clock of ours, is not in the same step any more.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use jiff::Timestamp;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::sys::statfs::fstatfs;

use super::look_ahead::Found;
use crate::format::path::EntryPath;
use crate::monitor::Counter;

/// File systems whose change times are of the local clock and real, by the number that `statfs` gives their type.
const HONEST: &[u32] = &[
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0x2fc1_2fc1, // zfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x0000_9660, // iso9660
];

/// Seconds after which a change cannot share a time with the one before, on a clock that is fine.
const SECONDS_APART: i64 = 2;

/// Longest step of a clock that is believed: before much was seen of a file system, every step is thinkable.
const STEP_MAX: u64 = 12 * 3600;

/// Files that are older than this are not doubted for the sake of a clock that may be behind.
const DOUBTED_SECONDS: i64 = 7 * 86_400;

/// What is known of one file system.
#[derive(Clone, Copy, Debug)]
struct Device {
    honest: bool,
    /// Newest change time that was seen, and was not ahead of our own clock.
    newest: i64,
    /// A multiple of the step of its clock, in seconds; 0 if nothing was seen.
    step: u64,
    /// Whether it has extended attributes; none if nothing was asked yet.
    xattrs: Option<bool>,
}

/// What is known of all file systems of a run.
#[derive(Default)]
pub(super) struct Devices {
    known: HashMap<u64, Device>,
    /// The device of the last path, if there is nothing to learn of it.
    honest: Option<u64>,
    /// Whether it was said that a change time is still to come.
    told_future: bool,
}

impl Devices {
    /// Takes note of a path that was found, in the order of finding.
    pub(super) fn observe(&mut self, found: &Found<'_>) {
        let stat = &found.stat;
        if self.honest == Some(stat.st_dev) {
            return;
        }
        let device = self.known.entry(stat.st_dev).or_insert_with(|| Device {
            honest: is_honest(found.parent, found.name, stat.st_dev),
            newest: i64::MIN,
            step: 0,
            xattrs: None,
        });
        self.honest = device.honest.then_some(stat.st_dev);
        device.learn(stat, found.seen.as_second());
    }

    /// Tells whether a file could change further without a trace in its times. `seen` is when an earlier run saw it with the same times,
    /// if one did.
    pub(super) fn is_racy(&self, stat: &FileStat, moment: Timestamp, seen: Option<i64>) -> bool {
        let device = self.device(stat);
        let now = moment.as_second();
        let changed = device.changed(stat);
        let is_young = changed >= now.saturating_sub(1);
        let is_newest = !device.honest
            && changed >= device.newest.saturating_sub(1)
            && changed > now.saturating_sub(DOUBTED_SECONDS);
        (is_young || is_newest) && !device.is_settled(changed, now, seen)
    }

    /// Says once of a run that a file was changed at a time that is still to come, so that it is read once more.
    pub(super) fn tell_future(
        &mut self,
        path: &EntryPath,
        stat: &FileStat,
        now: i64,
        monitor: &Counter<'_>,
    ) {
        let is_ahead = self.device(stat).changed(stat) > now.saturating_add(SECONDS_APART);
        if is_ahead && !self.told_future {
            self.told_future = true;
            monitor.note(&format!(
                "{path} was changed at a time that is still to come: a clock is or was wrong; what is like that is read by the next run once more"
            ));
        }
    }

    /// Tells whether a change of attributes may leave no trace in the change time.
    pub(super) fn hides_changes(&self, stat: &FileStat) -> bool {
        let ctime = (stat.st_ctime, stat.st_ctime_nsec);
        let is_no_later = ctime <= (stat.st_mtime, stat.st_mtime_nsec);
        (is_no_later || ctime == (0, 0)) && !self.device(stat).honest
    }

    /// Tells whether a file system may have extended attributes, going by what it has said so far.
    pub(super) fn may_have_xattrs(&self, stat: &FileStat) -> bool {
        self.device(stat).xattrs != Some(false)
    }

    /// Takes note of whether a file system has extended attributes.
    pub(super) fn has_xattrs(&mut self, stat: &FileStat, has: bool) {
        if let Some(device) = self.known.get_mut(&stat.st_dev) {
            device.xattrs = Some(has);
        }
    }

    fn device(&self, stat: &FileStat) -> Device {
        let unknown = Device {
            honest: false,
            newest: i64::MIN,
            step: 0,
            xattrs: None,
        };
        self.known.get(&stat.st_dev).copied().unwrap_or(unknown)
    }
}

impl Device {
    fn learn(&mut self, stat: &FileStat, now: i64) {
        if self.honest {
            return;
        }
        // Anybody may set a modification time, so it is evidence of the clock only where there is nothing else.
        let (stamp, fraction) = match (stat.st_ctime, stat.st_ctime_nsec) {
            (0, 0) => (stat.st_mtime, stat.st_mtime_nsec),
            ctime => ctime,
        };
        if stamp <= now {
            self.newest = self.newest.max(stamp);
        }
        self.step = if fraction == 0 {
            common_divisor(self.step, stamp.unsigned_abs())
        } else {
            1
        };
    }

    /// Returns when a file changed last, in seconds. Where the change time is not one, nothing but the modification time tells.
    fn changed(&self, stat: &FileStat) -> i64 {
        if self.honest && (stat.st_ctime, stat.st_ctime_nsec) != (0, 0) {
            stat.st_ctime
        } else {
            stat.st_ctime.max(stat.st_mtime)
        }
    }

    /// Tells whether what was seen with the same times before cannot be in the same step of the clock any more. A clock that was
    /// set back comes by the same time once more.
    fn is_settled(&self, changed: i64, now: i64, seen: Option<i64>) -> bool {
        let step = if self.honest { 1 } else { self.step };
        let step = if step == 0 {
            STEP_MAX
        } else {
            step.min(STEP_MAX)
        };
        let apart = step.cast_signed() + SECONDS_APART;
        let passed = |moment: i64| now.saturating_sub(moment) > apart;
        seen.is_some_and(passed) && (passed(changed) || changed.saturating_sub(now) > apart)
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Asks for the kind of the file system that a path is on, which may be mounted there. What cannot be asked is not taken for honest.
fn is_honest(parent: BorrowedFd<'_>, name: &[u8], device: u64) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let is_mounted = fstat(parent).map_or(true, |above| above.st_dev != device);
    let found = if is_mounted {
        openat(parent, name, flags, Mode::empty()).and_then(|mounted| fstatfs(mounted.as_fd()))
    } else {
        fstatfs(parent)
    };
    found.is_ok_and(|found| {
        // The kernel's numbers have 32 bits; the type of the field differs between architectures and may have a sign.
        let kind = i128::from(found.filesystem_type().0) & 0xffff_ffff;
        HONEST.iter().any(|honest| i128::from(*honest) == kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn changed_at(ctime: i64, mtime: i64) -> FileStat {
        // A stat has padding that cannot be named.
        let mut stat = fstat(std::fs::File::open("/").expect("opens")).expect("is there");
        (stat.st_ctime, stat.st_ctime_nsec) = (ctime, 0);
        (stat.st_mtime, stat.st_mtime_nsec) = (mtime, 0);
        stat.st_dev = 7;
        stat
    }

    fn devices(honest: bool, seen: &[(i64, i64)]) -> Devices {
        let mut device = Device {
            honest,
            newest: i64::MIN,
            step: 0,
            xattrs: None,
        };
        for &(ctime, mtime) in seen {
            device.learn(&changed_at(ctime, mtime), NOW);
        }
        let known = HashMap::from([(7, device)]);
        Devices {
            known,
            ..Devices::default()
        }
    }

    fn is_racy(devices: &Devices, (ctime, mtime): (i64, i64), seen: Option<i64>) -> bool {
        let now = Timestamp::from_second(NOW).expect("is a time");
        devices.is_racy(&changed_at(ctime, mtime), now, seen)
    }

    #[test]
    fn on_a_local_file_system_only_the_change_time_and_our_own_clock_count() {
        let local = devices(true, &[(NOW - 5, NOW - 5)]);
        assert!(is_racy(&local, (NOW, NOW), None) && is_racy(&local, (NOW - 1, 0), None));
        assert!(!is_racy(&local, (NOW - 2, NOW + 999), None));
        assert!(
            is_racy(&local, (0, NOW), None),
            "a change time of 0 is none"
        );
        assert!(!local.hides_changes(&changed_at(5, 5)));
    }

    #[test]
    fn a_clock_that_is_behind_is_told_by_the_newest_time_that_was_seen() {
        let behind = NOW - 1000;
        let remote = devices(false, &[(behind - 77, 5), (behind, 6)]);
        assert!(is_racy(&remote, (behind, 6), None));
        assert!(!is_racy(&remote, (behind - 77, 5), None));
        // The same times a day later are older than any step of the clock.
        assert!(!is_racy(&remote, (behind, 6), Some(NOW - 86_400)));
        assert!(is_racy(&remote, (behind, 6), Some(NOW - 1)));
        let idle = devices(false, &[(NOW - 8 * 86_400, 5)]);
        assert!(!is_racy(&idle, (NOW - 8 * 86_400, 5), None));
    }

    #[test]
    fn the_step_of_a_clock_is_learnt_from_its_times() {
        let minute = NOW / 60 * 60;
        let coarse = devices(false, &[(minute, 0), (minute - 60, 0), (minute - 300, 0)]);
        assert!(is_racy(&coarse, (minute, 0), Some(NOW - 30)));
        assert!(!is_racy(&coarse, (minute, 0), Some(NOW - 63)) || minute > NOW - 63);
        assert!(!is_racy(&coarse, (minute - 60, 0), None));
    }

    #[test]
    fn a_time_still_to_come_is_believed_once_it_was_seen_twice() {
        for honest in [true, false] {
            // Two times say how long a step of the clock may be; after one, all is thinkable.
            let seen = devices(honest, &[(NOW + 5000, 0), (NOW - 77, 0)]);
            assert!(is_racy(&seen, (NOW + 5000, 0), None));
            assert!(!is_racy(&seen, (NOW + 5000, 0), Some(NOW - 86_400)));
            // Soon that clock comes by the same time.
            assert!(is_racy(&seen, (NOW + 1, 0), Some(NOW - 86_400)));
        }
    }

    #[test]
    fn where_change_times_are_modification_times_attributes_may_change_without_a_trace() {
        let remote = devices(false, &[]);
        assert!(remote.hides_changes(&changed_at(5, 5)) && remote.hides_changes(&changed_at(0, 0)));
        assert!(!remote.hides_changes(&changed_at(6, 5)));
    }
}
