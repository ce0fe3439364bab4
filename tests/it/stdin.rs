//! Backups of what comes through a pipe: `--stdin-name` and `--stdin-from-command`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use crate::harness::{Ended, Place, need};

/// A backup into `store` with local state elsewhere, so that nothing but the store's files is in the store.
const BACKUP: [&str; 4] = ["backup", "--dest=store", "--localdb=state", "--json"];

/// Runs a backup with a real pipe as its standard input, filled by a thread.
fn pipe_into(place: &Place, input: &[u8], arguments: &[&str]) -> Ended {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut command = place.command([&BACKUP, arguments].concat());
    command.stdin(reader);
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(input).expect("all is read"));
        Ended::of(&mut command)
    })
}

/// Runs a backup with a pipe, which has to succeed silently; returns its summary.
fn back_up(place: &Place, input: &[u8], arguments: &[&str]) -> serde_json::Value {
    let ended = pipe_into(place, input, arguments);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    ended.summary()
}

fn noise(place: &Place, name: &str, bytes: usize) -> Vec<u8> {
    place.sh(&format!("head -c {bytes} /dev/urandom >{name}"));
    fs::read(place.join(name)).expect("is read")
}

/// Fails unless the store has so many descriptors, those of checkpoints among them.
fn assert_published(place: &Place, count: usize) {
    let made = if place.join("store").exists() {
        place.names_ending("store", ".lbs").len()
    } else {
        0
    };
    assert_eq!(made, count, "snapshots and checkpoints");
}

fn cat(place: &Place, path: &str) -> Vec<u8> {
    let mut command = place.command(["cat", "--dest=store", path]);
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn what_comes_through_a_pipe_is_one_file_that_every_reader_knows() {
    let place = Place::new();
    let input = noise(&place, "input", 2_500_000);
    let before = std::time::SystemTime::now();
    let summary = back_up(&place, &input, &["--stdin-name=db/dump.sql"]);
    assert_eq!(
        (
            &summary["entries"],
            &summary["new"],
            &summary["source_bytes"]
        ),
        (&1.into(), &1.into(), &2_500_000.into())
    );
    assert_eq!(
        place.succeed(["ls", "--dest=store"]).stdout,
        "db/dump.sql\n"
    );
    assert_eq!(cat(&place, "db/dump.sql"), input);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("python3 \"$PROJECT/docs/restore.py\" store by-script");
    for back in ["back", "by-script"] {
        place.sh(&format!("cmp input {back}/db/dump.sql"));
    }
    let restored = fs::metadata(place.join("back/db/dump.sql")).expect("is there");
    let own = fs::metadata(place.join("input")).expect("is there");
    assert_eq!(restored.permissions().mode() & 0o7777, 0o600);
    assert_eq!((restored.uid(), restored.gid()), (own.uid(), own.gid()));
    let written = restored.modified().expect("has a time");
    assert!(written >= before && written <= std::time::SystemTime::now());
}

#[test]
fn equal_input_stores_nothing_and_input_that_changed_a_little_only_that() {
    let place = Place::new();
    let mut input = noise(&place, "input", 5_000_000);
    let name = "--stdin-name=dump.sql";
    let first = back_up(&place, &input, &[name]);
    assert_eq!(first["new_data_bytes"], 5_000_000);
    let second = back_up(&place, &input, &[name]);
    assert_eq!(
        (
            &second["new_data_bytes"],
            &second["old"],
            &second["read_bytes"]
        ),
        (&0.into(), &1.into(), &5_000_000.into())
    );
    assert_ne!(first["snapshot"], second["snapshot"]);
    // Inserted, so that behind it no block is where it was.
    input.splice(1_234_567..1_234_567, *b"INSERT INTO x VALUES (1);\n");
    input[4_000_000] ^= 1;
    let third = back_up(&place, &input, &[name]);
    let stored = third["new_data_bytes"].as_u64().expect("a number");
    assert!((1..30_000).contains(&stored), "{third}");
    assert_eq!(third["sub_file"], 1, "{third}");
    assert_eq!(cat(&place, "dump.sql"), input);
    let skipped = back_up(&place, &input, &[name, "--skip-if-unchanged"]);
    assert_eq!(skipped["same_as"], third["snapshot"], "{skipped}");
    input[0] ^= 1;
    let fourth = back_up(&place, &input, &[name, "--skip-if-unchanged"]);
    assert!(fourth["same_as"].is_null(), "{fourth}");
    assert_published(&place, 4);
    place.succeed(["verify", "--dest=store", "--snapshot=all", "--level=files"]);
}

#[test]
fn no_input_is_an_empty_file_and_a_file_may_stand_for_the_pipe() {
    let place = Place::new();
    let summary = back_up(&place, b"", &["--stdin-name=nothing"]);
    assert_eq!(
        (&summary["new"], &summary["source_bytes"]),
        (&1.into(), &0.into())
    );
    assert_eq!(cat(&place, "nothing"), b"");
    let input = noise(&place, "input", 300_000);
    let mut command = place.command([&BACKUP[..], &["--stdin-name=some"]].concat());
    command.stdin(File::open(place.join("input")).expect("opens"));
    assert_eq!(Ended::of(&mut command).code, Some(0));
    assert_eq!(cat(&place, "some"), input);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn a_command_is_run_without_a_shell_and_its_standard_error_passes_through() {
    let place = Place::new();
    let words = [
        "--stdin-from-command=out",
        "--",
        "printf",
        "%s;",
        "a b",
        "$HOME",
        "-x",
    ];
    place.succeed([&BACKUP[..], &words].concat());
    assert_eq!(cat(&place, "out"), b"a b;$HOME;-x;");
    let words = [
        "--stdin-from-command=out",
        "--",
        "sh",
        "-c",
        "echo careful >&2; cat",
    ];
    let ended = pipe_into(&place, b"of standard input", &words);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), "careful\n"));
    assert_eq!(cat(&place, "out"), b"of standard input");
}

