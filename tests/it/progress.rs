//! How far a run has come: drawn on a terminal and erased again, printed when SIGUSR1 asks, and nowhere else.
//!
//! The first drawing is made at the first path, whatever the clock says, so that these tests need not wait for one.

use serde_json::Value;

use crate::harness::{Ended, Place, need, tool};

/// What a person saw on a terminal, as `tests/tools/screen.py` tells it.
struct Screen(Value);

impl Screen {
    /// Runs pileus on a terminal of so many columns, with further variables of the environment.
    fn of(place: &Place, columns: u32, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        need("python3");
        let (program, columns) = (tool("screen.py"), columns.to_string());
        let under = ["python3", program.as_str(), columns.as_str()];
        let mut command = place.command_under(&under, arguments);
        let ended = Ended::of(command.envs(variables.iter().copied()));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        Self(ended.summary())
    }

    fn texts(&self, field: &str) -> Vec<&str> {
        let list = self.0[field].as_array().expect("a list");
        list.iter().filter_map(Value::as_str).collect()
    }

    /// Returns the most columns that a line which was drawn took.
    fn width(&self) -> u32 {
        let widest = self.0["widest"].as_u64().expect("a number");
        u32::try_from(widest).expect("a few")
    }

    /// Fails if anything was drawn.
    fn assert_nothing_drawn(&self) {
        assert_eq!(self.texts("erased"), [""; 0], "{}", self.0);
    }

    /// Fails unless this was drawn first, and nothing of what was drawn is left in the end. A rate is there if the machine is slow.
    fn assert_drawn_first(&self, wanted: &str) {
        let first = self.texts("erased").first().copied().unwrap_or_default();
        let (figures, path) = first.rsplit_once(": ").expect("a colon");
        let figures: Vec<_> = figures.split(", ").filter(|f| !f.ends_with("/s")).collect();
        let steady = format!("{}: {path}", figures.join(", "));
        assert_eq!(steady, wanted, "{}", self.0);
        let lines = self.texts("lines");
        let left: Vec<_> = lines.iter().filter(|l| l.starts_with("pileus: ")).collect();
        assert!(left.is_empty(), "{}", self.0);
    }
}

/// Makes a place with a small tree called `src`.
fn place() -> Place {
    let place = Place::new();
    place.write("src/file", "contents\n");
    place.write("src/sub/other", "other contents\n");
    place
}

const BACKUP: &[&str] = &["backup", "--dest=store", "--localdb=state", "src"];

#[test]
fn a_backup_goes_from_nothing_to_what_the_last_snapshot_of_the_scheme_holds() {
    let place = place();
    let first = Screen::of(&place, 80, &[], BACKUP);
    first.assert_drawn_first("pileus: 0 entries, 0 B: src");
    let other = [BACKUP, &["--scheme=other"]].concat();
    Screen::of(&place, 80, &[], &other).assert_drawn_first("pileus: 0 entries, 0 B: src");
    let second = Screen::of(&place, 80, &[], BACKUP);
    second.assert_drawn_first("pileus: 0 of 4 entries, 0 B of 24 B: src");
    // What local state has forgotten, a rebuilt one knows from the descriptors.
    place.sh("rm -r state");
    place.succeed(["rebuild", "--dest=store", "--localdb=state"]);
    let third = Screen::of(&place, 80, &[], BACKUP);
    third.assert_drawn_first("pileus: 0 of 4 entries, 0 B of 24 B: src");
}

#[test]
fn the_summary_of_a_backup_is_three_lines_at_most() {
    let place = place();
    place.succeed(BACKUP);
    place.sh("echo changed >>src/file; echo x >src/more; printf 'missing\nsrc\n' >list");
    let backup = [&BACKUP[..3], &["--files-from=list"]].concat();
    let screen = Screen::of(&place, 200, &[], &backup);
    let lines = screen.texts("lines");
    let [problem, snapshot, figures, problems] = lines[..] else {
        panic!("{lines:#?}");
    };
    assert_eq!(problem, "pileus: missing: does not exist");
    let (_, counts) = snapshot.split_once(": ").expect("a name first");
    let wanted = "5 entries with 34 B in files, in ";
    assert!(counts.starts_with(wanted), "{counts}");
    let wanted = "1 new, 1 changed, 1 only in metadata, 2 unchanged; read ";
    assert!(figures.starts_with(wanted), "{figures}");
    assert!(figures.contains(", added "), "{figures}");
    assert_eq!(problems, "1 problem, named above");
    assert_eq!(screen.0["code"], 3);
}

#[test]
fn no_name_breaks_the_line() {
    let long =
        "plain-and-so-long-that-it-does-not-fit-into-the-columns-of-any-terminal-of-these.txt";
    let wide = "日本語の名前はとても長いのでこの端末の一行には収まらないから真ん中が切られる.txt";
    for (name, shown) in [
        (r"a\nb\033[31mred", r"a\x0ab\x1b[31mred"),
        (r"\377\376", r"\xff\xfe"),
        (long, ".txt"),
        (wide, ".txt"),
    ] {
        let place = Place::new();
        place.sh(&format!(
            "printf '{name}\\0' >list; printf x >\"$(printf '{name}')\""
        ));
        let backup = ["backup", "--dest=store", "--files-from=list", "--null"];
        for columns in [40, 80] {
            let screen = Screen::of(&place, columns, &[], &backup);
            let drawn = screen.texts("erased").first().copied().unwrap_or_default();
            assert!(drawn.ends_with(shown), "{columns}: {drawn}");
            assert_eq!(screen.texts("lines").len(), 2, "{}", screen.0);
            assert!(screen.width() < columns, "{}", screen.0);
        }
    }
}

