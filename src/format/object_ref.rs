//! Object references: `uuid/sequence(sha1=…)[slice]` and `zero[n]` (docs/format.md, "Object references").

use std::fmt;
use std::ops::Range;

use super::FormatError;
use super::checksum::{Checksum, hex_value, push_hex};
use super::integer::parse_u64;

/// The name of a segment: a UUID, displayed in lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId([u8; 16]);

impl SegmentId {
    /// Length of the displayed form in bytes.
    pub const TEXT_BYTES: usize = 36;

    /// Makes a segment name of 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes of the UUID.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses a lower-case UUID with hyphens; nothing else names a segment.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        Self::from_text(text).ok_or_else(|| FormatError::new("invalid segment name", text))
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_BYTES || text.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for (i, byte) in bytes.iter_mut().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                if text[at] != b'-' {
                    return None;
                }
                at += 1;
            }
            *byte = hex_value(text[at])? << 4 | hex_value(text[at + 1])?;
            at += 2;
        }
        Some(Self(bytes))
    }

    fn encode(self, out: &mut Vec<u8>) {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push(b'-');
            }
            push_hex(out, &[*byte]);
        }
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(Self::TEXT_BYTES);
        self.encode(&mut text);
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of an object: its segment and its place in it; displayed as `uuid/sequence`, the name of the tar member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The segment that holds the object.
    pub segment: SegmentId,
    /// The number of the object in its segment, counted from 0.
    pub sequence: u32,
}

impl ObjectId {
    const SEQUENCE_DIGITS: usize = 8;

    /// Parses `uuid/sequence`; the sequence is 8 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let invalid = || FormatError::new("invalid object name", text);
        if text.len() != SegmentId::TEXT_BYTES + 1 + Self::SEQUENCE_DIGITS
            || text[SegmentId::TEXT_BYTES] != b'/'
        {
            return Err(invalid());
        }
        let segment = SegmentId::parse(&text[..SegmentId::TEXT_BYTES])?;
        let mut sequence = 0_u32;
        for &digit in &text[SegmentId::TEXT_BYTES + 1..] {
            if digit.is_ascii_uppercase() {
                return Err(invalid());
            }
            sequence = sequence << 4 | u32::from(hex_value(digit).ok_or_else(invalid)?);
        }
        Ok(Self { segment, sequence })
    }

    /// Appends `uuid/sequence` to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.segment.encode(out);
        out.push(b'/');
        push_hex(out, &self.sequence.to_be_bytes());
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08x}", self.segment, self.sequence)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which bytes of an object a reference means; all numbers are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slice {
    /// No slice: all of the object, of whatever length.
    Whole,
    /// `[n]`: the first `n` bytes (up to 0.7), or an object of exactly `n` bytes (from 0.11); pileus writes it where both hold.
    First(u64),
    /// `[=n]`: the object is exactly `n` bytes long; written by 0.8 to 0.10.
    Exactly(u64),
    /// `[start+length]`.
    Part {
        /// Offset of the first byte.
        start: u64,
        /// Number of bytes.
        length: u64,
    },
}

/// A reference to (a part of) a stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// The object.
    pub object: ObjectId,
    /// Checksum of the whole object, before slicing.
    pub checksum: Option<Checksum>,
    /// The bytes meant.
    pub slice: Slice,
}

impl ObjectRef {
    /// Parses `uuid/sequence`, then optionally `(algorithm=hex)`, then optionally `[slice]`.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let invalid = || FormatError::new("invalid object reference", text);
        let (rest, slice) = split_slice(text)?;
        let (name, checksum) = match rest.iter().position(|&b| b == b'(') {
            None => (rest, None),
            Some(at) => {
                let sum = rest[at + 1..].strip_suffix(b")").ok_or_else(invalid)?;
                (&rest[..at], Some(Checksum::parse(sum)?))
            }
        };
        let object = ObjectId::parse(name).map_err(|_| invalid())?;
        Ok(Self {
            object,
            checksum,
            slice,
        })
    }

    /// Appends the text form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        self.object.encode(out);
        if let Some(checksum) = &self.checksum {
            out.push(b'(');
            checksum.encode(out);
            out.push(b')');
        }
        match self.slice {
            Slice::Whole => Ok(()),
            Slice::First(n) => write!(out, "[{n}]"),
            Slice::Exactly(n) => write!(out, "[={n}]"),
            Slice::Part { start, length } => write!(out, "[{start}+{length}]"),
        }
        .expect("a Vec takes all bytes");
    }

    /// Returns how many bytes the reference stands for, where its text says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.slice {
            Slice::Whole => None,
            Slice::First(n) | Slice::Exactly(n) => Some(n),
            Slice::Part { length, .. } => Some(length),
        }
    }

    /// Returns the bytes meant in an object of `object_bytes`; a slice outside the object is an error.
    pub fn range(&self, object_bytes: u64) -> Result<Range<u64>, FormatError> {
        let range = match self.slice {
            Slice::Whole => Some(0..object_bytes),
            Slice::First(n) => (n <= object_bytes).then_some(0..n),
            Slice::Exactly(n) => (n == object_bytes).then_some(0..n),
            Slice::Part { start, length } => start
                .checked_add(length)
                .filter(|&end| end <= object_bytes)
                .map(|end| start..end),
        };
        range.ok_or_else(|| {
            FormatError::plain(format!(
                "slice of {self} lies outside the object of {object_bytes} bytes"
            ))
        })
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.encode(&mut text);
        f.write_str(std::str::from_utf8(&text).expect("references are ASCII"))
    }
}

