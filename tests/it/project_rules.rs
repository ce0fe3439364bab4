//! The code held to docs/architecture.md: layers, homes of crates, what only the binary does; and the documents to the code.

mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::harness::project;

/// Longest file of src/, in lines.
const LINES_MAX: usize = 800;

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the files below a directory of the project with this ending, as paths relative to the project.
fn files_below(directory: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from(directory)];
    while let Some(path) = waiting.pop() {
        let full = project(path.to_str().expect("a plain name"));
        for entry in fs::read_dir(full)
            .expect("is listed")
            .map(|e| e.expect("an entry"))
        {
            let below = path.join(entry.file_name());
            if entry.file_type().expect("has a type").is_dir() {
                waiting.push(below);
            } else if below.to_string_lossy().ends_with(ending) {
                found.push(below.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Returns the code of a source file, without comments and without the unit tests at its end.
fn code(path: &str) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_unit_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the sources of the program without unit tests, relative to src/, with their code.
fn sources() -> BTreeMap<String, String> {
    let files = files_below("src", ".rs")
        .into_iter()
        .filter(|path| !is_unit_test(path));
    files
        .map(|path| (path["src/".len()..].to_owned(), code(&path)))
        .collect()
}

/// Returns the module at the top that a file belongs to: `store` for `store/dir.rs`.
fn top_module(file: &str) -> &str {
    file.split('/')
        .next()
        .and_then(|name| name.split('.').next())
        .unwrap_or_default()
}

/// Returns the names that follow `prefix` in the code, as in `crate::name` or in `crate::{a::b, name}`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let listed = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split(';').next());
        for item in listed.map_or(vec![rest], |items| items.split(',').collect()) {
            let is_end = |c: char| !(c.is_alphanumeric() || c == '_');
            let name = item.trim_start().split(is_end).next().unwrap_or_default();
            names.insert(name.to_owned());
        }
    }
    names.remove("");
    names
}

/// Returns the text of a section of a document, without its title.
fn section(document: &str, title: &str) -> String {
    let text = read(document);
    let heading = format!("\n## {title}\n");
    let (_, rest) = text
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no \"{title}\" in {document}"));
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// Returns the rows of the tables in a text, without head and rule, as cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|-"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| !is_head(*at) && !line.starts_with("|-"));
    rows.map(|(_, line)| {
        let inner = line.trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
    .collect()
}

/// Returns what stands in backticks.
fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn arrows_between_layers_point_down() {
    let mut layers = BTreeMap::new();
    for row in rows(&section("docs/architecture.md", "Layers")) {
        let number: u32 = row[0][..1].parse().expect("a layer begins with its number");
        layers.extend(
            in_backticks(&row[1])
                .into_iter()
                .map(|name| (name.to_owned(), number)),
        );
    }
    for (file, code) in sources() {
        let module = top_module(&file);
        let layer = |name: &str| {
            *layers
                .get(name)
                .unwrap_or_else(|| panic!("{name} of {file} is in no layer"))
        };
        let used = if module == "lib" {
            continue;
        } else if layer(module) == 4 {
            names_after(&code, "pileus::")
        } else {
            names_after(&code, "crate::")
        };
        for name in used.iter().filter(|name| *name != module) {
            let (from, to) = (layer(module), layer(name));
            // The conductors never import one another, nor do the two halves of what is on disk.
            let sideways = from == to && matches!(from, 1 | 3);
            assert!(
                from >= to && !sideways,
                "{file} ({from}) uses {name} ({to})"
            );
            assert!(module != "format", "{file} uses {name}");
        }
    }
}

/// What `--deduplicate=verify` needs, and who looks for other machines in a few descriptors; nothing else of a backup reads the store.
const COMPARING: [&str; 3] = ["backup.rs", "backup/comparison.rs", "backup/neighbours.rs"];

/// The half of the metadata log that is written, in step with the stat cache.
const WRITING_LOG: [&str; 3] = [
    "metadata_log/old.rs",
    "metadata_log/piece.rs",
    "metadata_log/writer.rs",
];

#[test]
fn backup_uses_only_the_writing_half_of_the_store_and_readers_no_local_state() {
    let reading = [
        "segment_reader",
        "object_cache",
        "catalog::Catalog",
        "snapshot::",
        "metadata_log::MetadataLogReader",
    ];
    for (file, code) in sources() {
        let module = top_module(&file);
        if module == "backup" && !COMPARING.contains(&file.as_str()) {
            for part in reading {
                let named = code.contains(&format!("crate::store::{part}"));
                assert!(
                    !named && !code.contains(&format!("crate::{part}")),
                    "{file} uses {part}"
                );
            }
        }
        let reads = [
            "restore",
            "verify",
            "diff",
            "find",
            "export",
            "metadata_log",
            "file_reader",
            "snapshot",
        ]
        .contains(&module)
            || [
                "cli/restore.rs",
                // What it says at its end of damage that was found is in `cli/healing.rs`, which may ask local state.
                "cli/verify.rs",
                "cli/list.rs",
                "cli/ls.rs",
                "cli/cat.rs",
                "cli/diff.rs",
                "cli/find.rs",
                "cli/export.rs",
            ]
            .contains(&file.as_str());
        let reads = reads && !WRITING_LOG.contains(&file.as_str());
        let names_local = code.contains("crate::local") || code.contains("pileus::local");
        assert!(!(reads && names_local), "{file} uses local state");
    }
}

#[test]
fn only_the_binary_prints_and_exits() {
    let printing = [
        "println!",
        "eprintln!",
        "print!(",
        "eprint!(",
        "io::stdout",
        "io::stderr",
        "process::exit",
    ];
    for (file, code) in sources() {
        if ["main", "cli", "console"].contains(&top_module(&file)) {
            continue;
        }
        for call in printing {
            assert!(!code.contains(call), "src/{file} has {call}");
        }
    }
}

#[test]
fn every_crate_is_used_only_where_it_is_at_home() {
    let mut homes = BTreeMap::new();
    for row in rows(&section("docs/architecture.md", "Dependencies")) {
        for name in in_backticks(&row[0]) {
            homes.insert(name.to_owned(), row[1].clone());
        }
    }
    let manifest = read("Cargo.toml");
    let is_dependency = |line: &&str| line.contains(" = ") && !line.starts_with('#');
    let after = |title: &str| {
        manifest
            .split(&format!("[{title}]\n"))
            .nth(1)
            .unwrap_or_default()
    };
    let section = |title: &str| after(title).split("\n[").next().unwrap_or_default();
    let lines = [section("dependencies"), section("dev-dependencies")];
    let lines = lines
        .iter()
        .flat_map(|text| text.lines())
        .filter(is_dependency);
    let dependencies: BTreeSet<_> = lines.filter_map(|line| line.split(' ').next()).collect();
    let listed: BTreeSet<_> = homes.keys().map(String::as_str).collect();
    assert_eq!(listed, dependencies, "docs/architecture.md, Cargo.toml");

    let sources = sources();
    for (name, home) in &homes {
        let prefix = format!("{}::", name.replace('-', "_"));
        let users: Vec<_> = sources
            .iter()
            .filter(|(_, code)| !names_after(code, &prefix).is_empty())
            .collect();
        assert!(!users.is_empty() || home == "tests", "nothing uses {name}");
        for (file, code) in users {
            assert!(
                is_at_home(name, home, file, code),
                "src/{file} uses {name}, whose home is {home}"
            );
        }
    }
}

/// Tells whether a file may use a crate, by the words of the table.
fn is_at_home(name: &str, home: &str, file: &str, code: &str) -> bool {
    if let Some(floor) = home.strip_prefix("everywhere above ") {
        return in_backticks(floor)
            .iter()
            .all(|module| top_module(file) != *module);
    }
    let is_below = |place: &&str| {
        let module = place.trim_end_matches(".rs");
        file == *place || file == format!("{module}.rs") || file.starts_with(&format!("{module}/"))
    };
    let places = in_backticks(home);
    if places.iter().any(is_below) {
        return true;
    }
    // "its `Timestamp` wherever …" lets the others use that one name.
    let names = names_after(code, &format!("{name}::"));
    home.contains(" wherever ") && names.iter().all(|used| places.contains(&used.as_str()))
}

#[test]
fn every_file_begins_with_an_essay_and_is_not_too_long() {
    for path in files_below("src", ".rs") {
        let text = read(&path);
        let has_essay = text.starts_with("//!") || is_unit_test(&path);
        assert!(has_essay, "{path} does not begin with //!");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{path} has {lines} lines");
        assert!(!path.ends_with("/mod.rs"), "{path}");
    }
    for path in files_below("tests/it", ".rs") {
        assert!(
            read(&path).starts_with("//!"),
            "{path} does not begin with //!"
        );
    }
}

/// A test that started a program by itself would give it the environment, the umask and the signals of whoever runs the tests.
#[test]
fn only_the_harness_starts_programs_and_makes_temporary_directories() {
    let starting = [
        concat!("Command::", "new("),
        concat!("CARGO_BIN_EXE", "_pileus"),
        concat!("tempfile", "::"),
    ];
    for path in files_below("tests/it", ".rs") {
        if path.starts_with("tests/it/harness") {
            continue;
        }
        let code = read(&path);
        let found = starting.iter().find(|word| code.contains(**word));
        assert_eq!(found, None, "{path}: the harness has what does it");
    }
}

#[test]
fn nothing_is_left_to_be_done_in_a_comment() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut files = files_below("src", ".rs");
    files.extend(files_below("tests/it", ".rs"));
    files.extend(files_below("tests/tools", ".py"));
    files.extend(files_below("docs", ""));
    for path in files {
        let text = read(&path);
        let found = words.iter().find(|word| text.contains(**word));
        assert_eq!(found, None, "{path}");
    }
}
