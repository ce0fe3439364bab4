//! Which state of a regular file is backed up: if there is any way, one that no change went through.
//!
//! 1. The file is opened and read in place. If its stat is then still that of the opening, this is its state. Otherwise it is
//!    opened and read again, [`TRIES`] times in all.
//! 2. It is copied aside ([`super::staging`]) and read from the copy. A reflink is the state of one moment. Another copy is, if the
//!    stat did not change over it; otherwise the file is copied again, [`TRIES`] times in all.
//! 3. What changed even then, or may not be copied, is stored as it was read last, and is a problem.
//!
//! A file that had to be copied is remembered by the stat cache and begins with 2 in the next run, until it is backed up without
//! having changed. If it may not be copied, it is then read in place once: to read 100 GB three times every night would help nobody.
//!
//! What is recorded besides the contents is the stat from before they were read or copied. If the file has changed since, that
//! proves nothing to the next run, and the entry is `volatile`. Blocks that were stored for a state which is not recorded stay in
//! the store and in the block index: the next try finds them there.

use anyhow::Result;

use super::contents::{self, OpenFile};
use super::describe;
use super::look_ahead::Found;
use super::previous::Previous;
use super::run::Run;
use super::staging::Copy;
use super::tally::BlockCounts;
use super::xattrs::{self, ReadXattrs};
use crate::format::entry::FileContents;
use crate::local::stat_cache::Doubts;
use crate::metadata_log::OldEntry;
use crate::monitor::PathStatus;

/// How often a file is read, and then copied, before its change is put up with.
const TRIES: u32 = 3;

/// A regular file on its way into the snapshot.
struct Visit<'f> {
    found: &'f Found<'f>,
    old: Option<OldEntry>,
    /// What became of its blocks, over all tries.
    counts: BlockCounts,
    /// Whether it was seen to change.
    changed: bool,
    /// Whether reading it in place is given up, in this run or by an earlier one.
    restless: bool,
    /// Whether it was last found to be what a rebuilt entry says.
    rebuilt: bool,
}

/// A file that was opened, with what belongs to the state that it is in.
struct Subject {
    open: OpenFile,
    xattrs: ReadXattrs,
    /// Whether it could change further without a trace in its times.
    racy: bool,
}

/// A state of a file that is in the store.
struct ReadFile {
    subject: Subject,
    /// Size, checksum and references of exactly what was read.
    contents: FileContents,
    /// Whether the file is no longer what its stat says.
    changed: bool,
    /// Why the contents may not be those of one moment, if so.
    torn: Option<String>,
}

/// What a file is read from instead of itself.
struct Copied {
    open: OpenFile,
    /// Why it may not be the state of one moment, if so.
    torn: Option<String>,
}

/// What came of a try; an error is the file's alone and does not end the run.
type Tried<T> = Result<T, String>;

impl ReadFile {
    fn not_copied(mut self, why: &str) -> Self {
        let explain = |reason| format!("{reason} (not copied aside: {why})");
        self.torn = self.torn.map(explain);
        self
    }
}

impl Visit<'_> {
    /// Adds what became of the blocks in a try. What an earlier try of this run stored was not there before.
    fn count(&mut self, latest: BlockCounts) {
        let sum = &mut self.counts;
        let own = sum.new + sum.sub_file + sum.repacked;
        let is_next_to_own = own > 0 && sum.sub_file == 0;
        *if is_next_to_own {
            &mut sum.new
        } else {
            &mut sum.sub_file
        } += latest.sub_file;
        sum.new += latest.new;
        sum.repacked += latest.repacked;
        sum.old += latest.old.saturating_sub(own);
    }
}

