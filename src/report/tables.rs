//! The tables of the page: series, what changed most, snapshots. What has no room on a narrow screen is marked `w`, and left out there.

use super::changed::{Changed, Sums};
use super::html::Html;
use super::page::{ago, span, time};
use super::{Facts, SCHEMES_COMPARED, added_disk};
use crate::growth::SnapshotStats;
use crate::size;
use crate::wording::count;

/// Most series that have a row.
const SCHEMES_SHOWN: usize = 50;

/// How many of the newest snapshots are shown at once, and how many in all: more would make the page slow to open.
const NEWEST: usize = 20;
const SNAPSHOTS_SHOWN: usize = 1000;

/// Returns how a series is called on the page.
pub(super) fn scheme_name(scheme: &str) -> &str {
    if scheme.is_empty() {
        "(no scheme)"
    } else {
        scheme
    }
}

/// Shows the series, if there is more than one.
pub(super) fn schemes(html: &mut Html, facts: &Facts<'_>) {
    if facts.schemes.len() < 2 {
        return;
    }
    html.element("h2", "Schemes");
    html.raw("<table>\n<thead><tr><th>Scheme</th><th class=\"n\">Snapshots</th><th>Last</th><th class=\"w\">Usually every</th><th class=\"n w\">Entries</th><th class=\"n\">Source</th></tr></thead>\n<tbody>\n");
    for series in facts.schemes.iter().take(SCHEMES_SHOWN) {
        let newest = series.newest().map(|at| &facts.snapshots[at]);
        let age = newest.map(|stats| ago(facts.now.as_second() - stats.date.as_second()));
        let late = if facts.is_late(series) {
            " class=\"late\""
        } else {
            ""
        };
        html.raw("<tr><td class=\"name\">")
            .text(scheme_name(&series.scheme));
        html.raw("</td><td class=\"n\">")
            .text(&(series.complete.len() + series.later.len() + series.checkpoints).to_string());
        html.raw(&format!("</td><td{late}>"))
            .text(age.as_deref().unwrap_or("–"));
        html.raw("</td><td class=\"w\">")
            .text(&series.usual.map_or("–".to_owned(), span));
        html.raw("</td><td class=\"n w\">")
            .text(&or_dash(newest.and_then(|s| s.entries), |n| n.to_string()));
        html.raw("</td><td class=\"n\">")
            .text(&or_dash(newest.and_then(|s| s.source_bytes), size::show));
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody>\n</table>\n");
    if facts.schemes.len() > SCHEMES_SHOWN {
        html.element(
            "p class=\"muted\"",
            &format!("And {} more.", facts.schemes.len() - SCHEMES_SHOWN),
        );
    }
}

/// Shows which directories changed most.
pub(super) fn changes(html: &mut Html, facts: &Facts<'_>) {
    html.element("h2", "What changed most");
    if facts.changes.is_empty() && facts.uncompared.is_empty() {
        html.element("p", "There is no complete snapshot yet.");
        return;
    }
    html.element("p class=\"muted\"", "New data by directory, before compression: bytes of new and changed files in segments that no earlier snapshot needed. Each row has what is below its directory, less the rows further down.");
    for changed in &facts.changes {
        one_comparison(html, changed);
    }
    for (name, why) in &facts.uncompared {
        html.raw("<p>Snapshot <span class=\"name\">")
            .text(&name.to_string());
        html.raw("</span> could not be compared: ")
            .text(why)
            .raw(".</p>\n");
    }
    if facts.schemes.len() > SCHEMES_COMPARED {
        html.element("p class=\"muted\"", &format!("Only the {SCHEMES_COMPARED} schemes that were backed up last are compared; --scheme=NAME shows another one."));
    }
}

fn one_comparison(html: &mut Html, changed: &Changed) {
    html.raw("<h3><span class=\"name\">")
        .text(&changed.new.to_string())
        .raw("</span> ");
    match &changed.old {
        None => html.raw("<small>the first of its scheme: all that is in it</small></h3>\n"),
        Some(old) => {
            let snapshots = count(changed.spanned, "snapshot");
            html.raw("<small>against <span class=\"name\">")
                .text(&old.to_string());
            html.text("")
                .raw("</span>, ")
                .text(&snapshots)
                .raw(" before</small></h3>\n")
        }
    };
    let Sums {
        new_bytes,
        added,
        changed: other,
        removed,
    } = changed.total;
    let lost = match changed.lost {
        0 => String::new(),
        number => format!(
            " {} of the metadata could not be read.",
            count(number, "part")
        ),
    };
    let text = format!(
        "{} of new data: {} new, {other} changed, {removed} gone.{lost}",
        size::show(new_bytes),
        count(added, "file")
    );
    html.element("p", &text);
    if changed.rows.is_empty() {
        return;
    }
    html.raw("<table class=\"changes\">\n<thead><tr><th>Directory</th><th class=\"n\">New data</th><th class=\"n w\">New</th><th class=\"n w\">Changed</th><th class=\"n w\">Gone</th></tr></thead>\n<tbody>\n");
    for row in &changed.rows {
        html.raw("<tr><td><span class=\"name\">/")
            .bytes(&row.directory)
            .raw("</span>");
        row_end(html, row.sums, new_bytes);
    }
    if changed.rest != Sums::default() {
        html.raw("<tr><td>everything else");
        row_end(html, changed.rest, new_bytes);
    }
    html.raw("</tbody>\n</table>\n");
}

fn row_end(html: &mut Html, sums: Sums, of_bytes: u64) {
    let permille = u128::from(sums.new_bytes) * 1000 / u128::from(of_bytes.max(1));
    let (whole, tenth) = (permille / 10, permille % 10);
    html.raw(&format!("<span class=\"share\"><span style=\"width:{whole}.{tenth}%\"></span></span></td><td class=\"n\">"));
    html.text(&size::show(sums.new_bytes));
    html.raw(&format!(
        "</td><td class=\"n w\">{}</td><td class=\"n w\">{}</td><td class=\"n w\">{}</td></tr>\n",
        sums.added, sums.changed, sums.removed
    ));
}

/// Shows the snapshots, the newest first; the older ones folded away.
pub(super) fn snapshots(html: &mut Html, facts: &Facts<'_>) {
    if facts.snapshots.is_empty() {
        return;
    }
    html.element("h2", "Snapshots");
    let mut newest_first = facts.snapshots.iter().rev();
    rows_of_snapshots(html, newest_first.by_ref().take(NEWEST));
    let older = facts.snapshots.len().saturating_sub(NEWEST);
    if older == 0 {
        return;
    }
    let shown = older.min(SNAPSHOTS_SHOWN);
    html.raw(&format!(
        "<details><summary>{}</summary>\n",
        count(shown as u64, "older one")
    ));
    rows_of_snapshots(html, newest_first.take(shown));
    html.raw("</details>\n");
    if shown < older {
        html.element(
            "p class=\"muted\"",
            &format!("And {} before them: pileus stats has all.", older - shown),
        );
    }
}

fn rows_of_snapshots<'s>(html: &mut Html, snapshots: impl Iterator<Item = &'s SnapshotStats>) {
    html.raw("<table>\n<thead><tr><th>Snapshot</th><th class=\"w\">Made</th><th class=\"n w\">Entries</th><th class=\"n\">Source</th><th class=\"n\">Added</th><th class=\"n w\">Needs</th></tr></thead>\n<tbody>\n");
    for stats in snapshots {
        html.raw("<tr><td class=\"name\">")
            .text(&stats.name.to_string());
        html.raw("</td><td class=\"w\">")
            .text(&time(stats.date.as_second()));
        html.raw("</td><td class=\"n w\">")
            .text(&or_dash(stats.entries, |n| n.to_string()));
        html.raw("</td><td class=\"n\">")
            .text(&or_dash(stats.source_bytes, size::show));
        html.raw("</td><td class=\"n\">")
            .text(&size::show(added_disk(stats)));
        html.raw("</td><td class=\"n w\">")
            .text(&size::show(stats.disk_bytes));
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody>\n</table>\n");
}

fn or_dash(number: Option<u64>, show: impl Fn(u64) -> String) -> String {
    number.map_or("–".to_owned(), show)
}
