//! Commands that run around a backup: `--before`, `--after` and `--failed`.
//!
//! They run outside of everything: before the store is opened and the lock is taken, so that the first can mount what is missing, and after both
//! are let go, so that the last can call pileus again. Whoever is told of a run wants to know how it ended: variables of the
//! environment say so. All of these begin with `PILEUS_RUN_`, since `PILEUS_SNAPSHOT` or `PILEUS_SCHEME` would be taken for options by a
//! pileus that a hook calls; no option may begin with `--run-` (tests/it/hooks.rs).
//!
//! What a hook prints goes to standard error: standard output may be JSON. Its standard input is empty: there may be something to back up in
//! that of pileus.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::outcome::Outcome;

/// Commands to be run around a backup.
#[derive(Debug, Args)]
pub(crate) struct HookArguments {
    /// Run this shell command first; if it fails, nothing is backed up
    #[arg(long, value_name = "COMMAND")]
    before: Option<String>,

    /// Run this shell command once there is a new snapshot
    #[arg(long, value_name = "COMMAND")]
    after: Option<String>,

    /// Run this shell command if there is no new snapshot
    #[arg(long, value_name = "COMMAND")]
    failed: Option<String>,
}

impl HookArguments {
    /// Runs what comes first.
    pub(super) fn before(&self, store: &Path, scheme: &str) -> Result<()> {
        let variables = about(store, scheme);
        run("--before", self.before.as_deref(), variables)
    }

    /// Runs what is for the way in which the run ended; the error names the option.
    pub(super) fn last(&self, outcome: &Outcome<'_>, store: &Path, scheme: &str) -> Result<()> {
        let (option, command) = if outcome.has_snapshot() {
            ("--after", &self.after)
        } else {
            ("--failed", &self.failed)
        };
        let mut variables = about(store, scheme);
        variables.extend(describe(outcome));
        run(option, command.as_deref(), variables)
    }
}

type Variable = (&'static str, OsString);

fn about(store: &Path, scheme: &str) -> Vec<Variable> {
    vec![
        ("PILEUS_RUN_STORE", store.into()),
        ("PILEUS_RUN_SCHEME", scheme.into()),
    ]
}

/// Says how a run ended. What is not known is there all the same, and empty: `set -u` is common in scripts.
fn describe(outcome: &Outcome<'_>) -> Vec<Variable> {
    let report = outcome.report;
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let of_report = |count: fn(&pileus::backup::BackupReport) -> u64| number(report.map(count));
    let snapshot = outcome.snapshot().map(ToString::to_string);
    let told = [
        ("PILEUS_RUN_RESULT", outcome.result().to_owned()),
        ("PILEUS_RUN_EXIT_CODE", outcome.code().to_string()),
        ("PILEUS_RUN_SNAPSHOT", snapshot.unwrap_or_default()),
        (
            "PILEUS_RUN_ERROR",
            outcome.error.clone().unwrap_or_default(),
        ),
        ("PILEUS_RUN_PROBLEMS", of_report(|r| r.problems)),
        ("PILEUS_RUN_ENTRIES", of_report(|r| r.entries.total())),
        ("PILEUS_RUN_SOURCE_BYTES", of_report(|r| r.source_bytes)),
        ("PILEUS_RUN_READ_BYTES", of_report(|r| r.read_bytes)),
        (
            "PILEUS_RUN_NEW_BYTES",
            of_report(|r| r.groups.new_data_bytes()),
        ),
        (
            "PILEUS_RUN_DISK_BYTES",
            of_report(|r| r.groups.total().disk_bytes),
        ),
    ];
    told.map(|(name, value)| (name, value.into())).into()
}

fn run(option: &str, command: Option<&str>, variables: Vec<Variable>) -> Result<()> {
    let Some(command) = command else {
        return Ok(());
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let status = Command::new("sh")
        .args(["-c", command])
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(stderr.context("cannot use standard error")?)
        .status()
        .with_context(|| format!("cannot start sh for {option}"))?;
    if !status.success() {
        bail!("{option}=\"{command}\" failed ({status})");
    }
    Ok(())
}
