//! PATTERNs: which paths a user means.
//!
//! `*` and `?` do not cross `/`, `**` does; a leading `/` anchors a pattern at the top of the stored paths, without it the pattern
//! may match at any depth; a trailing `/` makes it match directories only.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

use crate::format::path::EntryPath;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    glob: GlobMatcher,
    directories_only: bool,
}

impl Pattern {
    /// Compiles a pattern; the error names it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let (body, directories_only) = pattern
            .strip_suffix('/')
            .map_or((pattern, false), |body| (body, true));
        if body.is_empty() {
            return Err(format!(
                "pattern \"{pattern}\" matches nothing: write a name, or **/ for all directories"
            ));
        }
        let glob = match body.strip_prefix('/') {
            Some(anchored) => anchored.to_owned(),
            None => format!("**/{body}"),
        };
        let built = GlobBuilder::new(&without_alternatives(&glob))
            .literal_separator(true)
            .backslash_escape(true)
            .build();
        let glob = built.map_err(|e| format!("pattern \"{pattern}\" is wrong: {}", e.kind()))?;
        Ok(Self {
            glob: glob.compile_matcher(),
            directories_only,
        })
    }

    /// Compiles several patterns; the error names the one that is wrong.
    pub fn all(patterns: &[String]) -> Result<Vec<Self>, String> {
        patterns.iter().map(|pattern| Self::new(pattern)).collect()
    }

    /// Tells whether the pattern fits a path.
    #[must_use]
    pub fn matches(&self, path: &EntryPath, is_directory: bool) -> bool {
        (is_directory || !self.directories_only)
            && self.glob.is_match(OsStr::from_bytes(path.as_bytes()))
    }
}

/// Takes the meaning from braces: they are ordinary characters in file names, and nobody promised alternatives.
fn without_alternatives(glob: &str) -> String {
    let mut plain = String::with_capacity(glob.len());
    let mut characters = glob.chars();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.extend(std::iter::once(c).chain(characters.next())),
            '{' | '}' if !in_class => plain.extend(['[', c, ']']),
            _ => plain.push(c),
        }
        in_class = c == '[' || in_class && c != ']';
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str, is_directory: bool) -> bool {
        let path = EntryPath::new(path).expect(path);
        Pattern::new(pattern)
            .expect(pattern)
            .matches(&path, is_directory)
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, path, fits) in [
            ("*.o", "a.o", true),
            ("*.o", "src/deep/a.o", true),
            ("*.o", "a.op", false),
            ("/a.o", "a.o", true),
            ("/a.o", "src/a.o", false),
            ("/home/*/tmp", "home/u/tmp", true),
            ("/home/*/tmp", "home/u/v/tmp", false),
            ("/home/**/tmp", "home/u/v/tmp", true),
            ("/home/**/tmp", "home/tmp", true),
            ("a?c", "x/abc", true),
            ("a?c", "x/a/c", false),
            ("src/*.o", "src/a.o", true),
            ("src/*.o", "x/src/a.o", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("\\{a\\}", "{a}", true),
            ("[{]a", "{a", true),
            ("[ab]", "b", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ] {
            assert_eq!(matches(pattern, path, false), fits, "{pattern} on {path}");
        }
        assert!(matches("cache/", "x/cache", true));
        assert!(!matches("cache/", "x/cache", false));
    }

    #[test]
    fn bytes_that_are_not_utf8_match_too() {
        let pattern = Pattern::new("*.o").expect("compiles");
        let path = EntryPath::new(b"\xff\xfe.o".to_vec()).expect("valid");
        assert!(pattern.matches(&path, false));
    }

    #[test]
    fn wrong_patterns_are_named() {
        for wrong in ["", "/", "[a"] {
            let error = Pattern::new(wrong).expect_err(wrong);
            assert!(
                error.starts_with(&format!("pattern \"{wrong}\"")),
                "{error}"
            );
        }
    }
}
