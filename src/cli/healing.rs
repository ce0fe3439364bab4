//! What is to be done about segments that `verify` found to be damaged: lines to type, for what is not done yet.
//!
//! A backup never reads the store, so local state counts on such segments until `clean --lost` tells it. Snapshots never change: those
//! that need the segments stay damaged, and are named, until they are removed.

use std::path::Path;

use pileus::format::object_ref::SegmentId;
use pileus::local::database::look;
use pileus::verify::Damage;
use pileus::wording::{count, shell_word};

use super::arguments::Verify;
use crate::console::Console;

/// Most snapshots that are named in a line to type.
const NAMED_MAX: usize = 4;

/// Says what to type. Local state need not lie in the store, and where it does not, only the user knows where.
pub(super) fn advise(damage: &Damage, arguments: &Verify, console: &Console) {
    let store = &arguments.stored.dest;
    let local = super::local_state(arguments.localdb.as_ref(), store);
    let local = local.as_deref();
    if damage.segments.is_empty() {
        return;
    }
    // Local state that cannot be read is a matter of its own; then everything is still to be done.
    let counted_on = local.and_then(|local| look::counted_on(local, &damage.segments).ok());
    console.advise(&match counted_on {
        Some(segments) if segments.is_empty() => {
            "nothing new refers to it, says local state: backups store again what they still find of it"
                .to_owned()
        }
        Some(segments) => cleaning(&segments, arguments, local),
        None => cleaning(&damage.segments, arguments, local),
    });
    if !damage.snapshots.is_empty() {
        console.advise(&removing(damage, store, local));
    }
}

/// Says how what the segments held comes into the next snapshot.
fn cleaning(segments: &[SegmentId], arguments: &Verify, local: Option<&Path>) -> String {
    let local = local.map_or("DIR".to_owned(), shell_word);
    let lost = if let [one] = segments {
        format!("pileus clean --localdb={local} --lost={one}")
    } else {
        let store = shell_word(&arguments.stored.dest);
        let unfilter = arguments.stored.unfilter.as_ref();
        let unfilter = unfilter.map_or(String::new(), |u| format!(" --unfilter={}", shell_word(u)));
        format!(
            "pileus verify --dest={store} --level={}{unfilter} --json | pileus clean --localdb={local} --lost-from=-",
            arguments.level
        )
    };
    format!("so that the next backup stores again what it still has of it: {lost}")
}

/// Says how to be rid of the snapshots that need the segments.
fn removing(damage: &Damage, store: &Path, local: Option<&Path>) -> String {
    let number = damage.snapshots.len();
    let which = if number > NAMED_MAX {
        " --remove=NAME, for each".to_owned()
    } else {
        let each = damage
            .snapshots
            .iter()
            .map(|name| format!(" --remove={name}"));
        each.collect()
    };
    let local = local.filter(|local| *local != store);
    let local = local.map_or(String::new(), |local| {
        format!(" --localdb={}", shell_word(local))
    });
    let stay = if number == 1 { "stays" } else { "stay" };
    format!(
        "{} {stay} damaged, and can be restored but for that; to remove, once there is a newer one without damage: \
         pileus prune --dest={}{local}{which}",
        count(number as u64, "snapshot"),
        shell_word(store)
    )
}
