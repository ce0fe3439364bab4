//! The sources of a backup: PATH arguments turned into stored paths.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::format::path::EntryPath;

/// Sources in path order, none inside another, with the directory that their stored paths are relative to.
#[derive(Debug, PartialEq, Eq)]
pub struct Sources {
    /// `/` for absolute sources, the working directory for relative ones.
    pub base: PathBuf,
    /// What to back up, relative to the base.
    pub paths: Vec<EntryPath>,
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
            .map(|p| entry_path(p))
            .collect::<Result<Vec<_>, _>>()?;
        parsed.sort();
        // In path order everything inside a source follows it directly.
        parsed.dedup_by(|later, earlier| later.is_within(earlier));
        let base = if absolute { "/" } else { "." };
        Ok(Self {
            base: base.into(),
            paths: parsed,
        })
    }
}

/// Returns the stored form of a PATH argument: without leading or doubled `/` and without `.` components.
///
/// `..` is refused: leaving it out textually would name another file where a symbolic link stands before it.
pub fn entry_path(path: &Path) -> Result<EntryPath, String> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err("an empty PATH names nothing: use . for the working directory".to_owned());
    }
    let mut stored = EntryPath::root();
    for component in bytes
        .split(|&b| b == b'/')
        .filter(|c| !matches!(*c, b"" | b"."))
    {
        if component == b".." {
            return Err(format!(
                "\"..\" cannot be stored: write {} without it",
                path.display()
            ));
        }
        stored = stored.join(component);
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        Sources::parse(&paths).map(|s| s.paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn stored_paths_are_clean_sorted_and_disjoint() {
        assert_eq!(
            parse(&["/usr//lib/", "/etc/./x", "/usr/lib/a"]),
            Ok(vec!["etc/x".into(), "usr/lib".into()])
        );
        assert_eq!(
            parse(&["b", "./a-b", "a/b", "a"]),
            Ok(vec!["a".into(), "a-b".into(), "b".into()])
        );
        assert_eq!(parse(&["/"]), Ok(vec![".".into()]));
        assert_eq!(parse(&[".", "x"]), Ok(vec![".".into()]));
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