#[test]
fn a_command_that_fails_fails_the_run_and_nothing_is_published() {
    let place = Place::new();
    noise(&place, "input", 5_000_000);
    // Small segments and checkpoints: by the time it fails, much has been stored.
    let often = ["--checkpoint=1M", "--segment-size=64K", "--scheme=db"];
    let name = ["--stdin-from-command=dump.sql", "--"];
    let run = |script: &str| {
        let words = [&BACKUP[..], &often, &name, &["sh", "-c", script]].concat();
        place.run(words)
    };
    let ended = run("cat input; exit 3");
    ended.assert_one_line(
        1,
        &["sh -c cat input; exit 3", "exit status: 3", "no snapshot"],
    );
    run("cat input; kill -9 $$").assert_one_line(1, &["signal: 9"]);
    run("exit 1").assert_one_line(1, &["exit status: 1"]);
    let missing = [&BACKUP[..], &often, &name, &["no-such-program-anywhere"]].concat();
    let ended = place.run(missing);
    ended.assert_one_line(
        1,
        &["cannot start \"no-such-program-anywhere\"", "No such file"],
    );
    assert_published(&place, 0);
    // What the failed runs stored is known to the local database, or an orphan.
    let ended = run("cat input");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_published(&place, 1);
    place.succeed(["verify", "--dest=store", "--level=files"]);
    place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp input back/dump.sql");
}

