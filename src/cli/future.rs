//! Warns of snapshots of the future where a command takes the latest one, or shows all.

use std::path::Path;

use jiff::Timestamp;
use pileus::monitor::{Event, Monitor};
use pileus::snapshot;
use pileus::store::catalog::Catalog;

use super::arguments::{Command, Which};
use crate::console::Console;

/// Warns if what `latest` means, or what is listed, depends on a clock that is wrong.
pub(super) fn warn(command: &Command, console: &Console) {
    let Some((store, scheme)) = concerned(command) else {
        return;
    };
    // What is wrong with the store, the command itself says.
    let Ok(catalog) = Catalog::open(store) else {
        return;
    };
    if let Some(told) = snapshot::future::warning(&catalog, scheme, store, Timestamp::now()) {
        console.event(&Event::Warning(&told));
    }
}

/// Returns the store and the scheme of a command that snapshots of the future concern.
fn concerned(command: &Command) -> Option<(&Path, Option<&str>)> {
    let of_latest = |which: &Which| which.snapshot == "latest";
    let stored = match command {
        Command::List(list) => return Some((&list.dest, list.scheme.as_deref())),
        Command::Restore(restore) if of_latest(&restore.which) => &restore.which.stored,
        Command::Ls(ls) if of_latest(&ls.which) => &ls.which.stored,
        Command::Cat(cat) if of_latest(&cat.which) => &cat.which.stored,
        Command::Export(export) if of_latest(&export.which) => &export.which.stored,
        Command::Diff(diff)
            if [Some(&diff.old), diff.new.as_ref()].contains(&Some(&"latest".to_owned())) =>
        {
            &diff.stored
        }
        Command::Verify(verify) if verify.snapshot == "latest" => &verify.stored,
        Command::Report(report) => &report.stored,
        _ => return None,
    };
    Some((&stored.dest, stored.scheme.as_deref()))
}
