//! The last steps of a backup: sums file, then descriptor. With the descriptor's name the snapshot exists.

use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::{Timestamp, ToSpan};

use super::Clock;
use crate::format::descriptor::Descriptor;
use crate::format::snapshot_name::SnapshotName;
use crate::store::command;
use crate::store::dir::StoreDir;

/// Publishes the sums file and the descriptor of a snapshot and returns its name.
///
/// The sums file takes the name: it is published first, under the first free second at or after `started`, and what refers to it
/// follows. All segments must be published; the directory is synced before the descriptor appears and again after it.
pub(super) fn publish(
    store: &Arc<StoreDir>,
    clock: &dyn Clock,
    started: Timestamp,
    sums: &[u8],
    signature_filter: Option<&str>,
    describe: impl Fn(Timestamp) -> Descriptor,
) -> Result<SnapshotName> {
    let scheme = describe(started).scheme;
    let mut instant = started;
    let name = loop {
        let name = SnapshotName::new(&scheme, instant);
        let mut part = store.begin(&format!("{}.sha1sums", name.stem()))?;
        part.write(sums)?;
        if part.publish()? {
            break name;
        }
        instant = instant
            .checked_add(1.second())
            .context("the clock is at its end")?;
        clock.wait_until(instant);
    };
    store.sync()?;
    let mut text = describe(instant).encode();
    if let Some(command) = signature_filter {
        text = command::run(command, &text).context("cannot sign the snapshot")?;
    }
    let mut part = store.begin(&format!("{}.lbs", name.stem()))?;
    part.write(&text)?;
    if !part.publish()? {
        anyhow::bail!(
            "a descriptor named {}.lbs exists already, without its sums file",
            name.stem()
        );
    }
    store.sync()?;
    Ok(name)
}
