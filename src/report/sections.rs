//! The sections of the page with plots, and those of what local state and a foreseen prune say.

use super::figures::{self, COLORS};
use super::html::Html;
use super::page::{span, time};
use super::plot::{self, About, Bar};
use super::{Facts, Foreseen, Local, tables};
use crate::local::database::RunRecord;
use crate::size;
use crate::wording::count;

/// Most runs that are shown, and most snapshots that a prune would remove.
const SHOWN: usize = 30;

/// Shows how large the store was after each snapshot.
pub(super) fn growth(html: &mut Html, facts: &Facts<'_>) {
    let points = figures::growth(facts);
    html.element("h2", "Growth of the store");
    let (Some(&(from, _)), Some(&(to, bytes))) = (points.first(), points.last()) else {
        html.element(
            "p",
            "There is no snapshot yet, so there is nothing to draw.",
        );
        return;
    };
    if let Some((number, unneeded)) = facts.files.unneeded.filter(|(number, _)| *number > 0) {
        let files = count(number, "segment");
        let text = format!(
            "Besides, {files} of {} belong to no snapshot here: a backup under way, or the leftovers of one that died, which a prune removes.",
            size::show(unneeded)
        );
        html.element("p class=\"muted\"", &text);
    }
    if from == to {
        let text = format!(
            "The only moment there is so far: {}, with {}.",
            time(from),
            size::show(bytes)
        );
        html.element("p", &text);
        return;
    }
    html.raw("<figure>\n");
    let (first, last) = (time(from), time(to));
    let description = format!(
        "From {} on {first} to {} on {last}.",
        size::show(points[0].1),
        size::show(bytes)
    );
    let about = About {
        id: "growth",
        title: "Size of the store over time",
        description: &description,
    };
    plot::steps(html, &about, &points);
    html.element(
        "figcaption",
        &format!("Segment files on disk that today's snapshots need, by the time of the first snapshot that does. {description}"),
    );
    html.raw("</figure>\n");
}

/// Shows what was added in each stretch of time.
pub(super) fn added(html: &mut Html, facts: &Facts<'_>) {
    let Some(added) = figures::added(facts) else {
        return;
    };
    let unit = added.unit.name();
    html.element("h2", &format!("Added per {unit}"));
    html.raw("<figure>\n");
    if facts.schemes.len() > 1 {
        legend(html, facts);
    }
    let most = added.bars.iter().max_by_key(|bar| bar.total());
    let most = most.map_or(String::new(), |bar| {
        format!("The most is {} ({}).", size::show(bar.total()), bar.label)
    });
    let title = format!("Bytes added to the store per {unit}");
    let about = About {
        id: "added",
        title: &title,
        description: &most,
    };
    plot::bars(html, &about, &added.bars, &added.marks);
    let earlier = match added.earlier_bytes {
        0 => String::new(),
        bytes => format!(" {} were added before what is drawn.", size::show(bytes)),
    };
    let caption = format!("What backups added on disk, after compression. {most}{earlier}");
    html.element("figcaption", &caption).raw("</figure>\n");
    let filled = added.bars.iter().rev().filter(|bar| bar.total() > 0);
    figures_of(html, unit, filled);
}

fn legend(html: &mut Html, facts: &Facts<'_>) {
    html.raw("<ul class=\"legend\">\n");
    for (at, series) in facts.schemes.iter().enumerate().take(COLORS) {
        let others = at + 1 == COLORS && facts.schemes.len() > COLORS;
        let name = if others {
            "all others"
        } else {
            tables::scheme_name(&series.scheme)
        };
        html.raw(&format!(
            "<li><span class=\"key b{at}\"></span><span class=\"name\">"
        ));
        html.text(name).raw("</span></li>\n");
    }
    html.raw("</ul>\n");
}

/// Gives the numbers of a plot for those who want to read them.
fn figures_of<'b>(html: &mut Html, head: &str, bars: impl Iterator<Item = &'b Bar>) {
    html.raw("<details><summary>The same in numbers</summary>\n<table>\n<thead><tr><th>");
    html.text(head)
        .raw("</th><th class=\"n\">Added</th></tr></thead>\n<tbody>\n");
    for bar in bars {
        html.raw("<tr><td>")
            .text(&bar.label)
            .raw("</td><td class=\"n\">");
        html.text(&size::show(bar.total())).raw("</td></tr>\n");
    }
    html.raw("</tbody>\n</table>\n</details>\n");
}

/// Shows how much of the segments is used.
pub(super) fn utilization(html: &mut Html, facts: &Facts<'_>) {
    html.element("h2", "Utilization");
    let Local::Read(found, _) = &facts.local else {
        return not_known(html, facts, "how much of each segment is still used");
    };
    let used = u128::from(found.used_bytes) * 1000 / u128::from(found.data_bytes.max(1));
    let text = format!(
        "{}.{} % of the {} of data in segments are used by some snapshot. What falls low is written again by pileus clean and the next backup.",
        used / 10,
        used % 10,
        size::show(found.data_bytes)
    );
    html.element("p", &text);
    if found.data_bytes == 0 {
        return;
    }
    let classes = found.classes.len();
    let name = |at: usize| format!("{}–{} %", at * 100 / classes, (at + 1) * 100 / classes);
    let bars = found
        .classes
        .iter()
        .enumerate()
        .map(|(at, (_, bytes))| Bar {
            label: name(at),
            parts: vec![(0, *bytes)],
        });
    let bars: Vec<_> = bars.collect();
    let marks = (0..classes).map(|at| (at, format!("{} %", at * 100 / classes)));
    let marks: Vec<_> = marks.collect();
    let about = About {
        id: "utilization",
        title: "Bytes on disk by utilization of their segment",
        description: &text,
    };
    html.raw("<figure>\n");
    plot::bars(html, &about, &bars, &marks);
    html.element(
        "figcaption",
        "Segment files on disk by the part of them that is used: each bar from its mark to the next.",
    )
    .raw("</figure>\n");
    figures_of(html, "Utilization", bars.iter().rev());
}

