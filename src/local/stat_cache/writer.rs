//! Writes the stat cache of a run beside the one that it reads, or nothing at all if both would be the same.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::reader::index_before;
use super::{
    BLOCK_HEADER_BYTES, Block, CHECKPOINT_SUFFIX, MAGIC, PART_SUFFIX, StatCacheReader, digest,
};
use crate::local::open_private;

const BUFFER_BYTES: usize = 256 << 10;

/// Collects the blocks of a run.
pub struct StatCacheWriter {
    path: PathBuf,
    state: State,
}

enum State {
    /// So far every block stands in the old file where it stood.
    Same {
        end: u64,
    },
    Writing(NewFile),
    Finished,
}

struct NewFile {
    out: BufWriter<File>,
    offset: u64,
    /// Inode and offset of the block of each large file.
    index: Vec<(u64, u64)>,
}

impl StatCacheWriter {
    /// Begins the stat cache of a scheme. Nothing is written before the first difference to the old one.
    #[must_use]
    pub fn new(directory: &Path, scheme: &str) -> Self {
        Self {
            path: directory.join(super::file_name(scheme)),
            state: State::Same {
                end: MAGIC.len() as u64,
            },
        }
    }

    /// Appends a block; one that `old` has at this very place costs nothing.
    pub fn append(&mut self, block: &Block, old: Option<&StatCacheReader>) -> Result<()> {
        if let State::Same { end } = &mut self.state
            && block.offset == Some(*end)
        {
            *end += block.file_bytes();
            return Ok(());
        }
        self.write(old, |file| file.append(block))
    }

    /// Ends the blocks. What is returned takes the place of the old file when the run's snapshot is durable.
    /// `nothing_more` says that no block of the old file is missing.
    pub fn finish(
        &mut self,
        old: Option<&StatCacheReader>,
        nothing_more: bool,
    ) -> Result<FinishedCache> {
        let unchanged = |end| nothing_more && old.is_some_and(|old| old.end() == Some(end));
        if matches!(self.state, State::Same { end } if unchanged(end)) {
            return Ok(FinishedCache { replace: None });
        }
        self.write(old, NewFile::finish)?;
        let part = self.part();
        self.state = State::Finished;
        Ok(FinishedCache {
            replace: Some((part, self.path.clone())),
        })
    }

    /// Puts a stat cache in place for the case that the run goes no further: what was appended so far, then `rest`, a block for what
    /// is left of the old block that the walk is in, then the old blocks that were not read yet. The run goes on as before.
    pub fn checkpoint(
        &mut self,
        rest: Option<&Block>,
        old: Option<&StatCacheReader>,
    ) -> Result<()> {
        self.write(old, |file| file.out.flush())?;
        let State::Writing(current) = &self.state else {
            unreachable!("was just written to");
        };
        let mut part = self.path.clone().into_os_string();
        part.push(CHECKPOINT_SUFFIX);
        let part = PathBuf::from(part);
        let finished = FinishedCache {
            replace: Some((part.clone(), self.path.clone())),
        };
        NewFile::copy_of(current, &part)
            .and_then(|mut copy| {
                if let Some(rest) = rest {
                    copy.append(rest)?;
                }
                if let Some(old) = old {
                    copy.append_unread(old)?;
                }
                copy.finish()
            })
            .with_context(|| format!("cannot write {}", part.display()))?;
        finished.replace()
    }

    /// Does something with the new file, which is made now if it was not needed before.
    fn write(
        &mut self,
        old: Option<&StatCacheReader>,
        write: impl FnOnce(&mut NewFile) -> io::Result<()>,
    ) -> Result<()> {
        let part = self.part();
        if let State::Same { end } = self.state {
            let begun = NewFile::begin(&part, end, old);
            self.state =
                State::Writing(begun.with_context(|| format!("cannot write {}", part.display()))?);
        }
        let State::Writing(file) = &mut self.state else {
            unreachable!("nothing is written behind the end");
        };
        write(file).with_context(|| format!("cannot write {}", part.display()))
    }

