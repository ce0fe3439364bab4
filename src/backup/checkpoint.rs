//! Makes a snapshot exist: a checkpoint in the middle of a run, or the complete one at its end.
//!
//! Steps 1 to 5 of [`super`]'s description. A checkpoint is a snapshot like any other of all that was walked so far; its name says
//! that it is not complete. The next one of the scheme that is published takes its place.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::BackupReport;
use super::publish::{self, Naming, Published};
use super::run::Run;
use crate::format::checksum::{Algorithm, Checksum};
use crate::format::descriptor::{Descriptor, Totals};
use crate::format::object_ref::{ObjectRef, SegmentId};
use crate::format::snapshot_name::SnapshotName;
use crate::format::sums::{self, FileSum};
use crate::local::database::Database;
use crate::local::stat_cache::FinishedCache;
use crate::store::filter::{Codec, Filter};
use crate::wording::{self, shell_word};

impl Run<'_> {
    /// Makes sure that what was stored so far is not lost: as a checkpoint if the name of one is free in this second, else as
    /// blocks that the local database knows.
    pub(super) fn secure(&mut self) -> Result<()> {
        let now = self.outside.clock.now();
        let last = self.last_checkpoint.as_ref();
        if last.is_none_or(|last| last.instant().as_second() < now.as_second())
            && self.entries.total() > 0
        {
            self.checkpoint(now).map(drop)
        } else {
            self.commit_blocks()
        }
    }

    /// Ends a run that was told to end early.
    pub(super) fn interrupt(mut self) -> Result<BackupReport> {
        let mut snapshot = None;
        if self.options.dry_run {
            return Ok(self.report(None, true));
        }
        if self.entries.total() > 0 {
            let now = self.outside.clock.now();
            snapshot = Some(self.checkpoint(now)?);
        } else {
            self.commit_blocks()?;
        }
        Ok(self.report(snapshot, true))
    }

    /// Makes everything that was stored so far durable, known to the local database, and part of a snapshot.
    fn checkpoint(&mut self, now: Timestamp) -> Result<SnapshotName> {
        let (root, uses) = self.log.checkpoint(&self.pool)?;
        self.complete_segments()?;
        let (published, known) = self.publish(root, &uses, Naming::Checkpoint, now)?;
        published.durable.and(known)?;
        let checkpoint = published.name;
        self.sink.database().commit()?;
        self.log.checkpoint_cache();
        self.safe_bytes = self.sink.stored_bytes();
        // Those of earlier runs may have more; they stay until a complete snapshot does.
        if let Some(last) = self.last_checkpoint.replace(checkpoint.clone()) {
            self.remove_checkpoints(&[last]);
        }
        let told = format!("checkpoint {checkpoint}");
        self.outside.monitor.note(&told);
        Ok(checkpoint)
    }

    /// Makes the blocks that were stored so far durable and known to the local database. No snapshot refers to them yet.
    fn commit_blocks(&mut self) -> Result<()> {
        self.log.close_segment(&self.pool)?;
        self.complete_segments()?;
        self.store.sync()?;
        self.sink.database().commit()?;
        self.safe_bytes = self.sink.stored_bytes();
        Ok(())
    }

    /// Makes the complete snapshot.
    pub(super) fn finish(mut self) -> Result<BackupReport> {
        if self.entries.total() == 0 {
            bail!("nothing could be backed up, so there is no snapshot");
        }
        let losses = self.losses()?;
        if let Some(last) = self.same_as_last(losses.settled)? {
            return Ok(BackupReport {
                same_as: Some(last),
                ..self.report(None, false)
            });
        }
        self.warn_of_other_sources()?;
        self.entries.gone = self.gone();
        let log = self.log.finish(&self.pool)?;
        self.complete_segments()?;
        if self.options.dry_run {
            // What the database was told is rolled back when it is closed.
            return Ok(self.report(None, false));
        }
        let started = self.outside.began();
        let (published, known) =
            self.publish(log.root, &log.uses, Naming::Complete(&losses), started)?;
        let snapshot = published.name;
        let known = known.and_then(|()| self.remember_sources(&snapshot, &losses));
        match published.durable {
            Ok(()) => {
                self.remember(&snapshot, known, log.cache);
                self.sink.database().leave_log();
            }
            Err(error) => self.forget(&snapshot, &error),
        }
        Ok(self.report(Some(snapshot), false))
    }

    /// Counts what the last snapshot has and this one has not.
    fn gone(&self) -> u64 {
        let Some(last) = self.expected.filter(|_| self.log.knows_last()) else {
            return 0;
        };
        let known = self.entries.total() - self.entries.added;
        last.entries.saturating_sub(known)
    }

    /// Two jobs that forget their schemes would be one series, of which prune keeps the later snapshot of each night.
    fn warn_of_other_sources(&mut self) -> Result<()> {
        let shares = self.shares_paths || self.options.piped.is_some();
        if shares || !self.log.knows_last() || !self.log.lacks_old()? {
            return Ok(());
        }
        let series = wording::of_scheme(Some(&self.options.scheme));
        self.outside.monitor.warn(&format!(
            "no path of this snapshot is in the last one{series}: other PATHs need a --scheme of their own, since prune takes all \
             snapshots{series} for one series"
        ));
        Ok(())
    }

    /// Publishes all segments and tells the database. That of the log has to be closed.
    fn complete_segments(&mut self) -> Result<()> {
        self.sink.add_segments(&self.log.take_opened())?;
        self.sink.close(&self.pool)?;
        let published = self.pool.wait()?;
        self.sink.complete(&published)
    }

    /// Publishes sums file and descriptor, and tells the database, which is not committed yet. The second result is that of the database:
    /// the snapshot exists by then, so an error of it is none of the run.
    fn publish(
        &self,
        root: ObjectRef,
        uses: &BTreeMap<SegmentId, u64>,
        naming: Naming<'_>,
        earliest: Timestamp,
    ) -> Result<(Published, Result<()>)> {
        let database = self.sink.database();
        let segments: Vec<_> = uses.keys().copied().collect();
        let (sums, segment_bytes) = file_sums(database, &segments)?;
        self.sink.ensure_still_there(&sums, &segment_bytes)?;
        let sums = sums::encode(&sums);
        let written = self.sink.written().total();
        let totals = Totals {
            entries: self.entries.total(),
            source_bytes: self.source_bytes,
            added_data_bytes: written.data_bytes,
            added_disk_bytes: written.disk_bytes,
        };
        let describe = |date| Descriptor {
            producer: concat!("pileus ", env!("CARGO_PKG_VERSION")).to_owned(),
            date,
            scheme: self.options.scheme.clone(),
            root,
            checksums: Some(Checksum::of(Algorithm::Sha1, &sums)),
            segment_metadata: None,
            segments: segments.clone(),
            segment_bytes: Some(segment_bytes.clone()),
            maker: self.outside.maker.clone(),
            totals: Some(totals),
            problems: Some(self.outside.monitor.losses()),
            before_loss: naming.before_loss(),
            signed: false,
        };
        let signature_filter = self.options.signature_filter.as_deref();
        let publication = publish::Publication {
            store: &self.store,
            clock: self.outside.clock,
            naming,
            sums: &sums,
            signature_filter,
        };
        let published = publication.publish(earliest, describe)?;
        let maker = self.outside.maker;
        let known = database
            .add_snapshot(&published.name, Some(totals), uses)
            .and_then(|()| database.set_maker(&published.name, maker));
        Ok((published, known))
    }

    /// The snapshot exists, but its name may not be on disk: local state must not know what may be gone tomorrow.
    fn forget(&self, snapshot: &SnapshotName, error: &anyhow::Error) {
        let reason = format!(
            "is complete, but a power failure may take it away, and the local state does not know it: {error:#}"
        );
        let subject = format!("snapshot {snapshot}");
        self.outside.monitor.problem(subject.as_bytes(), reason);
    }

    /// Steps 4 and 5. The snapshot exists: without local state the next run reads or stores some files again, no more.
    fn remember(&self, snapshot: &SnapshotName, known: Result<()>, cache: Option<FinishedCache>) {
        let (database, monitor) = (self.sink.database(), self.outside.monitor);
        if let Err(error) = known.and_then(|()| database.commit()) {
            let (store, local) = (&self.options.store, &self.options.local);
            let local = local
                .as_ref()
                .map(|local| format!(" --localdb={}", shell_word(local)));
            let unfilter = match &self.options.filter {
                Filter::Command { extension, .. } if !Codec::is_known_extension(extension) => {
                    " --unfilter=COMMAND"
                }
                _ => "",
            };
            let reason = format!(
                "snapshot {snapshot} is complete, but the local state does not know it: {error:#}; the next run stores again what this one \
                 added, unless pileus rebuild --dest={}{}{unfilter} comes first",
                shell_word(store),
                local.unwrap_or_default()
            );
            monitor.problem_of_state(b"localdb.sqlite", reason);
            return;
        }
        if let Some(Err(error)) = cache.map(FinishedCache::replace) {
            let reason = format!("is still the old one, so the next run reads more: {error:#}");
            monitor.problem_of_state(b"stat cache", reason);
        }
        match database.checkpoints(&self.options.scheme, self.outside.maker) {
            Ok(checkpoints) => self.remove_checkpoints(&checkpoints),
            Err(error) => monitor.note(&format!("cannot look for checkpoints: {error:#}")),
        }
    }

    /// Removes checkpoints that are superfluous: descriptor, then sums file, then the database's rows.
    fn remove_checkpoints(&self, checkpoints: &[SnapshotName]) {
        if self.options.leave_checkpoints || checkpoints.is_empty() {
            return;
        }
        let remove = |checkpoint: &SnapshotName| {
            self.store.remove(&checkpoint.descriptor_file())?;
            self.store.remove(&checkpoint.sums_file())?;
            self.sink.database().remove_snapshot(checkpoint)
        };
        let removed = checkpoints.iter().try_for_each(remove);
        if let Err(error) = removed.and_then(|()| self.sink.database().commit()) {
            let reason = format!("cannot remove old checkpoints: {error:#}");
            self.outside.monitor.note(&reason);
        }
    }

    fn report(&self, snapshot: Option<SnapshotName>, interrupted: bool) -> BackupReport {
        BackupReport {
            snapshot,
            same_as: None,
            interrupted,
            entries: self.entries,
            source_bytes: self.source_bytes,
            read_bytes: self.chunker.bytes_read(),
            groups: self.sink.written().clone(),
            problems: self.outside.monitor.problems(),
        }
    }
}

/// Collects the checksums and lengths of all segments that a snapshot needs, from the database.
fn file_sums(database: &Database, segments: &[SegmentId]) -> Result<(Vec<FileSum>, Vec<u64>)> {
    let sum_of = |id: &SegmentId| {
        let segment = database.segment(*id)?.with_context(|| {
            format!("the local database lost segment {id}: make it anew with pileus rebuild")
        })?;
        let (checksum, bytes) = segment
            .checksum
            .zip(segment.disk_bytes)
            .with_context(|| format!("segment {id} was never completed"))?;
        let sum = FileSum {
            file: segment.file,
            sha1_hex: checksum.hex(),
        };
        Ok((sum, bytes))
    };
    segments.iter().map(sum_of).collect()
}
