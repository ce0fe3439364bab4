//! What a restore says of its PATHs and rules once the log was read: those that mean nothing of the snapshot, and what nobody can know.
//!
//! A restore that brings back nothing has gone wrong, even if each of its steps went well: whoever asks for nothing has mistyped a
//! pattern or a path. So it says so, and does not end as if all were back.

use std::path::Path;

use anyhow::{Result, bail};

use super::RestoreOptions;
use crate::chosen::Wanted;
use crate::format::descriptor::Descriptor;
use crate::monitor::Counter;
use crate::snapshot;
use crate::wording::count;

/// Fails if there was nothing to restore, and names the PATHs that are not there. `items` counts what was read of the log, and lost.
pub(super) fn check_found(
    options: &RestoreOptions,
    wanted: &Wanted,
    items: (u64, u64),
    monitor: &Counter<'_>,
) -> Result<()> {
    let snapshot = &options.snapshot;
    if let (0, 1..) = items {
        let filter = options.unfilter.as_ref().map_or("", |_| {
            "see that --unfilter is the command, with the right key, that undoes the filter; else "
        });
        bail!(
            "nothing of the metadata of snapshot {snapshot} can be read: {filter}choose another one with --snapshot ({} names them)",
            snapshot::listing(&options.store)
        );
    }
    let mut unmet = wanted.chosen.unmet().peekable();
    if let Some(first) = unmet.peek()
        && wanted.chosen.unmet().count() == options.paths.len()
    {
        bail!(
            "{first} {}",
            snapshot::lacks(&options.store, snapshot, first, items.1 > 0)
        );
    }
    for path in unmet {
        monitor.problem(
            path.as_bytes(),
            snapshot::lacks(&options.store, snapshot, path, items.1 > 0),
        );
    }
    if let Some(left_out) = wanted.all_left_out() {
        let entries = match left_out {
            1 => "the only entry".to_owned(),
            _ => format!("all {}", count(left_out, "entry")),
        };
        let of_paths = if options.paths.is_empty() {
            ""
        } else {
            " of the PATHs"
        };
        monitor.problem(
            b"--exclude",
            format_args!("nothing is restored: the rules leave out {entries}{of_paths}"),
        );
    }
    Ok(())
}

/// Tells how much of the snapshot is known, if not all of its log could be read.
pub(super) fn tell_lost(
    store: &Path,
    descriptor: &Descriptor,
    (found, lost): (u64, u64),
    monitor: &Counter<'_>,
) {
    if lost > 0 {
        let of_all = descriptor
            .totals
            .map_or(String::new(), |totals| format!(" of {}", totals.entries));
        monitor.warn(&format!(
            "only {found}{of_all} entries of the snapshot are known: for the others, choose an earlier one with --snapshot ({} names them)",
            snapshot::listing(store)
        ));
    }
}
