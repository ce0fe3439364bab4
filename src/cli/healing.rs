//! What is to be done about segments that `verify` found to be damaged: lines to type, for what is not done yet.
//!
//! A backup never reads the store, so local state counts on such segments until `clean --lost` tells it. Snapshots never change: those
//! that need the segments stay damaged, and are named, until they are removed.

use std::path::Path;

use pileus::format::object_ref::SegmentId;
use pileus::local::database::look::{self, Standing};
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
    let standing = local.and_then(|local| look::standing(local, &damage.segments).ok());
    console.advise(&match standing {
        Some(Standing { usable, unknown }) if usable.is_empty() && unknown.is_empty() => {
            "nothing new refers to it, says local state: backups store again what they still find of it"
                .to_owned()
        }
        Some(Standing { usable, .. }) if !usable.is_empty() => {
            cleaning(&usable, arguments, local)
        }
        Some(Standing { unknown, .. }) => cleaning(&unknown, arguments, None),
        None => cleaning(&damage.segments, arguments, local),
    });
    if !damage.snapshots.is_empty() {
        console.advise(&removing(damage, store, local));
    }
}

/// Says how what the segments held comes into the next snapshot.
fn cleaning(segments: &[SegmentId], arguments: &Verify, local: Option<&Path>) -> String {
    let (local, whose) = local.map_or(
        (
            "DIR".to_owned(),
            ", DIR being the --localdb of the backups that use it",
        ),
        |local| (shell_word(local), ""),
    );
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
    format!("so that the next backup stores again what it still has of it: {lost}{whose}")
}

/// Says what becomes of the snapshots that need the segments. Nobody should remove the last one of a scheme for what it lacks.
fn removing(damage: &Damage, store: &Path, local: Option<&Path>) -> String {
    let stay = format!(
        "what is lost of {} stays lost",
        count(damage.snapshots.len() as u64, "snapshot")
    );
    let which = match damage.superseded.len() {
        0 => {
            let them = if damage.snapshots.len() == 1 {
                "it"
            } else {
                "them"
            };
            return format!(
                "{stay}; once a newer one of the scheme is without damage, pileus verify says how to remove {them}"
            );
        }
        1..=NAMED_MAX => {
            let each = damage.superseded.iter();
            let options: Vec<_> = each.map(|name| format!(" --remove={name}")).collect();
            options.concat()
        }
        _ => " --remove=NAME, for each".to_owned(),
    };
    let local = local.filter(|local| *local != store);
    let local = local.map_or(String::new(), |local| {
        format!(" --localdb={}", shell_word(local))
    });
    format!(
        "{stay}; to remove those that have a newer one without damage: pileus prune --dest={}{local}{which}",
        shell_word(store)
    )
}
