//! Which files damage costs: a second reading of the logs, which only damage makes necessary.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::bad_contents::BadContents;
use super::contents::contents_key;
use super::findings::{DamagedFile, Findings};
use super::logs::{Found, Part};
use super::objects::Damaged;
use super::segments::Segments;
use crate::file_reader;
use crate::format::entry::{Entry, EntryKind, FileContents};
use crate::format::object_ref::{DataRef, ObjectId};
use crate::store::object_cache::ObjectCache;

/// Finds the files that need what is damaged.
pub(super) struct Reached<'a, 'c> {
    pub(super) damaged: &'a Damaged,
    pub(super) bad: Option<&'a BadContents>,
    pub(super) segments: &'a Segments,
    pub(super) findings: &'a mut Findings,
    lists: ObjectCache<'c>,
    entries: u32,
    text: Vec<u8>,
}

impl<'a, 'c> Reached<'a, 'c> {
    pub(super) fn new(
        damaged: &'a Damaged,
        bad: Option<&'a BadContents>,
        segments: &'a Segments,
        findings: &'a mut Findings,
        lists: ObjectCache<'c>,
    ) -> Self {
        Self {
            damaged,
            bad,
            segments,
            findings,
            lists,
            entries: 0,
            text: Vec::new(),
        }
    }

    /// Looks at what stands in a log. Objects and entries that are lost were told the first time.
    pub(super) fn take(&mut self, part: &Part, found: Found<'_>) -> Result<()> {
        match found {
            Found::Entry(entry) => {
                self.entries += 1;
                match &entry.kind {
                    EntryKind::File(contents) => self.file(part, entry, contents),
                    _ => Ok(()),
                }
            }
            Found::End => {
                self.entries = 0;
                Ok(())
            }
            Found::Lost(_) | Found::Object(_) => Ok(()),
        }
    }

    /// Ends the second reading.
    pub(super) fn finish(self) -> Result<()> {
        self.lists.ensure_had_room()
    }

    fn file(&mut self, part: &Part, entry: &Entry, contents: &FileContents) -> Result<()> {
        let key = contents_key(contents, &mut self.text);
        let mut file = DamagedFile {
            path: &entry.path,
            key,
            order: (part.order.0, part.order.1, self.entries),
            segment: None,
            object: None,
            reason: String::new(),
        };
        let needed = self.damaged_objects(contents);
        for (segment, object) in &needed {
            file.segment = Some(*segment);
            file.object = Some(*object);
            file.reason = format!("needs object {object}, which is damaged or missing");
            self.findings.file(&file, &part.snapshots)?;
        }
        let bad = self.bad.filter(|_| needed.is_empty());
        if let Some(bad) = bad
            && let Some((reason, segment)) = bad.get(&key)?
        {
            // Of several segments nobody knows which one it is.
            file.segment = segment.filter(|_| Self::is_of_one_segment(contents));
            file.reason = reason;
            self.findings.file(&file, &part.snapshots)?;
        }
        Ok(())
    }

    /// Returns the first damaged object that a file needs of each segment.
    fn damaged_objects(&mut self, contents: &FileContents) -> BTreeMap<u32, ObjectId> {
        if self.damaged.is_empty() {
            return BTreeMap::new();
        }
        let mut found = BTreeMap::new();
        let (segments, damaged) = (self.segments, self.damaged);
        let mut look = |data: &DataRef| {
            if let DataRef::Object(r) | DataRef::Indirect(r) = data
                && let Some(number) = segments.known(r.object.segment)
                && damaged.has(number, r.object.sequence)
            {
                found.entry(number).or_insert(r.object);
            }
        };
        contents.data.iter().for_each(&mut look);
        let is_list = |data: &DataRef| matches!(data, DataRef::Indirect(_));
        if contents.data.iter().any(is_list) {
            let walked =
                file_reader::for_each(contents.into(), &mut self.lists, &mut |reference, _| {
                    look(&reference);
                    Ok(())
                });
            // What is wrong with the lists was told when they were gathered.
            drop(walked);
        }
        found
    }

    fn is_of_one_segment(contents: &FileContents) -> bool {
        let segments = contents.data.iter().map(|data| match data {
            DataRef::Object(r) => Some(r.object.segment),
            DataRef::Indirect(_) | DataRef::Zero(_) => None,
        });
        let has_lists = contents
            .data
            .iter()
            .any(|data| matches!(data, DataRef::Indirect(_)));
        !has_lists && segments.flatten().collect::<BTreeSet<_>>().len() == 1
    }
}
