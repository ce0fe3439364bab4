//! What is said of snapshots whose time has not come.

use std::path::Path;

use jiff::Timestamp;

use super::{count, of_scheme, shell_word};
use crate::format::snapshot_name::SnapshotName;

/// Says that the time of the snapshots `later` has not come; nothing if there are none.
pub(crate) fn sentence(
    later: &[&SnapshotName],
    has_past: bool,
    scheme: Option<&str>,
    store: &Path,
    now: Timestamp,
) -> Option<String> {
    let last = later.iter().max()?;
    let clock = format!("{} UTC", now.strftime("%Y-%m-%d %H:%M"));
    if !has_past {
        let all = match later.len() {
            1 => format!("the only snapshot{}, {last}, is", of_scheme(scheme)),
            several => format!(
                "all {several} snapshots{}, such as {last}, are",
                of_scheme(scheme)
            ),
        };
        return Some(format!(
            "{all} from the future: the clock here, which says {clock}, is behind, or that of the backup was ahead; latest means {last}"
        ));
    }
    let others = match later.len() - 1 {
        0 => String::new(),
        others => format!(", and so is {} before it", count(others as u64, "snapshot")),
    };
    Some(format!(
        "snapshot {last} is from the future{others}: the clock here says {clock}; latest does not mean it until then; if that clock is right, remove what has a wrong \
         time: pileus prune --dest={} --remove={last}",
        shell_word(store)
    ))
}
