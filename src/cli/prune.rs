//! `pileus prune`.

use std::time::Instant;

use jiff::Timestamp;
use pileus::age::Age;
use pileus::format::snapshot_name::SnapshotName;
use pileus::monitor::{Event, Monitor};
use pileus::prune::retention::{Period, Rules};
use pileus::prune::{Fate, Plan, PlannedSnapshot, Prune, PruneOptions};
use pileus::snapshot;
use pileus::store::catalog::Catalog;
use serde_json::json;

use super::arguments::{KeepArguments, Prune as Arguments};
use super::{Failure, done_with, size};
use crate::console::Console;
use pileus::wording;

pub(crate) fn run(arguments: &Arguments, console: &Console) -> Result<u8, Failure> {
    let rules = rules(arguments).map_err(Failure::Usage)?;
    let patience = arguments.wait.patience()?;
    let now = Timestamp::now();
    let orphan_age = orphan_age(&arguments.orphan_age)
        .map_err(|e| Failure::Usage(format!("--orphan-age: {e}")))?;
    let catalog = Catalog::open(&arguments.dest)?;
    let options = PruneOptions {
        store: arguments.dest.clone(),
        local: arguments.localdb.clone(),
        scheme: arguments.scheme.clone(),
        all_hosts: arguments.scheme_of_all_hosts,
        rules,
        pin: names(&catalog, "--pin", &arguments.pin, now)?,
        unpin: names(&catalog, "--unpin", &arguments.unpin, now)?,
        remove: names(&catalog, "--remove", &arguments.remove, now)?,
        orphans_before: orphan_age.before(now),
        dry_run: arguments.dry_run,
        patience,
    };
    drop(catalog);
    let begun = Instant::now();
    let prune = Prune::prepare(&options, now, console)?;
    let plan = prune.plan().clone();
    show(&plan, arguments.dry_run, console);
    let mut summary = json!({
        "type": "summary", "command": "prune", "dry_run": arguments.dry_run,
        "kept": plan.snapshots.len() - plan.removed().count(), "removed": plan.removed().count(),
        "segments": plan.segments.len(), "orphans": plan.segments.iter().filter(|s| s.orphan).count(),
        "leftovers": plan.leftovers.len(), "waiting": plan.waiting.len(), "disk_bytes": plan.freed_bytes(),
    });
    let problems = if arguments.dry_run {
        prune.problems()
    } else {
        let removed = prune.execute()?;
        // Since the plan was made, a new snapshot may have come to need some of it.
        summary["segments"] = removed.segments.into();
        summary["disk_bytes"] = removed.disk_bytes.into();
        removed.problems
    };
    summary["problems"] = problems.into();
    summary["seconds"] = begun.elapsed().as_secs_f64().into();
    console.summary(&summary);
    if let Some(problems) = wording::problems(problems) {
        console.tell_terminal(&problems);
    }
    Ok(done_with(problems))
}

/// Prints what becomes of each snapshot: always in a dry run, which is for that; otherwise as notes are.
fn show(plan: &Plan, dry_run: bool, console: &Console) {
    let tell = |text: &str| {
        if dry_run {
            console.tell(text);
        } else if !console.is_json() {
            console.event(&Event::Note(text));
        }
    };
    show_foreign(plan, console);
    let names = plan.snapshots.iter().map(|s| s.name.to_string().len());
    let width = names.max().unwrap_or(0);
    for snapshot in &plan.snapshots {
        let (action, reasons) = fate(snapshot);
        console.summary(&json!({
            "type": "plan", "snapshot": snapshot.name.to_string(), "action": action, "reasons": reasons,
        }));
        let name = snapshot.name.to_string();
        tell(&format!(
            "{action:<6}  {name:width$}  {}",
            reasons.join(", ")
        ));
    }
    tell(&total(plan, dry_run));
    if !plan.waiting.is_empty() {
        let waiting = plan.waiting.len();
        tell(&format!(
            "{} that no snapshot has stay for now: younger than --orphan-age",
            wording::count(waiting as u64, "file")
        ));
    }
}

/// Says what lies in the store that is none of it; by name only if that is asked for, since people keep things there on purpose.
fn show_foreign(plan: &Plan, console: &Console) {
    let note = |text: &str| console.event(&Event::Note(text));
    if console.is_verbose() {
        for file in &plan.foreign {
            note(&format!(
                "{}: not a file of the store, left alone",
                file.display()
            ));
        }
    } else if !plan.foreign.is_empty() {
        let files = wording::count(plan.foreign.len() as u64, "file");
        note(&format!(
            "left alone: {files} that no store has (-v has the names)"
        ));
    }
}

