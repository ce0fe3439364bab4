//! The workers that filter, hash and publish segments.
//!
//! The conductor's thread cuts tar streams into frames ([`super::segment_writer`]) and hands each over to a worker, waiting until one is free;
//! any worker filters any frame, and whichever worker completes the next frame of a segment appends all that are ready to its
//! file. So all cores work on one segment, its bytes are in order, and memory is bounded by the frames in hands.
//!
//! The first error stops the pool: later frames are dropped unfiltered, nothing more is published, and the error surfaces at the
//! conductor's next call.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Error, Result, anyhow};

use super::dir::{PartFile, StoreDir};
use super::filter::Filter;
use crate::format::checksum::{Algorithm, Checksum, Hasher};
use crate::format::object_ref::SegmentId;
use crate::format::segment_group::SegmentGroup;

/// A segment that is durable in the store (its name after the next [`StoreDir::sync`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedSegment {
    /// The segment.
    pub id: SegmentId,
    /// Its file in the store's directory.
    pub file: String,
    /// What it holds.
    pub group: SegmentGroup,
    /// SHA-1 of the file.
    pub checksum: Checksum,
    /// Sum of the sizes of its objects.
    pub data_bytes: u64,
    /// Size of the file.
    pub disk_bytes: u64,
}

/// Source of segment names; passed in, so that a test knows them.
pub type Names = dyn FnMut() -> SegmentId + Send;

/// Workers, and the way to them.
pub struct Pool {
    names: Mutex<Box<Names>>,
    queue: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What conductor and workers both see.
struct Shared {
    store: Arc<StoreDir>,
    state: Mutex<State>,
    changed: Condvar,
    /// Buffers of frames that were filtered, to be filled again: fresh ones of some megabytes each would fragment the memory.
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct State {
    failed: bool,
    failure: Option<Error>,
    unfinished_segments: usize,
    published: Vec<PublishedSegment>,
}

struct Job {
    segment: Arc<OpenSegment>,
    index: usize,
    raw: Vec<u8>,
    last: bool,
}

/// A segment whose frames are on their way.
pub struct OpenSegment {
    id: SegmentId,
    file: String,
    group: SegmentGroup,
    filter: Arc<Filter>,
    data_bytes: AtomicU64,
    output: Mutex<Output>,
    filtered_bytes: Mutex<Vec<Option<usize>>>,
    filtered: Condvar,
}

struct Output {
    part: Option<PartFile>,
    waiting: BTreeMap<usize, (Vec<u8>, bool)>,
    next: usize,
    hasher: Hasher,
    disk_bytes: u64,
}

impl Pool {
    /// Starts `jobs` workers that write segments called by `names` into `store`.
    pub fn start(store: Arc<StoreDir>, jobs: usize, names: Box<Names>) -> Result<Self> {
        // Not even one frame waits: that would be five more megabytes, and the workers are busy without.
        let (queue, receiver) = sync_channel(0);
        let shared = Arc::new(Shared {
            store,
            state: Mutex::default(),
            changed: Condvar::new(),
            buffers: Mutex::default(),
        });
        let receiver = Arc::new(Mutex::new(receiver));
        let start_worker = |_| {
            let (shared, receiver) = (Arc::clone(&shared), Arc::clone(&receiver));
            thread::Builder::new()
                .name("filter".to_owned())
                .spawn(move || work(&shared, &receiver))
        };
        let workers = (0..jobs.max(1)).map(start_worker);
        let workers: Result<_, _> = workers.collect();
        Ok(Self {
            names: Mutex::new(names),
            queue: Some(queue),
            workers: workers.with_context(|| format!("cannot start {jobs} threads"))?,
            shared,
        })
    }

    /// Returns after how many further frames the size of one is asked for: enough to keep all workers busy, and the bound of what is
    /// in memory.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.workers.len() + 1
    }

    /// Begins a segment. Its file is made when the first frame has been filtered.
    pub fn open(&self, filter: &Arc<Filter>, group: SegmentGroup) -> Arc<OpenSegment> {
        let id = lock(&self.names)();
        lock(&self.shared.state).unfinished_segments += 1;
        Arc::new(OpenSegment {
            id,
            file: format!("{id}.tar{}", filter.extension()),
            group,
            filter: Arc::clone(filter),
            data_bytes: AtomicU64::new(0),
            output: Mutex::new(Output {
                part: None,
                waiting: BTreeMap::new(),
                next: 0,
                hasher: Hasher::new(Algorithm::Sha1),
                disk_bytes: 0,
            }),
            filtered_bytes: Mutex::default(),
            filtered: Condvar::new(),
        })
    }

    /// Returns an empty buffer with room for `bytes`, one that was used before if there is one.
    #[must_use]
    pub fn buffer(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = lock(&self.shared.buffers).pop().unwrap_or_default();
        buffer.reserve_exact(bytes);
        buffer
    }

    /// Hands frame `index` of a segment over, waiting until a worker takes it; `last` completes and publishes the segment.
    pub fn submit(
        &self,
        segment: &Arc<OpenSegment>,
        index: usize,
        raw: Vec<u8>,
        last: bool,
    ) -> Result<()> {
        self.check()?;
        let job = Job {
            segment: Arc::clone(segment),
            index,
            raw,
            last,
        };
        let queue = self
            .queue
            .as_ref()
            .expect("the queue is open until the pool is dropped");
        queue
            .send(job)
            .map_err(|_| anyhow!("all workers have ended"))
    }

