//! Which paths a backup leaves out.
//!
//! `*` and `?` do not cross `/`, `**` does; a leading `/` anchors a pattern at the top of the stored paths, without it the pattern
//! may match at any depth; a trailing `/` makes it match directories only. What is below an excluded directory is not visited.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

use crate::format::path::EntryPath;

/// A list of exclusion patterns.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    excluded: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    glob: GlobMatcher,
    directories_only: bool,
}

impl Selection {
    /// Compiles exclusion patterns; the error names the one that is wrong.
    pub fn excluding(patterns: &[String]) -> Result<Self, String> {
        let excluded = patterns
            .iter()
            .map(|p| Pattern::new(p))
            .collect::<Result<_, _>>()?;
        Ok(Self { excluded })
    }

    /// Tells whether a path is left out, and with it everything below.
    #[must_use]
    pub fn excludes(&self, path: &EntryPath, is_directory: bool) -> bool {
        let text = OsStr::from_bytes(path.as_bytes());
        self.excluded
            .iter()
            .any(|p| (is_directory || !p.directories_only) && p.glob.is_match(text))
    }
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, String> {
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

    fn excludes(pattern: &str, path: &str, is_directory: bool) -> bool {
        let selection = Selection::excluding(&[pattern.to_owned()]).expect(pattern);
        selection.excludes(&EntryPath::new(path).expect(path), is_directory)
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, path, matches) in [
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
            assert_eq!(
                excludes(pattern, path, false),
                matches,
                "{pattern} on {path}"
            );
        }
        assert!(excludes("cache/", "x/cache", true));
        assert!(!excludes("cache/", "x/cache", false));
    }

    #[test]
    fn bytes_that_are_not_utf8_match_too() {
        let selection = Selection::excluding(&["*.o".to_owned()]).expect("compiles");
        assert!(selection.excludes(
            &EntryPath::new(b"\xff\xfe.o".to_vec()).expect("valid"),
            false
        ));
    }

    #[test]
    fn wrong_patterns_are_named() {
        for wrong in ["", "/", "[a"] {
            let error = Selection::excluding(&[wrong.to_owned()]).expect_err(wrong);
            assert!(
                error.starts_with(&format!("pattern \"{wrong}\"")),
                "{error}"
            );
        }
    }
}
