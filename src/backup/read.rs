//! What is done with a regular file that has to be read: its blocks go to the sink, in the file's order.

use std::fs::File;
use std::io;

use anyhow::Result;

use super::block_sink::LookUp;
use super::contents::{self, OpenFile, Reading, WINDOW_BYTES};
use super::describe;
use super::look_ahead::Found;
use super::previous::Previous;
use super::run::Run;
use super::sub_file::{Cut, Span};
use crate::format::BLOCK_BYTES;
use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, Slice};
use crate::local::signature::PAGE_BYTES;
use crate::metadata_log::OldEntry;
use crate::monitor::PathStatus;

/// Blocks of at least this size can be stored as the difference to an older version, and have page digests for that.
const SIGNED_BYTES_MIN: usize = 64 << 10;

/// A file's contents as they were read.
struct ReadFile {
    /// Size, checksum and references of exactly what was read.
    contents: FileContents,
    status: PathStatus,
    /// Why the contents may not be those of one moment, if so.
    unstable: Option<String>,
}

impl Run<'_> {
    /// Backs up a regular file that the stat cache does not know as it is.
    pub(super) fn visit_file(&mut self, found: &Found<'_>, old: Option<OldEntry>) -> Result<()> {
        let monitor = self.outside.monitor;
        let mut open = match contents::open(found.parent, found.name) {
            Ok(open) => open,
            Err(reason) => {
                monitor.problem(found.path.as_bytes(), reason);
                return Ok(());
            }
        };
        let xattrs = describe::xattrs_of_file(&open.file);
        if let Some((contents, volatile)) = self.links.known(&open.stat) {
            let mut entry = describe::regular(found.path, &open.stat, contents, &mut self.owners);
            entry.volatile = volatile;
            return self.record(entry, xattrs, &open.stat, PathStatus::Old, false);
        }
        // Before the reading: however long that takes, a change after this moment may go unseen.
        let racy = self.is_racy(&open.stat);
        let mut previous = self.previous(&open, old.as_ref());
        let read = match self.read(&mut open, &mut previous)? {
            Ok(read) => read,
            Err(reason) => {
                monitor.problem(found.path.as_bytes(), reason);
                return Ok(());
            }
        };
        if let Some(reason) = &read.unstable {
            monitor.problem(found.path.as_bytes(), reason);
        } else if let Some(old) = old {
            self.compare_with_old(found, &open, &old, &read.contents);
        }
        let volatile = read.unstable.is_some() || racy;
        self.links.remember(&open.stat, &read.contents, volatile);
        let mut entry = describe::regular(found.path, &open.stat, read.contents, &mut self.owners);
        entry.volatile = volatile;
        self.record(
            entry,
            xattrs,
            &open.stat,
            read.status,
            read.unstable.is_some(),
        )
    }

    /// Reads a file to the size it had when it was opened and stores its blocks. The inner error is the file's alone; the outer
    /// one ends the run.
    fn read(
        &mut self,
        open: &mut OpenFile,
        previous: &mut Previous,
    ) -> Result<Result<ReadFile, String>> {
        let mut reading = self.chunker.begin(open);
        loop {
            let filled = self.chunker.fill(&mut open.file, &mut reading, BLOCK_BYTES);
            if let Err(error) = filled {
                return Ok(Err(format!("cannot read it: {error}")));
            }
            if self.chunker.window().is_empty() {
                break;
            }
            if let Err(error) = self.store_next(&mut open.file, &mut reading, previous)? {
                return Ok(Err(format!("cannot read it: {error}")));
            }
            self.pause()?;
        }
        let (contents, counts) = reading.finish();
        let unstable = contents::what_changed(open, contents.size);
        Ok(Ok(ReadFile {
            contents,
            status: counts.status(),
            unstable,
        }))
    }

    /// Returns what is known of the previous version of a file: under its path, or under its inode if it was renamed.
    fn previous(&self, open: &OpenFile, old: Option<&OldEntry>) -> Previous {
        let size = u64::try_from(open.stat.st_size).unwrap_or(0);
        if size < SIGNED_BYTES_MIN as u64 {
            return Previous::new(None);
        }
        let inode = open.stat.st_ino;
        let renamed = match old {
            Some(old) if old.key.inode == inode => None,
            _ => self.log.find_inode(inode),
        };
        let by_path = || old.and_then(|_| self.log.remembered());
        let version = renamed.or_else(by_path).and_then(|old| old.contents);
        Previous::new(version.as_ref())
    }

    /// Stores what comes next in the window, which has a block or all that is left. The inner error is the file's alone.
    fn store_next(
        &mut self,
        file: &mut File,
        reading: &mut Reading,
        previous: &mut Previous,
    ) -> Result<io::Result<()>> {
        let window = self.chunker.window();
        let block = &window[..window.len().min(BLOCK_BYTES)];
        let bytes = block.len();
        if contents::is_zero(block) {
            reading.push(DataRef::Zero(bytes as u64));
            self.chunker.consume(bytes);
            return Ok(Ok(()));
        }
        let unknown = match self.sink.look_up(block)? {
            LookUp::Known(object) => {
                reading.counts.old += 1;
                previous.pass(object.object);
                reading.push(DataRef::Object(object));
                self.chunker.consume(bytes);
                return Ok(Ok(()));
            }
            LookUp::Unknown(unknown) => unknown,
        };
        if bytes >= SIGNED_BYTES_MIN && !unknown.is_expired() {
            if let Err(error) = self.chunker.fill(file, reading, WINDOW_BYTES) {
                return Ok(Err(error));
            }
            let offset = reading.contents.size;
            if let Some(cut) = previous.cut(&mut self.sink, offset, self.chunker.window())? {
                self.store_cut(reading, previous, &cut)?;
                self.chunker.consume(cut.consumed_bytes);
                return Ok(Ok(()));
            }
        }
        let count = if unknown.is_expired() {
            &mut reading.counts.repacked
        } else {
            &mut reading.counts.new
        };
        *count += 1;
        let block = &self.chunker.window()[..bytes];
        let object = self
            .sink
            .store(&self.pool, block, &unknown, SIGNED_BYTES_MIN)?;
        reading.push(DataRef::Object(object));
        self.chunker.consume(bytes);
        Ok(Ok(()))
    }

    /// Stores what the previous version does not have; each such stretch is a block of its own.
    fn store_cut(
        &mut self,
        reading: &mut Reading,
        previous: &mut Previous,
        cut: &Cut,
    ) -> Result<()> {
        let mut at = 0;
        let mut literals = false;
        for span in &cut.spans {
            let bytes = span.length();
            let reference = match *span {
                Span::Copy {
                    object,
                    object_length,
                    start,
                    length,
                } => {
                    previous.pass(object);
                    slice_of(object, object_length, start, length)
                }
                Span::Literal { .. } => {
                    literals = true;
                    let literal = &self.chunker.window()[at..at + bytes];
                    match self.sink.look_up(literal)? {
                        LookUp::Known(object) => object,
                        LookUp::Unknown(unknown) => {
                            self.sink.store(&self.pool, literal, &unknown, PAGE_BYTES)?
                        }
                    }
                }
            };
            reading.push(DataRef::Object(reference));
            at += bytes;
        }
        *if literals {
            &mut reading.counts.sub_file
        } else {
            &mut reading.counts.old
        } += 1;
        Ok(())
    }

    /// Looks for contents that changed though nothing says so: a disk that rots, or a clock that was played with.
    fn compare_with_old(
        &self,
        found: &Found<'_>,
        open: &OpenFile,
        old: &OldEntry,
        contents: &FileContents,
    ) {
        if old.doubts.volatile || old.key != describe::stat_key(&open.stat) {
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

fn slice_of(object: ObjectId, object_length: u32, start: u32, length: u32) -> ObjectRef {
    let slice = if start == 0 && length == object_length {
        Slice::First(length.into())
    } else {
        Slice::Part {
            start: start.into(),
            length: length.into(),
        }
    };
    ObjectRef {
        object,
        checksum: None,
        slice,
    }
}
