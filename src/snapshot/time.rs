//! The TIME of `--snapshot=@TIME`: a point in time as people type it.
//!
//! A year, a month or a day means its end, so that the snapshots made in it count. What cannot be understood is told apart from what is still
//! to come: the one is mended by writing it otherwise, the other not.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::age::{self, Age};
use crate::zone;

/// Why a text is no time up to which snapshots can be looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is no time; what to write.
    NoTime(String),
    /// It has not begun.
    ToCome,
    /// It is local, and the local time zone is not known; why.
    NoZone(String),
}

/// Parses a year, a month or a date (the end of it, local time), a date and time (local; with `Z` behind it as `list` tells it, in UTC), or
/// an age such as `3d` or `12h`.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, Wrong> {
    if let Ok(age) = Age::parse(text) {
        return Ok(age.before(now));
    }
    if let Some(advice) = age::of_lone_m(text) {
        return Err(Wrong::NoTime(advice));
    }
    let span = span(text).map_err(Wrong::NoZone)?;
    match span {
        Some((begin, end)) if begin <= now => Ok(end),
        Some(_) => Err(Wrong::ToCome),
        None => Err(Wrong::NoTime(
            "write @2026-11-01, @2026-11 or @2026 (the end of it), @2026-11-01T12:00 (local; UTC, as list tells it, is @2026-11-01T12:00:00Z), or \
             an age in whole s, min, h, d, w, mo (months) or y, such as @3d"
                .to_owned(),
        )),
    }
}

/// Returns the first and the last moment of what is meant; none if it is no time, an error if only the time zone is missing.
fn span(text: &str) -> Result<Option<(Timestamp, Timestamp)>, String> {
    if text.contains('T') {
        if let Ok(time) = text.parse() {
            return Ok(Some((time, time)));
        }
        let Ok(time) = text.parse::<DateTime>() else {
            return Ok(None);
        };
        let time = instant(time, &zone::local()?);
        return Ok(time.map(|time| (time, time)));
    }
    let Some((first, next)) = days(text) else {
        return Ok(None);
    };
    let zone = zone::local()?;
    let midnight = |day: Date| instant(day.at(0, 0, 0, 0), &zone);
    let end = midnight(next).and_then(|next| next.checked_sub(1.nanosecond()).ok());
    Ok(midnight(first).zip(end))
}

/// Returns the first day of a year, a month or a day, and the first one behind it.
fn days(text: &str) -> Option<(Date, Date)> {
    let (first, length) = match text.len() {
        4 => (format!("{text}-01-01"), 1.year()),
        7 => (format!("{text}-01"), 1.month()),
        _ => (text.to_owned(), 1.day()),
    };
    let first: Date = first.parse().ok()?;
    Some((first, first.checked_add(length).ok()?))
}

fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, Wrong> {
        let now = "2026-11-21T12:00:00Z".parse().expect("a time");
        let local = |time: Timestamp| time.to_zoned(zone::for_lengths()).datetime().to_string();
        parse(text, now).map(local)
    }

    #[test]
    fn a_year_a_month_and_a_day_mean_their_ends() {
        for (text, end) in [
            ("2020", "2020-12-31T23:59:59.999999999"),
            ("2024-02", "2024-02-29T23:59:59.999999999"),
            ("2026-11", "2026-11-30T23:59:59.999999999"),
            ("2025-12", "2025-12-31T23:59:59.999999999"),
            ("2024-02-28", "2024-02-28T23:59:59.999999999"),
            ("2024-02-28T12:00", "2024-02-28T12:00:00"),
        ] {
            assert_eq!(parsed(text), Ok(end.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_apart_from_what_is_to_come() {
        for text in ["2027", "2026-12", "2026-11-23", "2026-11-21T12:00:01Z"] {
            assert_eq!(parsed(text), Err(Wrong::ToCome), "{text}");
        }
        for (text, advice) in [
            ("yesterday", "write @2026-11-01,"),
            ("1.5h", "an age in whole s, min"),
            ("2026-11-31", "write @2026-11-01,"),
            ("2026-13", "write @2026-11-01,"),
            ("202é", "write @2026-11-01,"),
            ("", "write @2026-11-01,"),
            ("5m", "write 5min (minutes) or 5mo (months)"),
        ] {
            match parsed(text) {
                Err(Wrong::NoTime(told)) => assert!(told.contains(advice), "{text}: {told}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
