//! The contents of one file on their way into the store: block after block, in the file's order.
//!
//! What comes in is an open file, the file itself or a copy of it, or a pipe. What becomes of a block is decided here: zeros, known, cut into what an older version has and what it has not, or stored whole. Whether the
//! contents are those of one moment is not known here; [`super::read`] decides.

use std::io;

use anyhow::Result;
use nix::sys::stat::FileStat;

use super::block_sink::LookUp;
use super::contents::{self, Contents, Reading, WINDOW_BYTES};
use super::previous::Previous;
use super::run::Run;
use super::sub_file::{Cut, Span};
use super::tally::BlockCounts;
use crate::format::BLOCK_BYTES;
use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef, Slice};
use crate::local::database::BlockDigest;
use crate::local::signature::PAGE_BYTES;
use crate::metadata_log::OldEntry;

/// Blocks of at least this size can be stored as the difference to an older version, and have page digests for that.
pub(super) const SIGNED_BYTES_MIN: usize = 64 << 10;

impl Run<'_> {
    /// Reads to the end and stores the blocks. The inner error is the file's alone; the outer one ends the run.
    pub(super) fn store_contents(
        &mut self,
        file: &mut impl Contents,
        previous: &mut Previous,
    ) -> Result<Result<(FileContents, BlockCounts), String>> {
        let mut reading = self.chunker.begin();
        loop {
            if self.chunker.window().is_empty() {
                match file.skip_block(reading.contents.size) {
                    Ok(true) => {
                        self.chunker.take_zero_block(&mut reading);
                        self.pause()?;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => return Ok(Err(contents::cannot_read(&error))),
                }
            }
            let filled = self.chunker.fill(file, &mut reading, BLOCK_BYTES);
            if let Err(error) = filled {
                return Ok(Err(contents::cannot_read(&error)));
            }
            if self.chunker.window().is_empty() {
                break;
            }
            if let Err(error) = self.store_next(file, &mut reading, previous)? {
                return Ok(Err(contents::cannot_read(&error)));
            }
            self.pause()?;
        }
        Ok(Ok(reading.finish()))
    }

    /// Returns what is known of the previous version of a file: under its path, or under its inode if it was renamed, or else what
    /// this run has just stored of it.
    pub(super) fn previous(
        &self,
        stat: &FileStat,
        old: Option<&OldEntry>,
        stored: Option<&FileContents>,
    ) -> Previous {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size < SIGNED_BYTES_MIN as u64 {
            return Previous::new(None);
        }
        let inode = stat.st_ino;
        let renamed = match old {
            Some(old) if old.key.inode == inode => None,
            _ => self.log.find_inode(inode),
        };
        let by_path = || old.and_then(|_| self.log.remembered());
        let version = renamed.or_else(by_path).and_then(|old| old.contents);
        Previous::new(version.as_ref().or(stored))
    }

    /// Stores what comes next in the window, which has a block or all that is left. The inner error is the file's alone.
    fn store_next(
        &mut self,
        file: &mut impl Contents,
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
        let unknown = match self.sink.look_up(block, BlockDigest::of(block))? {
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
        reading.counts.add_stored(unknown.is_expired());
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
        let (mut copies, mut literals) = (false, false);
        for span in &cut.spans {
            let bytes = span.length();
            let reference = match *span {
                Span::Copy {
                    object,
                    object_length,
                    start,
                    length,
                } => {
                    copies = true;
                    previous.pass(object);
                    slice_of(object, object_length, start, length)
                }
                Span::Literal { .. } => {
                    literals = true;
                    let literal = &self.chunker.window()[at..at + bytes];
                    match self.sink.look_up(literal, BlockDigest::of(literal))? {
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
        *match (literals, copies) {
            (true, true) => &mut reading.counts.sub_file,
            (true, false) => &mut reading.counts.new,
            (false, _) => &mut reading.counts.old,
        } += 1;
        Ok(())
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
