//! The documents held to the code: paths, commands, options and exit codes that they name are there, and the reverse.

use std::collections::BTreeSet;
use std::path::Path;

use super::{files_below, in_backticks, is_unit_test, read, rows, section};
use crate::harness::{Place, project};

#[test]
fn the_codemap_names_files_that_are_there_and_all_of_them() {
    let mut named = BTreeSet::new();
    for row in rows(&section("docs/architecture.md", "Codemap")) {
        named.extend(in_backticks(&row[0]).into_iter().map(ToOwned::to_owned));
    }
    for name in &named {
        let path = project("src").join(name);
        assert!(path.exists(), "docs/architecture.md names src/{name}");
        assert_eq!(path.is_dir(), name.ends_with('/'), "src/{name}");
    }
    let files = files_below("src", ".rs")
        .into_iter()
        .filter(|path| !is_unit_test(path));
    for file in files {
        let file = &file["src/".len()..];
        let in_directory = |name: &String| name.ends_with('/') && file.starts_with(name.as_str());
        let is_named = named.contains(file) || named.iter().any(in_directory);
        assert!(is_named, "docs/architecture.md does not name src/{file}");
    }
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let mut documents = files_below("docs", ".md");
    documents.push("README.md".to_owned());
    for document in documents {
        let text = read(&document);
        let above = Path::new(&document).parent().expect("is in a directory");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                let full = project(above.join(path).to_str().expect("a plain name"));
                assert!(full.exists(), "{document} links to {link}");
            }
        }
        for name in in_backticks(&text)
            .into_iter()
            .filter(|name| is_source_path(name))
        {
            let is_there = |place: &&str| project(place).join(name).exists();
            assert!(
                ["", "src", "docs", "tests"].iter().any(is_there),
                "{document} names {name}"
            );
        }
    }
}

fn is_source_path(text: &str) -> bool {
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let is_ours = ["src/", "tests/", "docs/"]
        .iter()
        .any(|above| text.starts_with(above));
    let is_source = text.contains('/') && Path::new(text).extension().is_some_and(|e| e == "rs");
    is_plain && (is_ours || is_source)
}

/// Returns the long options of a command, as its help names them.
fn options(place: &Place, command: &str) -> BTreeSet<String> {
    let help = place.succeed([command, "--help"]).stdout;
    // What stands further to the right is part of a description.
    let lines = help
        .lines()
        .filter(|line| line.trim_start_matches(' ').starts_with('-'))
        .filter(|line| !line.starts_with("       "));
    let options = lines.filter_map(|line| {
        line.split([' ', ',', '=', '['])
            .find(|w| w.starts_with("--"))
    });
    options.map(ToOwned::to_owned).collect()
}

