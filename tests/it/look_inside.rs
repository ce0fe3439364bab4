//! `list`, `ls` and [`cat`]: what they print, how they end, and what they say of what is not there.

mod cat;

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::{Ended, Place, is_root};

fn backed_up(script: &str) -> Place {
    let place = Place::new();
    place.sh(script);
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=first",
        "tree",
    ]);
    place
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

#[test]
fn list_says_which_snapshots_are_pinned() {
    let place = backed_up("mkdir tree; echo a > tree/a");
    place.succeed(["backup", "--dest=store", "--localdb=.", "tree"]);
    let listed = || json_lines(&place.succeed(["list", "--dest=store", "--json"]).stdout);
    let pinned = || -> Vec<_> { listed()[..2].iter().map(|l| l["pinned"].clone()).collect() };
    assert_eq!(pinned(), [false, false]);
    let pin = |option: &str| {
        let name = listed()[1]["snapshot"].as_str().expect("a name").to_owned();
        place.succeed(["prune", "--dest=store", &format!("{option}={name}")]);
    };
    pin("--pin");
    assert_eq!(pinned(), [false, true]);
    let table = place.succeed(["list", "--dest=store"]).stdout;
    let notes: Vec<_> = table.lines().map(|l| l.ends_with("  pinned")).collect();
    assert_eq!(notes, [false, false, true], "{table}");
    pin("--unpin");
    assert_eq!(pinned(), [false, false]);
}

#[test]
fn list_has_a_row_for_each_snapshot_with_what_it_holds() {
    let place =
        backed_up("mkdir tree; head -c 300000 /dev/urandom > tree/a; printf 12345 > tree/b");
    place.sh("rm tree/a");
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=second",
        "tree",
    ]);
    let table = place.succeed(["list", "--dest=store"]).stdout;
    let rows: Vec<Vec<_>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "SNAPSHOT", "TIME", "(UTC)", "ENTRIES", "SOURCE", "ADDED", "NOTES"
        ]
    );
    assert_eq!(rows.len(), 3, "{table}");
    assert!(
        rows[1][0].starts_with("first-") && rows[2][0].starts_with("second-"),
        "{table}"
    );
    assert_eq!((rows[1][3], rows[2][3]), ("3", "2"), "{table}");
    let listed = json_lines(&place.succeed(["list", "--dest=store", "--json"]).stdout);
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (&listed[0]["type"], &listed[0]["scheme"]),
        (&"snapshot".into(), &"first".into())
    );
    assert_eq!(
        (&listed[0]["entries"], &listed[0]["source_bytes"]),
        (&3.into(), &300_005.into())
    );
    assert_eq!(
        (&listed[1]["entries"], &listed[1]["source_bytes"]),
        (&2.into(), &5.into())
    );
    assert_eq!(
        (&listed[1]["signed"], &listed[1]["checkpoint"]),
        (&false.into(), &false.into())
    );
    assert_eq!(listed[0]["snapshot"], rows[1][0]);
    assert_eq!(
        (&listed[2]["type"], &listed[2]["snapshots"]),
        (&"summary".into(), &2.into())
    );
    let disk = |name: &str| {
        fs::metadata(place.join("store").join(name))
            .expect("is there")
            .len()
    };
    let segments: u64 = place
        .names("store")
        .iter()
        .filter(|n| n.contains(".tar"))
        .map(|n| disk(n))
        .sum();
    let added = |line: &Value| line["added_disk_bytes"].as_u64().expect("a number");
    assert_eq!(added(&listed[0]) + added(&listed[1]), segments);
    for (scheme, count) in [("first", 2), ("second", 2), ("third", 1)] {
        let scheme = format!("--scheme={scheme}");
        let listed = json_lines(
            &place
                .succeed(["list", "--dest=store", "--json", &scheme])
                .stdout,
        );
        assert_eq!(listed.len(), count, "{listed:?}");
    }
}

