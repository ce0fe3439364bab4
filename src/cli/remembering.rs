//! Remembers in local state how a backup went, for the reports of later days.
//!
//! What goes wrong here is a note: the backup is over, and local state knows its snapshot already.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use pileus::format::escape;
use pileus::local::database::{self, RunRecord, TOLD_MAX};
use pileus::monitor::{Event, Monitor};

use super::outcome::Outcome;
use crate::console::Console;

/// Passes events on, and keeps the first problems among them.
pub(super) struct Remembering<'c> {
    console: &'c Console,
    told: Mutex<Vec<String>>,
}

impl<'c> Remembering<'c> {
    pub(super) fn new(console: &'c Console) -> Self {
        Self {
            console,
            told: Mutex::default(),
        }
    }

    /// Makes room on the terminal for what a hook prints.
    pub(super) fn step_aside(&self) {
        self.console.step_aside();
    }

    /// Tells a problem that the run itself does not know.
    pub(super) fn problem(&self, subject: &[u8], reason: &str) {
        self.keep(subject, reason);
        self.console.problem(subject, reason);
    }

    fn keep(&self, subject: &[u8], reason: &str) {
        let mut told = self.told.lock().expect("no thread panics with it");
        if told.len() < TOLD_MAX {
            told.push(escape(
                &[subject, b": ".as_slice(), reason.as_bytes()].concat(),
            ));
        }
    }

    /// Writes how the run ended into the local state in `directory`.
    pub(super) fn write(
        &self,
        directory: &Path,
        scheme: &str,
        outcome: &Outcome<'_>,
        started: Timestamp,
        duration: Duration,
    ) {
        let mut told = self.told.lock().expect("no thread panics with it").clone();
        if let Some(error) = &outcome.error {
            told.insert(0, escape(error.as_bytes()));
        }
        let run = RunRecord {
            scheme: scheme.to_owned(),
            started: started.as_second(),
            milliseconds: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            result: outcome.result().to_owned(),
            snapshot: outcome.snapshot().map(ToString::to_string),
            problems: outcome.report.map_or(1, |report| report.problems),
            told,
        };
        // Where the run failed for the same reason, that was told.
        let remembered = database::remember(directory, &run);
        if let Err(error) =
            remembered.or_else(|error| outcome.report.map_or(Ok(()), |_| Err(error)))
        {
            let text = format!("how the run ended is not remembered: {error:#}");
            self.console.event(&Event::Note(&text));
        }
    }
}

impl Monitor for Remembering<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(problem) = event {
            self.keep(&problem.subject, &problem.reason);
        }
        self.console.event(event);
    }

    fn wants_progress(&self) -> bool {
        self.console.wants_progress()
    }
}
