//! One run at a time for each local state: a lock that the kernel releases when the process ends, however it ends.
//!
//! A run that finds it held fails at once, or has the [`Patience`] to try again and again. It does not queue up in a blocking `flock`:
//! nothing would wake a thread from that when a signal wants the run to end, and the lock would go over to it in the very moment in which
//! the run before lets go, which takes it once more to remember how it ended ([`super::database::remember`]). The file is opened anew
//! for each try, since local state may be moved away or removed meanwhile.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::format::date::format_date;
use crate::monitor::{Event, Monitor};

/// Name of the lock file; its text tells who holds the lock, but only the kernel's lock on it counts.
pub const FILE_NAME: &str = "localdb.lock";

/// The first pause between two tries; each is twice the one before. Most of what holds a lock for a moment has let go by then.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause. A hundred runs that wait cost a hundred system calls a second, and a signal is heeded within one.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a run waits while another one holds the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    #[default]
    None,
    /// At most so long.
    AtMost(Duration),
    /// As long as it takes.
    Endless,
}

/// How a run waits for the lock.
#[derive(Clone, Copy)]
pub struct Waiting<'w> {
    /// For how long.
    pub patience: Patience,
    /// Becomes true, if anything does, when there is no sense in waiting any longer: then the run fails with [`Locked`].
    pub stop: Option<&'w AtomicBool>,
    /// Is told once for whom the run waits.
    pub monitor: &'w dyn Monitor,
}

/// Another run holds the lock. Distinguished because the exit code differs (docs/manual.md, "Exit codes").
#[derive(Debug)]
pub struct Locked {
    /// What the holder wrote: process number and time.
    holder: String,
    directory: String,
}

impl Locked {
    fn told(&self) -> String {
        let Self { holder, directory } = self;
        format!("the local state in {directory} is in use by {holder}")
    }
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = self.told();
        write!(
            f,
            "{told}; try again when that run has ended, or wait for it with --wait"
        )
    }
}

impl std::error::Error for Locked {}

/// The held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    since: Timestamp,
}

impl Lock {
    /// Takes the lock of `directory`, or fails with [`Locked`] when patience is at its end. `now` is the moment of the call.
    pub fn take(directory: &Path, now: Timestamp, waiting: &Waiting<'_>) -> Result<Self> {
        waiting.retry(now, |now| Self::try_take(directory, now))
    }

    fn try_take(directory: &Path, now: Timestamp) -> Result<Self> {
        let path = directory.join(FILE_NAME);
        let opened = super::open_private(&path);
        let mut file = opened.map_err(|error| super::cannot_open(error, &path))?;
        hold(&file, directory)?;
        let text = format!(
            "process {} since {}\n",
            std::process::id(),
            format_date(now)
        );
        // The text is a courtesy: a full disk must not keep out the run that makes room. It is written over the old one, whose room it has.
        drop(
            file.write_all(text.as_bytes())
                .and_then(|()| file.set_len(text.len() as u64)),
        );
        Ok(Self {
            _file: file,
            since: now,
        })
    }

    /// Takes the lock like [`Lock::take`], but without leaving a trace, for a run that changes nothing; none if there is no lock to take.
    pub fn take_silently(
        directory: &Path,
        now: Timestamp,
        waiting: &Waiting<'_>,
    ) -> Result<Option<Self>> {
        waiting.retry(now, |now| Self::try_take_silently(directory, now))
    }

    /// Returns when it was taken. What the run takes for the present has to be no earlier: the one before may have published since.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Like [`Lock::take_silently`], for whoever does not wait.
    pub(super) fn try_take_silently(directory: &Path, now: Timestamp) -> Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let file = match super::open_existing(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        hold(&file, directory)?;
        Ok(Some(Self {
            _file: file,
            since: now,
        }))
    }
}