/// Shows how the last backups ended.
pub(super) fn runs(html: &mut Html, facts: &Facts<'_>) {
    html.element("h2", "Last backups");
    let Local::Read(_, runs) = &facts.local else {
        return not_known(html, facts, "how the last backups ended");
    };
    if runs.is_empty() {
        html.element("p", "No backup is remembered yet. The next one will be.");
        return;
    }
    html.raw("<table>\n<thead><tr><th>Began</th><th>Scheme</th><th>Result</th><th class=\"n w\">Took</th><th class=\"n\">Problems</th></tr></thead>\n<tbody>\n");
    for run in runs.iter().take(SHOWN) {
        row_of_run(html, run);
    }
    html.raw("</tbody>\n</table>\n");
    let older = runs
        .iter()
        .skip(SHOWN)
        .filter(|run| run.problems > 0)
        .count();
    if runs.len() > SHOWN {
        let text = format!(
            "{} earlier ones are remembered, {older} of them with problems.",
            runs.len() - SHOWN
        );
        html.element("p class=\"muted\"", &text);
    }
}

fn row_of_run(html: &mut Html, run: &RunRecord) {
    let class = match run.result.as_str() {
        "ok" => "good",
        "failed" => "bad",
        _ => "doubtful",
    };
    html.raw("<tr><td>")
        .text(&time(run.started))
        .raw("</td><td class=\"name\">");
    html.text(tables::scheme_name(&run.scheme));
    html.raw(&format!("</td><td><span class=\"{class}\">"))
        .text(&run.result);
    html.raw("</span></td><td class=\"n w\">");
    let seconds = i64::try_from(run.milliseconds.div_ceil(1000)).unwrap_or(i64::MAX);
    html.text(&span(seconds))
        .raw("</td><td class=\"n\">")
        .text(&run.problems.to_string());
    html.raw("</td></tr>\n");
    if run.told.is_empty() {
        return;
    }
    html.raw("<tr class=\"told\"><td colspan=\"5\"><ul>\n");
    for line in &run.told {
        html.element("li", line);
    }
    let more = run.problems.saturating_sub(run.told.len() as u64);
    if more > 0 {
        html.element("li", &format!("and {more} more"));
    }
    html.raw("</ul></td></tr>\n");
}

/// Says that local state was not asked, or could not answer.
fn not_known(html: &mut Html, facts: &Facts<'_>, what: &str) {
    let text = match &facts.local {
        Local::Unreadable(error) => {
            format!("The local state, which knows {what}, could not be read: {error}")
        }
        _ => format!(
            "Local state knows {what}: name its directory with --localdb=DIR. It is that of the backups' --localdb, or the store itself."
        ),
    };
    html.element("p", &text);
}

/// Shows what a prune would do now.
pub(super) fn next_prune(html: &mut Html, facts: &Facts<'_>) {
    html.element("h2", "Next prune");
    let plan = match &facts.options.prune {
        Foreseen::Planned(plan) => plan,
        Foreseen::NoRules => {
            html.element("p", "No rule says what to keep, so nothing is ever removed. Give the report the rules of the prune, such as --keep-daily=14 --keep-monthly=12, or put them into the configuration file.");
            return;
        }
        Foreseen::Unknown(why) => {
            html.element(
                "p",
                &format!("It cannot be told what a prune would do: {why}"),
            );
            return;
        }
    };
    html.raw("<p>With <code>")
        .text(&plan.rules.join(" "))
        .raw("</code>, a prune would now remove ");
    let all = plan.kept + plan.removed.len() as u64;
    html.text(&match plan.removed.len() {
        0 if all == 0 => "no snapshot, and free ".to_owned(),
        0 => format!("none of {}, and free ", count(all, "snapshot")),
        removed => format!("{removed} of {}, and free ", count(all, "snapshot")),
    });
    html.text(&size::show(plan.freed_bytes)).raw(".</p>\n");
    if let Some(stopped) = &plan.stopped {
        html.element("p", &format!("Segments: {stopped}"));
    }
    if plan.removed.is_empty() {
        return;
    }
    html.raw("<table>\n<thead><tr><th>Snapshot that would go</th><th>Because</th></tr></thead>\n<tbody>\n");
    for (name, cause) in plan.removed.iter().take(SHOWN) {
        html.raw("<tr><td class=\"name\">")
            .text(&name.to_string())
            .raw("</td><td>");
        html.text(cause).raw("</td></tr>\n");
    }
    html.raw("</tbody>\n</table>\n");
    if plan.removed.len() > SHOWN {
        html.element(
            "p class=\"muted\"",
            &format!("And {} later ones.", plan.removed.len() - SHOWN),
        );
    }
}
