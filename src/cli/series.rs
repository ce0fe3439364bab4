//! What is told of a store with several series of snapshots where a command takes the last one of any.

use std::collections::BTreeSet;

use pileus::format::snapshot_name::SnapshotName;
use pileus::store::catalog::Catalog;
use pileus::wording;

use super::arguments::{Command, Which};
use crate::console::Console;

/// Tells whoever watches that there are other series to choose from. It is beside the output, which may be an archive.
pub(super) fn note(command: &Command, console: &Console) {
    let which = match command {
        Command::Restore(restore) => &restore.which,
        Command::Ls(ls) => &ls.which,
        Command::Export(export) => &export.which,
        _ => return,
    };
    if console.is_json() || !console.tells_aside() {
        return;
    }
    if let Some(told) = told(which) {
        console.note_aside(&told);
    }
}

fn told(which: &Which) -> Option<String> {
    let wanted = &which.snapshot;
    let may_be_any = wanted == "latest" || wanted.starts_with('@');
    if which.stored.scheme.is_some() || !may_be_any {
        return None;
    }
    // Of what is wrong with the store, the command itself tells.
    let catalog = Catalog::open(&which.stored.dest).ok()?;
    let series: BTreeSet<_> = catalog.snapshots().map(SnapshotName::scheme).collect();
    let schemes = wording::schemes(series.iter().copied())?;
    (series.len() > 1).then(|| {
        format!(
            "{wanted} is that of all series of the store ({schemes}): --scheme=NAME chooses one"
        )
    })
}
