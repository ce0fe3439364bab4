//! The page: head, headline facts, then the sections in the order in which people ask.
//!
//! One file with its style in it, no script, nothing from elsewhere; a policy in its head keeps a browser from loading anything even if a name
//! of the store were to become markup.

use super::html::Html;
use super::{DAY, Facts, Local, headline, sections, tables};
use crate::wording::count;

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
    if scheme.is_some_and(String::is_empty) {
        html.raw("Only snapshots without a scheme. ");
    } else if let Some(scheme) = scheme {
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
    headline::show(&mut html, facts);
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
        let problems = count(facts.problems, "problem");
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
    for series in &facts.schemes {
        told.extend(series.later.last().map(|&at| {
            format!(
                "Snapshot {} is from the future: the clock was wrong when it was made, or is wrong now.",
                facts.snapshots[at].name
            )
        }));
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

/// Returns the day of a moment.
pub(super) fn day(second: i64) -> String {
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
    let count = |number: i64, what: &str| count(number.unsigned_abs(), what);
    match seconds {
        ..120 => count(seconds, "second"),
        120..7200 => count(seconds / 60, "minute"),
        7200..172_800 => count((seconds + 1800) / 3600, "hour"),
        172_800..63_072_000 => count((seconds + DAY / 2) / DAY, "day"),
        _ => count(seconds / (365 * DAY), "year"),
    }
}
