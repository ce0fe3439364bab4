//! Commands that keep a store in order: what they take.

use std::path::PathBuf;

use clap::Args;

use super::{Stored, Words};
use crate::cli::config::elsewhere::directory;
use crate::cli::waiting::WaitArguments;

/// Check a store without changing it
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus verify --dest=/mnt/backup --level=files")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// all, latest, a name, the beginning of one, or @TIME
    #[arg(long, value_name = "S", default_value = "all")]
    pub(crate) snapshot: String,

    /// Read only so many per cent of the segments, others each time; the SEED that was told repeats a run
    #[arg(long, value_name = "PERCENT[:SEED]")]
    pub(crate) sample: Option<String>,

    /// sums (files of the store), objects (also all that is in them) or files (also all contents)
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "sums",
        hide_possible_values = true
    )]
    #[arg(value_parser = Words(&["sums", "objects", "files"]))]
    pub(crate) level: String,

    /// Let this shell command check every descriptor on its standard input, such as "gpg --verify"
    #[arg(long, value_name = "COMMAND")]
    pub(crate) verify_signature: Option<String>,

    /// Directory of the local state, for advice about damage [default: the store itself, if it has any]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: Option<PathBuf>,
}

/// Which snapshots a prune keeps.
#[derive(Debug, Args)]
pub(crate) struct KeepArguments {
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
}

/// Remove snapshots, and then what only they needed
#[derive(Debug, Args)]
#[command(
    after_help = "Example: pileus prune --dest=/mnt/backup --keep-daily=14 --keep-monthly=12 --dry-run"
)]
pub(crate) struct Prune {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR", value_parser = directory())]
    pub(crate) dest: PathBuf,

    /// Directory of the local state [default: the store itself, if it has any]
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: Option<PathBuf>,

    /// Apply the rules to this series of snapshots only [default: to each by itself]
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Apply the rules to all snapshots of a scheme together, whichever host made them
    #[arg(long)]
    pub(crate) scheme_of_all_hosts: bool,

    #[command(flatten)]
    pub(crate) keep: KeepArguments,

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

    #[command(flatten)]
    pub(crate) wait: WaitArguments,
}

/// Let the next backup rewrite what is live in poorly used segments
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus clean --localdb=/mnt/backup --dry-run")]
pub(crate) struct Clean {
    /// Directory of the local state: that of the backups' --localdb, or the store
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: PathBuf,

    /// Mark segments as expired that are used less than this, as a part of 1
    #[arg(long, value_name = "UTILIZATION", default_value = crate::cli::clean::BELOW)]
    pub(crate) below: String,

    /// Mark this segment instead, which is damaged or gone: by its name, several times if need be
    #[arg(long, value_name = "SEGMENT")]
    pub(crate) lost: Vec<String>,

    /// Mark the segments that this file names, a line each or as verify --json does; -: standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) lost_from: Vec<PathBuf>,

    /// Print what would be marked, and mark nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) wait: WaitArguments,
}

/// Make local state anew from what the store has
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus rebuild --dest=/mnt/backup --localdb=/var/lib/pileus")]
pub(crate) struct Rebuild {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR", value_parser = directory())]
    pub(crate) dest: PathBuf,

    /// Directory of the local state; what is there is replaced [default: the store itself]
    #[arg(long, value_name = "DIR", value_parser = directory())]
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

    #[command(flatten)]
    pub(crate) wait: WaitArguments,
}
