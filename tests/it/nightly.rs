//! What the manual says about every night: its configuration, its wrapper, and the units for systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Ended, Place, pileus, project, search_path};

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).expect("is read")
}

/// Returns the indented text of the manual's section that begins with this line.
fn example(first: &str) -> String {
    let manual = read("docs/manual.md");
    let section = manual
        .split("\n## Every night\n")
        .nth(1)
        .expect("the section");
    let lines = section
        .lines()
        .skip_while(|line| line.trim_start() != first);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines = lines.map(|line| line.strip_prefix("    ").unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(!text.is_empty(), "no {first}");
    text
}

/// Returns the settings of a unit, each with its section.
fn settings(unit: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in read(unit)
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').expect("KEY=VALUE");
        found.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    found
}

#[test]
fn the_units_say_what_is_run_and_when() {
    let service = settings("docs/systemd/pileus.service");
    let timer = settings("docs/systemd/pileus.timer");
    let has = |settings: &[(String, String, String)], section: &str, key: &str, value: &str| {
        let wanted = (section.to_owned(), key.to_owned(), value.to_owned());
        assert!(
            settings.contains(&wanted),
            "{wanted:?} is not in {settings:?}"
        );
    };
    has(&service, "Service", "Type", "oneshot");
    has(
        &service,
        "Service",
        "ExecStart",
        "/usr/local/bin/pileus backup",
    );
    has(&service, "Service", "SuccessExitStatus", "3");
    has(&timer, "Timer", "OnCalendar", "*-*-* 03:00:00");
    has(&timer, "Install", "WantedBy", "timers.target");
}

#[test]
fn systemd_takes_the_units_where_it_is_installed() {
    let place = Place::new();
    let service = read("docs/systemd/pileus.service");
    // It looks for the program.
    place.write(
        "pileus.service",
        service.replace("/usr/local/bin/pileus", pileus()),
    );
    place.write("pileus.timer", read("docs/systemd/pileus.timer"));
    let verified = place.sh(
        "command -v systemd-analyze >/dev/null || exit 0; systemd-analyze verify --man=no ./pileus.service ./pileus.timer 2>&1",
    );
    assert!(!verified.contains("pileus."), "{verified}");
}

#[test]
fn the_configuration_is_one() {
    let place = Place::new();
    let written = example("dest = \"/mnt/backup\"");
    place.write("pileus.toml", &written);
    let show = || {
        let shown = place.succeed(["config", "show", "--config=pileus.toml"]);
        shown.stdout
    };
    // Not every machine has a directory for metrics, and without it each night would have a problem.
    assert!(!show().contains("--metrics-file"), "{written}");
    let with_metrics = written.replace("# metrics-file", "metrics-file");
    place.write("pileus.toml", with_metrics);
    let shown = show();
    for option in [
        "--dest=/mnt/backup",
        "--clean",
        "--metrics-file=",
        "--after=/usr/local/bin/pileus prune",
    ] {
        assert!(shown.contains(option), "{option} is not in {shown}");
    }
}

#[test]
fn the_wrapper_mails_what_failed_and_nothing_else() {
    let place = Place::new();
    place.write("mail", "#!/bin/sh\necho \"$2\" >>mailed; cat >>mailed\n");
    let wrapper = example("#!/bin/sh").replace("/usr/local/bin/pileus", "pileus");
    place.write("wrapper", wrapper);
    for (code, mailed) in [
        (0, ""),
        (3, ""),
        (1, "backup failed with code 1\ntold\n"),
        (4, "backup failed with code 4\ntold\n"),
    ] {
        place.write("mailed", "");
        place.write("pileus", format!("#!/bin/sh\necho told >&2; exit {code}\n"));
        for program in ["mail", "pileus", "wrapper"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(place.join(program), mode).expect("is made a program");
        }
        let mut command = place.program("sh");
        let path = format!("{}:{}", place.path().display(), search_path().display());
        command.arg("wrapper").env("PATH", path);
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!((ended.stdout, ended.stderr), (String::new(), String::new()));
        assert_eq!(place.sh("cat mailed"), mailed, "{code}");
    }
}
