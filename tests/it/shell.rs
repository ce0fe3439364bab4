//! What is made of the definition of the command line: completions and manual pages.

use crate::harness::Place;

fn completed(place: &Place, words: &str) -> Vec<String> {
    let script = format!(
        "bash -c '. ./completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pileus pileus \"${{COMP_WORDS[-1]}}\"; \
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
    for (shell, begin) in [("zsh", "#compdef pileus"), ("fish", "# Print an optspec")] {
        let script = place.succeed(["completions", shell]).stdout;
        assert!(script.starts_with(begin), "{shell}: {script}");
        assert!(script.contains("deduplicate"), "{shell}");
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
        "pileus: unexpected argument '-d' found; a PATH that begins with - is written ./- (see: pileus backup --help)\n"
    );
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
