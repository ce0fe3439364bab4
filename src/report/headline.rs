//! The headline of the page: six facts that answer most questions at a glance, each with the words that say what it means.

use super::html::Html;
use super::page::{ago, day, time};
use super::{Facts, Foreseen};
use crate::size;
use crate::wording::count;

/// One fact: its name, its value in large letters, and what it means in small ones.
struct Fact {
    name: &'static str,
    value: String,
    small: String,
}

impl Fact {
    fn new(name: &'static str, value: impl Into<String>, small: impl Into<String>) -> Self {
        Fact {
            name,
            value: value.into(),
            small: small.into(),
        }
    }
}

/// Shows the facts.
pub(super) fn show(html: &mut Html, facts: &Facts<'_>) {
    html.raw("<dl class=\"facts\">\n");
    for fact in [
        store(facts),
        snapshots(facts),
        last_snapshot(facts),
        growth(facts),
        problems(facts),
        next_prune(facts),
    ] {
        html.raw("<div>").element("dt", fact.name);
        html.raw("<dd><strong>")
            .text(&fact.value)
            .raw("</strong><small>")
            .text(&fact.small)
            .raw("</small></dd></div>\n");
    }
    html.raw("</dl>\n");
}

fn store(facts: &Facts<'_>) -> Fact {
    let files = &facts.files;
    let segments = count(files.segments, "segment");
    let small = format!("{segments}, {} in all", count(files.count, "file"));
    Fact::new("Store", size::show(files.bytes), small)
}

fn snapshots(facts: &Facts<'_>) -> Fact {
    let dates = facts.snapshots.iter().map(|stats| stats.date.as_second());
    let since = dates.min().map_or("none yet".to_owned(), |oldest| {
        format!("since {}", day(oldest))
    });
    let small = match facts.schemes.len() {
        0 | 1 => since,
        schemes => format!("of {schemes} schemes, {since}"),
    };
    Fact::new("Snapshots", facts.snapshots.len().to_string(), small)
}

fn last_snapshot(facts: &Facts<'_>) -> Fact {
    let name = "Last snapshot";
    let Some(stats) = facts.newest() else {
        return Fact::new(name, "none", "no complete one is here");
    };
    let second = stats.date.as_second();
    Fact::new(name, ago(facts.now.as_second() - second), time(second))
}

fn growth(facts: &Facts<'_>) -> Fact {
    let name = "Growth";
    match facts.weekly_bytes {
        Some(bytes) => {
            let small = "a week, by the last four; before pruning";
            Fact::new(name, size::show(bytes), small)
        }
        None => Fact::new(name, "–", "known when there are snapshots of two days"),
    }
}

fn problems(facts: &Facts<'_>) -> Fact {
    let name = "Backups with problems";
    match facts.runs() {
        Some((_, 0)) => Fact::new(name, "–", "no run is remembered yet"),
        Some((bad, all)) => Fact::new(name, bad.to_string(), format!("of the last {all}")),
        None => Fact::new(name, "–", "--localdb=DIR tells it"),
    }
}

fn next_prune(facts: &Facts<'_>) -> Fact {
    let name = "Next prune frees";
    match &facts.options.prune {
        Foreseen::Planned(plan) => {
            let removed = plan.removed.len() as u64;
            let small = match removed {
                0 => "no snapshot would go".to_owned(),
                _ => format!(
                    "{removed} of {} would go",
                    count(plan.kept + removed, "snapshot")
                ),
            };
            Fact::new(name, size::show(plan.freed_bytes), small)
        }
        Foreseen::NoRules => Fact::new(name, "–", "no rule says what to keep"),
        Foreseen::Unknown(_) => Fact::new(name, "–", "it cannot be planned"),
    }
}
