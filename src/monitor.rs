//! How the library tells what happens: events to a [`Monitor`], which the binary turns into text, JSON or progress.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::object_ref::{ObjectId, SegmentId};
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;

/// Receives the events of a run; called from several threads.
pub trait Monitor: Sync {
    /// Takes one event; must return quickly.
    fn event(&self, event: &Event<'_>);

    /// Tells whether anybody wants to know just now how far the run has come. Asked for every path: it must cost next to nothing,
    /// less than looking at a clock.
    fn wants_progress(&self) -> bool {
        false
    }
}

/// One thing that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A path was backed up or restored.
    Path {
        /// What was done with it.
        status: PathStatus,
        /// The path as stored.
        path: &'a EntryPath,
        /// The rule that decided about it, if reasons are asked for and there is one.
        rule: Option<&'a str>,
    },
    /// Something that the user may want to know and that needs no action.
    Note(&'a str),
    /// Something that the user should hear of even from cron, though the run did what it was told to.
    Warning(&'a str),
    /// One file (or segment) failed; the run goes on and ends with exit code 3.
    Problem(&'a Problem),
    /// How far the run, or a part of it, has come; only told while [`Monitor::wants_progress`].
    Progress(Progress<'a>),
}

/// How far a run, or a part of it, has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress<'a> {
    /// How much is done.
    pub done: u64,
    /// Of how much, as far as is known. It may be less than what is done: what was last counted has grown since.
    pub total: Option<u64>,
    /// What is counted, in the plural.
    pub unit: &'static str,
    /// The same in bytes of files, if they are counted.
    pub bytes: Option<Bytes>,
    /// What is being worked on.
    pub path: Option<&'a EntryPath>,
    /// Number of problems so far; the [`Counter`] knows it.
    pub problems: u64,
}

/// How many bytes a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Bytes of the files that are done.
    pub done: u64,
    /// Of how many, as far as is known.
    pub total: Option<u64>,
    /// Bytes that were read or written for that: what the speed of the run is told by.
    pub moved: u64,
}

/// What a run did with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStatus {
    /// Its contents were written to the store; or it has none, and its entry is new or another.
    New,
    /// Nothing of its contents had to be written.
    Old,
    /// Some of its blocks were written, others were in the store.
    Partial,
    /// Blocks were written again because their segment had expired, and nothing else.
    Repack,
    /// Nothing of its contents had to be written, and its metadata changed.
    Metadata,
    /// Of some of its blocks only the bytes that the previous version does not have were written.
    SubFile,
    /// It was brought back.
    Restored,
    /// It was removed from the target, since the snapshot does not have it.
    Deleted,
    /// It was left out, with all that is below.
    Excluded,
}

impl fmt::Display for PathStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Old => "old",
            Self::Partial => "partial",
            Self::Repack => "repack",
            Self::Metadata => "metadata",
            Self::SubFile => "sub-file",
            Self::Restored => "restored",
            Self::Deleted => "deleted",
            Self::Excluded => "excluded",
        })
    }
}

/// The failure of one thing in a run that goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What failed: a path or the name of a file of the store, as bytes.
    pub subject: Vec<u8>,
    /// Why, in one sentence.
    pub reason: String,
    /// What of the store it comes from and what it costs, if that is known.
    pub reach: Option<Reach>,
}

/// How far damage of a store reaches: a segment is damaged, therefore an object, therefore a file, therefore snapshots. Each link is
/// there if it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The damaged segment.
    pub segment: Option<SegmentId>,
    /// The damaged object.
    pub object: Option<ObjectId>,
    /// The path that needs it.
    pub path: Option<EntryPath>,
    /// The snapshots that need it.
    pub snapshots: Vec<SnapshotName>,
}

/// Passes events on and counts the problems among them.
pub struct Counter<'m> {
    monitor: &'m dyn Monitor,
    problems: AtomicU64,
    /// Those of local state among them.
    of_state: AtomicU64,
}

impl<'m> Counter<'m> {
    /// Starts counting at none.
    #[must_use]
    pub fn new(monitor: &'m dyn Monitor) -> Self {
        Self {
            monitor,
            problems: AtomicU64::new(0),
            of_state: AtomicU64::new(0),
        }
    }

    /// Reports a problem with `subject` and counts it.
    pub fn problem(&self, subject: &[u8], reason: impl fmt::Display) {
        self.tell(&Problem {
            subject: subject.to_vec(),
            reason: reason.to_string(),
            reach: None,
        });
    }

    /// Reports and counts a problem of local state that costs time or room, and takes nothing away from what the run makes.
    pub fn problem_of_state(&self, subject: &[u8], reason: impl fmt::Display) {
        // In this order: in between, it counts as a loss.
        self.problem(subject, reason);
        self.of_state.fetch_add(1, Ordering::Relaxed);
    }

    /// Says what the user should hear of even from cron.
    pub fn warn(&self, text: &str) {
        self.monitor.event(&Event::Warning(text));
    }

    /// Reports a problem whose reach in the store is known, and counts it.
    pub fn damage(&self, subject: &[u8], reason: impl fmt::Display, reach: Reach) {
        self.tell(&Problem {
            subject: subject.to_vec(),
            reason: reason.to_string(),
            reach: Some(reach),
        });
    }

    fn tell(&self, problem: &Problem) {
        self.problems.fetch_add(1, Ordering::Relaxed);
        self.monitor.event(&Event::Problem(problem));
    }

    /// Reports how far a part of the run has come, if anybody wants to know.
    pub fn progress(&self, done: u64, total: u64, unit: &'static str) {
        if self.wants_progress() {
            self.tell_progress(Progress {
                done,
                total: Some(total),
                unit,
                ..Progress::default()
            });
        }
    }

    /// Tells whether anybody wants to know just now how far the run has come.
    pub fn wants_progress(&self) -> bool {
        self.monitor.wants_progress()
    }

    /// Reports how far the run has come, with the number of problems.
    pub fn tell_progress(&self, progress: Progress<'_>) {
        let progress = Progress {
            problems: self.problems(),
            ..progress
        };
        self.monitor.event(&Event::Progress(progress));
    }

    /// Reports something that needs no action.
    pub fn note(&self, text: &str) {
        self.monitor.event(&Event::Note(text));
    }

    /// Reports what was done with a path, and which rule wanted it so, if that is asked for.
    pub fn path(&self, status: PathStatus, path: &EntryPath, rule: Option<&str>) {
        self.monitor.event(&Event::Path { status, path, rule });
    }

    /// Returns the number of problems so far.
    #[must_use]
    pub fn problems(&self) -> u64 {
        self.problems.load(Ordering::Relaxed)
    }

    /// Returns the number of problems so far that may have left something out: all but those of local state.
    #[must_use]
    pub fn losses(&self) -> u64 {
        let of_state = self.of_state.load(Ordering::Relaxed);
        self.problems().saturating_sub(of_state)
    }
}
