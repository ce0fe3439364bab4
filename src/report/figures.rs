//! What the plots show: the store's size over time, and what was added in each stretch of time, by series.

use super::calendar::Unit;
use super::plot::{BARS_MAX, Bar};
use super::{Facts, added_disk};

/// Series that have a color of their own; the others share the last one.
pub(super) const COLORS: usize = 6;

/// What was added, gathered by stretches of time.
pub(super) struct Added {
    pub(super) unit: Unit,
    pub(super) bars: Vec<Bar>,
    /// Where the axis may have a mark, with what stands there.
    pub(super) marks: Vec<(usize, String)>,
    /// What came before the first bar.
    pub(super) earlier_bytes: u64,
}

/// Returns how large the store was after each snapshot: second and bytes, by time.
pub(super) fn growth(facts: &Facts<'_>) -> Vec<(i64, u64)> {
    let mut points: Vec<_> = facts
        .snapshots
        .iter()
        .map(|stats| (stats.date.as_second(), stats.new_disk_bytes))
        .collect();
    // The time of older programs' names was local.
    points.sort_unstable();
    let mut bytes = 0_u64;
    for point in &mut points {
        bytes = bytes.saturating_add(point.1);
        point.1 = bytes;
    }
    points
}

/// Gathers what complete snapshots and checkpoints added.
pub(super) fn added(facts: &Facts<'_>) -> Option<Added> {
    let seconds = facts.snapshots.iter().map(|stats| stats.date.as_second());
    let (from, to) = (seconds.clone().min()?, seconds.max()?);
    let unit = Unit::to_divide(from, to, BARS_MAX);
    let last = unit.index(to);
    let first = unit.index(from).max(last.saturating_sub(BARS_MAX - 1));
    let mut bars: Vec<_> = (first..=last)
        .map(|index| Bar {
            label: unit.label(index),
            parts: (0..COLORS).map(|color| (color, 0)).collect(),
        })
        .collect();
    let mut earlier_bytes = 0_u64;
    for stats in &facts.snapshots {
        let bytes = added_disk(stats);
        let place = usize::try_from(unit.index(stats.date.as_second()) - first);
        let Some(bar) = place.ok().and_then(|place| bars.get_mut(place)) else {
            earlier_bytes = earlier_bytes.saturating_add(bytes);
            continue;
        };
        let part = &mut bar.parts[color(facts, stats.name.scheme())].1;
        *part = part.saturating_add(bytes);
    }
    let marks = bars.iter().enumerate().map(|(at, bar)| {
        let label = bar.label.strip_prefix("week of ").unwrap_or(&bar.label);
        (at, shortened(unit, label))
    });
    Some(Added {
        marks: marks.collect(),
        unit,
        bars,
        earlier_bytes,
    })
}

/// Returns what of a label has room below a bar.
fn shortened(unit: Unit, label: &str) -> String {
    let words: Vec<_> = label.split(' ').collect();
    match (unit, &words[..]) {
        (Unit::Hour, [.., time]) => (*time).to_owned(),
        (Unit::Day | Unit::Week, [day, month, ..]) => format!("{day} {month}"),
        _ => label.to_owned(),
    }
}

/// Returns the number of a series' color.
pub(super) fn color(facts: &Facts<'_>, scheme: &str) -> usize {
    // Those behind the last color share it.
    let place = facts
        .schemes
        .iter()
        .take(COLORS)
        .position(|series| series.scheme == scheme);
    place.unwrap_or(COLORS).min(COLORS - 1)
}
