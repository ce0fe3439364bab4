//! What is made of the definition of the command line: completions and manual pages.

use std::os::unix::process::CommandExt as _;

use crate::harness::{Ended, Place};

fn completed(place: &Place, words: &str) -> Vec<String> {
    let script = format!(
        "bash -c '. ./completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pileus pileus \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
         printf \"%s\\n\" \"${{COMPREPLY[@]}}\"'"
    );
    place.sh(&script).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let place = Place::new();
    let script = place.succeed(["completions", "bash"]).stdout;
    place.write("completions", script);
    assert_eq!(
        completed(&place, "pileus re"),
        ["restore", "report", "rebuild"]
    );
    assert_eq!(completed(&place, "pileus backup --ch"), ["--checkpoint"]);
    for (option, words) in [
        ("backup --deduplicate", &["always", "verify", "never"][..]),
        ("backup --compression", &["bzip2", "zstd", "gzip", "none"]),
        (
            "restore --overwrite",
            &["never", "always", "if-changed", "if-newer"],
        ),
        ("verify --level", &["sums", "objects", "files"]),
        ("list --progress", &["auto", "always", "never"]),
    ] {
        let offered = completed(&place, &format!("pileus {option} \"\""));
        assert_eq!(offered, words, "{option}");
    }
    for (shell, begin) in [("zsh", "#compdef pileus"), ("fish", "# Print an optspec")] {
        let script = place.succeed(["completions", shell]).stdout;
        assert!(script.starts_with(begin), "{shell}: {script}");
        assert!(script.contains("deduplicate"), "{shell}");
        assert!(
            script.contains("if-changed if-newer") || script.contains("if-changed\\t"),
            "{shell}"
        );
    }
    place
        .run(["completions", "tcsh"])
        .assert_one_line(2, &["tcsh", "bash", "fish", "zsh"]);
}

#[test]
fn help_before_a_command_is_help_behind_it() {
    let place = Place::new();
    for words in [&["backup"][..], &["config", "show"], &[]] {
        let before = place.succeed([&["help"], words].concat()).stdout;
        let behind = place.succeed([words, &["--help"]].concat()).stdout;
        assert!(behind.contains("Usage: pileus"), "{words:?}: {behind}");
        assert_eq!(before, behind, "{words:?}");
    }
}

#[test]
fn what_does_not_parse_leads_to_what_was_meant() {
    let place = Place::new();
    let told = |arguments: &[&str]| {
        let ended = place.run(arguments);
        ended.assert_one_line(2, &[]);
        ended.stderr
    };
    assert_eq!(
        told(&["restore", "-q"]),
        "pileus: --dest=DIR and --target=DIR are missing (see: pileus restore --help)\n"
    );
    assert_eq!(
        told(&["backup", "--dest=s", "--one-file-systm", "x"]),
        "pileus: unexpected argument '--one-file-systm' found; a similar argument exists: '--one-file-system' (see: pileus backup --help)\n"
    );
    assert_eq!(
        told(&["backup", "--dest=s", "-dash"]),
        "pileus: unexpected argument '-dash' found; a PATH that begins with - is written ./-dash (see: pileus backup --help)\n"
    );
    for (words, part) in [
        (
            &["ls", "--dest=s", "-ldash"][..],
            "written ./-ldash (see: pileus ls --help)",
        ),
        (
            &["ls", "-dest=my store", "home"],
            "'-dest=my store' found; write it with two dashes: --dest='my store' (see",
        ),
        (
            &["ls", "--dest=s", "-localdb=x"],
            "written './-localdb=x' (see",
        ),
        (
            &["cat", "-snapshot=x", "a"],
            "two dashes: --snapshot=x (see",
        ),
        (&["list", "-dest", "x"], "two dashes: --dest (see"),
        (
            &["list", "my store"],
            "'my store' found; the store is named with --dest='my store' (see",
        ),
        (&["verify", "s", "-q"], "named with --dest=s (see"),
        (
            &["-r", "s", "snapshots"],
            "behind the command: pileus list --dest=s (see",
        ),
        (
            &["--repo", "s"],
            "behind the command: pileus COMMAND --dest=s (see",
        ),
    ] {
        let told = told(words);
        assert!(told.contains(part), "{words:?}: {told}");
    }
    // Where the store is named, another word is no store.
    assert!(!told(&["list", "--dest=s", "home"]).contains("named with"));
    for (word, instead) in [
        ("check", "verify"),
        ("snapshots", "list"),
        ("init", "backup"),
        ("forget", "prune"),
        ("save", "backup"),
        ("extract", "restore"),
        ("dump", "cat"),
        ("delete", "prune"),
        ("info", "stats"),
        ("mount", "ls, cat, restore or export"),
    ] {
        let told = told(&[word, "--dest=s"]);
        let begin = format!("pileus: there is no command {word}: ");
        assert!(told.starts_with(&begin) && told.contains(instead), "{told}");
        // What is named in place of it is there.
        place.succeed([instead.split(',').next().expect("a word"), "--help"]);
    }
}