/// One part of a file's contents, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataRef {
    /// `zero[n]`: `n` null bytes, stored nowhere.
    Zero(u64),
    /// Bytes of an object.
    Object(ObjectRef),
    /// `@reference`: an object that holds more references of this file, separated by white space.
    Indirect(ObjectRef),
}

impl DataRef {
    /// Parses one reference of a `data` field.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        if let Some(reference) = text.strip_prefix(b"@") {
            return ObjectRef::parse(reference).map(Self::Indirect);
        }
        if !text.starts_with(b"zero") {
            return ObjectRef::parse(text).map(Self::Object);
        }
        match split_slice(text)? {
            (b"zero", Slice::First(n) | Slice::Exactly(n) | Slice::Part { length: n, .. }) => {
                Ok(Self::Zero(n))
            }
            _ => Err(FormatError::new("invalid zero object", text)),
        }
    }

    /// Appends the text form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Zero(n) => out.extend_from_slice(format!("zero[{n}]").as_bytes()),
            Self::Object(reference) => reference.encode(out),
            Self::Indirect(reference) => {
                out.push(b'@');
                reference.encode(out);
            }
        }
    }

    /// Returns how many bytes of the file the reference stands for, where its text says so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Zero(n) => Some(*n),
            Self::Object(reference) => reference.length(),
            Self::Indirect(_) => None,
        }
    }
}

/// Splits `name[slice]` into the name and the slice.
fn split_slice(text: &[u8]) -> Result<(&[u8], Slice), FormatError> {
    let invalid = || FormatError::new("invalid slice in", text);
    let Some(at) = text.iter().position(|&b| b == b'[') else {
        return Ok((text, Slice::Whole));
    };
    let inner = text[at + 1..].strip_suffix(b"]").ok_or_else(invalid)?;
    let number = |digits: &[u8]| parse_u64(digits).map_err(|_| invalid());
    let slice = if let Some(exact) = inner.strip_prefix(b"=") {
        Slice::Exactly(number(exact)?)
    } else if let Some(plus) = inner.iter().position(|&b| b == b'+') {
        Slice::Part {
            start: number(&inner[..plus])?,
            length: number(&inner[plus + 1..])?,
        }
    } else {
        Slice::First(number(inner)?)
    };
    Ok((&text[..at], slice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum::Algorithm;
    use proptest::prelude::*;

    const ID: &str = "90b3367e-c348-47df-8e3c-4f2b64714d8c/0000001f";

    #[test]
    fn references_of_all_generations() {
        for text in [
            ID.to_owned(),
            format!("{ID}[1048576]"),
            format!("{ID}[=1048576]"),
            format!("{ID}[65535+917506]"),
            format!("{ID}(sha1=a9993e364706816aba3e25717850c26c9cd0d89d)[237+126]"),
            format!("{ID}(sha224=23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7)[119]"),
        ] {
            let reference = ObjectRef::parse(text.as_bytes()).expect("parses");
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.object.sequence, 0x1f);
        }
    }

    #[test]
    fn zero_objects() {
        assert_eq!(
            DataRef::parse(b"zero[1048576]"),
            Ok(DataRef::Zero(1_048_576))
        );
        assert_eq!(DataRef::parse(b"zero[0+5]"), Ok(DataRef::Zero(5)));
        for bad in [
            "zero",
            "zero[]",
            "zeros[5]",
            "zero[-1]",
            "zero[5",
            "zero(sha1=00)[5]",
        ] {
            assert!(DataRef::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_references_are_refused() {
        for bad in [
            "",
            "/",
            &ID[..40],
            &ID.to_uppercase(),
            &format!("{ID}()"),
            &format!("{ID}[1+]"),
            &format!("{ID}[+1]"),
            &format!("{ID}[1][2]"),
            &format!("{ID}(md5=00)"),
            &format!("{ID}[99999999999999999999]"),
            &format!(" {ID}"),
        ] {
            assert!(ObjectRef::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn slices_stay_inside_the_object() {
        let part = |slice| ObjectRef {
            object: ObjectId::parse(ID.as_bytes()).expect("parses"),
            checksum: None,
            slice,
        };
        assert_eq!(part(Slice::Whole).range(7), Ok(0..7));
        assert_eq!(part(Slice::First(5)).range(7), Ok(0..5));
        assert_eq!(
            part(Slice::Part {
                start: 2,
                length: 5
            })
            .range(7),
            Ok(2..7)
        );
        assert!(part(Slice::First(8)).range(7).is_err());
        assert!(part(Slice::Exactly(5)).range(7).is_err());
        assert!(
            part(Slice::Part {
                start: 2,
                length: 6
            })
            .range(7)
            .is_err()
        );
        assert!(
            part(Slice::Part {
                start: u64::MAX,
                length: 2
            })
            .range(7)
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn round_trip(segment: [u8; 16], sequence: u32, data: Option<Vec<u8>>, start: u64, length: u64, kind in 0..4) {
            let slice = match kind {
                0 => Slice::Whole,
                1 => Slice::First(length),
                2 => Slice::Exactly(length),
                _ => Slice::Part { start, length },
            };
            let checksum = data.map(|d| Checksum::of(Algorithm::Sha1, &d));
            let reference = ObjectRef { object: ObjectId { segment: SegmentId(segment), sequence }, checksum, slice };
            prop_assert_eq!(ObjectRef::parse(reference.to_string().as_bytes()), Ok(reference));
        }

        #[test]
        fn never_panics(text: Vec<u8>) {
            drop(DataRef::parse(&text));
        }
    }
}
