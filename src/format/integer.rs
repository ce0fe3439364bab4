//! Integers as the metadata log writes them: decimal, octal with a leading `0`, hexadecimal with a leading `0x`.
//!
//! The octal rule makes `mode: 0755` what it looks like. Every overflow is an error, never a wrapped number.

use super::FormatError;

/// Parses an unsigned integer in any of the three bases.
pub fn parse_u64(text: &[u8]) -> Result<u64, FormatError> {
    magnitude(text).ok_or_else(|| FormatError::new("invalid number", text))
}

/// Parses a signed integer in any of the three bases, such as a time before 1970.
pub fn parse_i64(text: &[u8]) -> Result<i64, FormatError> {
    let value = match text.strip_prefix(b"-") {
        Some(digits) => magnitude(digits).and_then(|n| 0_i64.checked_sub_unsigned(n)),
        None => magnitude(text).and_then(|n| i64::try_from(n).ok()),
    };
    value.ok_or_else(|| FormatError::new("invalid number", text))
}

/// Parses an unsigned integer that has to fit in 32 bits.
pub fn parse_u32(text: &[u8]) -> Result<u32, FormatError> {
    let value = parse_u64(text)?;
    u32::try_from(value).map_err(|_| FormatError::new("number too large", text))
}

fn magnitude(text: &[u8]) -> Option<u64> {
    let (base, digits) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits),
        digits => (10, digits),
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = char::from(digit).to_digit(base)?;
        value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bases() {
        assert_eq!(parse_u64(b"0755"), Ok(0o755));
        assert_eq!(parse_u64(b"0x1fF"), Ok(0x1ff));
        assert_eq!(parse_u64(b"0"), Ok(0));
        assert_eq!(parse_u64(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_i64(b"-86400"), Ok(-86400));
        assert_eq!(parse_i64(b"-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn overflow_and_rubbish_are_refused() {
        for bad in [
            "",
            "-",
            "0x",
            "08",
            "1 ",
            "+1",
            "--1",
            "18446744073709551616",
            "0xfffffffffffffffff",
            "1e3",
        ] {
            assert!(parse_u64(bad.as_bytes()).is_err(), "{bad}");
            assert!(parse_i64(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse_i64(b"9223372036854775808").is_err());
        assert!(parse_u32(b"4294967296").is_err());
    }
}
