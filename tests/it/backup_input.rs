//! What `pileus backup` answers to a wrong command line and to a source that is missing or may not be read.

use crate::harness::{Ended, Place, is_root};

/// Makes a place with a small tree called `src`.
fn place() -> Place {
    let place = Place::new();
    place.write("src/file", "contents\n");
    place.write("src/sub/other", "other contents\n");
    place
}

/// Fails unless this command line is answered by one line with all these parts, exit code 2, and nothing written.
fn assert_usage(arguments: &[&str], parts: &[&str]) {
    let place = place();
    let ended = place.run(arguments);
    ended.assert_one_line(2, parts);
    assert!(ended.stderr.starts_with("pileus: "), "{ended:?}");
    assert_eq!(ended.stdout, "", "{arguments:?}");
    assert_eq!(place.names("."), ["src"], "{arguments:?}");
}

/// Like [`assert_usage`], for options of an otherwise good backup.
fn assert_wrong_options(options: &[&str], parts: &[&str]) {
    let fixed = ["backup", "--dest=store", "src"];
    assert_usage(&[&fixed, options].concat(), parts);
}

#[test]
fn a_missing_argument_is_named() {
    assert_usage(&["backup", "src"], &["--dest=DIR is missing"]);
    assert_usage(&["backup", "--dest=", "src"], &["--dest <DIR>"]);
    assert_usage(&["backup", "--dest=store"], &["PATH... is missing"]);
    assert_usage(&["backup", "--dest=store", ""], &["PATH"]);
}

#[test]
fn an_unknown_word_is_answered_with_where_to_look() {
    assert_usage(&["bakup", "--dest=store", "src"], &["bakup", "'backup'"]);
    let near = ["--compresion=zstd"];
    assert_wrong_options(&near, &["--compresion", "'--compression'"]);
    assert_wrong_options(&["--nonsense"], &["--nonsense", "pileus backup --help"]);
    assert_wrong_options(&["-v", "-q"], &["--verbose", "--quiet"]);
    assert_wrong_options(&["--dest=other"], &["--dest", "multiple times"]);
}

#[test]
fn paths_of_two_kinds_and_paths_through_dot_dot_are_refused() {
    let mixed = ["backup", "--dest=store", "src", "/usr"];
    assert_usage(&mixed, &["\"src\"", "\"/usr\"", "use one kind"]);
    for path in ["..", "src/../src", "/usr/../etc"] {
        let through = ["backup", "--dest=store", path];
        assert_usage(&through, &["..", path, "own name or an absolute path"]);
    }
}

#[test]
fn codecs_and_levels_that_do_not_exist_are_answered_with_those_that_do() {
    for (codec, answer) in [
        ("lzma", "use bzip2, zstd, gzip or none"),
        ("", "use bzip2, zstd, gzip or none"),
        ("bzip2:0", "use bzip2:1 to bzip2:9"),
        ("bzip2:10", "use bzip2:1 to bzip2:9"),
        ("bzip2:", "use bzip2:1 to bzip2:9"),
        ("gzip:-1", "use gzip:1 to gzip:9"),
        ("zstd:20", "use zstd:1 to zstd:19"),
        ("zstd:x", "use zstd:1 to zstd:19"),
        ("none:1", "use --compression=none"),
    ] {
        assert_wrong_options(&[&format!("--compression={codec}")], &[answer]);
    }
}

#[test]
fn filters_have_to_say_what_they_make() {
    let both = ["--filter=gzip", "--compression=gzip"];
    assert_wrong_options(&both, &["--filter", "--compression", "exclude each other"]);
    let unknown = ["--filter=openssl enc -aes256"];
    assert_wrong_options(
        &unknown,
        &["openssl enc -aes256", "--filter-extension=.EXT"],
    );
    assert_wrong_options(&["--filter="], &["--filter-extension=.EXT"]);
    assert_wrong_options(&["--filter-extension=.x"], &["goes with --filter=COMMAND"]);
    for extension in ["x", ".", ".a/b", ".a b", ".x.part", ".é"] {
        let extension = format!("--filter-extension={extension}");
        assert_wrong_options(&["--filter=cat", &extension], &[&extension, "such as .gpg"]);
    }
}

#[test]
fn schemes_that_would_confuse_names_are_refused() {
    let timed = "x-20261121T191822";
    for scheme in ["a b", "a/b", "é", "-a", ".a", "", timed, &timed[2..]] {
        let option = format!("--scheme={scheme}");
        assert_wrong_options(&[&option], &[&format!("\"{scheme}\""), "cannot be used"]);
    }
}

#[test]
fn sizes_numbers_and_patterns_that_are_wrong_are_answered_with_right_ones() {
    assert_wrong_options(&["--segment-size=1K"], &["use 4K to 1G"]);
    assert_wrong_options(&["--segment-size=2G"], &["use 4K to 1G"]);
    assert_wrong_options(&["--segment-size=4X"], &["4X", "such as 4M"]);
    assert_wrong_options(&["--jobs=0"], &["--jobs=0", "use 1 to 256"]);
    assert_wrong_options(&["--exclude="], &["pattern \"\"", "write a name"]);
    assert_wrong_options(&["--exclude=[a"], &["pattern \"[a\"", "unclosed"]);
}