/// Returns the long options that stand at the beginning of something in backticks.
fn documented(text: &str) -> BTreeSet<String> {
    let is_end = |c: char| !(c.is_ascii_lowercase() || c == '-');
    let spans = in_backticks(text)
        .into_iter()
        .filter(|span| span.starts_with("--"));
    spans
        .map(|span| span.split(is_end).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_manual_has_every_command_and_option_and_no_others() {
    let place = Place::new();
    let help = place.succeed(["--help"]).stdout;
    let commands = help
        .split("Commands:\n")
        .nth(1)
        .expect("commands")
        .split("\n\n")
        .next();
    let commands = commands
        .expect("commands")
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let commands: BTreeSet<_> = commands.collect();
    let of_section = [
        ("Back up", &["backup"][..]),
        ("Restore", &["restore"]),
        (
            "Look inside",
            &["list", "ls", "cat", "export", "find", "diff", "stats"],
        ),
        ("Report", &["report"]),
        ("Verify", &["verify"]),
        ("Thin out", &["prune"]),
        ("Clean", &["clean"]),
        ("Rebuild", &["rebuild"]),
        ("Configuration", &["config"]),
        ("Manual pages and completions", &["man", "completions"]),
    ];
    let described: BTreeSet<_> = of_section
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    assert_eq!(
        commands, described,
        "commands of the program, commands of the manual"
    );

    let manual = "docs/manual.md";
    let everywhere = documented(&section(manual, "Options of every command"));
    let mut all = BTreeSet::new();
    for (title, commands) in of_section {
        let text = section(manual, title);
        let here = documented(&text);
        let known: BTreeSet<_> = commands
            .iter()
            .flat_map(|name| options(&place, name))
            .collect();
        for option in &known {
            let is_there = here.contains(option)
                || everywhere.contains(option)
                || text.contains(&format!("{option}="));
            assert!(is_there, "{manual}, \"{title}\", does not name {option}");
        }
        // A synonym is not in the help.
        for option in here.iter().filter(|option| *option != "--store") {
            assert!(
                known.contains(option),
                "{manual}, \"{title}\", names {option}"
            );
        }
        for option in &everywhere {
            assert!(
                known.contains(option) || option == "--version",
                "{title} lacks {option}"
            );
        }
        all.extend(known);
    }
    for option in documented(&read(manual)) {
        let is_known = all.contains(&option) || ["--store", "--version"].contains(&option.as_str());
        assert!(is_known, "{manual} names {option}");
    }
}

#[test]
fn the_manual_has_every_exit_code_and_no_others() {
    let source = read("src/cli.rs");
    let constants = source
        .lines()
        .filter_map(|line| line.strip_prefix("const ")?.split_once(": u8 = "));
    let codes: BTreeSet<_> = constants
        .map(|(_, value)| value.trim_end_matches(';').to_owned())
        .collect();
    assert!(codes.len() >= 5, "{codes:?}");
    let rows = rows(&section("docs/manual.md", "Exit codes"));
    let described: BTreeSet<_> = rows.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(described, codes);
}

/// Returns what stands in backticks and what is indented or fenced as code, with continued lines joined and quoted text taken out.
fn code_of(document: &str) -> Vec<String> {
    let text = read(document).replace("\\\n", " ");
    let mut is_fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            found.push(unquoted(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(unquoted));
        }
    }
    found
}

/// Takes out what stands in quotes: it is for another program, or a pattern.
fn unquoted(code: &str) -> String {
    let mut quote = None;
    let keep = |c: char| {
        let is_plain = quote.is_none() && c != '"' && c != '\'';
        match quote {
            Some(end) if c == end => quote = None,
            None if !is_plain => quote = Some(c),
            _ => {}
        }
        is_plain.then_some(c)
    };
    code.chars().filter_map(keep).collect()
}

/// Returns the commands of pileus in some code, with the long options of each.
fn calls(code: &str) -> Vec<(&str, Vec<&str>)> {
    let starts = code.match_indices("pileus ").filter(|(at, _)| {
        code[..*at]
            .chars()
            .last()
            .is_none_or(|before| before == ' ' || before == '/')
    });
    let call = |(at, name): (usize, &str)| {
        let call = &code[at + name.len()..];
        let end = [" -- ", " # ", " | ", "pileus "].into_iter();
        let end = end.filter_map(|end| call.find(end)).min();
        let mut words = call[..end.unwrap_or(call.len())].split_whitespace();
        let command = words.next().unwrap_or_default();
        let options = words
            .map(|word| word.trim_matches(['[', ']']))
            .filter(|word| word.len() > 2 && word.starts_with("--"));
        let options = options.map(|word| word.split(['=', '[', ']']).next().unwrap_or(word));
        (command, options.collect())
    };
    starts.map(call).collect()
}

#[test]
fn every_command_line_of_a_document_names_a_command_and_options_that_are_there() {
    let place = Place::new();
    let mut known = std::collections::BTreeMap::new();
    let mut documents = files_below("docs", ".md");
    documents.push("README.md".to_owned());
    let mut count = 0;
    for document in documents {
        for code in code_of(&document) {
            for (command, named) in calls(&code) {
                let is_word = command.len() > 1 && command.chars().all(|c| c.is_ascii_lowercase());
                if !is_word {
                    continue;
                }
                let ended = || place.run([command, "--help"]);
                let options = known
                    .entry(command.to_owned())
                    .or_insert_with(|| (ended().code == Some(0)).then(|| options(&place, command)));
                let options = options.as_ref();
                let options = options.unwrap_or_else(|| panic!("{document}: {code}: {command}"));
                for option in named {
                    let is_there = options.contains(option) || option == "--help";
                    assert!(is_there, "{document}: {code}: {option}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} command lines were found");
}
