//! Instants as the descriptor writes them (`2026-11-21 19:18:22 +0000`) and as snapshot names do (`20261121T191822`, UTC).

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned, fmt::strtime};

use super::FormatError;

const DATE_FIELD: &str = "%Y-%m-%d %H:%M:%S %z";
const STAMP: &str = "%Y%m%dT%H%M%S";

/// Length of a snapshot name's time stamp in bytes.
pub const STAMP_BYTES: usize = 15;

/// Returns the instant one second later; none at the end of time.
#[must_use]
pub fn next_second(instant: Timestamp) -> Option<Timestamp> {
    instant.checked_add(1.second()).ok()
}

/// Formats an instant for the `Date:` field, in UTC.
#[must_use]
pub fn format_date(instant: Timestamp) -> String {
    instant
        .to_zoned(TimeZone::UTC)
        .strftime(DATE_FIELD)
        .to_string()
}

/// Parses a `Date:` field with its offset from UTC.
pub fn parse_date(text: &[u8]) -> Result<Timestamp, FormatError> {
    let invalid = || FormatError::new("invalid date", text);
    let text = std::str::from_utf8(text).map_err(|_| invalid())?;
    let parsed = strtime::parse(DATE_FIELD, text).and_then(|t| t.to_timestamp());
    parsed.map_err(|_| invalid())
}

/// Formats an instant as the time stamp of a snapshot name, in UTC.
#[must_use]
pub fn format_stamp(instant: Timestamp) -> String {
    instant.to_zoned(TimeZone::UTC).strftime(STAMP).to_string()
}

/// Parses the time stamp of a snapshot name as UTC; `None` for anything else, an impossible date included.
#[must_use]
pub fn parse_stamp(text: &str) -> Option<Timestamp> {
    let shape = text.bytes().enumerate().all(|(i, b)| {
        if i == 8 {
            b == b'T'
        } else {
            b.is_ascii_digit()
        }
    });
    if text.len() != STAMP_BYTES || !shape {
        return None;
    }
    let time = strtime::parse(STAMP, text)
        .and_then(|t| t.to_datetime())
        .ok()?;
    let zoned: Zoned = time.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_field_round_trip() {
        let instant = Timestamp::new(1_795_288_702, 0).expect("in range");
        assert_eq!(format_date(instant), "2026-11-21 19:18:22 +0000");
        assert_eq!(parse_date(b"2026-11-21 19:18:22 +0000"), Ok(instant));
        assert_eq!(parse_date(b"2026-11-21 20:18:22 +0100"), Ok(instant));
        assert!(parse_date(b"yesterday").is_err());
    }

    #[test]
    fn stamp_round_trip() {
        let instant = Timestamp::new(1_795_288_702, 0).expect("in range");
        assert_eq!(format_stamp(instant), "20261121T191822");
        assert_eq!(parse_stamp("20261121T191822"), Some(instant));
        for bad in [
            "",
            "20261121",
            "20261121t191822",
            "20261321T191822",
            "2026112 T191822",
            "+0261121T191822",
        ] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
    }
}