    fn part(&self) -> PathBuf {
        let mut part = self.path.clone().into_os_string();
        part.push(PART_SUFFIX);
        part.into()
    }
}

/// An unfinished file is of no use to anybody.
impl Drop for StatCacheWriter {
    fn drop(&mut self) {
        if matches!(self.state, State::Writing(_)) {
            drop(fs::remove_file(self.part()));
        }
    }
}

impl NewFile {
    /// Begins a file with what the old one has before `end`.
    fn begin(path: &Path, end: u64, old: Option<&StatCacheReader>) -> io::Result<Self> {
        let file = open_private(path)?;
        file.set_len(0)?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut index = Vec::new();
        out.write_all(MAGIC)?;
        let begin = MAGIC.len() as u64;
        if let Some(old) = old.filter(|_| end > begin) {
            let old = old.reopen()?;
            copy_range(&old, begin..end, &mut out)?;
            // Without the index some renamed files are stored whole; that is all.
            index = index_before(&old, end).unwrap_or_default();
        }
        Ok(Self {
            out,
            offset: end,
            index,
        })
    }

    /// Begins a file with what another one has so far.
    fn copy_of(other: &Self, path: &Path) -> io::Result<Self> {
        let file = open_private(path)?;
        file.set_len(0)?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        copy_range(other.out.get_ref(), 0..other.offset, &mut out)?;
        Ok(Self {
            out,
            offset: other.offset,
            index: other.index.clone(),
        })
    }

    /// Appends the blocks that the walk did not come to, as they are. They are not in the index: until the next complete run, large
    /// files among them that are renamed are stored whole.
    fn append_unread(&mut self, old: &StatCacheReader) -> io::Result<()> {
        let begin = old.offset();
        if let Some(end) = old.blocks_end() {
            copy_range(&old.reopen()?, begin..end, &mut self.out)?;
            self.offset += end.saturating_sub(begin);
        }
        Ok(())
    }

    fn append(&mut self, block: &Block) -> io::Result<()> {
        let offset = self.offset;
        self.index
            .extend(block.large().iter().map(|&inode| (inode, offset)));
        self.out
            .write_all(&(block.body.len() as u64).to_le_bytes())?;
        self.out.write_all(&digest(&block.body))?;
        self.out.write_all(&block.body)?;
        self.offset += block.file_bytes();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; BLOCK_HEADER_BYTES])?;
        let begin = self.offset + BLOCK_HEADER_BYTES as u64;
        self.index.sort_unstable();
        for (inode, offset) in &self.index {
            self.out.write_all(&inode.to_le_bytes())?;
            self.out.write_all(&offset.to_le_bytes())?;
        }
        self.out
            .write_all(&(self.index.len() as u64).to_le_bytes())?;
        self.out.write_all(&begin.to_le_bytes())?;
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}

/// Copies part of a file without moving the position in it, which its reader shares.
fn copy_range(file: &File, mut range: Range<u64>, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while !range.is_empty() {
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = &mut buffer[..left.min(BUFFER_BYTES)];
        file.read_exact_at(bytes, range.start)?;
        out.write_all(bytes)?;
        range.start += bytes.len() as u64;
    }
    Ok(())
}

/// A complete stat cache that waits for the snapshot to be durable; dropped before that, it leaves nothing behind.
#[must_use]
pub struct FinishedCache {
    /// From where to where; none if the old file is still true.
    replace: Option<(PathBuf, PathBuf)>,
}

impl Drop for FinishedCache {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.replace {
            drop(fs::remove_file(part));
        }
    }
}

impl FinishedCache {
    /// Takes the place of the old stat cache.
    pub fn replace(mut self) -> Result<()> {
        let Some((part, path)) = self.replace.take() else {
            return Ok(());
        };
        fs::rename(&part, &path)
            .with_context(|| format!("cannot rename {} to {}", part.display(), path.display()))
    }
}
