//! The sources of a backup: PATH arguments and lists turned into stored paths.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::format::path::EntryPath;

/// Sources in path order, each once, with the directory that their stored paths are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Whether it comes from a list. What vanished since that was made is a problem, and the others are backed up.
    pub listed: bool,
    /// Where it is on the disk, if it is recorded under another name.
    pub on_disk: Option<EntryPath>,
}

impl Sources {
    /// Returns no sources, for a backup of something else.
    #[must_use]
    pub fn none() -> Self {
        Self {
            base: "/".into(),
            paths: Vec::new(),
        }
    }

    /// Interprets PATH arguments, and paths of a list: all absolute or all relative, without `..`; the error says what to type
    /// instead.
    pub fn parse(paths: &[PathBuf], listed: &[PathBuf]) -> Result<Self, String> {
        let mut all = paths.iter().chain(listed);
        let Some(first) = all.next() else {
            return Err("nothing to back up: name at least one PATH".to_owned());
        };
        let absolute = first.is_absolute();
        if let Some(other) = all.find(|p| p.is_absolute() != absolute) {
            let (whole, relative) = if absolute {
                (first, other)
            } else {
                (other, first)
            };
            return Err(format!(
                "\"{}\" is an absolute path and \"{}\" a relative one: use one kind for all PATHs",
                whole.display(),
                relative.display()
            ));
        }
        let named = paths.iter().map(|path| Source::parse(path, false));
        let listed = listed.iter().map(|path| Source::parse(path, true));
        let mut parsed = named.chain(listed).collect::<Result<Vec<_>, _>>()?;
        parsed.sort();
        parsed.dedup_by(|later, earlier| {
            let same = later.path == earlier.path;
            earlier.follow |= same && later.follow;
            earlier.listed &= !same || later.listed;
            same
        });
        let base = if absolute { "/" } else { "." };
        Ok(Self {
            base: base.into(),
            paths: parsed,
        })
    }

    /// Records the one source under another name.
    pub fn recorded_as(mut self, path: &Path) -> Result<Self, String> {
        let [source] = self.paths.as_mut_slice() else {
            let count = self.paths.len();
            return Err(format!(
                "--as-path renames one PATH, not {count}: back each up by itself, under a --scheme of its own"
            ));
        };
        let recorded = EntryPath::from_argument(path)?;
        source.on_disk = Some(std::mem::replace(&mut source.path, recorded));
        Ok(self)
    }
}

impl Source {
    /// Returns where it is, relative to the base.
    #[must_use]
    pub fn place(&self) -> &EntryPath {
        self.on_disk.as_ref().unwrap_or(&self.path)
    }

    fn parse(argument: &Path, listed: bool) -> Result<Self, String> {
        let bytes = argument.as_os_str().as_bytes();
        let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
        Ok(Self {
            path: EntryPath::from_argument(argument)?,
            follow,
            listed,
            on_disk: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        Sources::parse(&paths, &[]).map(|s| {
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
    fn what_is_named_has_to_be_there_though_a_list_has_it_too() {
        let parsed = Sources::parse(&["b".into()], &["a/".into(), "b".into(), "c".into()]);
        let listed = |source: &Source| (source.path.to_string(), source.listed, source.follow);
        assert_eq!(
            parsed.map(|s| s.paths.iter().map(listed).collect::<Vec<_>>()),
            Ok(vec![
                ("a".to_owned(), true, true),
                ("b".to_owned(), false, false),
                ("c".to_owned(), true, false)
            ])
        );
    }

    #[test]
    fn wrong_paths_are_answered_with_what_to_type() {
        for (paths, answer) in [
            (&[][..], "name at least one PATH"),
            (&["/usr", "etc"], "use one kind for all PATHs"),
            (
                &["etc", "/usr"],
                "\"/usr\" is an absolute path and \"etc\" a relative one",
            ),
            (&["../x"], "in place of \"../x\" write"),
            (&[""], "use . for the working directory"),
        ] {
            let error = parse(paths).expect_err("is wrong");
            assert!(error.contains(answer), "{error}");
        }
    }
}
