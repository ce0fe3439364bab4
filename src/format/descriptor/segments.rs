//! The segments of a descriptor and the lengths of their files.
//!
//! The lengths come first: a descriptor that lost its end then has more lengths than segments.

use std::fmt::{Display, Write as _};

use super::super::FormatError;
use super::super::integer::parse_u64;
use super::super::object_ref::SegmentId;

/// Returns the segments, sorted, and the lengths in the same order. Lengths that are not numbers, or not one for each segment, are none.
pub(super) fn parse(
    segments: &[u8],
    lengths: Option<&[u8]>,
) -> Result<(Vec<SegmentId>, Option<Vec<u64>>), FormatError> {
    let segments = words(segments)
        .map(SegmentId::parse)
        .collect::<Result<Vec<_>, _>>()?;
    let lengths = lengths.and_then(|text| words(text).map(|word| parse_u64(word).ok()).collect());
    let lengths = lengths.filter(|lengths: &Vec<u64>| lengths.len() == segments.len());
    let known = lengths.is_some();
    let mut both: Vec<_> = segments
        .into_iter()
        .zip(lengths.into_iter().flatten().chain(std::iter::repeat(0)))
        .collect();
    both.sort_by_key(|(segment, _)| *segment);
    both.dedup_by_key(|(segment, _)| *segment);
    let (segments, lengths) = both.into_iter().unzip();
    Ok((segments, known.then_some(lengths)))
}

/// Writes one value on a line: signing programs cut long lines.
pub(super) fn encode(text: &mut String, segments: &[SegmentId], lengths: Option<&[u64]>) {
    if let Some(lengths) = lengths {
        list(text, "Segment-bytes", lengths);
    }
    list(text, "Segments", segments);
}

fn list(text: &mut String, key: &str, values: &[impl Display]) {
    writeln!(text, "{key}:").expect("a String takes all text");
    for value in values {
        writeln!(text, "    {value}").expect("a String takes all text");
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "08786bf1-65f1-4720-8a22-788558c2315b";
    const B: &str = "2f9b46cc-4bda-45f5-aece-bc81a0886616";

    fn lengths(segments: &str, lengths: &str) -> Option<Vec<u64>> {
        let parsed = parse(segments.as_bytes(), Some(lengths.as_bytes()));
        let (segments, lengths) = parsed.expect("the segments are good");
        assert!(segments.is_sorted());
        lengths
    }

    #[test]
    fn lengths_follow_their_segments_whatever_the_order() {
        assert_eq!(
            lengths(&format!("{A}\n {B}"), "\n  1\n  2"),
            Some(vec![1, 2])
        );
        assert_eq!(lengths(&format!("{B} {A}"), "1 2"), Some(vec![2, 1]));
        assert_eq!(lengths(&format!("{A} {A} {B}"), "1 1 2"), Some(vec![1, 2]));
        assert_eq!(lengths("", ""), Some(vec![]));
    }

    #[test]
    fn lengths_that_are_rubbish_are_unknown_and_do_no_harm() {
        for rubbish in [
            "",
            "1",
            "1 2 3",
            "1 x",
            "-1 2",
            "1 99999999999999999999",
            "1,2",
        ] {
            assert_eq!(lengths(&format!("{A} {B}"), rubbish), None, "{rubbish}");
        }
    }
}
