//! Hours, days, weeks, months and years, numbered: what bars are gathered by, and where a time axis has its marks. All in UTC.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

/// A stretch of time that people count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
    Year,
}

const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// From the Monday of the first week of 1970 to 1970.
const MONDAY: i64 = 3 * DAY;

impl Unit {
    const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Returns the number of the stretch that a second is in.
    pub(super) fn index(self, second: i64) -> i64 {
        match self {
            Self::Hour => second.div_euclid(HOUR),
            Self::Day => second.div_euclid(DAY),
            Self::Week => (second + MONDAY).div_euclid(WEEK),
            Self::Month | Self::Year => {
                let date = instant(second).to_zoned(TimeZone::UTC).date();
                let year = i64::from(date.year());
                match self {
                    Self::Year => year,
                    _ => year * 12 + i64::from(date.month()) - 1,
                }
            }
        }
    }

    /// Returns the first second of a stretch.
    pub(super) fn start(self, index: i64) -> i64 {
        match self {
            Self::Hour => index * HOUR,
            Self::Day => index * DAY,
            Self::Week => index * WEEK - MONDAY,
            Self::Month => first_of(index.div_euclid(12), index.rem_euclid(12) + 1),
            Self::Year => first_of(index, 1),
        }
    }

    /// Returns how a stretch is called.
    pub(super) fn label(self, index: i64) -> String {
        let format = match self {
            Self::Hour => "%-d %b %H:%M",
            Self::Day => "%-d %b %Y",
            Self::Week => "week of %-d %b %Y",
            Self::Month => "%b %Y",
            Self::Year => "%Y",
        };
        instant(self.start(index)).strftime(format).to_string()
    }

    /// Chooses the shortest stretch of which the time between two seconds has at most `most`; years, if there is none.
    pub(super) fn to_divide(from: i64, to: i64, most: i64) -> Self {
        let fits = |unit: &Self| unit.index(to) - unit.index(from) < most;
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Year)
    }
}

/// Where an axis from one second to another has marks, at most about `most` of them, with what stands there.
pub(super) fn marks(from: i64, to: i64, most: i64) -> Vec<(i64, String)> {
    const STEPS: [(Unit, i64); 17] = [
        (Unit::Hour, 1),
        (Unit::Hour, 3),
        (Unit::Hour, 6),
        (Unit::Hour, 12),
        (Unit::Day, 1),
        (Unit::Day, 2),
        (Unit::Week, 1),
        (Unit::Week, 2),
        (Unit::Month, 1),
        (Unit::Month, 2),
        (Unit::Month, 6),
        (Unit::Year, 1),
        (Unit::Year, 2),
        (Unit::Year, 5),
        (Unit::Year, 10),
        (Unit::Year, 100),
        (Unit::Year, 2000),
    ];
    let fits = |&(unit, times): &(Unit, i64)| (unit.index(to) - unit.index(from)) / times <= most;
    let (unit, times) = STEPS.into_iter().find(fits).unwrap_or((Unit::Year, 2000));
    let numbers = unit.index(from)..=unit.index(to);
    let marked = numbers.filter(|index| index.rem_euclid(times) == 0);
    let placed = marked.map(|index| (unit.start(index), mark(unit, index)));
    placed
        .filter(|(second, _)| (from..=to).contains(second))
        .collect()
}

/// Returns what stands at a mark: less than the whole label.
fn mark(unit: Unit, index: i64) -> String {
    let start = unit.start(index);
    let format = match unit {
        Unit::Hour if start.rem_euclid(DAY) != 0 => "%H:%M",
        Unit::Hour | Unit::Day | Unit::Week => "%-d %b",
        Unit::Month => "%b %Y",
        Unit::Year => "%Y",
    };
    instant(start).strftime(format).to_string()
}

/// Returns the first second of a month, or the nearest that the calendar has.
fn first_of(year: i64, month: i64) -> i64 {
    let year = i16::try_from(year.clamp(-9999, 9999)).unwrap_or(9999);
    let first = date(year, i8::try_from(month).unwrap_or(1), 1).to_zoned(TimeZone::UTC);
    first.map_or(Timestamp::MIN.as_second(), |first| {
        first.timestamp().as_second()
    })
}

fn instant(second: i64) -> Timestamp {
    let (least, most) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(second.clamp(least, most)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        let instant: Timestamp = text.parse().expect("a time");
        instant.as_second()
    }

    #[test]
    fn every_second_is_in_the_stretch_that_begins_before_it() {
        let seconds = [
            "1969-12-29T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59Z",
            "2026-11-22T06:00:00Z",
        ];
        for unit in Unit::ALL {
            for at in seconds.map(second) {
                let index = unit.index(at);
                assert!(
                    unit.start(index) <= at && at < unit.start(index + 1),
                    "{unit:?} {at}"
                );
            }
        }
        assert_eq!(
            Unit::Week.label(Unit::Week.index(second("2026-11-22T06:00:00Z"))),
            "week of 16 Nov 2026"
        );
        assert_eq!(
            Unit::Month.label(Unit::Month.index(second("2026-11-22T06:00:00Z"))),
            "Nov 2026"
        );
    }

    #[test]
    fn marks_are_few_and_any_time_has_some() {
        let (least, most) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let night = second("2026-11-22T03:00:00Z");
        for length in [
            HOUR,
            DAY,
            3 * DAY,
            10 * DAY,
            60 * DAY,
            400 * DAY,
            4000 * DAY,
        ] {
            let marks = marks(night - length, night, 6);
            assert!((1..=7).contains(&marks.len()), "{length}: {marks:?}");
        }
        assert!(marks(least, most, 4).len() <= 12);
        assert!(marks(night, night, 4).len() <= 1);
    }
}
