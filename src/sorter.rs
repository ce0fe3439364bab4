//! Sorts more records than memory should hold.
//!
//! Records beyond a limit go as sorted runs to an unlinked temporary file and are merged on the way out. Restore and verify sort
//! references by segment with it, so that each segment is read once, in constant memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Records in memory at once; with 40-byte records about 5 MB.
const RECORDS_IN_MEMORY: usize = 128 << 10;
/// Records that a run gives to the merge at a time.
const RECORDS_A_READ: usize = 512;

/// A record of a fixed number of bytes.
pub trait Record: Copy + Ord {
    /// Length of the encoded form.
    const BYTES: usize;
    /// Writes the record into exactly [`BYTES`](Self::BYTES) bytes.
    fn encode(&self, bytes: &mut [u8]);
    /// Reads what `encode` wrote.
    fn decode(bytes: &[u8]) -> Self;
}

/// Takes records in any order.
pub struct Sorter<R> {
    directory: PathBuf,
    limit: usize,
    records: Vec<R>,
    file: Option<File>,
    /// Number of records in each run, one behind the other in the file.
    runs: Vec<u64>,
}

impl<R: Record> Sorter<R> {
    /// Makes an empty sorter; `directory` takes its temporary file, if one is needed.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self {
            directory,
            limit: RECORDS_IN_MEMORY,
            records: Vec::new(),
            file: None,
            runs: Vec::new(),
        }
    }

    /// Adds a record.
    pub fn add(&mut self, record: R) -> Result<()> {
        self.records.push(record);
        if self.records.len() < self.limit {
            Ok(())
        } else {
            self.write_run()
        }
    }

    /// Returns all records in order.
    pub fn finish(mut self) -> Result<Sorted<R>> {
        self.records.sort_unstable();
        let mut runs = vec![Run {
            next: 0,
            end: 0,
            records: std::mem::take(&mut self.records).into_iter(),
        }];
        let mut at = 0;
        for &count in &self.runs {
            runs.push(Run {
                next: at,
                end: at + count,
                records: Vec::new().into_iter(),
            });
            at += count;
        }
        let mut sorted = Sorted {
            file: self.file,
            heap: BinaryHeap::with_capacity(runs.len()),
            runs,
        };
        for index in 0..sorted.runs.len() {
            sorted.refill(index)?;
        }
        Ok(sorted)
    }

    fn write_run(&mut self) -> Result<()> {
        self.records.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                tempfile::tempfile_in(&self.directory).context("cannot make a temporary file")?,
            ),
        };
        let mut bytes = vec![0; RECORDS_A_READ * R::BYTES];
        for records in self.records.chunks(RECORDS_A_READ) {
            for (record, bytes) in records.iter().zip(bytes.chunks_exact_mut(R::BYTES)) {
                record.encode(bytes);
            }
            file.write_all(&bytes[..records.len() * R::BYTES])
                .context("cannot write a temporary file")?;
        }
        self.runs.push(self.records.len() as u64);
        self.records.clear();
        Ok(())
    }
}

/// Gives records in order.
pub struct Sorted<R> {
    file: Option<File>,
    heap: BinaryHeap<Reverse<(R, usize)>>,
    runs: Vec<Run<R>>,
}

/// What is left of a sorted run: on disk from record `next` to `end`, and before that in memory.
struct Run<R> {
    next: u64,
    end: u64,
    records: std::vec::IntoIter<R>,
}

impl<R: Record> Sorted<R> {
    /// Returns the next record.
    pub fn take(&mut self) -> Result<Option<R>> {
        let Some(Reverse((record, run))) = self.heap.pop() else {
            return Ok(None);
        };
        self.refill(run)?;
        Ok(Some(record))
    }

    /// Returns the next record if it satisfies `wanted`.
    pub fn take_if(&mut self, wanted: impl FnOnce(&R) -> bool) -> Result<Option<R>> {
        if self
            .heap
            .peek()
            .is_some_and(|Reverse((record, _))| wanted(record))
        {
            self.take()
        } else {
            Ok(None)
        }
    }

    /// Puts the next record of a run on the heap.
    fn refill(&mut self, index: usize) -> Result<()> {
        let run = &mut self.runs[index];
        if run.records.len() == 0 && run.next < run.end {
            let count = (run.end - run.next).min(RECORDS_A_READ as u64);
            let mut bytes = vec![0; usize::try_from(count).expect("is small") * R::BYTES];
            let file = self
                .file
                .as_ref()
                .expect("there is a file if there are runs in it");
            let at = run.next * R::BYTES as u64;
            file.read_exact_at(&mut bytes, at)
                .context("cannot read a temporary file")?;
            run.records = bytes
                .chunks_exact(R::BYTES)
                .map(R::decode)
                .collect::<Vec<_>>()
                .into_iter();
            run.next += count;
        }
        if let Some(record) = run.records.next() {
            self.heap.push(Reverse((record, index)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Record for u64 {
        const BYTES: usize = 8;
        fn encode(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.to_le_bytes());
        }
        fn decode(bytes: &[u8]) -> Self {
            u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
        }
    }

    proptest! {
        #[test]
        fn records_come_out_in_order_however_many_runs_there_were(
            mut records in proptest::collection::vec(any::<u64>(), 0..3000), limit in 1..900_usize,
        ) {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut sorter = Sorter { limit, ..Sorter::new(dir.path()) };
            for record in &records {
                sorter.add(*record).expect("adds");
            }
            let mut sorted = sorter.finish().expect("sorts");
            let mut out = Vec::new();
            while let Some(record) = sorted.take().expect("reads") {
                out.push(record);
            }
            records.sort_unstable();
            prop_assert_eq!(out, records);
        }
    }
}
