//! The names of snapshots: `[scheme-]YYYYMMDDTHHMMSS[.checkpoint]`, and of the files that carry them.

use std::fmt;

use jiff::Timestamp;

use super::FormatError;
use super::date::{STAMP_BYTES, format_stamp, parse_stamp};

/// Longest name of a scheme: with all that is added, it has to fit in a file name of 255 bytes.
const SCHEME_BYTES_MAX: usize = 200;

/// The name of one snapshot; ordered by time stamp first, so that the greatest is the latest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    stamp: String,
    scheme: String,
    checkpoint: bool,
}

impl SnapshotName {
    const CHECKPOINT: &str = ".checkpoint";

    /// Names a complete snapshot of `scheme` (which may be empty) taken at `instant`; whole seconds, UTC.
    #[must_use]
    pub fn new(scheme: &str, instant: Timestamp) -> Self {
        Self {
            stamp: format_stamp(instant),
            scheme: scheme.to_owned(),
            checkpoint: false,
        }
    }

    /// Names the unfinished snapshot of the same series and time.
    #[must_use]
    pub fn as_checkpoint(self) -> Self {
        Self {
            checkpoint: true,
            ..self
        }
    }

    /// Parses a name such as `home-20261121T191822`, without the `snapshot-` of the file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, checkpoint) = match text.strip_suffix(Self::CHECKPOINT) {
            Some(name) => (name, true),
            None => (text, false),
        };
        let (scheme, stamp) = match name.len().checked_sub(STAMP_BYTES) {
            Some(0) => ("", name),
            Some(at) if at > 1 && name.is_char_boundary(at) => {
                (name[..at].strip_suffix('-')?, &name[at..])
            }
            _ => return None,
        };
        parse_stamp(stamp)?;
        if !scheme.is_empty() {
            check_scheme(scheme).ok()?;
        }
        Some(Self {
            stamp: stamp.to_owned(),
            scheme: scheme.to_owned(),
            checkpoint,
        })
    }

    /// Returns the scheme; empty for a snapshot without one.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the time in the name, read as UTC. Programs up to Cumulus 0.10 wrote local time: the true instant is `Date:`.
    #[must_use]
    pub fn instant(&self) -> Timestamp {
        parse_stamp(&self.stamp).expect("checked when the name was made")
    }

    /// Tells whether this names an unfinished snapshot.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.checkpoint
    }

    /// Returns the name of the descriptor as pileus writes it.
    #[must_use]
    pub fn descriptor_file(&self) -> String {
        format!("{}.lbs", self.stem())
    }

    /// Returns the path of the descriptor in a store of the split layout.
    #[must_use]
    pub fn split_descriptor_file(&self) -> String {
        format!("snapshots/{}.cumulus", self.stem())
    }

    /// Returns the name of the sums file.
    #[must_use]
    pub fn sums_file(&self) -> String {
        format!("{}.sha1sums", self.stem())
    }

    /// Returns `snapshot-<name>`, the stem of all files of the snapshot.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("snapshot-{self}")
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}-", self.scheme)?;
        }
        f.write_str(&self.stamp)?;
        f.write_str(if self.checkpoint {
            Self::CHECKPOINT
        } else {
            ""
        })
    }
}

/// Checks the name of a scheme: `A-Za-z0-9_.-`, not beginning with `-` or `.`, not ending like a time stamp.
pub fn check_scheme(scheme: &str) -> Result<(), FormatError> {
    let is_scheme_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let ends_like_stamp = scheme.len() >= STAMP_BYTES
        && scheme.is_ascii()
        && parse_stamp(&scheme[scheme.len() - STAMP_BYTES..]).is_some();
    let problem = if scheme.is_empty() {
        "it is empty"
    } else if !scheme.bytes().all(is_scheme_byte) {
        "only letters, digits, _ . and - are allowed"
    } else if scheme.starts_with(['-', '.']) {
        "it begins with - or ."
    } else if ends_like_stamp {
        "it ends like a time stamp"
    } else if scheme.len() > SCHEME_BYTES_MAX {
        "it is longer than 200 characters"
    } else {
        return Ok(());
    };
    Err(FormatError::plain(format!(
        "scheme \"{}\" cannot be used: {problem}",
        super::escape(scheme.as_bytes())
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in [
            "20261121T191822",
            "home-20261121T191822",
            "a-b.c-20261121T191822",
            "home-20261121T191822.checkpoint",
        ] {
            let name = SnapshotName::parse(text).expect(text);
            assert_eq!(name.to_string(), text);
        }
        for bad in [
            "",
            "home",
            "home-2026",
            "home20261121T191822",
            "-20261121T191822",
            "é-20261121T19182",
            "x-20261121T191822.lbs",
        ] {
            assert_eq!(SnapshotName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn later_snapshots_are_greater_whatever_their_scheme() {
        let older = SnapshotName::parse("z-20261121T191822").expect("parses");
        let newer = SnapshotName::parse("a-20261121T191823").expect("parses");
        assert!(older < newer);
    }

    #[test]
    fn schemes_that_would_confuse_names_are_refused() {
        for good in ["home", "A.b_c-9", "x20261121"] {
            assert!(check_scheme(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a/b",
            "-a",
            ".a",
            "é",
            "x-20261121T191822",
            "20261121T191822",
        ] {
            assert!(check_scheme(bad).is_err(), "{bad}");
        }
    }
}
