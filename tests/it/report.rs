//! `report`: the page against other commands, against the files themselves, and as something that a browser may open without fear.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use pileus::monitor::{Event, Monitor};
use pileus::report::{self, Foreseen, ReportOptions};
use serde_json::Value;

use crate::harness::{Ended, Place, tool};
use crate::made_store::{MadeStore, entry, file_lines};

/// Two nights of one scheme and one of another, the second night with a grown file and a new directory.
fn nights() -> Place {
    let place = Place::new();
    place.sh("mkdir -p tree/logs tree/old state; seq 1 50000 > tree/old/a; head -c 2000000 /dev/urandom > tree/logs/log");
    let backup = |scheme: &str| {
        place.succeed([
            "backup",
            "--dest=store",
            "--localdb=state",
            &format!("--scheme={scheme}"),
            "tree",
        ]);
    };
    backup("s");
    place.sh("mkdir tree/new; head -c 300000 /dev/urandom > tree/new/b; head -c 50000 /dev/urandom >> tree/logs/log; rm tree/old/a");
    backup("s");
    backup("t");
    place
}

/// Writes the page and checks it as text; returns it.
fn page(place: &Place, arguments: &[&str]) -> String {
    let mut all = vec!["report", "--dest=store", "-o", "page.html"];
    all.extend(arguments);
    let ended = place.run(all);
    assert!(matches!(ended.code, Some(0 | 3)), "{ended:?}");
    check_text(place, "page.html");
    fs::read_to_string(place.join("page.html")).expect("the page is UTF-8")
}

/// Lets the tool look at the page: with a PATH that has no browser, since a test must not depend on one.
fn check_text(place: &Place, file: &str) {
    let python = place.python("import sys; print(sys.executable)", &[]);
    place.sh("mkdir -p bin");
    let mut command = place.program(python.trim());
    command.arg(tool("look_at_page.py")).arg(place.join(file));
    let ended = Ended::of(command.env("PATH", place.join("bin")));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("no browser is here"), "{ended:?}");
}

fn json(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let ended = place.run(arguments);
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Returns a number of bytes as the page shows it, worked out anew.
fn shown(bytes: &Value) -> String {
    let mut value = bytes.as_f64().expect("a number");
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{value} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    panic!("a test has no terabytes");
}

/// Returns the cells of the table below a heading, without markup.
fn cells(page: &str, heading: &str) -> Vec<Vec<String>> {
    let rest = page
        .split(&format!("<h2>{heading}</h2>"))
        .nth(1)
        .unwrap_or_else(|| panic!("no {heading}"));
    let section = rest.split("<h2>").next().unwrap_or_default();
    let rows = section.split("<tr>").skip(1);
    rows.map(|row| {
        let cells = row.split("<td").skip(1);
        cells
            .map(|cell| plain(&format!("<td{cell}")))
            .collect::<Vec<_>>()
    })
    .filter(|row| !row.is_empty())
    .collect()
}

fn plain(markup: &str) -> String {
    let mut text = String::new();
    for part in markup.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    text.trim().to_owned()
}

#[test]
fn the_figures_are_those_of_other_commands_and_of_the_files() {
    let place = nights();
    let before = place.sh("cd store && sha1sum *; ls -Al --time-style=full-iso . ../state");
    let summary = json(
        &place,
        &[
            "report",
            "--dest=store",
            "--localdb=state",
            "-o",
            "page.html",
            "--json",
        ],
    );
    let summary = summary.last().expect("a summary");
    let page = page(&place, &["--localdb=state"]);
    let after = place.sh("cd store && sha1sum *; ls -Al --time-style=full-iso . ../state");
    assert_eq!(
        before, after,
        "nothing is written to the store or to local state"
    );

    let of_files = place.sh("cat store/* | wc -c; ls store | wc -l");
    let of_files: Vec<u64> = of_files
        .lines()
        .map(|n| n.trim().parse().expect("a number"))
        .collect();
    assert_eq!(
        (&summary["store_bytes"], &summary["store_files"]),
        (&of_files[0].into(), &of_files[1].into())
    );
    assert!(
        page.contains(&format!(
            "<dd><strong>{}</strong>",
            shown(&of_files[0].into())
        )),
        "{page}"
    );

    let listed = json(&place, &["list", "--dest=store", "--json"]);
    let stats = json(&place, &["stats", "--dest=store", "--json"]);
    let rows: BTreeMap<_, _> = cells(&page, "Snapshots")
        .into_iter()
        .map(|row| (row[0].clone(), row))
        .collect();
    assert_eq!(rows.len(), 3);
    for line in stats.iter().filter(|line| line["type"] == "stats") {
        let row = &rows[line["snapshot"].as_str().expect("a name")];
        assert_eq!(row[2], line["entries"].to_string());
        let bytes = ["source_bytes", "added_disk_bytes", "disk_bytes"].map(|key| shown(&line[key]));
        assert_eq!(row[3..], bytes, "{line}");
    }
    let sum: u64 = listed
        .iter()
        .filter_map(|line| line["added_disk_bytes"].as_u64())
        .sum();
    let bars = cells(&page, "Added per hour");
    let in_bars: Vec<_> = bars.iter().map(|row| row[1].clone()).collect();
    assert!(
        in_bars == [shown(&sum.into())] || in_bars.len() == 2,
        "{in_bars:?}"
    );
    let utilization = json(
        &place,
        &["stats", "--dest=store", "--localdb=state", "--json"],
    );
    let utilization = &utilization.last().expect("a summary")["utilization"];
    assert!(page.contains(&format!(
        "of the {} of data in segments",
        shown(&utilization["data_bytes"])
    )));
}

#[test]
fn what_changed_is_told_by_directory_with_the_bytes_that_are_new() {
    let place = nights();
    let page = page(&place, &["--scheme=s"]);
    let rows = cells(&page, "What changed most");
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[2].as_str(), row[3].as_str()))
        .collect();
    assert_eq!(
        found[..2],
        [("/tree/new", "1", "0"), ("/tree/logs", "0", "1")],
        "{rows:?}"
    );
    assert_eq!(rows[0][1], shown(&300_000.into()));
    let kib: f64 = rows[1][1]
        .trim_end_matches(" KiB")
        .parse()
        .expect("some KiB, not the whole file");
    assert!(
        (48.0..120.0).contains(&kib),
        "only the end of the log is new: {rows:?}"
    );
    assert!(page.contains("1 file new, 1 changed, 1 gone."), "{page}");
}

