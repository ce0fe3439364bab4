//! Names that a target takes for the same: where case or normal form do not count, two paths of a snapshot are one there.
//!
//! In a directory that the restore made itself, the second of two such names cannot be created. In one that was there before, what the
//! first path is to replace, or was found to be already, must not be replaced by the second. So names that are found there are noted, as
//! a hash of what all such file systems make of them at most, as long as the restore is in that directory. Only where two hashes are the
//! same are the names of the directory read, and they decide: a name that is not among them, or more paths than there are names.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use unicode_normalization::UnicodeNormalization;

use super::target;
use crate::names::Names;

/// Why a path is not restored whose place another one has.
pub(super) const TAKEN: &str = "another path of this restore has its place, since the target takes their names for the same: restore it by itself to another target";

/// Why the second of two directories is not one of its own.
pub(super) const SHARED: &str = "the target takes its name for that of another directory of this restore: what is below it goes there, and nothing there is replaced";

/// The names that were found in the directories above the present entry.
#[derive(Default)]
pub(super) struct Claims {
    levels: Vec<Level>,
    hasher: RandomState,
}

struct Level {
    directory: Vec<u8>,
    /// Number of names that were found, by their hash.
    found: HashMap<u64, u32>,
    /// The name that came last: a damaged log may have an entry twice.
    last: Vec<u8>,
}

impl Claims {
    /// Notes a name that is in `directory`, open as `opened`; returns whether it is another one's that was noted before.
    ///
    /// Paths have to come in path order.
    pub(super) fn is_taken(
        &mut self,
        directory: &[u8],
        opened: BorrowedFd<'_>,
        name: &[u8],
    ) -> io::Result<bool> {
        let folded = fold(name);
        let hash = self.hasher.hash_one(&folded);
        let level = self.level(directory);
        if level.last == name {
            return Ok(false);
        }
        level.last = name.to_vec();
        let found = level.found.entry(hash).or_default();
        *found += 1;
        if *found == 1 {
            return Ok(false);
        }
        let found = *found as usize;
        let listed = target::open_to_list(opened)?;
        let (alike, failed) = Names::read(listed.as_fd(), |other| fold(other) != folded);
        if let Some(errno) = failed {
            return Err(errno.into());
        }
        Ok(!alike.has(name) || found > alike.len())
    }

    fn level(&mut self, directory: &[u8]) -> &mut Level {
        let leads_to = |level: &Level| {
            let above = level.directory.as_slice();
            above == b"."
                || directory
                    .strip_prefix(above)
                    .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        while self.levels.last().is_some_and(|level| !leads_to(level)) {
            self.levels.pop();
        }
        if self
            .levels
            .last()
            .is_none_or(|level| level.directory != directory)
        {
            self.levels.push(Level {
                directory: directory.to_vec(),
                found: HashMap::new(),
                last: Vec::new(),
            });
        }
        self.levels.last_mut().expect("was just added")
    }
}

/// Returns what is left of a name where as little counts as in any file system: no case, no normal form, no dots and blanks at the end.
fn fold(name: &[u8]) -> String {
    let kept = name.trim_ascii_end();
    let end = kept
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |last| last + 1);
    let kept = &kept[..end];
    if kept.is_ascii() {
        return kept
            .iter()
            .map(|b| char::from(b.to_ascii_lowercase()))
            .collect();
    }
    let upper = |text: String| {
        text.chars()
            .flat_map(char::to_uppercase)
            .collect::<String>()
    };
    let plain: String = String::from_utf8_lossy(kept).nfkd().collect();
    // In this order, since letters such as ß are two in upper case.
    upper(plain).to_lowercase().nfkd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn names_that_some_file_system_takes_for_the_same_fold_to_the_same() {
        for (one, other) in [
            ("README", "readme"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("\u{c9}", "e\u{301}"),
            ("Stra\u{df}e", "STRASSE"),
            ("\u{212a}", "k"),
            ("dots..", "dots"),
            ("\u{3a3}", "\u{3c2}"),
        ] {
            assert_eq!(
                fold(one.as_bytes()),
                fold(other.as_bytes()),
                "{one} {other}"
            );
        }
        assert_ne!(fold(b"a"), fold(b"b"));
    }

    #[test]
    fn names_of_a_directory_that_tells_them_apart_are_nobody_elses() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["A", "a", "B"] {
            fs::write(dir.path().join(name), "").expect("writes");
        }
        let opened = File::open(dir.path()).expect("opens");
        let mut claims = Claims::default();
        let mut is_taken = |name: &str| {
            claims
                .is_taken(b".", opened.as_fd(), name.as_bytes())
                .expect("lists")
        };
        for name in ["A", "B", "a"] {
            assert!(!is_taken(name), "{name}");
        }
        // Found, though no such name is listed: it is there by another name.
        assert!(is_taken("b"));
    }
}
