//! Retention rules: which of a series of snapshots are kept, and by which rule. Pure: no files, no clock of its own.
//!
//! A rule such as `--keep-daily=7` keeps the latest snapshot of each of the last 7 days *that have snapshots*; days without one do
//! not count. Calendar periods are those of the local time zone. A rule that runs out of snapshots before it runs out of periods
//! keeps the oldest snapshot too, so that the history is as long as there is anything to keep. Both is what restic does, which
//! people know. Rules add up: what any of them keeps is kept.
//!
//! Whoever calls decides which snapshots take part. One whose time cannot be believed must not: it would take the place of
//! another, and that one would be removed.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::age::Age;
use crate::zone;

/// The period of which a rule keeps one snapshot each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Every snapshot is a period of its own.
    Last,
    /// Clock hours.
    Hourly,
    /// Calendar days.
    Daily,
    /// ISO weeks, from Monday on.
    Weekly,
    /// Calendar months.
    Monthly,
    /// Quarters of a year.
    Quarterly,
    /// Calendar years.
    Yearly,
}

impl Period {
    /// All periods, shortest first.
    pub const ALL: [Self; 7] = [
        Self::Last,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Quarterly,
        Self::Yearly,
    ];
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
            Self::Yearly => "yearly",
        })
    }
}

/// What is kept.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Of which periods one snapshot each is kept, and how many periods; a period stands here at most once.
    pub counts: Vec<(Period, usize)>,
    /// Everything that is not older than this before the latest snapshot is kept.
    pub within: Option<Age>,
    /// Where days begin and end.
    zone: TimeZone,
}

impl Rules {
    /// Makes rules that keep nothing yet, for days of the local time zone. Whether that is known, [`Self::check_zone`] says.
    #[must_use]
    pub fn of_local_days() -> Self {
        Self::of_days_in(zone::for_lengths())
    }

    /// Fails if a rule counts by days and the local time zone is not known.
    pub fn check_zone(&self) -> Result<(), String> {
        let counts = &self.counts;
        let has_periods = counts
            .iter()
            .any(|(period, count)| *period != Period::Last && *count > 0);
        if has_periods || self.within.is_some() {
            zone::local()?;
        }
        Ok(())
    }

    /// Makes rules that keep nothing yet, for days of a time zone.
    #[must_use]
    pub fn of_days_in(zone: TimeZone) -> Self {
        Self {
            counts: Vec::new(),
            within: None,
            zone,
        }
    }

    /// Tells whether there is no rule at all, which would keep nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.within.is_none() && self.counts.iter().all(|(_, count)| *count == 0)
    }
}

/// By what a snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeper {
    /// It is the latest of a period that the rule reaches.
    Latest(Period),
    /// It is the oldest of all, and the rule reaches further than the snapshots do.
    Oldest(Period),
    /// It is young enough for `--keep-within`.
    Within,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(period) => write!(f, "{period}"),
            Self::Oldest(period) => write!(f, "oldest {period}"),
            Self::Within => f.write_str("within"),
        }
    }
}

/// Tells for each of the `times` of one series by what it is kept; by nothing means that no rule keeps it. Equal times are told
/// apart by their place: the later one counts as the later snapshot.
#[must_use]
pub fn keepers(times: &[Timestamp], rules: &Rules) -> Vec<Vec<Keeper>> {
    let zone = &rules.zone;
    let mut latest_first: Vec<usize> = (0..times.len()).collect();
    latest_first.sort_by_key(|&at| std::cmp::Reverse((times[at], at)));
    let mut kept = vec![Vec::new(); times.len()];
    for &(period, count) in &rules.counts {
        // A set, and not only the period before: where clocks are set back over midnight, a day comes twice.
        let mut seen = HashSet::new();
        for &at in &latest_first {
            if seen.len() == count {
                break;
            }
            if seen.insert(bucket(period, times[at], at, zone)) {
                kept[at].push(Keeper::Latest(period));
            }
        }
        if let Some(&oldest) = latest_first.last()
            && seen.len() < count
            && !kept[oldest].contains(&Keeper::Latest(period))
        {
            kept[oldest].push(Keeper::Oldest(period));
        }
    }
    if let (Some(within), Some(&latest)) = (rules.within, latest_first.first()) {
        let limit = within.before_in(times[latest], zone);
        for at in latest_first {
            if times[at] >= limit {
                kept[at].push(Keeper::Within);
            }
        }
    }
    kept
}

/// Numbers the period that an instant is in. Hours are told apart by their offset from UTC too: where clocks are set back, two
/// hours have one name.
fn bucket(period: Period, instant: Timestamp, place: usize, zone: &TimeZone) -> (i64, i64) {
    let zoned = instant.to_zoned(zone.clone());
    let date = zoned.date();
    let (year, month) = (i64::from(date.year()), i64::from(date.month()));
    match period {
        Period::Last => (i64::try_from(place).unwrap_or(i64::MAX), 0),
        Period::Hourly => {
            let hour = day_number(date) * 24 + i64::from(zoned.hour());
            (hour, i64::from(zoned.offset().seconds()))
        }
        Period::Daily => (day_number(date), 0),
        Period::Weekly => {
            let week = date.iso_week_date();
            (i64::from(week.year()), i64::from(week.week()))
        }
        Period::Monthly => (year, month),
        Period::Quarterly => (year, (month - 1) / 3),
        Period::Yearly => (year, 0),
    }
}

fn day_number(date: Date) -> i64 {
    (i64::from(date.year()) * 100 + i64::from(date.month())) * 100 + i64::from(date.day())
}

#[cfg(test)]
mod tests;
