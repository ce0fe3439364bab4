//! Which times agree with the order in which snapshots were published.
//!
//! A clock that was wrong for one night makes one snapshot stand out, before or behind all others. So the most snapshots that are in order
//! with one another are believed, and the rest is doubted: a single snapshot that was a month ahead does not cast doubt on a month of good
//! ones.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::survey::Surveyed;
use crate::format::snapshot_name::SnapshotName;

/// Doubts snapshots whose times are out of order. One whose time has not come yet proves nothing about others.
pub(super) fn doubt_what_is_out_of_order(snapshots: &mut [Surveyed], now: Timestamp) {
    let mut schemes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, snapshot) in snapshots.iter().enumerate() {
        if snapshot.published.is_some() {
            let scheme = snapshot.name.scheme().to_owned();
            schemes.entry(scheme).or_default().push(at);
        }
    }
    for mut places in schemes.into_values() {
        places.sort_by_key(|&at| snapshots[at].published);
        let proves = |at: &usize| {
            let name = &snapshots[*at].name;
            !name.is_checkpoint() && name.instant() <= now
        };
        let proving: Vec<_> = places.iter().copied().filter(proves).collect();
        let times: Vec<_> = proving
            .iter()
            .map(|&at| snapshots[at].name.instant())
            .collect();
        let believed: Vec<_> = in_order(&times).into_iter().map(|n| proving[n]).collect();
        let believed: Vec<_> = believed
            .iter()
            .map(|&at| (snapshots[at].published, snapshots[at].name.clone()))
            .collect();
        for at in places {
            if let Some(reason) = contradiction(&snapshots[at], &believed) {
                snapshots[at].doubt.get_or_insert(reason);
            }
        }
    }
}

/// Says which of the believed snapshots, in their order, one contradicts.
fn contradiction(
    snapshot: &Surveyed,
    believed: &[(Option<usize>, SnapshotName)],
) -> Option<String> {
    let (published, name) = (snapshot.published, &snapshot.name);
    let behind = believed.partition_point(|(at, _)| *at < published);
    let before = behind.checked_sub(1).map(|at| &believed[at].1);
    if let Some(before) = before.filter(|before| before.instant() > name.instant()) {
        return Some(format!(
            "its time is earlier than that of {before}, which was published before it: one of both has a wrong time; no rule removes it"
        ));
    }
    let after = believed[behind..].iter().find(|(_, other)| other != name);
    let after =
        after.filter(|(_, after)| after.instant() < name.instant() && !name.is_checkpoint());
    after.map(|(_, after)| {
        format!(
            "its time is later than that of {after}, which was published after it: one of both has a wrong time; no rule removes it"
        )
    })
}

/// Returns the places of the longest part of `times` that never goes back; of equally long ones, the one that begins with what came first.
fn in_order(times: &[Timestamp]) -> Vec<usize> {
    // From the end: `heads[n]` is where the best part of n + 1 times begins.
    let mut heads: Vec<usize> = Vec::new();
    let mut next = vec![None; times.len()];
    for at in (0..times.len()).rev() {
        let longer = heads.partition_point(|&head| times[head] >= times[at]);
        next[at] = longer.checked_sub(1).map(|shorter| heads[shorter]);
        match heads.get_mut(longer) {
            Some(head) => *head = at,
            None => heads.push(at),
        }
    }
    let first = heads.last().copied();
    std::iter::successors(first, |&at| next[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_time_does_not_make_the_others_doubtful() {
        for (seconds, believed) in [
            (&[1, 2, 3][..], &[0, 1, 2][..]),
            (&[1, 40, 2, 3], &[0, 2, 3]),
            (&[5, 6, 1, 7], &[0, 1, 3]),
            (&[9, 1], &[0]),
            (&[4, 4], &[0, 1]),
            (&[], &[]),
        ] {
            let times: Vec<_> = seconds
                .iter()
                .map(|&s| Timestamp::from_second(s).expect("a time"))
                .collect();
            assert_eq!(in_order(&times), believed, "{seconds:?}");
        }
    }
}
