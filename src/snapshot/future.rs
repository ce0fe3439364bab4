//! Snapshots whose time has not come: a clock was wrong when one was made, or is wrong now.
//!
//! Such a snapshot would be the latest for years, so `latest` passes over it while there is one whose time has come. On a machine whose
//! clock is behind, every good snapshot looks like that: only people can say which clock is wrong, so they are asked to look.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::format::snapshot_name::SnapshotName;
use crate::store::catalog::Catalog;
use crate::wording::future::sentence;

/// By how much clocks of two machines may differ without a word.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Whether the time of a snapshot has not come, by more than clocks of machines differ. Programs up to Cumulus 0.10 wrote local time into names, so `Date:` decides where the
/// name is later than now.
#[must_use]
pub fn is_of_future(catalog: &Catalog, name: &SnapshotName, now: Timestamp) -> bool {
    let now = now.saturating_add(SKEW).unwrap_or(now);
    name.instant() > now
        && catalog
            .descriptor(name)
            .map_or(true, |descriptor| descriptor.date > now)
}

/// Returns what to say of snapshots of the future in a store; of one scheme, or of each.
#[must_use]
pub fn warning(
    catalog: &Catalog,
    scheme: Option<&str>,
    store: &Path,
    now: Timestamp,
) -> Option<String> {
    let of_scheme = catalog
        .snapshots()
        .filter(|name| scheme.is_none_or(|s| name.scheme() == s) && !name.is_checkpoint());
    let (later, past): (Vec<_>, Vec<_>) =
        of_scheme.partition(|name| is_of_future(catalog, name, now));
    sentence(&later, !past.is_empty(), scheme, store, now)
}
