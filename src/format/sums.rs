//! The sums file of a snapshot: `<40 hex> *<file name>` lines that `sha1sum -c` verifies (docs/format.md, "Sums file").

use super::FormatError;
use super::checksum::{Algorithm, Checksum};

/// The checksum of one file of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileSum {
    /// The file's path relative to the store; of a flat one its name.
    pub file: String,
    /// SHA-1 of the file, in hexadecimal.
    pub sha1_hex: String,
}

impl FileSum {
    /// Returns the checksum that the file must have.
    pub fn checksum(&self) -> Result<Checksum, FormatError> {
        Checksum::from_hex(Algorithm::Sha1, self.sha1_hex.as_bytes())
            .ok_or_else(|| FormatError::new("invalid checksum", self.sha1_hex.as_bytes()))
    }
}

/// Writes a sums file; its lines are sorted by file name.
#[must_use]
pub fn encode(sums: &[FileSum]) -> Vec<u8> {
    let mut sums: Vec<_> = sums.iter().collect();
    sums.sort();
    sums.iter()
        .flat_map(|sum| format!("{} *{}\n", sum.sha1_hex, sum.file).into_bytes())
        .collect()
}

/// Parses a sums file; a name that is not that of a file of the store, or of a directory in it, is refused.
pub fn parse(text: &[u8]) -> Result<Vec<FileSum>, FormatError> {
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    lines.map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Result<FileSum, FormatError> {
    let invalid = || FormatError::new("invalid line in sums file", line);
    let (hex, rest) = line.split_at_checked(40).ok_or_else(invalid)?;
    let name = rest
        .strip_prefix(b" *")
        .or_else(|| rest.strip_prefix(b"  "))
        .ok_or_else(invalid)?;
    let file = std::str::from_utf8(name).map_err(|_| invalid())?;
    let mut parts = file.split('/');
    let is_name = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if file.split('/').count() > 2 || !parts.all(is_name) {
        return Err(invalid());
    }
    let sha1_hex = std::str::from_utf8(hex)
        .map_err(|_| invalid())?
        .to_ascii_lowercase();
    let sum = FileSum {
        file: file.to_owned(),
        sha1_hex,
    };
    sum.checksum().map(|_| sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_in_the_form_of_sha1sum() {
        let text = b"a9993e364706816aba3e25717850c26c9cd0d89d *a.tar.bz2\nb9993e364706816aba3e25717850c26c9cd0d89d *b.tar\n";
        assert_eq!(encode(&parse(text).expect("parses")), text);
    }

    #[test]
    fn names_outside_the_store_are_refused() {
        let below = b"a9993e364706816aba3e25717850c26c9cd0d89d *segments1/a.tar\n";
        assert_eq!(encode(&parse(below).expect("parses")), below);
        for bad in [
            "../x",
            "/etc/passwd",
            "",
            ".hidden",
            "a/b/c",
            "a/",
            "a/.b",
            "./a",
        ] {
            let line = format!("a9993e364706816aba3e25717850c26c9cd0d89d *{bad}\n");
            assert!(parse(line.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"short *x\n").is_err());
        assert!(parse(b"z9993e364706816aba3e25717850c26c9cd0d89d *x\n").is_err());
    }
}
