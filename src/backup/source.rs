//! The sources of a backup: PATH arguments turned into stored paths.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::format::path::EntryPath;

/// Sources in path order, each once, with the directory that their stored paths are relative to.
#[derive(Debug, PartialEq, Eq)]
pub struct Sources {
    /// `/` for absolute sources, the working directory for relative ones.
    pub base: PathBuf,
    /// What to back up, relative to the base. One may lie inside another.
    pub paths: Vec<Source>,
}

/// A tree to back up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Its path as stored.
    pub path: EntryPath,
    /// Whether a symbolic link of that name stands for what it leads to: it was typed with a `/` at its end.
    pub follow: bool,
}

impl Sources {
    /// Interprets PATH arguments: all absolute or all relative, without `..`; the error says what to type instead.
    pub fn parse(paths: &[PathBuf]) -> Result<Self, String> {
        let Some(first) = paths.first() else {
            return Err("nothing to back up: name at least one PATH".to_owned());
        };
        let absolute = first.is_absolute();
        if let Some(other) = paths.iter().find(|p| p.is_absolute() != absolute) {
            let (one, two) = (first.display(), other.display());
            return Err(format!(
                "\"{one}\" and \"{two}\" are an absolute and a relative path: use one kind for all PATHs"
            ));
        }
        let mut parsed = paths
            .iter()
            .map(|p| Source::parse(p))
            .collect::<Result<Vec<_>, _>>()?;
        parsed.sort();
        parsed.dedup_by(|later, earlier| {
            let same = later.path == earlier.path;
            earlier.follow |= same && later.follow;
            same
        });
        let base = if absolute { "/" } else { "." };
        Ok(Self {
            base: base.into(),
            paths: parsed,
        })
    }
}

impl Source {
    fn parse(argument: &Path) -> Result<Self, String> {
        let bytes = argument.as_os_str().as_bytes();
        let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
        Ok(Self {
            path: EntryPath::from_argument(argument)?,
            follow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        Sources::parse(&paths).map(|s| {
            s.paths
                .iter()
                .map(|source| source.path.to_string())
                .collect()
        })
    }

    #[test]
    fn stored_paths_are_clean_sorted_and_each_there_once() {
        assert_eq!(
            parse(&["/usr//lib/", "/etc/./x", "/usr/lib"]),
            Ok(vec!["etc/x".into(), "usr/lib".into()])
        );
        assert_eq!(
            parse(&["b", "./a-b", "a/b", "a"]),
            Ok(vec!["a".into(), "a/b".into(), "a-b".into(), "b".into()])
        );
        assert_eq!(parse(&["/"]), Ok(vec![".".into()]));
        assert_eq!(parse(&[".", "x"]), Ok(vec![".".into(), "x".into()]));
    }

    #[test]
    fn wrong_paths_are_answered_with_what_to_type() {
        for (paths, answer) in [
            (&[][..], "name at least one PATH"),
            (&["/usr", "etc"], "use one kind for all PATHs"),
            (&["../x"], "write ../x without it"),
            (&[""], "use . for the working directory"),
        ] {
            let error = parse(paths).expect_err("is wrong");
            assert!(error.contains(answer), "{error}");
        }
    }
}
