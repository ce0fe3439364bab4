//! PATTERNs: which paths a user means.
//!
//! `*` and `?` do not cross `/`, `**` does; a leading `/` anchors a pattern at the top, without it the pattern may match at any depth;
//! a trailing `/` makes it match directories only. docs/manual.md, "Paths and patterns", has all of it; the table in the tests too.
//!
//! A pattern becomes a row of tokens, and matching keeps the set of all places in the path that the tokens so far can reach. That takes
//! at most tokens × bytes steps, whatever the pattern: going back over stars would take exponentially many for hostile ones. Most
//! patterns are decided before it by how the path begins or ends. Patterns and paths are bytes; what is UTF-8 in them counts as
//! characters, any other byte as itself.

mod parse;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::format::path::EntryPath;
use crate::wording::backslashed;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    directories_only: bool,
    scope: Scope,
}

/// What of a path the tokens are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The last component, wherever it is.
    Name,
    /// All of it.
    Path,
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// `?`: one character but `/`.
    One,
    /// `[…]`: one of these characters, or another one but `/` if negated.
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
    /// `*`: any number of characters but `/`.
    Star,
    /// `**`: anything.
    Everything,
    /// `**/` where a component begins: any number of whole directories.
    Directories,
}

/// Returns the pattern that means exactly these bytes.
#[must_use]
pub fn escaped(bytes: &[u8]) -> Vec<u8> {
    backslashed(bytes, b"*?[\\")
}

impl Pattern {
    /// Compiles a pattern; the error names it. What can never match anything is an error too.
    pub fn new(pattern: impl AsRef<OsStr>) -> Result<Self, String> {
        let pattern = pattern.as_ref().as_bytes();
        parse::parse(pattern)
            .map_err(|reason| format!("pattern \"{}\" {reason}", String::from_utf8_lossy(pattern)))
    }

    /// Compiles several patterns; the error names the one that is wrong.
    pub fn all(patterns: &[impl AsRef<OsStr>]) -> Result<Vec<Self>, String> {
        patterns.iter().map(Self::new).collect()
    }

    /// Tells whether the pattern fits a path.
    #[must_use]
    pub fn matches(&self, path: &EntryPath, is_directory: bool) -> bool {
        self.matches_bytes(path.as_bytes(), is_directory)
    }

    /// Tells whether the pattern fits a path below the directory that it is anchored at, given as bytes relative to that one.
    pub(crate) fn matches_bytes(&self, path: &[u8], is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        let text = match self.scope {
            Scope::Path => path,
            Scope::Name => path.rsplit(|&b| b == b'/').next().unwrap_or(path),
        };
        match self.tokens.as_slice() {
            [Token::Literal(literal)] => text == literal,
            [Token::Star] if self.scope == Scope::Name => true,
            [Token::Star, Token::Literal(end)] if self.scope == Scope::Name => text.ends_with(end),
            tokens => may_fit(tokens, text) && reach(tokens, text) == Reach::Fits,
        }
    }

    /// Tells whether the pattern may fit something below a directory, given as in [`matches_bytes`](Self::matches_bytes); empty for
    /// the one that the pattern is anchored at.
    pub(crate) fn may_match_below(&self, directory: &[u8]) -> bool {
        if self.scope == Scope::Name || directory.is_empty() {
            return true;
        }
        let begun = [directory, b"/"].concat();
        reach(&self.tokens, &begun) == Reach::Begins
    }
}

/// How a text relates to tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// It is what they say.
    Fits,
    /// It ends in a `/`, and something that begins with it may be.
    Begins,
    Differs,
}

/// Rules most texts out by how they begin and end.
fn may_fit(tokens: &[Token], text: &[u8]) -> bool {
    let begins = match tokens.first() {
        Some(Token::Literal(begin)) => text.starts_with(begin),
        _ => true,
    };
    begins
        && match tokens.last() {
            Some(Token::Literal(end)) => text.ends_with(end),
            _ => true,
        }
}

/// Takes the tokens one after the other over the set of places in the text where what is before them may end.
fn reach(tokens: &[Token], text: &[u8]) -> Reach {
    let open = text.ends_with(b"/");
    let mut places = vec![false; text.len() + 1];
    places[0] = true;
    for token in tokens {
        // A path never ends in a slash: there is more to come, for this token and those behind it.
        if open && (places[text.len()] || token.passes_end(&places, text)) {
            return Reach::Begins;
        }
        token.advance(&mut places, text);
        if !places.contains(&true) {
            return Reach::Differs;
        }
    }
    if places[text.len()] && !open {
        Reach::Fits
    } else {
        Reach::Differs
    }
}

impl Token {
    /// Replaces the places where the token may begin by those where it may end.
    fn advance(&self, places: &mut Vec<bool>, text: &[u8]) {
        match self {
            Self::Star => spread(places, text, |unit| unit != u32::from(b'/')),
            Self::Everything => spread(places, text, |_| true),
            Self::Directories => {
                let mut begun = false;
                for at in 0..places.len() {
                    places[at] |= begun && at > 0 && text[at - 1] == b'/';
                    begun |= places[at];
                }
            }
            Self::Literal(literal) => {
                step(places, |at| {
                    text[at..].starts_with(literal).then_some(literal.len())
                });
            }
            Self::One | Self::Class { .. } => step(places, |at| self.one(text, at)),
        }
    }

    /// Returns the length of the one character at a place, if the token takes it.
    fn one(&self, text: &[u8], at: usize) -> Option<usize> {
        let (unit, length) = unit(text, at)?;
        let takes = match self {
            Self::Class { negated, ranges } => {
                ranges
                    .iter()
                    .any(|&(first, last)| (first..=last).contains(&unit))
                    != *negated
            }
            _ => true,
        };
        (takes && unit != u32::from(b'/')).then_some(length)
    }

    /// Tells whether the text ends in the middle of the token.
    fn passes_end(&self, places: &[bool], text: &[u8]) -> bool {
        let mut begins = (0..text.len()).filter(|&at| places[at]);
        match self {
            Self::Literal(literal) => {
                begins.any(|at| text.len() - at < literal.len() && literal.starts_with(&text[at..]))
            }
            Self::Everything => begins.next().is_some(),
            _ => false,
        }
    }
}

/// Lets places go on over any number of characters.
fn spread(places: &mut [bool], text: &[u8], takes: impl Fn(u32) -> bool) {
    for at in 0..text.len() {
        if places[at]
            && let Some((unit, length)) = unit(text, at)
            && takes(unit)
        {
            places[at + length] = true;
        }
    }
}

/// Moves each place by what `length` says of it, or drops it.
fn step(places: &mut Vec<bool>, length: impl Fn(usize) -> Option<usize>) {
    let mut next = vec![false; places.len()];
    for (at, _) in places.iter().enumerate().filter(|(_, is_place)| **is_place) {
        if let Some(length) = length(at) {
            next[at + length] = true;
        }
    }
    *places = next;
}

/// Bytes that are not UTF-8 count as characters behind the last one that there is.
const INVALID: u32 = 0x11_0000;

/// Returns the character at a place and its length in bytes; none at the end.
fn unit(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *text.get(at)?;
    if first.is_ascii() {
        return Some((first.into(), 1));
    }
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let bytes = text.get(at..at + length).unwrap_or_default();
    let character = std::str::from_utf8(bytes)
        .ok()
        .and_then(|s| s.chars().next());
    Some(character.map_or((INVALID + u32::from(first), 1), |c| (c.into(), length)))
}
