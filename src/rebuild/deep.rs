//! The block index from the data themselves: every object of a data segment is a block that the store has.
//!
//! Threads unfilter segments and compute digests; one thread, the caller's, writes them into the database. Each thread holds what is
//! computed of one segment at a time. Objects from 4 KiB on get page digests: whether a small one is a part of a large file, for which
//! they are needed, is not to be seen from it.
//!
//! A segment whose file is not what its sums say, or that cannot be read to its end, is marked as expired: nothing new refers to it, and
//! its blocks are stored again when a file has them. Without a look at the sum, a wrong byte would stay in use: a tar file has none.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::RebuildOptions;
use super::logs::Logs;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::object_ref::{ObjectId, SegmentId};
use crate::format::segment_group::SegmentGroup;
use crate::local::database::{BlockDigest, Database};
use crate::local::signature::{PAGE_BYTES, Signature};
use crate::monitor::Counter;
use crate::store::catalog::Catalog;

/// A segment to read.
struct Wanted {
    segment: SegmentId,
    is_data: bool,
    /// The SHA-1 of its file, from the sums.
    checksum: Option<Checksum>,
}

/// What was found in a segment.
struct Found {
    segment: SegmentId,
    blocks: Vec<Block>,
    data_bytes: u64,
    /// Why it could not be read to its end, if so.
    damage: Option<String>,
}

struct Block {
    sequence: u32,
    digest: BlockDigest,
    length: u32,
    signature: Option<Signature>,
}

/// Reads all segments that the database knows, and adds the blocks of those of data; returns how many.
pub(super) fn index(
    catalog: &Catalog,
    database: &mut Database,
    logs: &Logs<'_>,
    options: &RebuildOptions,
    monitor: &Counter<'_>,
) -> Result<u64> {
    let mut segments = Vec::new();
    for (id, _) in database.most_used()? {
        segments.push(Wanted {
            segment: id,
            is_data: !logs.is_metadata(id),
            checksum: database.segment(id)?.and_then(|known| known.checksum),
        });
    }
    let next = AtomicUsize::new(0);
    let mut blocks = 0;
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(options.jobs);
        for _ in 0..options.jobs {
            let sender = sender.clone();
            let (segments, next) = (&segments, &next);
            let unfilter = options.unfilter.as_deref();
            thread::Builder::new()
                .spawn_scoped(scope, move || {
                    work(catalog, segments, next, unfilter, &sender);
                })
                .with_context(|| format!("cannot start {} threads", options.jobs))?;
        }
        drop(sender);
        for (done, found) in (1..).zip(receiver) {
            monitor.progress(done, segments.len() as u64, "segments");
            blocks += add(database, &found, logs, monitor)?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(blocks)
}

/// Reads one segment after the other, until there is none or nobody wants to know.
fn work(
    catalog: &Catalog,
    segments: &[Wanted],
    next: &AtomicUsize,
    unfilter: Option<&str>,
    sender: &SyncSender<Found>,
) {
    while let Some(wanted) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
        let found = read(catalog, wanted, unfilter);
        if sender.send(found).is_err() {
            return;
        }
    }
}

fn read(catalog: &Catalog, wanted: &Wanted, unfilter: Option<&str>) -> Found {
    let mut found = Found {
        segment: wanted.segment,
        blocks: Vec::new(),
        data_bytes: 0,
        damage: None,
    };
    let read = catalog
        .open_segment(wanted.segment, unfilter)
        .and_then(|reader| {
            if let Some(wanted) = &wanted.checksum {
                let checksum = reader.checksum(Algorithm::Sha1).context("cannot read")?;
                ensure!(
                    checksum == *wanted,
                    "is damaged: checksum {checksum}, wanted {wanted}"
                );
            }
            reader.read(
                |_| true,
                |sequence, data| {
                    found.data_bytes += data.len() as u64;
                    if wanted.is_data {
                        found.blocks.push(Block::of(sequence, data)?);
                    }
                    Ok(ControlFlow::Continue(()))
                },
            )
        });
    found.damage = read.err().map(|error| format!("{error:#}"));
    found
}

impl Block {
    fn of(sequence: u32, data: &[u8]) -> Result<Self> {
        Ok(Self {
            sequence,
            digest: BlockDigest::of(data),
            length: u32::try_from(data.len()).context("an object of more than 4 GiB")?,
            signature: (data.len() >= PAGE_BYTES).then(|| Signature::of(data)),
        })
    }
}

fn add(database: &Database, found: &Found, logs: &Logs<'_>, monitor: &Counter<'_>) -> Result<u64> {
    let segment = found.segment;
    if let Some(damage) = &found.damage {
        let reason = format_args!("{damage}; what is in it is stored again when it is needed");
        monitor.problem(segment.to_string().as_bytes(), reason);
        return database.expire_segment(segment, 0).map(|()| 0);
    }
    let group = if logs.is_metadata(segment) {
        SegmentGroup::Metadata
    } else {
        SegmentGroup::Data
    };
    database.describe_segment(segment, group, found.data_bytes)?;
    for block in &found.blocks {
        let object = ObjectId {
            segment,
            sequence: block.sequence,
        };
        database.add_block(&block.digest, block.length, object, None)?;
        if let Some(signature) = &block.signature {
            database.add_signature(object, block.length, signature.as_bytes())?;
        }
    }
    Ok(found.blocks.len() as u64)
}
