//! The command line's definition: every subcommand, option and help text. Those of backup and restore are here, the others below.

mod itself;
mod keeping;
mod looking;
mod words;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::choosing::{ChoosingArguments, RuleArguments};
use super::config::elsewhere::directory;
use super::hooks::HookArguments;
use super::piping::PipingArguments;
use super::waiting::WaitArguments;
use crate::console::{Verbosity, help_columns};

pub(crate) use itself::{Completions, Config, ConfigAction, Man};
pub(crate) use keeping::{Clean, KeepArguments, Prune, Rebuild, Verify};
pub(crate) use looking::{Cat, Diff, Export, Find, List, Ls, Report, Stats};
use words::Words;

/// Where help has the options that every command takes; without it, they would stand between those of the command.
const OF_ALL: &str = "Options of every command";

/// Snapshot backups into plain tar segments.
///
/// The store is a directory to which files are only ever added. sha1sum verifies it, and bzip2 and tar open it.
#[derive(Debug, Parser)]
#[command(
    name = "pileus",
    bin_name = "pileus",
    version,
    max_term_width = help_columns(),
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Name each path
    #[arg(short, long, global = true, help_heading = OF_ALL, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    /// Print only errors, problems and what was asked for
    #[arg(short, long, global = true, help_heading = OF_ALL)]
    pub(crate) quiet: bool,

    /// Print one JSON object a line, the last one a summary
    #[arg(long, global = true, help_heading = OF_ALL)]
    pub(crate) json: bool,

    /// Show how far the run has come: auto (if standard error is a terminal), always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = OF_ALL)]
    #[arg(value_parser = Words(&["auto", "always", "never"]), hide_possible_values = true)]
    pub(crate) progress: String,

    /// Read this configuration file and no other
    #[arg(long, global = true, help_heading = OF_ALL, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Use what the configuration says of this profile
    #[arg(long, global = true, help_heading = OF_ALL, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

impl Arguments {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Paths,
            _ => Verbosity::Normal,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // In a box, since it has many options; clippy::large_enum_variant.
    Backup(Box<Backup>),
    Restore(Restore),
    List(List),
    Ls(Ls),
    Cat(Cat),
    Export(Export),
    Find(Find),
    Diff(Diff),
    Stats(Stats),
    Report(Report),
    Verify(Verify),
    Prune(Prune),
    Clean(Clean),
    Rebuild(Rebuild),
    Completions(Completions),
    Man(Man),
    Config(Config),
}

impl Command {
    /// Whether all that the command does is to print.
    pub(crate) fn is_only_output(&self) -> bool {
        if let Self::Report(report) = self {
            return report
                .output
                .as_ref()
                .is_none_or(|file| file == Path::new("-"));
        }
        !matches!(
            self,
            Self::Backup(_)
                | Self::Restore(_)
                | Self::Verify(_)
                | Self::Prune(_)
                | Self::Clean(_)
                | Self::Rebuild(_)
                | Self::Man(_)
        )
    }
}

/// Make a snapshot of files and directories
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus backup --dest=/mnt/backup /home /etc")]
pub(crate) struct Backup {
    /// Directory of the store; made if only its last component is missing
    #[arg(long, alias = "store", value_name = "DIR", value_parser = directory())]
    pub(crate) dest: PathBuf,

