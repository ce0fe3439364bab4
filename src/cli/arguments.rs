//! The command line's definition: every subcommand, option and help text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::choosing::{ChoosingArguments, RuleArguments};
use super::hooks::HookArguments;
use super::piping::PipingArguments;
use crate::console::Verbosity;

/// Where help has the options that every command takes; without it, they would stand between those of the command.
const OF_ALL: &str = "Options of every command";

/// Snapshot backups into plain tar segments.
///
/// The store is a directory to which files are only ever added. sha1sum verifies it, and bzip2 and tar open it.
#[derive(Debug, Parser)]
#[command(
    name = "pileus",
    version,
    max_term_width = 100,
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

    /// Print nothing but errors and problems
    #[arg(short, long, global = true, help_heading = OF_ALL)]
    pub(crate) quiet: bool,

    /// Print one JSON object a line, the last one a summary
    #[arg(long, global = true, help_heading = OF_ALL)]
    pub(crate) json: bool,

    /// Show how far the run has come: auto (if standard error is a terminal), always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = OF_ALL)]
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
    Verify(Verify),
    Prune(Prune),
    Clean(Clean),
    Rebuild(Rebuild),
    Completions(Completions),
    Man(Man),
    Config(Config),
}

/// Make a snapshot of files and directories
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus backup --dest=/mnt/backup /home /etc")]
pub(crate) struct Backup {
    /// Directory of the store; made if only its last component is missing
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// What to back up: all PATHs absolute or all relative
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "stdin_name", "stdin_from_command", "behind_dashes"])]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) piping: PipingArguments,

    /// Name of this series of snapshots, such as home
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Directory of the local state [default: the store itself]
    #[arg(long, value_name = "DIR")]
    pub(crate) localdb: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) choosing: ChoosingArguments,

    /// bzip2, zstd, gzip or none, with a level: zstd:9 [default: bzip2]
    #[arg(long, value_name = "CODEC[:LEVEL]")]
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
    #[arg(long, value_name = "WHEN", default_value = "always")]
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

    /// Mark poorly used segments as expired first, as clean does
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) clean: bool,

    /// Make no snapshot if nothing changed since the last one of the series
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,

    /// Do everything but write, and tell what would be done; with -v which rule decides about each path
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) hooks: HookArguments,

    /// Write how the backup went into this file, for the node exporter of Prometheus
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

/// Which snapshot of which store.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// latest, a name, the beginning of one, or @TIME: @2026-11-01, @2026-11-01T12:00, @3d
    #[arg(long, value_name = "S", default_value = "latest")]
    pub(crate) snapshot: String,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
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
    #[arg(long, value_name = "DIR")]
    pub(crate) target: PathBuf,

    /// Restore only these, with all below them [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rules: RuleArguments,

    /// Tell what would be restored, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Replace existing files: never, always, if-changed (size or time differ) or if-newer (the snapshot's is)
    #[arg(long, value_name = "WHEN", default_value = "never")]
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

/// List the snapshots of a store
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus list --dest=/mnt/backup")]
pub(crate) struct List {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,
}

/// List the entries of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus ls -l --dest=/mnt/backup home/user")]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Show type, mode, owner, size and time
    #[arg(short, long)]
    pub(crate) long: bool,

    /// List only these, with all below them [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Print the contents of a file of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus cat --dest=/mnt/backup etc/fstab")]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The file
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// Write a snapshot as a tar archive to standard output
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus export --dest=/mnt/backup home/user | tar x -C /tmp/back")]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Only these, with all below them [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Find every version of paths over all snapshots
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus find --dest=/mnt/backup /home/user/letter.txt")]
pub(crate) struct Find {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// What to find, as with --exclude of backup: * and ? stop at /, ** does not, a leading / anchors
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<OsString>,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

/// Tell what changed between two snapshots, or since one on the disk
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus diff --dest=/mnt/backup @3d latest")]
pub(crate) struct Diff {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// The older snapshot: latest, a name, the beginning of one, or @TIME
    #[arg(value_name = "A")]
    pub(crate) old: String,

    /// The newer snapshot [default: the files on the disk]
    #[arg(value_name = "B")]
    pub(crate) new: Option<String>,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Where stored paths begin on the disk [default: /]
    #[arg(long, value_name = "DIR", conflicts_with = "new")]
    pub(crate) root: Option<PathBuf>,