#[test]
fn problems_of_the_last_backups_are_named_and_failures_too() {
    let place = nights();
    place.write("tree/unreadable\n<b>", "x");
    place.sh("chmod 0 tree/unreadable*; chmod 777 store state; chmod -R a+rwX store state");
    let failed = place.run(["backup", "--dest=store", "--localdb=state", "nowhere"]);
    failed.assert_one_line(1, &["nowhere does not exist"]);
    let hooked = place.run([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--after=exit 7",
        "tree",
    ]);
    assert_eq!(hooked.code, Some(3), "{hooked:?}");
    let page = page(&place, &["--localdb=state"]);
    let rows = cells(&page, "Last backups");
    let results: Vec<_> = rows
        .iter()
        .filter(|row| row.len() > 1)
        .map(|row| (row[1].as_str(), row[2].as_str()))
        .collect();
    assert_eq!(
        results,
        [
            ("(no scheme)", "problems"),
            ("(no scheme)", "failed"),
            ("t", "ok"),
            ("s", "ok"),
            ("s", "ok")
        ]
    );
    assert!(
        page.contains("nowhere does not exist: nothing was backed up"),
        "{page}"
    );
    assert!(
        page.contains("hook: --after=&quot;exit 7&quot; failed"),
        "{page}"
    );
    let without = self::page(&place, &[]);
    assert!(without.contains("--localdb=DIR"), "it says how");
}

#[test]
fn the_next_prune_is_what_prune_would_do_by_the_rules_of_the_configuration() {
    let place = nights();
    let here = place.path().display();
    let config = format!(
        "dest = \"{here}/store\"\nlocaldb = \"{here}/state\"\n[prune]\nkeep-last = 1\norphan-age = \"2d\"\n"
    );
    let config = place.write("pileus.toml", config);
    let config = format!("--config={}", config.display());
    let planned = json(&place, &["prune", &config, "--dry-run", "--json"]);
    let planned = planned.last().expect("a summary").clone();
    let told = json(&place, &["report", &config, "-o", "page.html", "--json"]);
    let told = told.last().expect("a summary");
    assert_eq!(planned["removed"], 1);
    assert_eq!(told["prune_removed"], planned["removed"]);
    assert_eq!(told["prune_freed_bytes"], planned["disk_bytes"]);
    let page = fs::read_to_string(place.join("page.html")).expect("is read");
    assert!(
        page.contains("With <code>--keep-last=1</code>") && page.contains("no rule keeps it"),
        "{page}"
    );
    assert!(self::page(&place, &[]).contains("No rule says what to keep"));
    assert!(self::page(&place, &["--keep-daily=all"]).contains("remove none of 3 snapshots"));
}

