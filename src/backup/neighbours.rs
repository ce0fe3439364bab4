//! Whether other machines make snapshots of the same scheme, which is seldom meant.

use anyhow::Result;

use crate::format::descriptor::Maker;
use crate::format::snapshot_name::SnapshotName;
use crate::local::database::Database;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::wording::of_scheme;

/// Number of unknown descriptors, the newest ones, that a run looks at.
const LOOKS_MAX: usize = 8;

/// Warns of the newest snapshot of the scheme that another host made. Names are enough for those that local state knows.
pub(super) fn look(
    catalog: &Catalog,
    database: &Database,
    scheme: &str,
    maker: &Maker,
    monitor: &Counter<'_>,
) -> Result<()> {
    let known = database.snapshots()?;
    let is_unknown = |name: &&SnapshotName| name.scheme() == scheme && !known.contains(name);
    let newest = catalog.snapshots().rev().filter(is_unknown);
    for name in newest.take(LOOKS_MAX) {
        let Ok(descriptor) = catalog.descriptor(name) else {
            continue;
        };
        let Some(host) = descriptor.maker.host.as_ref() else {
            continue;
        };
        if Some(host) != maker.host.as_ref() {
            monitor.warn(&format!(
                "{host} makes snapshots{} here, too, such as {name}: give each machine a --scheme of its own, or --host={host} if this one \
                 was renamed",
                of_scheme(Some(scheme))
            ));
            return Ok(());
        }
    }
    Ok(())
}