    /// Read files on the disk even if size and time are those of the snapshot
    #[arg(long, conflicts_with = "new")]
    pub(crate) contents: bool,

    /// Compare only this, with all below it
    #[arg(long, value_name = "PATH")]
    pub(crate) only: Vec<PathBuf>,

    /// Leave out what matches, as backup does
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<OsString>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

/// Show how large a store is, and how it grew
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus stats --dest=/mnt/backup")]
pub(crate) struct Stats {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Directory of the local state, which knows how much of each segment is used
    #[arg(long, value_name = "DIR")]
    pub(crate) localdb: Option<PathBuf>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

/// Check a store without changing it
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus verify --dest=/mnt/backup --level=files")]
pub(crate) struct Verify {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// all, latest, a name, the beginning of one, or @TIME
    #[arg(long, value_name = "S", default_value = "all")]
    pub(crate) snapshot: String,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Read only so many per cent of the segments, others each time; the SEED that was told repeats a run
    #[arg(long, value_name = "PERCENT[:SEED]")]
    pub(crate) sample: Option<String>,

    /// sums (files of the store), objects (also all that is in them) or files (also all contents)
    #[arg(long, value_name = "LEVEL", default_value = "sums")]
    pub(crate) level: String,

    /// Let this shell command check every descriptor on its standard input, such as "gpg --verify"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) verify_signature: Option<String>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

/// Remove snapshots, and then what only they needed
#[derive(Debug, Args)]
#[command(
    after_help = "Example: pileus prune --dest=/mnt/backup --keep-daily=14 --keep-monthly=12 --dry-run"
)]
pub(crate) struct Prune {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// Directory of the local state [default: the store itself, if it has any]
    #[arg(long, value_name = "DIR")]
    pub(crate) localdb: Option<PathBuf>,

    /// Apply the rules to this series of snapshots only [default: to each by itself]
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Keep the last N snapshots; N is a number or all, here and below
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<String>,

    /// Keep the last snapshot of each of the last N hours that have snapshots
    #[arg(long, value_name = "N")]
    pub(crate) keep_hourly: Option<String>,

    /// The same for days
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<String>,

    /// The same for weeks, which begin on Monday
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<String>,

    /// The same for months
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<String>,

    /// The same for quarters of a year
    #[arg(long, value_name = "N")]
    pub(crate) keep_quarterly: Option<String>,

    /// The same for years
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<String>,

    /// Keep all that is at most so much older than the latest snapshot: 36h, 14d, 2w, 6mo, 1y or sums such as 1y6mo
    #[arg(long, value_name = "AGE")]
    pub(crate) keep_within: Option<String>,

    /// Let no rule remove this snapshot from now on: a name or the beginning of one
    #[arg(long, value_name = "S")]
    pub(crate) pin: Vec<String>,

    /// Take the pin away again
    #[arg(long, value_name = "S")]
    pub(crate) unpin: Vec<String>,

    /// Remove this snapshot, whatever the rules say
    #[arg(long, value_name = "S")]
    pub(crate) remove: Vec<String>,

    /// Remove files that no snapshot needs only if they are older than this
    #[arg(long, value_name = "AGE", default_value = "1d")]
    pub(crate) orphan_age: String,

    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Let the next backup write again what is live in poorly used segments
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus clean --localdb=/mnt/backup --dry-run")]
pub(crate) struct Clean {
    /// Directory of the local state: that of the backups' --localdb, or the store
    #[arg(long, value_name = "DIR")]
    pub(crate) localdb: PathBuf,

    /// Mark segments as expired that are used less than this, as a part of 1
    #[arg(long, value_name = "UTILIZATION", default_value = super::clean::BELOW)]
    pub(crate) below: String,

    /// Print what would be marked, and mark nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Make local state anew from what the store has
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus rebuild --dest=/mnt/backup --localdb=/var/lib/pileus")]
pub(crate) struct Rebuild {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR")]
    pub(crate) dest: PathBuf,

    /// Directory of the local state; what is there is replaced [default: the store itself]
    #[arg(long, value_name = "DIR")]
    pub(crate) localdb: Option<PathBuf>,

    /// Only from snapshots of this series; local state then knows of no other
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Read all data too, so that every block and page is recognized
    #[arg(long)]
    pub(crate) deep: bool,

    /// Number of threads that read data [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<String>,

    /// Undo a filter that is not built in with this shell command, such as "gpg -d"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) unfilter: Option<String>,
}

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
    #[arg(value_name = "DIR")]
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
