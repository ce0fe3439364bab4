//! Commands that look into a store: what they take.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{KeepArguments, Stored, Which};
use crate::cli::config::elsewhere::directory;

/// List the snapshots of a store
#[derive(Debug, Args)]
#[command(
    after_help = "Times are UTC, as in the names of snapshots; those of --snapshot=@TIME are local.\n\nExample: pileus list --dest=/mnt/backup"
)]
pub(crate) struct List {
    /// Directory of the store
    #[arg(long, alias = "store", value_name = "DIR", value_parser = directory())]
    pub(crate) dest: PathBuf,

    /// Only snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,

    /// Snapshots of all series, whatever scheme is configured
    #[arg(long, conflicts_with = "scheme")]
    pub(crate) all_schemes: bool,
}

/// List the entries of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus ls -l --dest=/mnt/backup home/user")]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Show type, mode, owner, size and modification time (UTC)
    #[arg(short, long)]
    pub(crate) long: bool,

    /// List only these, with all below them [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Print the contents of files of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus cat --dest=/mnt/backup etc/fstab")]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The files, one behind the other
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
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
#[command(
    after_help = "Times are UTC.\n\nExample: pileus find --dest=/mnt/backup /home/user/letter.txt"
)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// What to find, as with --exclude of backup: * and ? stop at /, ** does not, a leading / anchors
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<OsString>,
}

/// Tell what changed between two snapshots, or since one on the disk
#[derive(Debug, Args)]
#[command(
    after_help = "Times that -v shows are UTC; those of @TIME are local.\n\nExample: pileus diff --dest=/mnt/backup @3d latest"
)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// The older snapshot: latest, a name, the beginning of one, or @TIME
    #[arg(value_name = "A")]
    pub(crate) old: String,

    /// The newer snapshot [default: the files on the disk]
    #[arg(value_name = "B")]
    pub(crate) new: Option<String>,

    /// Where stored paths begin on the disk [default: /]
    #[arg(long, value_name = "DIR", value_parser = directory(), conflicts_with = "new")]
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
}

/// Show how large a store is, and how it grew
#[derive(Debug, Args)]
#[command(after_help = "Example: pileus stats --dest=/mnt/backup")]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// Directory of the local state, which knows how much of each segment is used
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: Option<PathBuf>,
}

/// Write a page about a store: growth, changes, problems, next prune
#[derive(Debug, Args)]
#[command(
    after_help = "Example: pileus report --dest=/mnt/backup --localdb=/var/lib/pileus -o report.html"
)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) stored: Stored,

    /// Directory of the local state, which knows how the last backups ended and how much of each segment is used
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub(crate) localdb: Option<PathBuf>,

    /// Write the page into this file, replacing it in one step [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) keep: KeepArguments,
}