#[test]
fn an_option_of_another_program_leads_to_what_does_it_here() {
    let place = Place::new();
    let exclude_from = "use --exclude-from";
    let level = "--level=objects";
    for (command, option, parts) in [
        ("backup", "--exclude-file=x", &[exclude_from][..]),
        ("restore", "--exclude-file=x", &[exclude_from]),
        ("backup", "--tag=x", &["no tags", "--scheme names a series"]),
        ("list", "--tag", &["no tags", "--scheme names a series"]),
        ("restore", "--to=x", &["use --target"]),
        ("restore", "-t", &["use --target"]),
        ("restore", "--force", &["use --overwrite=always"]),
        ("backup", "--force", &["use --reread"]),
        ("verify", "--quick", &["leave it out"]),
        ("verify", "--read-data", &[level]),
        ("list", "--repo=x", &["use --dest"]),
        ("list", "-r", &["use --dest"]),
        ("backup", "-rx", &["use --dest"]),
        ("prune", "-n", &["use --dry-run"]),
        (
            "restore",
            "--path=x",
            &["a PATH is typed without an option"],
        ),
    ] {
        let ended = place.run([command, option]);
        ended.assert_one_line(2, parts);
        let begin = option.split('=').next().expect("a word");
        let begin = if begin == "-rx" { "-r" } else { begin };
        let begin = format!("pileus: there is no option {begin} of {command}: ");
        assert!(ended.stderr.starts_with(&begin), "{ended:?}");
        // What is named in place of it is there.
        let help = place.succeed([command, "--help"]).stdout;
        for word in ended.stderr.split_whitespace().rev().skip(1) {
            let named = word.trim_end_matches([',', ':']);
            let named = named.split('=').next().expect("a word");
            let is_typed = option.starts_with(named);
            assert!(
                !named.starts_with("--") || is_typed || help.contains(named),
                "{word}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_command_of_a_pipe_without_dashes_before_it_is_told_where_they_stand() {
    let place = Place::new();
    let option = "--stdin-from-command=my shop.sql";
    for (words, command) in [
        (&["--dest=s", option, "pg_dump", "shop"][..], "pg_dump shop"),
        (&[option, "pg_dump", "shop", "--dest=s"], "pg_dump shop"),
        (
            &["--dest=s", option, "pg_dump", "--format=c", "it's"],
            r"pg_dump --format=c 'it'\''s'",
        ),
    ] {
        let wanted = format!(
            "pileus: write -- before the command: --stdin-from-command='my shop.sql' -- {command} (see: pileus backup --help)\n"
        );
        let ended = place.run([&["backup"], words].concat());
        assert_eq!((ended.code, ended.stderr), (Some(2), wanted), "{words:?}");
    }
    // It is another option that is wrong here.
    let ended = place.run(["backup", "--dst=s", option, "--", "pg_dump"]);
    ended.assert_one_line(2, &["a similar argument exists: '--dest'"]);
}

#[test]
fn a_value_that_is_missing_leads_to_the_help_of_its_command() {
    let place = Place::new();
    for words in [
        &["verify", "--level", "--dest=s"][..],
        &["prune", "--keep-daily"],
        &["restore", "--overwrite"],
        &["backup", "--dest="],
    ] {
        let see = format!("(see: pileus {} --help)", words[0]);
        place.run(words).assert_one_line(
            2,
            &["a value is required", words[1].trim_end_matches('='), &see],
        );
    }
}

#[test]
fn options_before_the_command_are_answered_with_the_line_to_type() {
    let place = Place::new();
    for (words, line) in [
        (&["--dest=x", "list"][..], "list --dest=x"),
        (&["--dest", "x", "list"], "list --dest x"),
        (&["--store=x", "list"], "list --store=x"),
        (
            &["-q", "--dest=my store", "ls", "-l", "a"],
            "ls -q --dest='my store' -l a",
        ),
        (&["-l", "ls", "--dest=x"], "ls -l --dest=x"),
        (
            &["--exclude=*.o", "backup", "--dest=x", "it's"],
            r"backup --exclude='*.o' --dest=x 'it'\''s'",
        ),
        (&["--dest=x"], "COMMAND --dest=x"),
        (&["--dest", "backup", "ls", "a"], "ls --dest backup a"),
        (
            &["--scheme", "list", "-q", "verify"],
            "verify --scheme list -q",
        ),
    ] {
        let ended = place.run(words);
        let wanted = format!(
            "pileus: options stand behind the command: pileus {line} (see: pileus --help)\n"
        );
        assert_eq!((ended.code, ended.stderr), (Some(2), wanted), "{words:?}");
    }
    let ended = place.run(["--repo=x", "list"]);
    ended.assert_one_line(2, &["there is no option --repo of list: use --dest"]);
    let ended = place.run(["--nonsense", "list"]);
    ended.assert_one_line(2, &["unexpected argument '--nonsense' found"]);
}

#[test]
fn only_what_is_near_and_stands_in_the_help_is_offered() {
    let place = Place::new();
    for (command, option, told) in [
        ("backup", "--tmp", ""),
        ("backup", "--quick", ""),
        ("list", "-z", ""),
        ("list", "--stor", ""),
        ("list", "--path", ""),
        (
            "backup",
            "--dry",
            "; a similar argument exists: '--dry-run'",
        ),
        ("list", "--dst", "; a similar argument exists: '--dest'"),
        ("list", "--jsno", "; a similar argument exists: '--json'"),
        ("ls", "-z", "; a PATH that begins with - is written ./-z"),
    ] {
        let ended = place.run([command, option]);
        let wanted = format!(
            "pileus: unexpected argument '{option}' found{told} (see: pileus {command} --help)\n"
        );
        assert_eq!(
            (ended.code, ended.stderr),
            (Some(2), wanted),
            "{command} {option}"
        );
    }
}

#[test]
fn a_command_that_nothing_stands_for_is_told_why() {
    let place = Place::new();
    for (word, part) in [
        ("unlock", "the lock of a run goes with its process"),
        ("tag", "--scheme names a series"),
        ("copy", "files of a store never change"),
        ("key", "--filter encrypts"),
    ] {
        let ended = place.run([word, "x"]);
        ended.assert_one_line(2, &[&format!("there is no command {word}: "), part]);
    }
}

#[test]
fn there_is_a_manual_page_for_each_command_with_all_its_options_and_an_example() {
    let place = Place::new();
    place.succeed(["man", "new/man1"]);
    let pages = place.names("new/man1");
    let help = place.succeed(["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).expect("commands");
    let commands = commands.split("\n\n").next().expect("commands");
    let names: Vec<_> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // One for the whole, one for each command, and one for `config show`.
    assert_eq!(pages.len(), names.len() + 2, "{pages:?}");
    for name in names {
        let page = place.sh(&format!("cat new/man1/pileus-{name}.1"));
        assert!(page.contains("Example: pileus"), "{name}");
        let help = place.succeed([name, "--help"]).stdout;
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 2);
        for option in options {
            let word = option.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
            let word = word.split(['=', '[']).next().unwrap_or(word);
            assert!(page.replace('\\', "").contains(word), "{name}: {word}");
        }
    }
    let ended = place.run(["man", "new/man1/pileus.1"]);
    ended.assert_one_line(1, &["cannot create new/man1/pileus.1"]);
}

/// A copy such as `pileus-0.1` is the same program, and told of by the name that the documents have.
#[test]
fn what_is_told_does_not_depend_on_the_name_of_the_program() {
    let place = Place::new();
    for words in [
        &["list", "--repo=x"][..],
        &["list", "--localdb=x"],
        &["clean", "--dest=x"],
        &["list"],
        &["snapshots"],
    ] {
        let wanted = place.run(words).stderr;
        let mut renamed = place.command(words);
        assert_eq!(Ended::of(renamed.arg0("pileus-0.1")).stderr, wanted);
    }
}
