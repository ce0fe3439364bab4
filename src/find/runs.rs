//! Events, run by run on disk, merged by path.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use crate::format::entry::{Entry, EntryKind};
use crate::format::path::EntryPath;
use crate::format::stanza::{LogItem, LogItems};

/// What is read of a run at a time.
const BUFFER_BYTES: usize = 8 << 10;

/// Bytes in front of an event: its length and its kind.
const HEAD_BYTES: usize = 5;

/// The kinds of events.
const VANISHED: u8 = 0;
const IS: u8 = 1;
const LOST: u8 = 2;

/// What happened to a path from one snapshot to the next.
#[derive(Debug)]
pub(super) enum Event {
    /// It is like this from here on.
    Is(Box<Entry>),
    /// It is no longer there.
    Vanished(EntryPath),
    /// Nobody knows, from here on.
    Lost(EntryPath),
}

impl Event {
    pub(super) fn path(&self) -> &EntryPath {
        match self {
            Self::Is(entry) => &entry.path,
            Self::Vanished(path) | Self::Lost(path) => path,
        }
    }

    /// Appends the event; of contents that have a checksum, the references are left out.
    fn encode(self, out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        out.extend([0; HEAD_BYTES]);
        match self {
            Self::Is(mut entry) => {
                if let EntryKind::File(contents) = &mut entry.kind
                    && contents.checksum.is_some()
                {
                    contents.data.clear();
                }
                entry.encode(out);
                out[begin + 4] = IS;
            }
            Self::Vanished(path) => {
                out.extend_from_slice(path.as_bytes());
                out[begin + 4] = VANISHED;
            }
            Self::Lost(path) => {
                out.extend_from_slice(path.as_bytes());
                out[begin + 4] = LOST;
            }
        }
        let length = u32::try_from(out.len() - begin - HEAD_BYTES).context("an entry of 4 GiB")?;
        out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn decode(kind: u8, bytes: &[u8]) -> Result<Self> {
        match kind {
            VANISHED => return Ok(Self::Vanished(EntryPath::new(bytes)?)),
            LOST => return Ok(Self::Lost(EntryPath::new(bytes)?)),
            _ => {}
        }
        match LogItems::new(bytes).next() {
            Some(Ok(LogItem::Stanza(stanza))) => {
                Ok(Self::Is(Box::new(Entry::from_stanza(&stanza)?)))
            }
            _ => anyhow::bail!("a temporary file was changed by somebody else"),
        }
    }
}

/// Takes the events of one snapshot after the other, each in path order.
pub(super) struct Runs {
    file: BufWriter<File>,
    /// Where each run ends in the file.
    ends: Vec<u64>,
    written: u64,
    buffer: Vec<u8>,
}

impl Runs {
    pub(super) fn new() -> Result<Self> {
        let file =
            tempfile::tempfile().context("cannot make a temporary file (TMPDIR says where)")?;
        Ok(Self {
            file: BufWriter::new(file),
            ends: Vec::new(),
            written: 0,
            buffer: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, event: Event) -> Result<()> {
        self.buffer.clear();
        event.encode(&mut self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.file
            .write_all(&self.buffer)
            .context("cannot write a temporary file (TMPDIR says where)")
    }

    /// Ends the run of a snapshot, which may be empty.
    pub(super) fn end_run(&mut self) {
        self.ends.push(self.written);
    }

    /// Returns all events by path, those of one path by run.
    pub(super) fn merge(self) -> Result<MergedRuns> {
        let file = self
            .file
            .into_inner()
            .context("cannot write a temporary file (TMPDIR says where)")?;
        let mut merged = MergedRuns {
            file,
            runs: Vec::new(),
            heap: BinaryHeap::new(),
        };
        let mut next = 0;
        for end in self.ends {
            merged.runs.push(Run {
                next,
                end,
                buffer: Vec::new(),
                at: 0,
                head: None,
            });
            next = end;
        }
        for at in 0..merged.runs.len() {
            merged.advance(at)?;
        }
        Ok(merged)
    }
}

/// A run that is being read.
struct Run {
    /// What of the file was not read yet.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
    head: Option<Event>,
}

/// The events of all runs in path order.
pub(super) struct MergedRuns {
    file: File,
    runs: Vec<Run>,
    /// The path of the first event of each run that is left.
    heap: BinaryHeap<Reverse<(EntryPath, usize)>>,
}

impl MergedRuns {
    /// Returns the next event with the number of its run.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Event)>> {
        let Some(Reverse((_, at))) = self.heap.pop() else {
            return Ok(None);
        };
        let event = self.runs[at].head.take();
        self.advance(at)?;
        Ok(event.map(|event| (at, event)))
    }

    fn advance(&mut self, at: usize) -> Result<()> {
        let run = &mut self.runs[at];
        if let Some(event) = run.read(&self.file)? {
            self.heap.push(Reverse((event.path().clone(), at)));
            run.head = Some(event);
        }
        Ok(())
    }
}

impl Run {
    fn read(&mut self, file: &File) -> Result<Option<Event>> {
        if self.at == self.buffer.len() && self.next == self.end {
            self.buffer = Vec::new();
            return Ok(None);
        }
        self.fill(file, HEAD_BYTES)?;
        let head = &self.buffer[self.at..self.at + HEAD_BYTES];
        let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
        let length = usize::try_from(length).context("an event is too long")?;
        self.fill(file, HEAD_BYTES + length)?;
        let bytes = &self.buffer[self.at..self.at + HEAD_BYTES + length];
        let event = Event::decode(bytes[4], &bytes[HEAD_BYTES..])?;
        self.at += bytes.len();
        Ok(Some(event))
    }

    /// Makes sure that the buffer has as many bytes of the run.
    fn fill(&mut self, file: &File, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(self.buffer.len() - self.at);
        if missing == 0 {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let count = missing.max(BUFFER_BYTES).min(left);
        let begin = self.buffer.len();
        self.buffer.resize(begin + count, 0);
        let read = file.read_exact_at(&mut self.buffer[begin..], self.next);
        self.next += count as u64;
        read.context("cannot read a temporary file")?;
        anyhow::ensure!(
            count >= missing,
            "a temporary file was changed by somebody else"
        );
        Ok(())
    }
}