#[test]
fn nothing_is_drawn_where_nobody_watches_or_wants_it() {
    let place = place();
    for option in ["-q", "--json", "--progress=never"] {
        let backup = [BACKUP, &[option]].concat();
        Screen::of(&place, 80, &[], &backup).assert_nothing_drawn();
    }
    Screen::of(&place, 80, &[("TERM", "dumb")], BACKUP).assert_nothing_drawn();
    // Without a terminal neither, and with --progress=always all the same.
    place.succeed(BACKUP);
    let ended = place.run([BACKUP, &["--progress=always", "--json"]].concat());
    let first = "\r\x1b[Kpileus: 0 of 4 entries, 0 B of 24 B: src";
    assert!(ended.stderr.starts_with(first), "{ended:?}");
    assert!(ended.stderr.ends_with("\r\x1b[K"), "{ended:?}");
    assert_eq!(ended.summary()["entries"], 4);
}

#[test]
fn paths_are_printed_on_lines_of_their_own_beside_progress() {
    let place = place();
    let screen = Screen::of(&place, 80, &[], &[BACKUP, &["-v"]].concat());
    screen.assert_drawn_first("pileus: 0 entries, 0 B: src");
    let lines = screen.texts("lines");
    let paths = [
        "[new] src",
        "[new] src/file",
        "[new] src/sub",
        "[new] src/sub/other",
    ];
    assert_eq!(lines[..4], paths, "{}", screen.0);
}

#[test]
fn only_problems_have_a_color_and_only_on_a_terminal_that_wants_it() {
    let place = place();
    place.sh("printf 'missing\nsrc\n' >list");
    let backup = ["backup", "--dest=store", "--files-from=list"];
    let colors = |variables: &[(&str, &str)]| {
        let screen = Screen::of(&place, 80, variables, &backup);
        let problem = "pileus: missing: does not exist";
        assert_eq!(screen.texts("lines")[0], problem, "{}", screen.0);
        screen.texts("colors").join(" ")
    };
    assert_eq!(colors(&[]), "31 0");
    assert_eq!(colors(&[("NO_COLOR", "")]), "31 0");
    assert_eq!(colors(&[("NO_COLOR", "1")]), "");
    assert_eq!(colors(&[("TERM", "dumb")]), "");
    let screen = Screen::of(&place, 80, &[], BACKUP);
    assert_eq!(screen.texts("colors"), [""; 0]);
    let ended = place.run(backup);
    assert_eq!(ended.stderr, "pileus: missing: does not exist\n");
}

#[test]
fn a_restore_goes_to_what_the_snapshot_holds() {
    let place = place();
    place.succeed(BACKUP);
    let restore = ["restore", "--dest=store", "--target=back"];
    let all = Screen::of(&place, 80, &[], &restore);
    all.assert_drawn_first("pileus: 0 of 4 entries, 9 B of 24 B: src/file");
    place.sh("rm -r back");
    let one = Screen::of(&place, 80, &[], &[&restore[..], &["src/file"]].concat());
    one.assert_drawn_first("pileus: 0 entries, 9 B: src/file");
    place.sh("rm -r back");
    let ended = place.succeed([&restore[..], &["--progress=never"]].concat());
    assert_eq!(ended.stdout, "");
}

#[test]
fn other_long_runs_tell_how_far_they_have_come() {
    let place = place();
    place.succeed(BACKUP);
    place.succeed([BACKUP, &["--scheme=other"]].concat());
    for (arguments, wanted) in [
        (
            &["rebuild", "--dest=store", "--localdb=state"][..],
            "0 of 2 snapshots",
        ),
        (&["find", "--dest=store", "file"], "0 of 2 snapshots"),
        (
            &[
                "diff",
                "--dest=store",
                "latest",
                "--scheme=other",
                "--root=.",
            ],
            "0 of 4 entries: .",
        ),
        (&["verify", "--dest=store"], "0 of 2 descriptors"),
    ] {
        let screen = Screen::of(&place, 80, &[], arguments);
        screen.assert_drawn_first(&format!("pileus: {wanted}"));
    }
}

#[test]
fn a_signal_is_answered_by_one_line_whatever_is_shown_otherwise() {
    let place = Place::new();
    // Enough for many segments, so that the run goes on behind the first of them.
    place.sh("mkdir src; for i in 1 2 3 4; do head -c 3000000 /dev/urandom >src/$i; done");
    let once = "[ -e asked ] || { : >asked; kill -USR1 $PPID; }; cat";
    let filter = format!("--filter={once}");
    let backup = [
        "backup",
        "--dest=store",
        &filter,
        "--filter-extension=.x",
        "src",
    ];
    let small = ["--segment-size=64K", "--jobs=1"];
    for option in ["--progress=auto", "-q", "--json", "-v"] {
        place.sh("rm -rf asked store");
        let ended = place.run([&backup[..], &small, &[option]].concat());
        ended.assert_one_line(0, &["pileus: ", " entries, ", "iB", ": src"]);
    }
    for option in ["--progress=auto", "--json"] {
        place.sh("rm -rf asked back");
        let unfilter = format!("--unfilter={once}");
        let restore = [
            "restore",
            "--dest=store",
            "--target=back",
            &unfilter,
            option,
        ];
        place
            .run(restore)
            .assert_one_line(0, &["pileus: ", " of 5 entries, ", " of 11.4 MiB", ": src"]);
        place.sh("cmp src/4 back/src/4");
    }
}
