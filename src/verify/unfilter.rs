//! Tells a wrong `--unfilter` from damage: segments that it does not undo, though their files are what their sums say.

use super::Damage;
use super::findings::Findings;
use super::segments::Segments;
use super::sums::Sums;
use crate::format::object_ref::SegmentId;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::wording::count;

/// Segments whose files are whole and that the program could not undo.
pub(super) struct Unread {
    ids: Vec<SegmentId>,
    /// Why the first of them could not be read.
    reason: String,
    /// Whether the program could undo others.
    some_were_read: bool,
}

/// Returns what the program could not undo, if there is anything.
pub(super) fn unread(
    findings: &Findings,
    segments: &Segments,
    catalog: &Catalog,
    sums: &Sums<'_>,
) -> Option<Unread> {
    let is_meant = |id: SegmentId| catalog.needs_program(id) && sums.knows(id);
    let unread = findings
        .unread()
        .map(|(number, reason)| (segments.id(number), reason));
    let (ids, reasons): (Vec<_>, Vec<_>) = unread.filter(|(id, _)| is_meant(*id)).unzip();
    let reason = (*reasons.first()?).to_owned();
    let some_were_read = findings
        .read()
        .any(|number| catalog.needs_program(segments.id(number)));
    Some(Unread {
        ids,
        reason,
        some_were_read,
    })
}

impl Unread {
    /// Whether the program could undo nothing at all.
    pub(super) fn is_everything(&self) -> bool {
        !self.some_were_read
    }

    /// Reports this, and files that differ from their sums, which is all the damage that is known where nothing could be read.
    pub(super) fn report(&self, catalog: &Catalog, sums: &Sums<'_>, monitor: &Counter<'_>) {
        for (id, reason) in sums.wrong() {
            monitor.problem(name(catalog, id).as_bytes(), reason);
        }
        monitor.problem(b"--unfilter", self.told(catalog));
    }

    /// Whether these are all the segments that something is wrong with.
    pub(super) fn is_all_of(&self, damage: &Damage) -> bool {
        damage.segments.iter().all(|id| self.ids.contains(id))
    }

    /// Says what is wrong, and that it is no damage, as the rest of a sentence.
    pub(super) fn told(&self, catalog: &Catalog) -> String {
        format!(
            "does not undo {}, such as {} ({}), though the files are what their sums say: see that it is the command, with the \
             right key, that undoes the filter of the backups that wrote them",
            count(self.ids.len() as u64, "segment"),
            name(catalog, self.ids[0]),
            self.reason
        )
    }
}

fn name(catalog: &Catalog, id: SegmentId) -> String {
    let file = catalog.segment_file(id);
    file.map_or_else(|| id.to_string(), |file| file.display().to_string())
}
