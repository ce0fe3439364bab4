//! What is said of a store with several series of snapshots: that the last one is that of any, or that a configured scheme hides the others.

use std::collections::BTreeSet;
use std::path::Path;

use pileus::format::snapshot_name::SnapshotName;
use pileus::monitor::{Event, Monitor as _};
use pileus::store::catalog::Catalog;
use pileus::wording::{self, count};

use super::arguments::{Command, Which};
use super::config::Expanded;
use crate::console::Console;

/// Reports series that a command passes over, or may mix up, before it prints anything else.
pub(super) fn note(command: &Command, expanded: &Expanded, console: &Console) {
    let configured = expanded.is_configured("--scheme");
    if let Some(hidden) = narrowed(command)
        .filter(|_| configured)
        .and_then(|narrowed| hidden(&narrowed))
    {
        // Also for cron: "no damage" in one series says nothing about the others.
        console.event(&Event::Warning(&hidden));
        return;
    }
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

/// A command that looks at the snapshots of one scheme only.
struct Narrowed<'a> {
    store: &'a Path,
    scheme: &'a str,
    /// What the command does with snapshots.
    does: &'static str,
}

/// Returns the store and scheme of a command that reads.
fn narrowed(command: &Command) -> Option<Narrowed<'_>> {
    if let Command::List(list) = command {
        return Some(Narrowed {
            store: &list.dest,
            scheme: list.scheme.as_deref()?,
            does: "lists",
        });
    }
    let (stored, does) = match command {
        Command::Restore(restore) => (&restore.which.stored, "chooses among"),
        Command::Ls(ls) => (&ls.which.stored, "chooses among"),
        Command::Cat(cat) => (&cat.which.stored, "chooses among"),
        Command::Export(export) => (&export.which.stored, "chooses among"),
        Command::Diff(diff) => (&diff.stored, "chooses among"),
        Command::Find(find) => (&find.stored, "looks into"),
        Command::Stats(stats) => (&stats.stored, "counts"),
        Command::Report(report) => (&report.stored, "reports on"),
        Command::Verify(verify) => (&verify.stored, "verifies"),
        _ => return None,
    };
    Some(Narrowed {
        store: &stored.dest,
        scheme: stored.scheme.as_deref()?,
        does,
    })
}

/// Says how many snapshots are passed over; none if there are no others.
fn hidden(narrowed: &Narrowed<'_>) -> Option<String> {
    // The command itself reports what is wrong with the store.
    let catalog = Catalog::open(narrowed.store).ok()?;
    let names = catalog.snapshots().map(SnapshotName::scheme);
    let others: Vec<_> = names.filter(|scheme| *scheme != narrowed.scheme).collect();
    let schemes: BTreeSet<_> = others.iter().collect();
    let (snapshots, schemes) = (others.len() as u64, schemes.len() as u64);
    let are = if snapshots == 1 { "is" } else { "are" };
    (snapshots > 0).then(|| {
        format!(
            "{} of {} {are} not shown; --all-schemes {} all",
            count(snapshots, "snapshot"),
            count(schemes, "other scheme"),
            narrowed.does
        )
    })
}

fn told(which: &Which) -> Option<String> {
    let wanted = &which.snapshot;
    let may_be_any = wanted == "latest" || wanted.starts_with('@');
    if which.stored.scheme.is_some() || which.stored.all_schemes || !may_be_any {
        return None;
    }
    // The command itself reports what is wrong with the store.
    let catalog = Catalog::open(&which.stored.dest).ok()?;
    let series: BTreeSet<_> = catalog.snapshots().map(SnapshotName::scheme).collect();
    let schemes = wording::schemes(series.iter().copied())?;
    (series.len() > 1).then(|| {
        format!(
            "{wanted} is that of all series of the store ({schemes}): --scheme=NAME chooses one"
        )
    })
}
