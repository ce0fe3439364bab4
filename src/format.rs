//! The store format as text: what every file in a store says, without touching a file.
//!
//! Each submodule holds the encoder and the decoder of one thing of docs/format.md. Nothing here reads files, runs SQL or
//! knows tar; nothing here trusts its input: all parsers are total, take bytes, and answer with [`FormatError`].

pub mod checksum;
pub mod date;
pub mod descriptor;
pub mod entry;
pub mod inode;
pub mod integer;
pub mod known_checksums;
pub mod object_ref;
pub mod path;
pub mod percent;
pub mod segment_group;
pub mod snapshot_name;
pub mod stanza;
pub mod sums;

use std::fmt;

/// Largest number of file bytes in one object; also the size of the blocks that files are cut into.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Text of a store that does not follow docs/format.md: what is wrong, and the beginning of the offending text, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    message: String,
}

impl FormatError {
    /// Most bytes of offending text that an error message repeats.
    const SHOWN_BYTES: usize = 80;

    pub(crate) fn new(what: &str, text: &[u8]) -> Self {
        let shown = escape(&text[..text.len().min(Self::SHOWN_BYTES)]);
        let more = if text.len() > Self::SHOWN_BYTES {
            "…"
        } else {
            ""
        };
        Self {
            message: format!("{what} \"{shown}{more}\""),
        }
    }

    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FormatError {}

/// Makes bytes safe to show on a terminal: control characters and bytes that are not UTF-8 become `\xNN`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_bidi_control(c) {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    write!(out, "\\x{byte:02x}").expect("a String takes all text");
                }
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("a String takes all text");
        }
    }
    out
}

/// Tells characters that reorder the text around them or break the line, with which a file name could forge a message.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_codes_are_never_shown_raw() {
        assert_eq!(escape(b"a\x1b[31mb\n\xff"), "a\\x1b[31mb\\x0a\\xff");
        assert_eq!(escape("naïve ☃".as_bytes()), "naïve ☃");
        assert_eq!(escape("\u{202e}gpj".as_bytes()), "\\xe2\\x80\\xaegpj");
    }
}
