//! Which snapshots of a scheme are one series: what one maker made, night after night.
//!
//! Two machines that share a scheme by mistake, or two users of one machine, would otherwise be one series, in which the rules keep the
//! snapshot of whoever comes last each night. A host is a series. Of one host, local states whose snapshots lie between each other's are
//! different series; one that begins after another has ended goes on with it, as after a new installation or a lost local state.
//! Snapshots that do not say who made them (older ones) belong to the only series of their scheme, or are one of their own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::survey::Surveyed;

/// A series of snapshots of one scheme.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Name of the machine; none if its snapshots do not say.
    pub(super) host: Option<String>,
    /// The snapshots by their places, oldest name first.
    pub(super) places: Vec<usize>,
}

/// Returns the series of all schemes; with `all_hosts`, each scheme is one.
pub(super) fn of_all(snapshots: &[Surveyed], all_hosts: bool) -> BTreeMap<String, Vec<Series>> {
    let mut schemes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, snapshot) in snapshots.iter().enumerate() {
        let scheme = snapshot.name.scheme().to_owned();
        schemes.entry(scheme).or_default().push(at);
    }
    let divide = |(scheme, places): (String, Vec<usize>)| {
        let series = if all_hosts {
            vec![Series { host: None, places }]
        } else {
            divided(snapshots, &places)
        };
        (scheme, series)
    };
    schemes.into_iter().map(divide).collect()
}

/// Divides the snapshots of one scheme.
fn divided(snapshots: &[Surveyed], places: &[usize]) -> Vec<Series> {
    let mut states: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for &at in places {
        let maker = &snapshots[at].maker;
        match maker.host.as_deref() {
            Some(host) => {
                let state = maker.state.as_deref().unwrap_or_default();
                states.entry((host, state)).or_default().push(at);
            }
            None => unknown.push(at),
        }
    }
    let instant = |at: usize| snapshots[at].name.instant();
    let mut all: Vec<Series> = Vec::new();
    let mut by_beginning: Vec<_> = states.into_iter().collect();
    by_beginning.sort_by_key(|(_, places)| instant(places[0]));
    for ((host, _), places) in by_beginning {
        let ended = |series: &Series| {
            let end = series.places.last().map(|&at| instant(at));
            series.host.as_deref() == Some(host) && end < Some(instant(places[0]))
        };
        match all.iter_mut().rfind(|series| ended(series)) {
            Some(before) => before.places.extend(places),
            None => all.push(Series {
                host: Some(host.to_owned()),
                places,
            }),
        }
    }
    match &mut all[..] {
        _ if unknown.is_empty() => {}
        [only] => {
            only.places.extend(unknown);
            only.places.sort_unstable();
        }
        _ => all.push(Series {
            host: None,
            places: unknown,
        }),
    }
    all
}

/// Names the hosts of a scheme that has more than one series.
pub(super) fn shown(series: &[Series]) -> Option<String> {
    if series.len() < 2 {
        return None;
    }
    let names = series
        .iter()
        .map(|series| series.host.as_deref().unwrap_or("an unknown host"));
    let names: Vec<_> = names.collect();
    let different: BTreeSet<_> = names.iter().copied().collect();
    let times = |name: &str| names.iter().filter(|other| **other == name).count();
    let show = |name: &str| match times(name) {
        1 => name.to_owned(),
        times => format!("{times} local states of {name}"),
    };
    let shown: Vec<_> = different.into_iter().map(show).collect();
    Some(shown.join(", "))
}

/// Returns how many local states other than `own` have published since `since`.
pub(super) fn other_states(snapshots: &[Surveyed], own: Option<&str>, since: Timestamp) -> usize {
    let recent = snapshots.iter().filter(|s| s.name.instant() >= since);
    let states = recent.filter_map(|snapshot| snapshot.maker.state.as_deref());
    let others: BTreeSet<_> = states.filter(|state| Some(*state) != own).collect();
    others.len()
}