#[test]
fn a_run_that_is_told_to_end_ends_though_the_pipe_is_silent_and_takes_its_command_along() {
    let place = Place::new();
    place.sh("mkfifo begun");
    // The shell waits for ever, without a child of its own, and says which process it is.
    let script = "echo $$ >begun; echo some; read forever <gate";
    place.sh("mkfifo gate");
    let words = ["--stdin-from-command=dump.sql", "--", "sh", "-c", script];
    let mut command = place.command([&BACKUP[..], &words].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("starts");
    let mut number = String::new();
    File::open(place.join("begun"))
        .and_then(|mut begun| begun.read_to_string(&mut number))
        .expect("is read");
    place.sh(&format!("kill -TERM {}", child.id()));
    let ended = Ended::from(child.wait_with_output().expect("ends"));
    ended.assert_one_line(130, &["interrupted: there is no snapshot"]);
    assert_published(&place, 0);
    let number = number.trim();
    place.sh(&format!("! kill -0 {number} 2>/dev/null"));

    // The same of standard input: the end comes with the interruption, as by Ctrl-C.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut command = place.command([&BACKUP[..], &["--stdin-name=dump.sql"]].concat());
    command.stdin(reader);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("starts");
    drop(command);
    // More than a pipe holds: once it is written, the run reads.
    writer.write_all(&vec![7; 3 << 20]).expect("is read");
    place.sh(&format!("kill -INT {}", child.id()));
    drop(writer);
    let ended = Ended::from(child.wait_with_output().expect("ends"));
    ended.assert_one_line(130, &["interrupted: there is no snapshot"]);
    assert_published(&place, 0);
}

#[test]
fn a_dry_run_reads_the_pipe_and_writes_nothing() {
    let place = Place::new();
    let input = noise(&place, "input", 1_500_000);
    let words = ["--stdin-name=dump.sql", "--dry-run"];
    let dry = back_up(&place, &input, &words);
    assert_eq!(place.names("."), ["input"]);
    let wet = back_up(&place, &input, &words[..1]);
    for field in ["new", "read_bytes", "new_data_bytes", "source_bytes"] {
        assert_eq!(dry[field], wet[field], "{field}");
    }
    let failing = ["--stdin-from-command=x", "--dry-run", "--", "false"];
    let ended = place.run([&BACKUP[..], &failing].concat());
    ended.assert_one_line(1, &["exit status: 1"]);
}

#[test]
fn what_makes_no_sense_beside_a_pipe_is_a_mistake_in_the_command_line() {
    let place = Place::new();
    place.write("file", "x");
    for (words, answer) in [
        (&["--stdin-name="][..], "an empty name"),
        (&["--stdin-name=.."], "\"..\" cannot be stored"),
        (&["--stdin-name=a/../../b"], "\"..\" cannot be stored"),
        (&["--stdin-name=/etc/passwd"], "is absolute"),
        (&["--stdin-name=db/"], "names a directory"),
        (&["--stdin-from-command=/x", "--", "true"], "is absolute"),
        (&["--stdin-from-command=x"], "COMMAND"),
        (&["--stdin-from-command=x", "--"], "COMMAND"),
        (
            &["--stdin-from-command=x", "true"],
            "write -- before the command: --stdin-from-command=x -- true",
        ),
        (&["--stdin-name=x", "file"], "--stdin-name"),
        (&["--stdin-name=x", "--", "file"], "goes with no PATH"),
        (
            &["--stdin-name=x", "--stdin-from-command=y", "--", "true"],
            "cannot be used with",
        ),
        (
            &["--stdin-from-command=x", "file", "--", "true"],
            "cannot be used with",
        ),
        (
            &["--stdin-name=x", "--files-from=file"],
            "cannot be used with",
        ),
    ] {
        let ended = place.run([&BACKUP[..], words].concat());
        ended.assert_one_line(2, &[answer]);
    }
    assert_eq!(place.names("."), ["file"]);
    // Without these options, what stands behind `--` is a PATH as ever.
    place.write("-odd", "x");
    place.succeed([&BACKUP[..], &["--", "-odd"]].concat());
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    assert_eq!(listed, "-odd\n");
}

#[test]
fn a_terminal_is_nothing_to_back_up() {
    need("script");
    let place = Place::new();
    let backup = "pileus backup --dest=store --stdin-name=x";
    // What script writes is what the terminal showed.
    let shown = place.sh(&format!(
        "script -qec '{backup}; echo code $?' /dev/null </dev/null"
    ));
    assert!(shown.contains("standard input is a terminal"), "{shown}");
    assert!(shown.contains("code 2"), "{shown}");
    assert!(!place.join("store").exists());
}

#[test]
fn configured_paths_do_not_stand_beside_a_pipe() {
    let place = Place::new();
    let here = place.path().display();
    place.write(
        ".config/pileus.toml",
        format!("dest = \"{here}/store\"\npaths = [\"home\"]\nexclude = [\"*.sql\"]\n[profile.db]\nscheme = \"db\"\npaths = [\"db\"]\n"),
    );
    let words = [
        "backup",
        "db",
        "--stdin-from-command=db.sql",
        "--",
        "echo",
        "db",
    ];
    place.succeed(words);
    let snapshots = place.succeed(["list"]).stdout;
    assert!(snapshots.contains("db-"), "{snapshots}");
    assert_eq!(place.succeed(["cat", "db.sql"]).stdout, "db\n");
}
