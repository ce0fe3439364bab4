//! The last steps of a backup: sums file, then descriptor. With the descriptor's name the snapshot exists.

use std::io;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use super::Clock;
use super::losses::Losses;
use crate::format::date::next_second;
use crate::format::descriptor::Descriptor;
use crate::format::snapshot_name::SnapshotName;
use crate::store::command;
use crate::store::dir::StoreDir;

/// What kind of snapshot a name is for.
#[derive(Clone, Copy)]
pub(super) enum Naming<'n> {
    /// All sources were walked to their end, and this became of them.
    Complete(&'n Losses),
    /// The run goes on, or was told to end early.
    Checkpoint,
}

impl Naming<'_> {
    fn name(self, scheme: &str, instant: Timestamp) -> SnapshotName {
        let name = SnapshotName::new(scheme, instant);
        match self {
            Self::Complete(_) => name,
            Self::Checkpoint => name.as_checkpoint(),
        }
    }

    /// Returns the last snapshots before losses that are known once all sources were walked.
    pub(super) fn before_loss(self) -> Vec<SnapshotName> {
        match self {
            Self::Complete(losses) => losses.before(),
            Self::Checkpoint => Vec::new(),
        }
    }
}

/// A descriptor that has its name: the snapshot exists.
pub(super) struct Published {
    pub(super) name: SnapshotName,
    /// Whether that name would outlive a power failure.
    pub(super) durable: Result<()>,
}

/// What is to be published, and how.
pub(super) struct Publication<'p> {
    pub(super) store: &'p Arc<StoreDir>,
    pub(super) clock: &'p dyn Clock,
    pub(super) naming: Naming<'p>,
    pub(super) sums: &'p [u8],
    /// Shell command that signs the descriptor.
    pub(super) signature_filter: Option<&'p str>,
}

impl Publication<'_> {
    /// Publishes the sums file and the descriptor of a snapshot and returns its name. After an error there is no snapshot.
    ///
    /// The descriptor is signed before anything of the snapshot is published, so a failing signature leaves no trace of it. The
    /// sums file takes the name, the first free second at or after `earliest`, and the descriptor follows. All segments must be
    /// published; the directory is synced before the descriptor appears and again after it.
    pub(super) fn publish(
        &self,
        earliest: Timestamp,
        describe: impl Fn(Timestamp) -> Descriptor,
    ) -> Result<Published> {
        let store = self.store;
        let mut instant = earliest;
        loop {
            let descriptor = describe(instant);
            let name = self.naming.name(&descriptor.scheme, instant);
            let (sums_file, descriptor_file) = (name.sums_file(), name.descriptor_file());
            if !store.has(&sums_file)? && !store.has(&descriptor_file)? {
                let text = sign(descriptor.encode(), self.signature_filter)?;
                if add(store, &sums_file, self.sums)? {
                    store.sync()?;
                    // Whoever has the sums file has the name; only a descriptor that lost its own could be in the way.
                    ensure!(
                        add(store, &descriptor_file, &text)?,
                        "{descriptor_file} appeared in the store while it was being written"
                    );
                    let durable = store.sync();
                    return Ok(Published { name, durable });
                }
            }
            instant = next_second(instant).context("the clock is at its end")?;
            self.clock.wait_until(instant);
        }
    }
}

/// Signs a descriptor, and makes sure that what comes out still says the same: a filter may exit with 0 and yet cut it short.
fn sign(text: Vec<u8>, signature_filter: Option<&str>) -> Result<Vec<u8>> {
    let Some(command) = signature_filter else {
        return Ok(text);
    };
    let signed = command::run(command, &text).context("cannot sign the snapshot")?;
    let unsigned = |text: &[u8]| {
        Descriptor::parse(text).map(|descriptor| Descriptor {
            signed: false,
            ..descriptor
        })
    };
    if Descriptor::parse(&signed).is_ok_and(|descriptor| !descriptor.signed) {
        bail!("cannot sign the snapshot: \"{command}\" did not sign it (use a clear signature)");
    }
    match unsigned(&signed) {
        Ok(descriptor) if Ok(&descriptor) == unsigned(&text).as_ref() => Ok(signed),
        Ok(_) => bail!("cannot sign the snapshot: \"{command}\" changed the descriptor"),
        Err(error) => bail!(
            "cannot sign the snapshot: what \"{command}\" wrote is no descriptor (use a clear signature): {error}"
        ),
    }
}

/// Publishes a small file; `false` if its name is taken.
fn add(store: &Arc<StoreDir>, name: &str, bytes: &[u8]) -> Result<bool> {
    let mut part = match store.begin(name) {
        Ok(part) => part,
        // Another run, with local state of its own, is about to take the name.
        Err(error) if is_taken(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    part.write(bytes)?;
    part.publish()
}

fn is_taken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::AlreadyExists)
}
