//! Carries a plan out, in the order that [`super`] argues for. Each step is told, so that a test can end a run between any two.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::plan::PlannedSegment;
use super::{Fate, Prune, survey, sync};
use crate::format::object_ref::SegmentId;
use crate::store::catalog::Catalog;
use crate::store::inventory::{Inventory, StoredFile};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Snapshots.
    pub snapshots: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes on disk of all files.
    pub disk_bytes: u64,
    /// Number of problems told on the way, those of the planning included.
    pub problems: u64,
}

impl Prune<'_> {
    /// Executes the plan. An error means that it was not finished; the next run goes on.
    pub fn execute(mut self) -> Result<Removed> {
        let mut removed = Removed::default();
        self.pins.write(&self.store, &self.monitor)?;
        self.remove_snapshots(&mut removed)?;
        self.remove_segments(&mut removed)?;
        let leftovers = std::mem::take(&mut self.plan.leftovers);
        self.remove_files(&leftovers, &mut removed)?;
        if !leftovers.is_empty() {
            sync(&self.store, paths(&leftovers))?;
        }
        self.ensure_store_is_there()?;
        if let Some(local) = &mut self.local {
            local.catch_up(&self.store, &self.monitor)?;
        }
        if let Some(shortcomings) = self.store.shortcomings() {
            self.monitor.note(&shortcomings);
        }
        removed.problems = self.monitor.problems();
        Ok(removed)
    }

    /// Descriptor, then sums, of each snapshot; then, once that is durable, its rows.
    fn remove_snapshots(&mut self, removed: &mut Removed) -> Result<()> {
        let snapshots: Vec<_> = self.plan.removed().cloned().collect();
        for snapshot in &snapshots {
            self.remove_files(&snapshot.files, removed)?;
            removed.snapshots += 1;
        }
        if !snapshots.is_empty() {
            sync(&self.store, snapshots.iter().flat_map(|s| paths(&s.files)))?;
        }
        self.ensure_store_is_there()?;
        let names = snapshots.into_iter().map(|snapshot| snapshot.name);
        let names = names.chain(std::mem::take(&mut self.gone)).collect();
        match &mut self.local {
            Some(local) => local.forget_snapshots(names, &self.monitor),
            None => Ok(()),
        }
    }

    /// Rows, then files, of the segments that no descriptor names now.
    fn remove_segments(&mut self, removed: &mut Removed) -> Result<()> {
        let mut segments = std::mem::take(&mut self.plan.segments);
        let mut ids = std::mem::take(&mut self.lost);
        if segments.is_empty() {
            return self.forget_segments(ids);
        }
        let named = match named_now(self.store.path()) {
            Ok(named) => named,
            Err(error) => {
                self.monitor
                    .problem(b"segments", format_args!("none was removed: {error:#}"));
                return Ok(());
            }
        };
        self.ensure_store_is_there()?;
        self.drop_named(&mut segments, &named);
        ids.extend(segments.iter().map(|segment| segment.id));
        self.forget_segments(ids)?;
        for segment in &segments {
            self.remove_files(&segment.files, removed)?;
            removed.segments += 1;
        }
        sync(&self.store, segments.iter().flat_map(|s| paths(&s.files)))
    }

    fn forget_segments(&mut self, ids: Vec<SegmentId>) -> Result<()> {
        match &mut self.local {
            Some(local) => local.forget_segments(ids, &self.monitor),
            None => Ok(()),
        }
    }

    /// Makes sure that one of the snapshots that are kept is there still. If the store was taken away (a mount that is gone leaves an empty
    /// directory), everything would look removed, and local state must not be told so.
    fn ensure_store_is_there(&self) -> Result<()> {
        let is_kept = |fate: &Fate| matches!(fate, Fate::Kept(_));
        let mut kept = self.plan.snapshots.iter().filter(|s| is_kept(&s.fate));
        let Some(first) = kept.next() else {
            return Ok(());
        };
        for snapshot in std::iter::once(first).chain(kept) {
            if self.store.has_snapshot(&snapshot.name)? {
                return Ok(());
            }
        }
        bail!(
            "no snapshot that is kept, such as {}, is in {} any more: see that the disk is mounted, and prune again",
            first.name,
            self.store.path().display()
        )
    }

    /// Takes out what a snapshot needs that appeared after the plan was made.
    fn drop_named(&self, segments: &mut Vec<PlannedSegment>, named: &HashSet<SegmentId>) {
        segments.retain(|segment| {
            let is_named = named.contains(&segment.id);
            if is_named {
                let told = format!("segment {} stays: a new snapshot needs it", segment.id);
                self.monitor.note(&told);
            }
            !is_named
        });
    }

    fn remove_files(&self, files: &[StoredFile], removed: &mut Removed) -> Result<()> {
        for file in files {
            self.store.remove_below(&file.path)?;
            removed.disk_bytes += file.bytes;
            let told = format!("removed {}", file.path.display());
            self.monitor.note(&told);
        }
        Ok(())
    }
}

fn paths(files: &[StoredFile]) -> impl Iterator<Item = &Path> {
    files.iter().map(|file| file.path.as_path())
}

/// Returns every segment that a descriptor names at this moment; an error if any of them cannot be read.
fn named_now(store: &Path) -> Result<HashSet<SegmentId>> {
    let (inventory, catalog) = (Inventory::take(store)?, Catalog::open(store)?);
    let mut named = HashSet::new();
    for (name, files) in &inventory.snapshots {
        let read = survey::read(&catalog, name, files);
        for descriptor in read.with_context(|| format!("snapshot {name}"))? {
            named.extend(descriptor.segments);
        }
    }
    Ok(named)
}
