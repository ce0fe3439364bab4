//! Lengths of time as people write them: how long something is kept, or how long ago something was.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::zone;

/// A length of time as people count it: months and years have different lengths, and days may have 23 or 25 hours.
#[derive(Clone, Copy, Debug)]
pub struct Age(Span);

impl Age {
    /// Parses ages such as `90s`, `30min`, `36h`, `14d`, `2w`, `6mo`, `1y` and sums of them (`1y6mo`). A lone `m` is refused: it means minutes to
    /// some programs and months to others.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a length of time: write numbers with s, min, h, d, w, mo (months) or y, such as 14d or 1y6mo"
            )
        };
        if let Some(advice) = of_lone_m(text) {
            return Err(format!("\"{text}\" is not a length of time: {advice}"));
        }
        let mut span = Span::new();
        for (number, unit) in quantities(text).ok_or_else(wrong)? {
            let number = i64::try_from(number).map_err(|_| wrong())?;
            let added = |present: i64| present.checked_add(number).ok_or_else(wrong);
            span = match unit {
                "s" => span.try_seconds(added(span.get_seconds())?),
                "min" => span.try_minutes(added(span.get_minutes())?),
                "h" => span.try_hours(added(span.get_hours().into())?),
                "d" => span.try_days(added(span.get_days().into())?),
                "w" => span.try_weeks(added(span.get_weeks().into())?),
                "mo" => span.try_months(added(span.get_months().into())?),
                "y" => span.try_years(added(span.get_years().into())?),
                _ => return Err(wrong()),
            }
            .map_err(|_| wrong())?;
        }
        Ok(Self(span))
    }

    /// Returns the moment so long before `instant`; the beginning of time if that is further back than the calendar goes.
    #[must_use]
    pub fn before(self, instant: Timestamp) -> Timestamp {
        self.before_in(instant, &zone::for_lengths())
    }

    pub(crate) fn before_in(self, instant: Timestamp, zone: &TimeZone) -> Timestamp {
        let earlier = instant.to_zoned(zone.clone()).checked_sub(self.0);
        earlier.map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }
}

/// Says what to write in place of an age with a lone `m`; nothing if a text is none.
#[must_use]
pub fn of_lone_m(text: &str) -> Option<String> {
    let (number, _) = quantities(text)?
        .into_iter()
        .find(|(_, unit)| *unit == "m")?;
    Some(format!(
        "write {number}min (minutes) or {number}mo (months)"
    ))
}

/// Takes a text such as `1y6mo` apart, into numbers and what stands behind each; none if it is empty or anything else.
#[must_use]
pub fn quantities(text: &str) -> Option<Vec<(u64, &str)>> {
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        found.push((number.parse().ok()?, unit));
        rest = tail;
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_m_is_answered_with_both_of_its_meanings() {
        for (text, advice) in [
            ("10m", "10min (minutes) or 10mo (months)"),
            ("1y6m", "6min (minutes)"),
        ] {
            let error = Age::parse(text).expect_err(text);
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn ages_as_people_write_them() {
        for good in [
            "0h", "0s", "90min", "36h", "14d", "1y6mo", "2w3d", "1d1d", "9999y",
        ] {
            assert!(Age::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "d",
            "1",
            "-1d",
            "1 d",
            "1d2",
            "99999999999999999999d",
            "99999999y",
            "é",
        ] {
            let error = Age::parse(bad).expect_err(bad);
            assert!(
                error.contains("write numbers with s, min, h, d, w, mo"),
                "{error}"
            );
        }
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().expect("a time");
        assert_eq!(Age(Span::new().years(15_000)).before(now), Timestamp::MIN);
    }
}
