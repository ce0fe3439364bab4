//! The options of a backup of what comes through a pipe, and what stands behind `--`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use pileus::backup::{Piped, PipedFrom};

/// What takes the place of PATHs.
#[derive(Debug, Args)]
pub(crate) struct PipingArguments {
    /// Back up what standard input has, as one file of this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["paths", "files_from", "as_path", "stdin_from_command"])]
    stdin_name: Option<OsString>,

    /// Back up what COMMAND writes, as one file of this name; no snapshot is made if it fails
    #[arg(long, value_name = "NAME", requires = "behind_dashes", conflicts_with_all = ["paths", "files_from", "as_path"])]
    stdin_from_command: Option<OsString>,

    /// The command of --stdin-from-command, run without a shell; otherwise more PATHs
    #[arg(last = true, value_name = "COMMAND")]
    behind_dashes: Vec<OsString>,
}

impl PipingArguments {
    /// Returns PATHs that stand behind `--` because they look like options.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let is_command = self.stdin_from_command.is_some();
        let words = self.behind_dashes.iter().filter(move |_| !is_command);
        words.map(PathBuf::from)
    }

    /// Interprets what comes through a pipe, if something does.
    pub(super) fn piped(&self) -> Result<Option<Piped>, String> {
        if let Some(name) = &self.stdin_from_command {
            let from = PipedFrom::Command(self.behind_dashes.clone());
            let piped = Piped::parse(name, from);
            return piped
                .map(Some)
                .map_err(|e| format!("--stdin-from-command: {e}"));
        }
        let Some(name) = &self.stdin_name else {
            return Ok(None);
        };
        if !self.behind_dashes.is_empty() {
            return Err(
                "--stdin-name goes with no PATH: for a command, use --stdin-from-command=NAME -- COMMAND"
                    .to_owned(),
            );
        }
        let piped = Piped::parse(name, PipedFrom::StandardInput);
        let piped = piped.map_err(|e| format!("--stdin-name: {e}"))?;
        if io::stdin().is_terminal() {
            return Err(
                "standard input is a terminal: pipe something into pileus, or use --stdin-from-command=NAME -- COMMAND"
                    .to_owned(),
            );
        }
        Ok(Some(piped))
    }
}
