//! The page: head, headline facts, then the sections in the order in which people ask.
//!
//! One file with its style in it, no script, nothing from elsewhere; a policy in its head keeps a browser from loading anything even if a name
//! of the store were to become markup.

use super::html::{Html, counted};
use super::{DAY, Facts, Foreseen, Local, sections, tables};
use crate::size;

const STYLE: &str = include_str!("style.css");

/// Makes the whole page.
pub(super) fn render(facts: &Facts<'_>) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let store = facts.options.store.as_os_str().as_encoded_bytes();
    html.raw("<title>Backups in ")
        .bytes(store)
        .raw("</title>\n<style>\n");
    html.raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<header>\n<h1>Backups in <span class=\"name\">");
    html.bytes(store).raw("</span></h1>\n<p class=\"muted\">");
    let scheme = facts.options.scheme.as_ref();
    if let Some(scheme) = scheme {
        html.raw("Only snapshots of scheme <span class=\"name\">")
            .text(scheme)
            .raw("</span>. ");
    }
    html.text(&format!(
        "As of {}, by pileus {}. Times are UTC; KiB, MiB and GiB are powers of 1024.",
        time(facts.now.as_second()),
        env!("CARGO_PKG_VERSION")
    ));
    html.raw("</p>\n</header>\n<main>\n");
    warnings(&mut html, facts);
    headline(&mut html, facts);
    tables::schemes(&mut html, facts);
    sections::growth(&mut html, facts);
    sections::added(&mut html, facts);
    tables::changes(&mut html, facts);
    sections::utilization(&mut html, facts);
    sections::runs(&mut html, facts);
    sections::next_prune(&mut html, facts);
    tables::snapshots(&mut html, facts);
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

/// Says what somebody should look at first.
fn warnings(html: &mut Html, facts: &Facts<'_>) {
    let mut told = Vec::new();
    if facts.problems > 0 {
        let problems = counted(facts.problems, "problem", "problems");
        told.push(format!("{problems} while this report was made: something could not be read. pileus verify says what it costs."));
    }
    for series in facts.schemes.iter().filter(|series| facts.is_late(series)) {
        let at = series.newest().unwrap_or_default();
        let age = ago(facts.now.as_second() - facts.snapshots[at].date.as_second());
        let usual = span(series.usual.unwrap_or_default());
        let scheme = tables::scheme_name(&series.scheme);
        told.push(format!(
            "{scheme}: the last snapshot was made {age}; usually there is one every {usual}."
        ));
    }
    if let Local::Read(_, runs) = &facts.local
        && let Some(last) = runs.first().filter(|run| run.result == "failed")
    {
        let why = last.told.first().map_or("", String::as_str);
        told.push(format!(
            "The last backup, of {}, failed: {why}",
            time(last.started)
        ));
    }
    for text in told {
        html.raw("<p class=\"warning\">").text(&text).raw("</p>\n");
    }
}

fn headline(html: &mut Html, facts: &Facts<'_>) {
    html.raw("<dl class=\"facts\">\n");
    let files = &facts.files;
    let small = counted(files.segments, "segment", "segments");
    let small = format!("{small}, {} in all", counted(files.count, "file", "files"));
    fact(html, "Store", &size::show(files.bytes), &small);
    let oldest = facts
        .snapshots
        .iter()
        .map(|stats| stats.date.as_second())
        .min();
    let since = oldest.map_or("none yet".to_owned(), |oldest| {
        format!("since {}", day(oldest))
    });
    let small = match facts.schemes.len() {
        0 | 1 => since,
        count => format!("of {count} schemes, {since}"),
    };
    fact(
        html,
        "Snapshots",
        &facts.snapshots.len().to_string(),
        &small,
    );
    match facts.newest() {
        Some(stats) => {
            let second = stats.date.as_second();
            fact(
                html,
                "Last snapshot",
                &ago(facts.now.as_second() - second),
                &time(second),
            );
        }
        None => fact(html, "Last snapshot", "none", "no complete one is here"),
    }
    match facts.weekly_bytes {
        Some(bytes) => fact(
            html,
            "Growth",
            &size::show(bytes),
            "a week, by the last four; before pruning",
        ),
        None => fact(
            html,
            "Growth",
            "–",
            "known when there are snapshots of two days",
        ),
    }
    match facts.runs() {
        Some((_, 0)) => fact(
            html,
            "Backups with problems",
            "–",
            "no run is remembered yet",
        ),
        Some((bad, all)) => fact(
            html,
            "Backups with problems",
            &bad.to_string(),
            &format!("of the last {all}"),
        ),
        None => fact(html, "Backups with problems", "–", "--localdb=DIR tells it"),
    }
    match &facts.options.prune {
        Foreseen::Planned(plan) => {
            let gone = counted(plan.removed.len() as u64, "snapshot", "snapshots");
            let small = format!(
                "{gone} of {} would go",
                plan.kept + plan.removed.len() as u64
            );
            fact(
                html,
                "Next prune frees",
                &size::show(plan.freed_bytes),
                &small,
            );
        }
        Foreseen::NoRules => fact(html, "Next prune frees", "–", "no rule says what to keep"),
        Foreseen::Unknown(_) => fact(html, "Next prune frees", "–", "it cannot be planned"),
    }
    html.raw("</dl>\n");
}

fn fact(html: &mut Html, name: &str, value: &str, small: &str) {
    html.raw("<div>").element("dt", name);
    html.raw("<dd><strong>")
        .text(value)
        .raw("</strong><small>")
        .text(small)
        .raw("</small></dd></div>\n");
}

impl Facts<'_> {
    /// Tells whether the next snapshot of a series should long have been made.
    pub(super) fn is_late(&self, series: &super::Series) -> bool {
        let Some((at, usual)) = series.newest().zip(series.usual) else {
            return false;
        };
        let age = self.now.as_second() - self.snapshots[at].date.as_second();
        age > usual.saturating_mul(2).saturating_add(DAY / 2)
    }
}

/// Returns a moment as people write it.
pub(super) fn time(second: i64) -> String {
    let format = |instant: jiff::Timestamp| instant.strftime("%Y-%m-%d %H:%M").to_string();
    jiff::Timestamp::from_second(second).map_or("–".to_owned(), format)
}

fn day(second: i64) -> String {
    time(second)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Returns how long ago something was.
pub(super) fn ago(seconds: i64) -> String {
    if seconds < 0 {
        return "in the future".to_owned();
    }
    format!("{} ago", span(seconds))
}

/// Returns a length of time in the unit that leaves a number of some size.
pub(super) fn span(seconds: i64) -> String {
    let counted = |count: i64, one: &str, many: &str| counted(count.unsigned_abs(), one, many);
    match seconds {
        ..120 => counted(seconds, "second", "seconds"),
        120..7200 => counted(seconds / 60, "minute", "minutes"),
        7200..172_800 => counted((seconds + 1800) / 3600, "hour", "hours"),
        172_800..63_072_000 => counted((seconds + DAY / 2) / DAY, "day", "days"),
        _ => counted(seconds / (365 * DAY), "year", "years"),
    }
}
