//! Percent-encoding of names in the metadata log: bytes, not characters (docs/format.md, "Names").
//!
//! A byte outside `+`…`~` and the byte `@` are written `%xx`; a reader decodes any `%xx`. `%` itself is below `+`, so it is
//! always encoded and every byte string survives the round trip.

use super::FormatError;
use super::checksum::{hex_value, push_hex};

/// Appends `name` to `out`, percent-encoded.
pub fn encode(name: &[u8], out: &mut Vec<u8>) {
    for &byte in name {
        if matches!(byte, b'+'..=b'~') && byte != b'@' {
            out.push(byte);
        } else {
            out.push(b'%');
            push_hex(out, &[byte]);
        }
    }
}

/// Returns the bytes that `text` stands for; a `%` without two hexadecimal digits after it is an error.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let value = match rest {
            [high, low, ..] => hex_value(*high).zip(hex_value(*low)),
            _ => None,
        };
        let (high, low) = value.ok_or_else(|| FormatError::new("invalid percent code in", text))?;
        out.push(high << 4 | low);
        rest = &rest[2..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(name: &[u8]) -> String {
        let mut out = Vec::new();
        encode(name, &mut out);
        String::from_utf8(out).expect("encoded names are ASCII")
    }

    #[test]
    fn encodes_as_the_reference_program_does() {
        // From the metadata log of fixtures/lbs-0.6.
        assert_eq!(
            encoded(b"percent%41 @at +plus=:,;'\""),
            "percent%2541%20%40at%20+plus=:,;%27%22"
        );
        assert_eq!(
            encoded(b"latin1-\xe9\xff-not-utf8"),
            "latin1-%e9%ff-not-utf8"
        );
    }

    #[test]
    fn bad_percent_codes_are_refused() {
        for bad in ["%", "%4", "%zz", "a%4"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(name: Vec<u8>) {
            prop_assert_eq!(decode(encoded(&name).as_bytes()).expect("decodes"), name);
        }
    }
}