#[test]
fn a_series_without_a_name_is_told_of_in_words() {
    let place = backed_up("mkdir tree; echo a > tree/a");
    for (words, code) in [
        (&["list"][..], 0),
        (&["stats"], 0),
        (&["ls"], 1),
        (&["verify"], 1),
        (&["rebuild", "--localdb=new"], 1),
    ] {
        let ended = place.run([words, &["--dest=store", "--scheme="]].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let told = [ended.stdout, ended.stderr].concat();
        assert!(
            told.contains(" without a scheme in store"),
            "{words:?}: {told}"
        );
    }
}

/// A terminal that does not say how wide it is has 80 columns.
#[test]
fn list_fits_a_terminal_by_leaving_out_the_time_that_the_names_have() {
    let on_terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let place = backed_up("mkdir tree; echo a > tree/a");
    let list = |place: &Place| {
        let wrapper = ["python3", "-c", on_terminal];
        Ended::of(&mut place.command_under(&wrapper, ["list", "--dest=store"])).stdout
    };
    let all = place.succeed(["list", "--dest=store"]).stdout;
    assert_eq!(list(&place).replace('\r', ""), all);
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=machine.of.some.example",
        "tree",
    ]);
    let table = list(&place);
    assert!(!table.contains("TIME"), "{table}");
    let widest = table.lines().map(str::len).max();
    assert!(widest.is_some_and(|widest| widest <= 80), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    // What a script reads has all columns.
    let all = place.succeed(["list", "--dest=store"]).stdout;
    assert!(all.contains("TIME (UTC)"), "{all}");
}