impl Run<'_> {
    /// Backs up a regular file that the stat cache does not know as it is.
    pub(super) fn visit_file(&mut self, found: &Found<'_>, old: Option<OldEntry>) -> Result<()> {
        let monitor = self.outside.monitor;
        let subject = match self.open(found) {
            Ok(subject) => subject,
            Err(reason) => {
                monitor.problem(found.path.as_bytes(), reason);
                return Ok(());
            }
        };
        if let Some((contents, doubts)) = self.links.known(&subject.open.stat) {
            let Subject { open, xattrs, .. } = subject;
            let mut entry = describe::regular(found.path, &open.stat, contents, &mut self.owners);
            entry.volatile = doubts.volatile;
            let doubts = Doubts {
                unstable: false,
                ..doubts
            };
            return self.record(entry, xattrs, &open.stat, PathStatus::Old, doubts);
        }
        let mut visit = Visit {
            found,
            old,
            counts: BlockCounts::default(),
            changed: false,
            restless: old.is_some_and(|old| old.doubts.unstable),
            rebuilt: false,
        };
        let size = u64::try_from(subject.open.stat.st_size).unwrap_or(0);
        self.reading
            .begin(found.path, size, self.chunker.bytes_read());
        let read = if visit.restless {
            self.copy_first(&mut visit, subject)?
        } else {
            self.read_first(&mut visit, subject)?
        };
        match read {
            Ok(read) => self.record_read(&visit, read),
            Err(reason) => {
                monitor.problem(found.path.as_bytes(), reason);
                Ok(())
            }
        }
    }

    fn open(&self, found: &Found<'_>) -> Result<Subject, String> {
        let mut open = contents::open(found.parent, found.name)?;
        open.skip_holes_at(self.outside.clock.now().as_second());
        // Before the reading: however long that takes, a change after this moment may go unseen.
        let racy = self.is_racy(&open.stat);
        let xattrs = xattrs::of_file(&open.file);
        Ok(Subject { open, xattrs, racy })
    }

    /// Reads a file in place, and from a copy only if it changes every time. A file that cannot be opened or read again is stored
    /// as it was. The inner error is the file's alone.
    fn read_first(&mut self, visit: &mut Visit<'_>, subject: Subject) -> Result<Tried<ReadFile>> {
        let mut read = match self.read(visit, subject, None, None)? {
            Ok(read) => read,
            failed => return Ok(failed),
        };
        for _ in 1..TRIES {
            if !read.changed {
                return Ok(Ok(read));
            }
            let Ok(subject) = self.open(visit.found) else {
                return Ok(Ok(read));
            };
            match self.read(visit, subject, None, Some(&read.contents))? {
                Ok(newer) => read = newer,
                Err(_) => return Ok(Ok(read)),
            }
        }
        if !read.changed {
            return Ok(Ok(read));
        }
        visit.restless = true;
        let Ok(subject) = self.open(visit.found) else {
            return Ok(Ok(read));
        };
        let copied = self.read_copy(visit, subject, Some(&read.contents))?;
        Ok(Ok(copied.unwrap_or_else(|why| read.not_copied(&why))))
    }

    /// Reads a file from a copy, and in place only if there cannot be one.
    fn copy_first(&mut self, visit: &mut Visit<'_>, subject: Subject) -> Result<Tried<ReadFile>> {
        let why = match self.read_copy(visit, subject, None)? {
            Ok(read) => return Ok(Ok(read)),
            Err(why) => why,
        };
        let subject = match self.open(visit.found) {
            Ok(subject) => subject,
            Err(reason) => return Ok(Err(reason)),
        };
        let read = self.read(visit, subject, None, None)?;
        Ok(read.map(|read| read.not_copied(&why)))
    }

    /// Stores the contents of a file, from a copy if there is one; `last` is what an earlier try stored.
    fn read(
        &mut self,
        visit: &mut Visit<'_>,
        mut subject: Subject,
        copied: Option<Copied>,
        last: Option<&FileContents>,
    ) -> Result<Tried<ReadFile>> {
        let mut previous = self.previous(&subject.open.stat, visit.old.as_ref(), last);
        let (stored, torn) = if let Some(Copied { mut open, torn }) = copied {
            (self.store_contents(&mut open, &mut previous)?, Some(torn))
        } else {
            let open = &mut subject.open;
            (self.recognize_or_store(visit, open, &mut previous)?, None)
        };
        Ok(stored.map(|(contents, counts)| {
            visit.count(counts);
            let change = subject.open.what_changed(contents.size);
            visit.changed |= change.is_some();
            ReadFile {
                changed: change.is_some(),
                torn: torn.unwrap_or(change).or_else(|| subject.open.no_end()),
                subject,
                contents,
            }
        }))
    }

    fn recognize_or_store(
        &mut self,
        visit: &mut Visit<'_>,
        open: &mut OpenFile,
        previous: &mut Previous,
    ) -> Result<Tried<(FileContents, BlockCounts)>> {
        let recognized = self.recognize(open, visit.old.as_ref())?;
        visit.rebuilt = matches!(recognized, Ok(Some(_)));
        match recognized {
            Ok(Some(known)) => Ok(Ok(known)),
            Ok(None) => self.store_contents(open, previous),
            Err(error) => Ok(Err(contents::cannot_read(&error))),
        }
    }

    /// Copies a file aside, if need be several times, and reads the last copy. The inner error says why there is none.
    fn read_copy(
        &mut self,
        visit: &mut Visit<'_>,
        mut subject: Subject,
        last: Option<&FileContents>,
    ) -> Result<Tried<ReadFile>> {
        let mut tries = 1;
        loop {
            let copy = match self.copy_aside(&mut subject.open)? {
                Ok(copy) => copy,
                Err(why) => return Ok(Err(why)),
            };
            let copied_bytes = u64::try_from(copy.open.stat.st_size).unwrap_or(0);
            let change = subject.open.what_changed(copied_bytes);
            visit.changed |= change.is_some();
            let torn = change.filter(|_| !copy.reflink);
            if torn.is_some()
                && tries < TRIES
                && let Ok(again) = self.open(visit.found)
            {
                subject = again;
                tries += 1;
                continue;
            }
            let copied = Copied {
                open: copy.open,
                torn,
            };
            return self.read(visit, subject, Some(copied), last);
        }
    }

    fn copy_aside(&mut self, open: &mut OpenFile) -> Result<Tried<Copy>> {
        let mut copying = match self.staging.begin(open) {
            Ok(copying) => copying,
            Err(why) => return Ok(Err(why)),
        };
        loop {
            match copying.advance() {
                Ok(true) => self.pause()?,
                Ok(false) => break,
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(copying.finish().map_err(|error| error.to_string()))
    }

    /// Appends a file to the log as it was read.
    fn record_read(&mut self, visit: &Visit<'_>, read: ReadFile) -> Result<()> {
        let Subject { open, xattrs, racy } = read.subject;
        let path = visit.found.path;
        if let Some(reason) = &read.torn {
            self.outside.monitor.problem(path.as_bytes(), reason);
        } else if let Some(old) = visit.old.filter(|_| !read.changed) {
            self.compare_with_old(visit.found, &open, &old, &read.contents);
        }
        // Whose size does not say how long it is may change without a trace in its stat.
        let is_size_true = read.contents.size == open.size();
        let volatile = racy || read.changed || !is_size_true;
        let doubts = Doubts {
            volatile,
            unstable: visit.restless && visit.changed,
            partial: false,
            rebuilt: visit.rebuilt,
        };
        self.links.remember(&open.stat, &read.contents, doubts);
        let is_unchanged = self.has_old_contents(&read.contents) == Some(true);
        let mut entry = describe::regular(path, &open.stat, read.contents, &mut self.owners);
        entry.volatile = volatile;
        let status = visit.counts.status(is_unchanged);
        self.record(entry, xattrs, &open.stat, status, doubts)
    }

    /// Looks for contents that changed though nothing says so: a disk that rots, or a clock that was played with.
    fn compare_with_old(
        &self,
        found: &Found<'_>,
        open: &OpenFile,
        old: &OldEntry,
        contents: &FileContents,
    ) {
        let key = describe::stat_key(&open.stat);
        if old.doubts.volatile || !old.key.has_contents_of(&key) {
            return;
        }
        let remembered = self.log.remembered().and_then(|old| old.contents);
        if remembered.is_some_and(|old| old.checksum != contents.checksum) {
            self.outside.monitor.problem(
                found.path.as_bytes(),
                "its contents changed though its size and times did not: what was read now is stored",
            );
        }
    }
}
