//! How a backup ended, for those who are told of it: hooks and metrics.

use pileus::backup::BackupReport;
use pileus::format::snapshot_name::SnapshotName;

use super::{Failure, INTERRUPTED, done_with};

/// The end of a run.
pub(super) struct Outcome<'r> {
    /// What was done; none if the run failed.
    pub(super) report: Option<&'r BackupReport>,
    /// Why the run failed.
    pub(super) error: Option<String>,
    /// What a failed run exits with.
    failed_with: u8,
}

impl<'r> Outcome<'r> {
    /// Looks at the result of a run.
    pub(super) fn of(result: &'r Result<BackupReport, Failure>) -> Self {
        Self {
            report: result.as_ref().ok(),
            error: result.as_ref().err().map(Failure::told),
            failed_with: result.as_ref().err().map_or(super::DONE, Failure::code),
        }
    }

    /// Returns the exit code.
    pub(super) fn code(&self) -> u8 {
        match self.report {
            None => self.failed_with,
            Some(report) if report.interrupted => INTERRUPTED,
            Some(report) => done_with(report.problems),
        }
    }

    /// Returns how it ended, in a word.
    pub(super) fn result(&self) -> &'static str {
        match self.report {
            None => "failed",
            Some(report) if report.interrupted => "interrupted",
            Some(report) if report.problems > 0 => "problems",
            Some(_) => "ok",
        }
    }

    /// Tells whether there is a complete snapshot of what is there: a new one, or the last one, if nothing changed since.
    pub(super) fn has_snapshot(&self) -> bool {
        self.report.is_some_and(|report| !report.interrupted)
    }

    /// Returns that snapshot; of an interrupted run the checkpoint, if there is one.
    pub(super) fn snapshot(&self) -> Option<&SnapshotName> {
        let report = self.report?;
        report.snapshot.as_ref().or(report.same_as.as_ref())
    }
}