impl Waiting<'_> {
    /// Takes a lock, at the moment that is handed on, as often as there is patience while another run holds it.
    fn retry<T>(&self, now: Timestamp, take: impl Fn(Timestamp) -> Result<T>) -> Result<T> {
        let (begun, mut pause) = (Instant::now(), Duration::ZERO);
        loop {
            let waited = begun.elapsed();
            // A run that did not wait goes by the clock of its caller alone.
            let since = if pause.is_zero() {
                now
            } else {
                now.checked_add(waited).unwrap_or(now)
            };
            let error = match take(since) {
                Err(error) if error.is::<Locked>() => error,
                taken => return taken,
            };
            let left = match self.patience {
                Patience::None => Duration::ZERO,
                Patience::AtMost(most) => most.saturating_sub(waited),
                Patience::Endless => Duration::MAX,
            };
            let stop = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
            if stop || left.is_zero() && pause.is_zero() {
                return Err(error);
            }
            if left.is_zero() {
                return Err(error.context(format!("waited {} s in vain", waited.as_secs())));
            }
            if pause.is_zero() {
                let told = error.downcast_ref().map(Locked::told);
                let note = format!("{}: waiting for it to end", told.unwrap_or_default());
                self.monitor.event(&Event::Note(&note));
            }
            pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            thread::sleep(pause.min(left));
        }
    }
}

fn hold(file: &File, directory: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The text is a courtesy: without it the message is only less helpful.
            let told =
                { file }.take(200).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if told {
                holder.trim().to_owned()
            } else {
                "another process".to_owned()
            };
            Err(Locked {
                holder,
                directory: directory.display().to_string(),
            }
            .into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| {
                format!(
                    "cannot lock {}: see that its file system has locks, or name a directory of a local disk with --localdb",
                    directory.join(FILE_NAME).display()
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Remembers what was told.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Monitor for Told {
        fn event(&self, event: &Event<'_>) {
            if let Event::Note(text) = event {
                let mut told = self.0.lock().expect("nobody panics here");
                told.push((*text).to_owned());
            }
        }
    }

    fn now() -> Timestamp {
        Timestamp::new(1_795_288_702, 0).expect("in range")
    }

    fn take(directory: &Path, patience: Patience, stop: bool, told: &Told) -> Result<Lock> {
        let waiting = Waiting {
            patience,
            stop: Some(&AtomicBool::new(stop)),
            monitor: told,
        };
        Lock::take(directory, now(), &waiting)
    }

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::default();
        let held = take(dir.path(), Patience::None, false, &told).expect("is free");
        let error = take(dir.path(), Patience::None, false, &told).expect_err("is held");
        assert!(error.is::<Locked>());
        let holder = format!("process {} since 2026-11-21", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        drop(held);
        let taken = take(dir.path(), Patience::None, false, &told).expect("is free again");
        assert_eq!(taken.since(), now());
        assert!(told.0.lock().expect("nobody panics here").is_empty());
    }

    #[test]
    fn a_run_waits_until_the_lock_is_free_and_knows_what_time_it_is_then() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::default();
        let held = take(dir.path(), Patience::None, false, &told).expect("is free");
        let taken = thread::scope(|scope| {
            let other = scope.spawn(|| take(dir.path(), Patience::Endless, false, &told));
            while told.0.lock().expect("nobody panics here").is_empty() {
                thread::yield_now();
            }
            drop(held);
            other.join().expect("does not panic")
        });
        assert!(taken.expect("is free in the end").since() > now());
        let told = told.0.lock().expect("nobody panics here");
        let [note] = &told[..] else {
            panic!("{told:?}");
        };
        let holder = format!("process {} since 2026-11-21", std::process::id());
        assert!(note.contains(&holder) && note.contains("waiting"), "{note}");
    }

    #[test]
    fn patience_ends_and_a_run_that_is_to_end_has_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let told = Told::default();
        let _held = take(dir.path(), Patience::None, false, &told).expect("is free");
        let little = Patience::AtMost(Duration::from_millis(30));
        let error = take(dir.path(), little, false, &told).expect_err("is held");
        assert!(error.is::<Locked>());
        assert!(format!("{error:#}").starts_with("waited 0 s in vain: the local state in "));
        let error = take(dir.path(), Patience::Endless, true, &told).expect_err("is held");
        assert!(error.is::<Locked>());
    }
}
