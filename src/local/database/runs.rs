//! How the last backups ended, failed ones too: what a report has to say of nights that nobody watched.
//!
//! A row is written when everything about a run is over, hooks included, and outside of its transaction, which a failed run rolls back. So
//! nothing depends on a row, and one that cannot be written costs nothing but itself. Only the last [`RUNS_MAX`] are kept, each with the first
//! [`TOLD_MAX`] of its messages.

use std::path::Path;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Database, FILE_NAME};
use crate::local::lock::Lock;

/// Most runs that are remembered: some months of nights.
pub const RUNS_MAX: usize = 100;

/// Most messages that are remembered of a run.
pub const TOLD_MAX: usize = 5;

/// Most bytes that are remembered of a message.
const MESSAGE_BYTES_MAX: usize = 300;

/// A backup that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Name of its series of snapshots; empty for none.
    pub scheme: String,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// How long it took.
    pub milliseconds: u64,
    /// `ok`, `problems`, `interrupted` or `failed`.
    pub result: String,
    /// The snapshot that it left, or found to be the same.
    pub snapshot: Option<String>,
    /// Number of problems told.
    pub problems: u64,
    /// The first of them, or why it failed: one line each, safe to show.
    pub told: Vec<String>,
}

/// Remembers a run in `directory`, if there is a database: a run that failed early may have made none. An error if there was one when
/// the run ended, or if another run has the lock by now.
pub fn remember(directory: &Path, run: &RunRecord) -> Result<()> {
    if !directory.join(FILE_NAME).is_file() {
        ensure!(
            run.snapshot.is_none(),
            "there is no {FILE_NAME} in {} any more",
            directory.display()
        );
        return Ok(());
    }
    // Without waiting: the next run may take hours, and this one is over.
    let lock = Lock::try_take_silently(directory, Timestamp::now())?;
    let database = Database::open(directory)?;
    // The row may be lost with the power, but nothing else: what came before it is synced, and closing syncs before it writes back.
    database.execute("COMMIT; PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE")?;
    database.add_run(run)?;
    database.commit()?;
    drop(database);
    drop(lock);
    Ok(())
}

impl Database {
    /// Adds a run, and forgets the oldest ones beyond [`RUNS_MAX`].
    fn add_run(&self, run: &RunRecord) -> Result<()> {
        let sql = "INSERT INTO run (scheme, started, milliseconds, result, snapshot, problems, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let lines = run.told.iter().take(TOLD_MAX).map(|line| clipped(line));
        let told = lines.collect::<Vec<_>>().join("\n");
        let (took, problems) = (number(run.milliseconds), number(run.problems));
        let row = params![
            run.scheme,
            run.started,
            took,
            run.result,
            run.snapshot,
            problems,
            told
        ];
        self.sql(self.connection.execute(sql, row))?;
        let sql = "DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?1";
        let kept = i64::try_from(RUNS_MAX)?;
        self.sql(self.connection.execute(sql, params![kept]))?;
        Ok(())
    }
}

/// The columns that [`of_row`] reads, the newest run first.
pub(super) const NEWEST_FIRST: &str = "SELECT scheme, started, milliseconds, result, snapshot, problems, told FROM run ORDER BY id DESC LIMIT ?1";

/// Reads a row of the table.
pub(super) fn of_row(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let number = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
    let told: String = row.get(6)?;
    Ok(RunRecord {
        scheme: row.get(0)?,
        started: row.get(1)?,
        milliseconds: number(2)?,
        result: row.get(3)?,
        snapshot: row.get(4)?,
        problems: number(5)?,
        told: told.lines().map(ToOwned::to_owned).collect(),
    })
}

/// Returns the beginning of a message, in one line.
fn clipped(line: &str) -> String {
    let line = line.replace('\n', " ");
    let mut end = line.len().min(MESSAGE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < line.len() { "…" } else { "" };
    format!("{}{more}", &line[..end])
}

#[cfg(test)]
mod tests {
    use super::super::look;
    use super::*;

    fn run(started: i64) -> RunRecord {
        RunRecord {
            scheme: "home".to_owned(),
            started,
            milliseconds: 1500,
            result: "problems".to_owned(),
            snapshot: Some("home-20261121T030000".to_owned()),
            problems: 2,
            told: vec!["a: cannot read".to_owned(), "b: vanished".to_owned()],
        }
    }

    #[test]
    fn the_last_runs_are_remembered_with_the_beginning_of_what_they_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let failed = RunRecord {
            snapshot: None,
            ..run(0)
        };
        remember(dir.path(), &failed).expect("nothing to remember it in");
        let error = remember(dir.path(), &run(0)).expect_err("it was there in the run");
        assert!(error.to_string().contains("any more"), "{error}");
        assert!(!dir.path().join(FILE_NAME).exists(), "none is made for it");
        drop(Database::open(dir.path()).expect("opens"));
        let loud = RunRecord {
            told: vec!["é".repeat(400); 2 * TOLD_MAX],
            ..run(1)
        };
        remember(dir.path(), &loud).expect("remembers");
        let found = look::runs(dir.path(), 9).expect("looks");
        assert_eq!(found[0].told.len(), TOLD_MAX);
        assert_eq!(found[0].told[0], format!("{}…", "é".repeat(150)));
        let rows = i64::try_from(RUNS_MAX).expect("is small");
        for started in 2..rows + 5 {
            remember(dir.path(), &run(started)).expect("remembers");
        }
        let found = look::runs(dir.path(), 2 * RUNS_MAX).expect("looks");
        assert_eq!(found.len(), RUNS_MAX);
        assert_eq!(found[0], run(rows + 4), "the newest first");
        assert_eq!(found[RUNS_MAX - 1], run(5), "the older ones are gone");
    }
}
