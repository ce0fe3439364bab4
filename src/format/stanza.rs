//! The layer of the metadata log below meaning: stanzas of `key: value` fields, and `@reference` lines between them.
//!
//! Values borrow from the piece they stand in. A malformed stanza costs only itself: parsing goes on behind the next blank line,
//! so that one damaged entry does not take a snapshot's other files with it.

use super::FormatError;
use super::object_ref::ObjectRef;

/// Most fields of a stanza; entries have about twenty.
const FIELDS_MAX: usize = 1000;

/// One item of the metadata log, in log order.
#[derive(Debug, PartialEq, Eq)]
pub enum LogItem<'a> {
    /// The fields of one entry.
    Stanza(Stanza<'a>),
    /// `@reference`: the items of another object belong here.
    Reference(ObjectRef),
}

/// The fields of one stanza; keys that nobody knows are kept, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Stanza<'a> {
    fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Stanza<'a> {
    /// Parses the lines of one stanza (without the blank line that ends it).
    pub fn parse(text: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Vec::with_capacity(16);
        let mut rest = text;
        while !rest.is_empty() {
            if fields.len() == FIELDS_MAX {
                return Err(FormatError::new("more than 1000 fields in a stanza", text));
            }
            let end = field_end(rest);
            fields.push(parse_field(&rest[..end])?);
            rest = &rest[end..];
        }
        Ok(Self { fields })
    }

    /// Returns the value of `key`, with inner line breaks and without white space around it; the last one if repeated.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.fields
            .iter()
            .rev()
            .find(|(k, _)| *k == key.as_bytes())
            .map(|(_, v)| *v)
    }

    /// Returns all fields in the order they stand.
    #[must_use]
    pub fn fields(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.fields
    }
}

/// Parses the items of one metadata object (or of a slice of one).
pub struct LogItems<'a> {
    rest: &'a [u8],
}

impl<'a> LogItems<'a> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Returns what has not been parsed yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for LogItems<'a> {
    type Item = Result<LogItem<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&first) = self.rest.first() {
            if first != b'@' {
                let (text, rest) = self.rest.split_at(stanza_end(self.rest));
                if text.is_empty() {
                    self.rest = &rest[line_end(rest)..];
                    continue;
                }
                self.rest = rest;
                return Some(Stanza::parse(text).map(LogItem::Stanza));
            }
            let (line, rest) = self.rest.split_at(line_end(self.rest));
            self.rest = rest;
            return Some(ObjectRef::parse(line[1..].trim_ascii()).map(LogItem::Reference));
        }
        None
    }
}

/// Returns the length of the first line, its line feed included.
fn line_end(text: &[u8]) -> usize {
    text.iter()
        .position(|&b| b == b'\n')
        .map_or(text.len(), |at| at + 1)
}

/// Returns the length of the stanza that `text` begins with: up to a blank line or an `@` line; 0 if a blank line comes first.
fn stanza_end(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() && !matches!(text[at], b'\n' | b'@') {
        at += line_end(&text[at..]);
    }
    at
}

/// Returns the length of the first field: its line and the continuation lines below it.
fn field_end(text: &[u8]) -> usize {
    let mut at = line_end(text);
    while at < text.len() && matches!(text[at], b' ' | b'\t') {
        at += line_end(&text[at..]);
    }
    at
}

fn parse_field(field: &[u8]) -> Result<(&[u8], &[u8]), FormatError> {
    let invalid = || FormatError::new("invalid field", field);
    let colon = field.iter().position(|&b| b == b':').ok_or_else(invalid)?;
    let key = &field[..colon];
    let is_key_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if key.is_empty() || !key.iter().all(is_key_byte) {
        return Err(invalid());
    }
    Ok((key, field[colon + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REF: &str = "4f1ca912-fe8f-44e2-8cf3-2b326eb59e8f/00000000(sha1=46178de1142a804b6d2fbc91efb8d645de83ef60)[237+126]";

    fn items(text: &str) -> Vec<String> {
        LogItems::new(text.as_bytes())
            .map(|item| match item {
                Ok(LogItem::Stanza(s)) => {
                    String::from_utf8_lossy(s.get("name").unwrap_or(b"?")).into_owned()
                }
                Ok(LogItem::Reference(r)) => format!("@{r}"),
                Err(e) => format!("error: {e}"),
            })
            .collect()
    }

    #[test]
    fn stanzas_and_references_in_order() {
        let log = format!("name: a\ntype: d\n\n@{REF}\n\nname: b\n@{REF}\n\n\nname: c");
        assert_eq!(
            items(&log),
            [
                "a".into(),
                format!("@{REF}"),
                "b".into(),
                format!("@{REF}"),
                "c".into()
            ]
        );
    }

    #[test]
    fn continuation_lines_belong_to_their_field() {
        let stanza =
            Stanza::parse(b"name: x\ndata: one\n    two\n\tthree\nsize: 5\n").expect("parses");
        let data: Vec<_> = stanza
            .get("data")
            .expect("is there")
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty())
            .collect();
        assert_eq!(data, [b"one".as_slice(), b"two", b"three"]);
        assert_eq!(stanza.get("size"), Some(b"5".as_slice()));
        assert_eq!(stanza.get("unknown"), None);
    }

    #[test]
    fn a_malformed_stanza_costs_only_itself() {
        assert_eq!(
            items("name: a\n\nno colon here\nname: b\n\nname: c\n\n@rubbish\nname: d\n"),
            [
                "a",
                "error: invalid field \"no colon here\\x0a\"",
                "c",
                "error: invalid object reference \"rubbish\"",
                "d",
            ]
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_ends(text: Vec<u8>) {
            prop_assert!(LogItems::new(&text).count() <= text.len());
        }
    }
}