#[test]
fn a_number_of_jobs_that_is_no_number_is_answered_with_those_that_may_be_typed() {
    assert_wrong_options(&["--jobs=many"], &["--jobs", "many", "use 1 to 256"]);
    assert_wrong_options(&["--jobs=-1"], &["--jobs", "-1", "use 1 to 256"]);
}

#[test]
fn a_scheme_too_long_for_a_file_name_is_refused_at_once() {
    let scheme = format!("--scheme={}", "a".repeat(240));
    assert_wrong_options(&[&scheme], &["scheme", "long"]);
}

#[test]
fn a_source_that_is_a_file_of_the_store_itself_is_left_out_with_a_note() {
    let place = place();
    place.succeed([
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=a",
        "src",
    ]);
    let own = |directory: &str| {
        let paths = place.names(directory).into_iter();
        paths
            .map(|name| format!("{directory}/{name}"))
            .collect::<Vec<_>>()
    };
    let own: Vec<_> = own("store").into_iter().chain(own("state")).collect();
    let mut backup = vec![
        "backup",
        "--dest=store",
        "--localdb=state",
        "--scheme=b",
        "-v",
    ];
    backup.extend(own.iter().map(String::as_str));
    let ended = place.succeed(backup);
    for path in &own {
        let note = format!("{path} is left out: it is the store's own");
        assert!(ended.stdout.contains(&note), "{ended:?}");
    }
    assert_eq!(
        place.succeed(["ls", "--dest=store"]).stdout,
        "state\nstore\n"
    );
}

#[test]
fn a_source_that_does_not_exist_fails_the_run_before_anything_is_made() {
    let place = place();
    for (source, shown) in [
        ("missing", "missing"),
        ("src/file/x", "src/file/x"),
        ("mis\nsing\x1b[31m", "mis\\x0asing\\x1b[31m"),
    ] {
        let ended = place.survive(["backup", "--dest=store", "src/sub", source]);
        ended.assert_one_line(1, &[shown, "does not exist", "nothing was backed up"]);
    }
    let ended = place.run(["backup", "--dest=store", "/missing-here"]);
    ended.assert_one_line(1, &["/missing-here does not exist"]);
    assert_eq!(place.names("."), ["src"]);
}

#[test]
fn what_another_user_may_not_read_is_named_and_the_rest_is_stored() {
    let place = place();
    place.write("src/secret", "secret");
    place.write("src/closed/inside", "unseen");
    place.write("src/listed/inside", "seen by name only");
    place.write("src/searched/inside", "unseen");
    place.sh("mkdir -m 777 dest; cd src; chmod 0 secret closed; chmod 744 listed; chmod 711 searched; chmod 711 .; chmod 755 .");
    let backup = ["backup", "--dest=dest/store", "src"];
    let ended = Ended::of(&mut place.command_as_other(backup));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let mut lines: Vec<_> = ended.stderr.lines().collect();
    lines.sort_unstable();
    let denied = |path: &str, what: &str| format!("pileus: {path}: {what}: Permission denied");
    let mut expected = vec![
        denied("src/closed", "cannot list the directory"),
        denied("src/secret", "cannot open it"),
    ];
    if is_root() {
        expected.insert(1, denied("src/listed/inside", "cannot look at it"));
        expected.insert(2, denied("src/searched", "cannot list the directory"));
    }
    assert_eq!(lines, expected);
    place.succeed(["verify", "--dest=dest/store", "--level=files"]);
    place.succeed(["restore", "--dest=dest/store", "--target=back"]);
    place.sh("cmp src/file back/src/file; cmp src/sub/other back/src/sub/other; test -d back/src/closed; test ! -e back/src/secret");
    place.sh("chmod -R u+rwx src");
}

#[test]
fn a_source_that_does_not_exist_within_another_one_fails_the_run_too() {
    let place = place();
    let ended = place.run(["backup", "--dest=store", "src", "src/mistyped"]);
    ended.assert_one_line(1, &["src/mistyped does not exist"]);
    assert_eq!(place.names("."), ["src"]);
}

#[test]
fn a_source_behind_a_link_in_another_source_is_named() {
    let place = place();
    place.write("outside/letter", "text");
    place.sh("ln -s ../outside src/link");
    let ended = place.run(["backup", "--dest=store", "src", "src/link/letter"]);
    ended.assert_one_line(3, &["src/link/letter", "was left out", "symbolic link"]);
    place.succeed(["backup", "--dest=other", "src/link/letter"]);
    place.succeed(["restore", "--dest=other", "--target=back"]);
    place.sh("cmp outside/letter back/src/link/letter");
}

#[test]
fn a_link_is_stored_as_one_and_followed_where_its_name_ends_in_a_slash() {
    let place = place();
    place.sh("ln -s src link");
    for (source, expected) in [
        ("link", "link\n"),
        ("link/", "link\nlink/file\nlink/sub\nlink/sub/other\n"),
    ] {
        let ended = place.run(["backup", "--dest=store", source]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let is_told = ended.stderr.contains("link is a symbolic link");
        assert_eq!(is_told, source == "link", "{ended:?}");
        assert_eq!(place.succeed(["ls", "--dest=store"]).stdout, expected);
        place.sh("rm -r store");
    }
}

#[test]
fn a_working_directory_that_may_not_be_listed_is_no_hindrance() {
    let place = place();
    place.sh("mkdir -m 777 dest");
    let mut backup = place.command_as_other(["backup", "--dest=dest/store", "src"]);
    place.sh("chmod 711 .");
    let ended = Ended::of(&mut backup);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