    /// Waits until every segment whose last frame was submitted is published, and returns those published since the last call.
    /// All open segments must have been completed.
    pub fn wait(&self) -> Result<Vec<PublishedSegment>> {
        let mut state = lock(&self.shared.state);
        while !state.failed && state.unfinished_segments > 0 {
            state = self
                .shared
                .changed
                .wait(state)
                .expect("no worker panics while it holds the lock");
        }
        if state.failed {
            Err(Shared::failure(&mut state))
        } else {
            Ok(std::mem::take(&mut state.published))
        }
    }

    fn check(&self) -> Result<()> {
        let mut state = lock(&self.shared.state);
        if state.failed {
            Err(Shared::failure(&mut state))
        } else {
            Ok(())
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What is queued is still worked off; segments without their last frame are never published.
        self.queue = None;
        for worker in self.workers.drain(..) {
            // A worker that panicked has printed why; the conductor already failed or will when it waits.
            drop(worker.join());
        }
    }
}

impl OpenSegment {
    /// Returns the segment's name.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Returns the name of the file that the segment will have.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Counts an object of so many bytes. The last one has to be counted before the last frame is submitted.
    pub fn add_data_bytes(&self, bytes: u64) {
        self.data_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits until frame `index` was filtered and returns the size that it got; 0 if the pool failed.
    #[must_use]
    pub fn filtered_bytes(&self, index: usize) -> usize {
        let mut sizes = lock(&self.filtered_bytes);
        loop {
            if let Some(Some(size)) = sizes.get(index) {
                return *size;
            }
            sizes = self
                .filtered
                .wait(sizes)
                .expect("no worker panics while it holds the lock");
        }
    }

    fn set_filtered_bytes(&self, index: usize, size: usize) {
        let mut sizes = lock(&self.filtered_bytes);
        let needed = sizes.len().max(index + 1);
        sizes.resize(needed, None);
        sizes[index] = Some(size);
        self.filtered.notify_all();
    }

    /// Appends the frames that are next in line; returns the finished segment behind its last frame.
    fn append(
        &self,
        store: &Arc<StoreDir>,
        index: usize,
        frame: Vec<u8>,
        last: bool,
    ) -> Result<Option<PublishedSegment>> {
        let mut output = lock(&self.output);
        output.waiting.insert(index, (frame, last));
        loop {
            let next = output.next;
            let Some((frame, last)) = output.waiting.remove(&next) else {
                return Ok(None);
            };
            output.next += 1;
            output.hasher.update(&frame);
            output.disk_bytes += frame.len() as u64;
            if output.part.is_none() {
                output.part = Some(store.begin(&self.file)?);
            }
            output.part.as_mut().expect("was just made").write(&frame)?;
            if last {
                return self.publish(&mut output).map(Some);
            }
        }
    }

    fn publish(&self, output: &mut Output) -> Result<PublishedSegment> {
        let part = output.part.take().expect("a finished segment has a file");
        if !part.publish()? {
            return Err(anyhow!(
                "a file named {} exists already in the store",
                self.file
            ));
        }
        let hasher = std::mem::replace(&mut output.hasher, Hasher::new(Algorithm::Sha1));
        Ok(PublishedSegment {
            id: self.id,
            file: self.file.clone(),
            group: self.group,
            checksum: hasher.finish(),
            data_bytes: self.data_bytes.load(Ordering::Relaxed),
            disk_bytes: output.disk_bytes,
        })
    }
}

fn work(shared: &Shared, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = lock(jobs).recv();
        let Ok(job) = job else {
            return;
        };
        let (segment, index) = (Arc::clone(&job.segment), job.index);
        // A panic must become an error of the run: the conductor would wait for this frame for ever.
        let outcome = catch_unwind(AssertUnwindSafe(|| shared.process(&job)));
        shared.recycle(job.raw);
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("a worker thread panicked")));
        if outcome.is_err() {
            segment.set_filtered_bytes(index, 0);
        }
        shared.record(outcome);
    }
}

impl Shared {
    /// Filters one frame and appends what is ready; nothing once the pool has failed.
    fn process(&self, job: &Job) -> Result<Option<PublishedSegment>> {
        if lock(&self.state).failed {
            job.segment.set_filtered_bytes(job.index, 0);
            return Ok(None);
        }
        let frame = job.segment.filter.encode(&job.raw)?;
        job.segment.set_filtered_bytes(job.index, frame.len());
        let done = job.segment.append(&self.store, job.index, frame, job.last);
        done.with_context(|| format!("cannot store segment {}", job.segment.id))
    }

    /// Keeps the buffer of a filtered frame for one to come.
    fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        lock(&self.buffers).push(buffer);
    }

    fn record(&self, outcome: Result<Option<PublishedSegment>>) {
        let mut state = lock(&self.state);
        match outcome {
            Ok(None) => return,
            Ok(Some(segment)) => {
                state.unfinished_segments -= 1;
                state.published.push(segment);
            }
            Err(error) => {
                state.failed = true;
                state.failure.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }

    fn failure(state: &mut State) -> Error {
        state
            .failure
            .take()
            .unwrap_or_else(|| anyhow!("stopped after an earlier failure"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no thread panics while it holds the lock")
}
