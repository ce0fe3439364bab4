//! Segments unfiltered by several threads and handed out in their order.
//!
//! Each thread has every n-th segment and a queue of its own, which holds at most some [`QUEUE_BYTES`], so that a good part of the
//! next segment is ready when the present one has been looked at. With 16 MiB a verification of the Linux sources took 79 MB.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::sums::Sums;
use crate::format::object_ref::SegmentId;
use crate::store::catalog::Catalog;

/// Most bytes of objects that wait in one queue, unless a single batch has more.
const QUEUE_BYTES: usize = 4 << 20;
/// Bytes of objects that are handed over together; tens of thousands of small ones would wait for locks most of the time.
const BATCH_BYTES: usize = 1 << 20;

/// What comes out of a segment.
pub(super) enum Read {
    /// Some of its objects, in the order in which they lie in it.
    Objects(Batch),
    /// It was read to its end, or not.
    End(Result<()>),
}

/// Objects one behind the other.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    objects: Vec<(u32, Range<usize>)>,
}

/// How segments are opened.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) unfilter: Option<&'a str>,
    pub(super) sums: &'a Sums<'a>,
}

/// Reads segments with `jobs` threads and hands what is in them to `take`, in this thread, with the segment's place in the list.
pub(super) fn read(
    opening: Opening<'_>,
    segments: &[SegmentId],
    jobs: usize,
    mut take: impl FnMut(usize, Read) -> Result<()>,
) -> Result<()> {
    let jobs = jobs.clamp(1, segments.len().max(1));
    let queues: Vec<_> = (0..jobs).map(|_| Queue::default()).collect();
    thread::scope(|scope| {
        // Threads must not wait for one that takes nothing more.
        let _closing: Vec<_> = queues.iter().map(Closing).collect();
        for (job, queue) in queues.iter().enumerate() {
            let read_all = move || {
                // Whoever waits at the queue must not wait for a thread that has panicked.
                let _closing = Closing(queue);
                for id in segments.iter().skip(job).step_by(jobs) {
                    if read_segment(opening, *id, queue).is_break() {
                        break;
                    }
                }
            };
            thread::Builder::new()
                .spawn_scoped(scope, read_all)
                .with_context(|| format!("cannot start {jobs} threads"))?;
        }
        for place in 0..segments.len() {
            loop {
                let read = queues[place % jobs].take();
                let read = read.ok_or_else(|| anyhow!("a thread that read segments panicked"))?;
                let ended = matches!(read, Read::End(_));
                take(place, read)?;
                if ended {
                    break;
                }
            }
        }
        Ok(())
    })
}

fn read_segment(opening: Opening<'_>, id: SegmentId, queue: &Queue) -> ControlFlow<()> {
    let mut batch = Batch::default();
    let mut closed = ControlFlow::Continue(());
    let opened = opening.catalog.open_segment(id, opening.unfilter);
    let read = opened.and_then(|reader| {
        opening.sums.compare_opened(id, &reader);
        reader.read(
            |_| true,
            |sequence, data| {
                if !batch.bytes.is_empty() && batch.bytes.len() + data.len() > BATCH_BYTES {
                    closed = queue.put(Read::Objects(std::mem::take(&mut batch)));
                }
                batch.push(sequence, data);
                Ok(closed)
            },
        )
    });
    closed?;
    queue.put(Read::Objects(batch))?;
    queue.put(Read::End(read.map(drop)))
}

impl Batch {
    fn push(&mut self, sequence: u32, data: &[u8]) {
        let start = self.bytes.len();
        // Growing in steps would take twice the memory that the queue counts.
        self.bytes
            .reserve_exact(BATCH_BYTES.max(start + data.len()) - start);
        self.bytes.extend_from_slice(data);
        self.objects.push((sequence, start..self.bytes.len()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.objects
            .iter()
            .map(|(sequence, range)| (*sequence, &self.bytes[range.clone()]))
    }
}

/// What one thread has read and the other has not looked at.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Read>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds something once there is room; breaks if nobody takes it any more.
    fn put(&self, read: Read) -> ControlFlow<()> {
        let bytes = read.bytes();
        let mut state = self.lock();
        while !state.closed && state.bytes > 0 && state.bytes + bytes > QUEUE_BYTES {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return ControlFlow::Break(());
        }
        state.bytes += bytes;
        state.waiting.push_back(read);
        self.changed.notify_all();
        ControlFlow::Continue(())
    }

    /// Takes what comes next; nothing if the queue was closed before its end.
    fn take(&self) -> Option<Read> {
        let mut state = self.lock();
        loop {
            if let Some(read) = state.waiting.pop_front() {
                state.bytes -= read.bytes();
                self.changed.notify_all();
                return Some(read);
            }
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn bytes(&self) -> usize {
        match self {
            Self::Objects(batch) => batch.bytes.len(),
            Self::End(_) => 0,
        }
    }
}

/// Closes a queue when it goes.
struct Closing<'q>(&'q Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}