/// Says how much goes; what there is none of is not counted.
fn total(plan: &Plan, dry_run: bool) -> String {
    let number = |count: usize, what: &str| match count as u64 {
        0 => None,
        count => Some(wording::count(count, what)),
    };
    let removed = plan.removed().count();
    let all = wording::count(plan.snapshots.len() as u64, "snapshot");
    let snapshots = (removed > 0).then(|| format!("{removed} of {all}"));
    let orphans = plan.segments.iter().filter(|s| s.orphan).count();
    let of_them = number(orphans, "orphan").map_or(String::new(), |n| format!(" (of them {n})"));
    let segments = number(plan.segments.len(), "segment").map(|n| n + &of_them);
    let leftovers = number(plan.leftovers.len(), "file").map(|n| n + " of dead runs");
    let parts: Vec<_> = [snapshots, segments, leftovers]
        .into_iter()
        .flatten()
        .collect();
    let is_one = removed + plan.segments.len() + plan.leftovers.len() == 1;
    let goes = match (dry_run, is_one) {
        (true, _) => "would go",
        (false, true) => "goes",
        (false, false) => "go",
    };
    let freed = size::show(plan.freed_bytes());
    match &parts[..] {
        [] => format!("nothing to remove among {all}"),
        [one] => format!("{one} {goes}: {freed}"),
        [first @ .., last] => format!("{} and {last} {goes}: {freed}", first.join(", ")),
    }
}

fn fate(snapshot: &PlannedSnapshot) -> (&'static str, Vec<String>) {
    match &snapshot.fate {
        Fate::Kept(reasons) => ("keep", reasons.iter().map(ToString::to_string).collect()),
        Fate::Removed(cause) => ("remove", vec![cause.to_string()]),
    }
}

/// Reads the keep rules; without any, and nothing else to do, a list of those that there are.
fn rules(arguments: &Arguments) -> Result<Rules, String> {
    let rules = keep_rules(&arguments.keep)?;
    let named = [&arguments.pin, &arguments.unpin, &arguments.remove];
    if rules.is_empty() && named.iter().all(|names| names.is_empty()) {
        return Err(
            "no rule says what to keep: use --keep-last=N, --keep-hourly=N, --keep-daily=N, --keep-weekly=N, --keep-monthly=N, \
            --keep-quarterly=N, --keep-yearly=N or --keep-within=AGE, such as --keep-daily=14 --keep-monthly=12"
                .to_owned(),
        );
    }
    rules.check_zone()?;
    Ok(rules)
}

/// Reads what stands behind the options that keep snapshots.
pub(super) fn keep_rules(arguments: &KeepArguments) -> Result<Rules, String> {
    let mut rules = Rules::of_local_days();
    for (period, text) in asked(arguments) {
        if let Some(text) = text {
            let count = count(text).ok_or_else(|| {
                format!("--keep-{period}={text} is not a number: write how many to keep, such as 7, or all")
            })?;
            rules.counts.push((period, count));
        }
    }
    let within = arguments.keep_within.as_deref().map(Age::parse);
    rules.within = within
        .transpose()
        .map_err(|e| format!("--keep-within: {e}"))?;
    Ok(rules)
}

/// Returns the options that keep snapshots, as they would be typed.
pub(super) fn shown(arguments: &KeepArguments) -> Vec<String> {
    let counts = asked(arguments)
        .into_iter()
        .filter_map(|(period, text)| Some(format!("--keep-{period}={}", text?)));
    let within = arguments.keep_within.iter();
    let within = within.map(|age| format!("--keep-within={age}"));
    counts.chain(within).collect()
}

fn asked(arguments: &KeepArguments) -> [(Period, Option<&String>); 7] {
    let texts = [
        &arguments.keep_last,
        &arguments.keep_hourly,
        &arguments.keep_daily,
        &arguments.keep_weekly,
        &arguments.keep_monthly,
        &arguments.keep_quarterly,
        &arguments.keep_yearly,
    ];
    let mut texts = texts.into_iter();
    Period::ALL.map(|period| (period, texts.next().and_then(Option::as_ref)))
}

fn count(text: &str) -> Option<usize> {
    if text == "all" {
        return Some(usize::MAX);
    }
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More than fit are as good as all.
    is_number.then(|| text.parse().unwrap_or(usize::MAX))
}

/// Reads an age; `0` needs no unit.
fn orphan_age(text: &str) -> Result<Age, String> {
    Age::parse(if text == "0" { "0h" } else { text })
}

/// Finds the snapshots that were named. What removes or pins one should name it: `latest` and times are refused.
fn names(
    catalog: &Catalog,
    option: &str,
    wanted: &[String],
    now: Timestamp,
) -> Result<Vec<SnapshotName>, Failure> {
    let mut names = Vec::new();
    for text in wanted {
        if text == "latest" || text.starts_with('@') || text.is_empty() {
            return Err(Failure::Usage(format!(
                "{option}={text} does not name a snapshot: write its name, or the beginning of it"
            )));
        }
        names.push(snapshot::choose(catalog, text, None, now)?);
    }
    Ok(names)
}
