//! Whether a plan leaves a snapshot whose backup had no problems.
//!
//! A backup with problems has all that could be read, and many have a file that can never be: the rules count it like any other, or a
//! store would never shrink. But where every snapshot that stays had problems, the newest one without may be the only one that has what
//! they lack; whoever prunes is told of it. Descriptors say how many problems there were; those of older programs do not, and pass for
//! whole only where they stay. A snapshot that was named to go is none that anybody has to be warned of.

use std::collections::BTreeMap;

use super::plan::{Cause, Fate, PlannedSnapshot};
use super::series::Series;
use super::survey::Survey;
use crate::format::snapshot_name::SnapshotName;

/// What is known of one series.
#[derive(Default)]
struct Found<'s> {
    /// Whether a snapshot stays that is not known to lack anything.
    keeps_whole: bool,
    /// The newest one without problems that no rule keeps.
    newest_to_go: Option<&'s SnapshotName>,
}

/// Returns, of each series that keeps no snapshot without problems, the newest such one that goes.
pub(super) fn last_without_problems(
    survey: &Survey,
    planned: &[PlannedSnapshot],
    series: &BTreeMap<String, Vec<Series>>,
) -> Vec<SnapshotName> {
    let all = series.values().flatten();
    all.filter_map(|series| last_of(survey, planned, &series.places))
        .collect()
}

fn last_of(survey: &Survey, planned: &[PlannedSnapshot], places: &[usize]) -> Option<SnapshotName> {
    let mut series = Found::default();
    for &at in places {
        let (snapshot, planned) = (&survey.snapshots[at], &planned[at]);
        let name = &snapshot.name;
        if name.is_checkpoint() {
            continue;
        }
        let is_good = snapshot.doubt.is_none() && snapshot.unreadable.is_none();
        match planned.fate {
            Fate::Kept(_) => {
                series.keeps_whole |= is_good && snapshot.problems.unwrap_or(0) == 0;
            }
            Fate::Removed(Cause::NoRule) if snapshot.problems == Some(0) => {
                series.newest_to_go = Some(name);
            }
            Fate::Removed(_) => {}
        }
    }
    let newest = series.newest_to_go.filter(|_| !series.keeps_whole);
    newest.cloned()
}