#[test]
fn names_of_a_hostile_store_stay_text() {
    let place = Place::new();
    let mut store = MadeStore::new();
    for name in [
        "<script>alert(1)</script>/x",
        "a/\"><img%20src=x%20onerror=alert(1)>/y",
        "b/&lt;/%ff%1b[31m/z",
        "c/</title></svg></style>/z",
    ] {
        store.file(name, "contents that are long enough");
    }
    store.write(&place.join("store"));
    let page = page(&place, &[]);
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    assert!(
        page.contains("/&lt;script&gt;alert(1)&lt;") && page.contains("/\\xff\\x1b[31m"),
        "{page}"
    );
    assert!(
        !page.contains("http:") && !page.contains("https:") && !page.contains("url("),
        "{page}"
    );
}

struct Silent;

impl Monitor for Silent {
    fn event(&self, _: &Event<'_>) {}
}

fn report_at(store: &Path, now: &str) -> String {
    let options = ReportOptions {
        store: store.to_owned(),
        scheme: None,
        localdb: None,
        unfilter: None,
        prune: Foreseen::NoRules,
    };
    let now: Timestamp = now.parse().expect("a time");
    report::run(&options, now, &Silent).expect("a report").page
}

#[test]
fn the_page_is_a_function_of_store_and_clock() {
    let place = nights();
    let store = place.join("store");
    let page = report_at(&store, "2030-01-01T00:00:00Z");
    assert_eq!(page, report_at(&store, "2030-01-01T00:00:00Z"));
    assert_ne!(page, report_at(&store, "2031-01-01T00:00:00Z"));
}

#[test]
fn a_store_without_snapshots_or_with_broken_ones_has_a_page_too() {
    let place = Place::new();
    place.sh("mkdir store");
    let empty = page(&place, &["--keep-last=3"]);
    assert!(empty.contains("There is no snapshot yet"));
    assert!(!empty.contains("0 of "), "{empty}");
    place.write("store/snapshot-x-20260102T030405.lbs", "nonsense");
    let ended = place.run(["report", "--dest=store", "-o", "page.html"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(page(&place, &[]).contains("1 problem while this report was made"));
    let local = page(&place, &["--localdb=nowhere"]);
    assert!(
        local.contains("there is no localdb.sqlite in nowhere"),
        "{local}"
    );
}

#[test]
fn a_thousand_snapshots_make_a_page_of_bounded_size() {
    let place = Place::new();
    place.sh("mkdir tree; seq 1 20000 >tree/a");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    place.sh("python3 \"$PROJECT/tests/tools/multiply_snapshot.py\" store 1200");
    let page = page(&place, &[]);
    assert!(page.len() < 600_000, "{} bytes", page.len());
    let bars = page
        .split("class=\"plot wide\"")
        .nth(2)
        .expect("the second plot");
    let bars = bars
        .split("</svg>")
        .next()
        .expect("its end")
        .matches("<g>")
        .count();
    assert!(
        (10..=62).contains(&bars),
        "{bars} bars: years of nights are gathered by month"
    );
    assert!(page.contains("Added per month"), "{page}");
    assert!(
        page.contains("pileus stats has all"),
        "the rest is mentioned"
    );
}

#[test]
fn entries_without_end_cost_a_page_no_more_than_its_rows() {
    let place = Place::new();
    let mut store = MadeStore::new();
    let object = store.object("contents");
    for n in 0..20_000 {
        let name = format!("d{n:05}/{}/f", "x/".repeat(n % 7));
        let lines = file_lines(&object, "contents");
        store
            .log
            .extend(entry(&name.replace("//", "/"), "f", &lines).into_bytes());
    }
    store.write(&place.join("store"));
    let page = page(&place, &[]);
    assert!(page.contains("20000 files new"), "{page}");
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn the_page_replaces_a_file_whole_and_lies_outside_of_the_store() {
    let place = nights();
    place.write("page.html", "old");
    place.sh("ln -s page.html link.html");
    place.succeed(["report", "--dest=store", "-o", "link.html"]);
    let linked = place.sh("readlink link.html; head -c 15 page.html");
    assert_eq!(linked, "page.html\n<!DOCTYPE html>");
    let printed = place.succeed(["report", "--dest=store"]).stdout;
    assert!(printed.ends_with("</html>\n"));
    place
        .run(["report", "--dest=store", "-o", "store/page.html"])
        .assert_one_line(2, &["would lie in the store"]);
    place
        .run(["report", "--dest=store", "-o", "nowhere/page.html"])
        .assert_one_line(1, &["cannot write nowhere/page.html"]);
    place
        .run(["report", "--dest=store", "--json"])
        .assert_one_line(2, &["say where the page goes"]);
    place
        .run(["report", "--dest=store", "--keep-last=x", "-o", "p"])
        .assert_one_line(2, &["--keep-last=x is not a number"]);
    assert!(place.names_ending(".", ".part").is_empty());
}