#[test]
fn list_says_which_backups_had_problems() {
    let place = backed_up("mkdir tree; echo a > tree/a; printf 'tree\nnowhere\nnothing\n' > list");
    let ended = place.run([
        "backup",
        "--dest=store",
        "--localdb=.",
        "--scheme=home",
        "--files-from=list",
    ]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let table = place.succeed(["list", "--dest=store"]).stdout;
    let rows: Vec<_> = table.lines().collect();
    assert!(!rows[1].contains("problem"), "{table}");
    assert!(rows[2].ends_with("  2 problems"), "{table}");
    let of_home = place
        .succeed(["list", "--dest=store", "--scheme=home"])
        .stdout;
    assert!(of_home.contains("  2 problems\n"), "{of_home}");
    assert!(of_home.lines().all(|row| row.len() <= 80), "{of_home}");
    let listed = json_lines(&place.succeed(["list", "--dest=store", "--json"]).stdout);
    assert_eq!(
        (&listed[0]["problems"], &listed[1]["problems"]),
        (&0.into(), &2.into())
    );
}

#[test]
fn ls_prints_paths_in_path_order() {
    let place = backed_up(
        "mkdir -p tree/a tree/a.b; touch tree/a/b tree/a-b tree/a.b/c tree/Z; printf x > 'tree/new
line'",
    );
    let listed = place.succeed(["ls", "--dest=store"]).stdout;
    let expected =
        "tree\ntree/Z\ntree/a\ntree/a/b\ntree/a-b\ntree/a.b\ntree/a.b/c\ntree/new\\x0aline\n";
    assert_eq!(listed, expected);
    for (path, expected) in [
        ("tree/a", "tree/a\ntree/a/b\n"),
        ("/tree/a/b", "tree/a/b\n"),
        ("tree/a.b/", "tree/a.b\ntree/a.b/c\n"),
    ] {
        assert_eq!(
            place.succeed(["ls", "--dest=store", path]).stdout,
            expected,
            "{path}"
        );
    }
    let ended = place.survive(["ls", "--dest=store", "tree/Z", "tree/nope", "/etc"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "tree/Z\n"));
    assert!(
        ended.stderr.contains("tree/nope: is not in snapshot"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("etc: is not in snapshot"),
        "{ended:?}"
    );
}

#[test]
fn the_long_listing_agrees_with_stat() {
    let place = Place::new();
    place.sh("mkdir tree; cd tree
        test $(id -u) = 0 && unreadable='0000 7000' || unreadable=
        for mode in 0644 0755 4755 4655 2755 2745 1777 1776 6777 0421 $unreadable; do
            touch file-$mode; chmod $mode file-$mode; mkdir dir-$mode; chmod $mode dir-$mode
        done
        mkfifo pipe; ln -s 'to/where ever' link; printf 1234567 > seven; touch -d 1960-01-01T00:00:01Z seven
        if test $(id -u) = 0; then mknod null c 1 3; mknod loop b 7 200; chown 4711:4712 seven; fi");
    place.python(
        "import socket; socket.socket(socket.AF_UNIX).bind('tree/socket')",
        &[],
    );
    place.succeed(["backup", "--dest=store", "tree"]);
    let listed = place.succeed(["ls", "--dest=store", "-l"]).stdout;
    for name in place.names("tree") {
        let line = listed.lines().find(|line| {
            line.ends_with(&format!(" tree/{name}")) || line.contains(&format!(" tree/{name} -> "))
        });
        let line = line.unwrap_or_else(|| panic!("no {name} in {listed}"));
        let fields: Vec<_> = line.split_whitespace().collect();
        let stat = place.sh(&format!(
            "TZ=UTC stat -c '%A %U %G %u %g %s %y' tree/{name}"
        ));
        let stat: Vec<_> = stat.split_whitespace().collect();
        assert_eq!(fields[0], stat[0], "{name}");
        let owner = |name, number| if name == "UNKNOWN" { number } else { name };
        assert_eq!(fields[1], owner(stat[1], stat[3]), "{line}");
        assert_eq!(fields[2], owner(stat[2], stat[4]), "{line}");
        if line.starts_with('-') {
            assert_eq!(fields[3], stat[5], "{line}");
        }
        assert_eq!(fields[4], stat[6], "{line}");
        assert_eq!(fields[5], &stat[7][..8], "{line}");
    }
    assert!(listed.contains(" tree/link -> to/where ever\n"), "{listed}");
    if is_root() {
        assert!(
            listed.contains(" 1,3 ") && listed.contains(" 7,200 "),
            "{listed}"
        );
    }
}

#[test]
fn whoever_has_seen_enough_may_close_the_pipe() {
    let place = backed_up(
        "mkdir tree; cd tree; head -c 3000000 /dev/zero > big; seq 3000 | sed s/^/a-name-of-some-length-/ | xargs touch",
    );
    for arguments in [
        &["cat", "--dest=store", "tree/big"][..],
        &["ls", "--dest=store", "-l"],
        &["ls", "--dest=store", "--json"],
    ] {
        let mut command = place.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("pileus starts");
        let mut ten = [0; 10];
        let mut stdout = child.stdout.take().expect("is piped");
        stdout.read_exact(&mut ten).expect("it prints something");
        drop(stdout);
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // As with cat(1): a script sees that not all was taken, and nobody else hears of it.
        let signal = output.status.signal();
        assert_eq!(
            (signal, told.as_str()),
            (Some(nix::libc::SIGPIPE), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = backed_up("mkdir tree; head -c 300000 /dev/zero > tree/big");
    for arguments in [
        &["cat", "--dest=store", "tree/big"][..],
        &["ls", "--dest=store"],
        &["list", "--dest=store"],
        &["list", "--dest=store", "--json"],
        &["verify", "--dest=store", "--json"],
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("opens");
        let mut command = place.command(arguments);
        let output = command
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(Child::wait_with_output);
        let output = output.expect("pileus starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // What fits the buffer is noticed last, when the work itself is done.
        let code = output.status.code();
        assert!(
            matches!(code, Some(1 | 3)),
            "{arguments:?}: {code:?} {told}"
        );
        assert!(
            told.contains("cannot write to standard output"),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn a_directory_that_is_no_store_is_told_by_name() {
    let place = Place::new();
    place.sh("mkdir empty; echo x > file; mkdir other; touch other/notes.txt other/snapshot-of-my-desk.png");
    let commands: [&[&str]; 5] = [
        &["list"],
        &["ls"],
        &["cat", "some/path"],
        &["verify"],
        &["restore", "--target=back"],
    ];
    for command in commands {
        for (dest, part) in [
            ("missing", "missing"),
            ("file", "file is not a directory"),
            ("empty", "no snapshot"),
            ("other", "no snapshot"),
        ] {
            let dest = format!("--dest={dest}");
            let ended = place.survive(command.iter().chain(&[dest.as_str()]));
            if command == ["list"] && part == "no snapshot" {
                assert_eq!(
                    (ended.code, ended.stderr.as_str()),
                    (Some(0), ""),
                    "{ended:?}"
                );
                assert!(ended.stdout.contains("no snapshots in"), "{ended:?}");
            } else {
                ended.assert_one_line(1, &[part, &dest[7..]]);
            }
        }
        let ended = place.run(command);
        ended.assert_one_line(2, &["--dest"]);
    }
    assert!(!place.join("back").exists());
}

#[test]
fn a_store_that_may_not_be_read_is_told_by_name() {
    let place = backed_up("mkdir tree; echo x > tree/file");
    place.sh("chmod 0755 . store; chmod 0600 store/*; chmod 0000 store/*.lbs");
    let ended = Ended::of(&mut place.command_as_other(["ls", "--dest=store"]));
    ended.assert_one_line(1, &[".lbs", "Permission denied", "it belongs to "]);
    let ended = Ended::of(&mut place.command_as_other(["list", "--dest=store"]));
    ended.assert_one_line(3, &["first-", "Permission denied"]);
    fs::set_permissions(place.join("store"), fs::Permissions::from_mode(0o000)).expect("is closed");
    let ended = Ended::of(&mut place.command_as_other(["list", "--dest=store"]));
    ended.assert_one_line(1, &["store", "Permission denied"]);
    fs::set_permissions(place.join("store"), fs::Permissions::from_mode(0o700)).expect("is opened");
}

/// What is printed is meant to be typed: the command in the advice has to find the file, whatever it is called.
#[test]
fn the_advice_for_a_file_that_is_not_there_finds_it_as_it_stands() {
    let place = Place::new();
    place.sh(r"mkdir -p 'my tree'; cd 'my tree'
        touch 'we[i]rd' 'back\slash' '[ab' 'a*?' it\'s \$HOME");
    place.sh(r#"cd 'my tree'; touch "$(printf 'b\377')" "$(printf 'new\nline 7')""#);
    place.succeed(["backup", "--dest=my store", "my tree"]);
    place.sh("rm 'my tree'/*; touch 'my tree/kept'");
    place.succeed(["backup", "--dest=my store", "--accept-loss", "my tree"]);
    let names: [&[u8]; 8] = [
        b"we[i]rd",
        b"back\\slash",
        b"[ab",
        b"a*?",
        b"it's",
        b"$HOME",
        b"b\xff",
        b"new\nline 7",
    ];
    for name in names {
        let path = [b"my tree/", name].concat();
        let words = ["restore", "--dest=my store", "--target=back"].map(OsStr::new);
        let mut command = place.command(words);
        let ended = Ended::of(command.arg(OsStr::from_bytes(&path)));
        let advice = ended.stderr.split_once("in all of them: pileus ");
        let words = advice.expect("there is an advice").1.trim_end();
        place.write("advice", format!("pileus {words}"));
        let found = place.sh("bash advice");
        assert!(found.contains("gone in "), "{words}: {found}");
    }
    let ended = place.survive(["restore", "--dest=my store", "--target=back", "latest"]);
    ended.assert_one_line(1, &["chosen with --snapshot=latest"]);
}