    /// What to back up: all PATHs absolute or all relative
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "stdin_name", "stdin_from_command", "behind_dashes"])]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) piping: PipingArguments,

    /// Begin a store in a directory with other files, or in place of one whose disk is gone
    #[arg(long)]
    pub(crate) new_store: bool,

    /// Name of this series of snapshots, such as home
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Name of this machine in the snapshot [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// Directory of the local state [default: the store itself]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) choosing: ChoosingArguments,

    /// bzip2, zstd, gzip or none, with a level: zstd:9 [default: bzip2]; behind it ,all: also for what does not shrink
    #[arg(long, value_name = "CODEC[:LEVEL][,all]", hide_possible_values = true)]
    #[arg(value_parser = Words(&["bzip2", "zstd", "gzip", "none"]))]
    pub(crate) compression: Option<String>,

    /// Send each segment through this shell command, such as "gpg -e -r KEY"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) filter: Option<String>,

    /// What the filter adds to file names, such as .gpg (known for common programs)
    #[arg(long, value_name = "EXT")]
    pub(crate) filter_extension: Option<String>,

    /// Send the snapshot descriptor through this shell command, such as "gpg --clearsign"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) signature_filter: Option<String>,

    /// Close segments at about this size on disk
    #[arg(long, value_name = "SIZE", default_value = "4M")]
    pub(crate) segment_size: String,

    /// Number of threads that compress [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<String>,

    /// Refer to blocks that the store has: always, verify (compare them with what is stored) or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "always",
        hide_possible_values = true
    )]
    #[arg(value_parser = Words(&["always", "verify", "never"]))]
    pub(crate) deduplicate: String,

    /// Read every file, whatever its times say, and tell which changed all the same
    #[arg(long)]
    pub(crate) reread: bool,

    /// Write the metadata of every file anew
    #[arg(long)]
    pub(crate) full_metadata: bool,

    /// Make a checkpoint, from which an interrupted run goes on, each time so much is stored
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub(crate) checkpoint: String,

    /// Keep checkpoints when the snapshot is complete
    #[arg(long)]
    pub(crate) leave_checkpoints: bool,

    /// Copy files that keep changing aside up to this size, 0 for never [default: 10 % of the free space]
    #[arg(long, value_name = "SIZE")]
    pub(crate) staging_size: Option<String>,

    #[command(flatten)]
    pub(crate) wait: WaitArguments,

    /// Mark poorly used segments as expired first, as clean does
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) clean: bool,

    /// Make no snapshot if nothing changed since the last one of the series
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,

    /// Take it as meant that a source has lost most of what it had
    #[arg(long)]
    pub(crate) accept_loss: bool,

    /// Do everything but write, and tell what would be done; with -v which rule decides about each path
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) hooks: HookArguments,

    /// Write how the backup went into this file, for the node exporter of Prometheus
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

/// Which snapshots of which store, and how they are read.
#[derive(Debug, Args)]
pub(crate) struct Stored {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR", value_parser = directory())]
    pub(crate) dest: PathBuf,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Snapshots of all series, whatever scheme is configured
    #[arg(long, conflicts_with = "scheme")]
    pub(crate) all_schemes: bool,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

/// Which snapshot of which store.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// latest, a name, the beginning of one, or @TIME (local time): @2026-11-01, @2026-11-01T12:00, @3d
    #[arg(long, value_name = "S", default_value = "latest")]
    pub(crate) snapshot: String,
}

/// Bring files back from a snapshot
#[derive(Debug, Args)]
#[command(
    after_help = "Example: pileus restore --dest=/mnt/backup --target=/tmp/back home/user/letter.txt"
)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Directory to restore into; made if only its last component is missing
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) target: PathBuf,

    /// Restore only these, with all below them [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rules: RuleArguments,

    /// Delete what the snapshot does not have, in the trees that are restored
    #[arg(long)]
    pub(crate) delete: bool,

    /// Tell what would be restored, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Replace existing files: never, always, if-changed (size or time differ) or if-newer (the snapshot's is)
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "never",
        hide_possible_values = true
    )]
    #[arg(value_parser = Words(&["never", "always", "if-changed", "if-newer"]))]
    pub(crate) overwrite: String,

    /// Set owners by number, not by name
    #[arg(long, conflicts_with = "no_owner")]
    pub(crate) numeric_owner: bool,

    /// Do not set owners
    #[arg(long)]
    pub(crate) no_owner: bool,

    /// Do not set extended attributes
    #[arg(long)]
    pub(crate) no_xattrs: bool,

    /// Write zeros instead of leaving holes
    #[arg(long)]
    pub(crate) no_sparse: bool,

    /// Number of threads that read segments [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<String>,

    /// Let this shell command check the signed descriptor on its standard input, such as "gpg --verify"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) verify_signature: Option<String>,
}
