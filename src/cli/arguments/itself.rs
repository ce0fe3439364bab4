//! Commands about pileus itself: what they take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::config::elsewhere::directory;

/// Print what a shell needs to complete command lines
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus completions bash > /etc/bash_completion.d/pileus")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Write manual pages of all commands
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Where to; made if it is missing
    #[arg(value_name = "DIR", value_parser = directory())]
    pub(crate) directory: PathBuf,
}

/// Look at the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus config show --profile=home")]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print what is configured for a command, and where each value came from
    #[command(after_help = "Example: pileus config show prune")]
    Show {
        /// The command
        #[arg(value_name = "COMMAND", default_value = "backup")]
        command: String,
    },
}
