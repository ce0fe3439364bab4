//! Hard links within one run: a file that was read under one name is not read again under the others.

use std::collections::HashMap;

use nix::sys::stat::FileStat;

use super::scan::identity;
use crate::format::entry::FileContents;
use crate::local::stat_cache::Doubts;

/// Contents of files whose other names may still come; each is forgotten with its last name.
#[derive(Default)]
pub(super) struct Links {
    files: HashMap<(u64, u64), LinkedFile>,
    /// Number of references in all contents, and one for each file.
    weight: usize,
}

/// Most references that are remembered, some 10 MB. Beyond that all are forgotten: other names may never come, and if they do, the
/// file is read again and its blocks are found to be known.
const WEIGHT_MAX: usize = 1 << 15;

struct LinkedFile {
    contents: FileContents,
    doubts: Doubts,
    unchanged: StatTimes,
    links_to_come: u64,
}

/// What of a stat must agree for contents to be taken as the same within one run.
type StatTimes = (i64, i64, i64, i64, i64);

impl Links {
    /// Returns the contents that were read under an earlier name, and what speaks against them.
    pub(super) fn known(&mut self, stat: &FileStat) -> Option<(FileContents, Doubts)> {
        let key = identity(stat);
        let known = self.files.get_mut(&key);
        let known = known.filter(|known| known.unchanged == times(stat))?;
        known.links_to_come -= 1;
        if known.links_to_come > 0 {
            return Some((known.contents.clone(), known.doubts));
        }
        let known = self.files.remove(&key)?;
        self.weight -= weight(&known.contents);
        Some((known.contents, known.doubts))
    }

    /// Remembers contents for the other names of a file.
    pub(super) fn remember(&mut self, stat: &FileStat, contents: &FileContents, doubts: Doubts) {
        if stat.st_nlink > 1 {
            let linked = LinkedFile {
                contents: contents.clone(),
                doubts,
                unchanged: times(stat),
                links_to_come: stat.st_nlink - 1,
            };
            if self.weight + weight(contents) > WEIGHT_MAX {
                self.files.clear();
                self.weight = 0;
            }
            self.weight += weight(contents);
            if let Some(replaced) = self.files.insert(identity(stat), linked) {
                self.weight -= weight(&replaced.contents);
            }
        }
    }
}

fn weight(contents: &FileContents) -> usize {
    1 + contents.data.len()
}

fn times(stat: &FileStat) -> StatTimes {
    (
        stat.st_size,
        stat.st_mtime,
        stat.st_mtime_nsec,
        stat.st_ctime,
        stat.st_ctime_nsec,
    )
}
