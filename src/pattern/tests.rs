//! What patterns match, as a table and against a matcher that tries everything.

use proptest::prelude::*;

use super::*;

/// Pattern, path (with a `/` at its end if it is a directory), whether they fit.
const TABLE: &[(&str, &str, bool)] = &[
    // The manual's examples.
    ("*.o", "a.o", true),
    ("*.o", "home/anna/src/b.o", true),
    ("*.o", "home/objects.o/", true),
    ("*.o", "a.op", false),
    ("/home/*/tmp", "home/anna/tmp/", true),
    ("/home/*/tmp", "home/anna/src/tmp/", false),
    ("/home/**/tmp", "home/anna/tmp/", true),
    ("/home/**/tmp", "home/anna/src/tmp/", true),
    ("/home/**/tmp", "home/tmp/", true),
    (".cache/", "home/anna/.cache/", true),
    (".cache/", "home/anna/.cache", false),
    ("/home/anna/**", "home/anna/letter", true),
    ("/home/anna/**", "home/anna/deep/er/letter", true),
    ("/home/anna/**", "home/anna/", false),
    ("anna/src", "home/anna/src/", true),
    ("anna/src", "anna/src", true),
    ("anna/src", "home/joanna/src/", false),
    ("photo[0-9].jpg", "photo7.jpg", true),
    ("photo[0-9].jpg", "photo77.jpg", false),
    ("photo[!0-9].jpg", "photox.jpg", true),
    ("photo[!0-9].jpg", "photo7.jpg", false),
    ("/var/**.log", "var/a/b/c.log", true),
    ("/var/**.log", "var/c.log", true),
    ("/var/**.log", "srv/c.log", false),
    ("\\*", "a/*", true),
    ("\\*", "a/x", false),
    ("\\#draft", "#draft", true),
    // Literals, and where they are anchored.
    ("core", "core", true),
    ("core", "a/core", true),
    ("core", "a/core/", true),
    ("core", "a/score", false),
    ("core", "a/cores", false),
    ("core", "core/a", false),
    ("/core", "core", true),
    ("/core", "a/core", false),
    ("/a/core", "a/core", true),
    ("/a/core", "b/a/core", false),
    ("a/core", "b/a/core", true),
    ("a/core", "b/aa/core", false),
    ("a/core/", "b/a/core/", true),
    ("a/core/", "b/a/core", false),
    ("/core/", "core/", true),
    ("/core/", "core", false),
    ("Core", "core", false),
    // One star stays within a name.
    ("*", "a", true),
    ("*", "a/b/", true),
    ("/*", "a", true),
    ("/*", "a/b", false),
    ("/*/", "a/", true),
    ("/*/", "a", false),
    ("/a/*", "a/b", true),
    ("/a/*", "a/b/c", false),
    ("/a/*", "a/", false),
    ("/a*", "a", true),
    ("/a*", "abc", true),
    ("/a*", "abc/d", false),
    ("/*b*", "abc", true),
    ("/*b*", "b", true),
    ("/*b*", "ac", false),
    ("a*b*c", "x/aXbYc", true),
    ("a*b*c", "x/aXb/Yc", false),
    ("a*/b", "x/ac/b", true),
    ("a*/b", "x/a/c/b", false),
    (".*", ".profile", true),
    (".*", "x.profile", false),
    ("*", ".profile", true),
    // A question mark is one character.
    ("a?c", "x/abc", true),
    ("a?c", "x/a/c", false),
    ("a?c", "ac", false),
    ("a??", "abc", true),
    ("a?", "a\u{e9}", true),
    ("a??", "a\u{e9}", false),
    ("?", "\u{1f600}", true),
    ("*?", "\u{e9}", true),
    ("*??", "\u{e9}", false),
    // Two stars are anything; as a component, any number of directories.
    ("**", "a", true),
    ("**", "a/b/c", true),
    ("/**", "a/b/c", true),
    ("**/", "a/b/", true),
    ("**/", "a/b", false),
    ("**/b", "b", true),
    ("**/b", "a/a/b", true),
    ("/**/b", "a/a/b", true),
    ("/**/b", "b", true),
    ("/**/b", "a/ab", false),
    ("/a/**/b", "a/b", true),
    ("/a/**/b", "a/x/y/b", true),
    ("/a/**/b", "a/xb", false),
    ("/a/**/b", "ab", false),
    ("/a/**/**/b", "a/b", true),
    ("/a/**/b/**/c", "a/b/x/c", true),
    ("/a/**/b/**/c", "a/x/c", false),
    ("/a/**/", "a/b/", true),
    ("/a/**/", "a/b", false),
    ("/a/**/*", "a/b", true),
    ("/a/***", "a/b/c", true),
    ("a**c", "x/abc", true),
    ("a**c", "x/a/b/c", true),
    ("a**c", "x/ba/c", false),
    ("/a**c", "ac", true),
    ("/a**/c", "a/c", true),
    ("/a**/c", "ab/b/c", true),
    ("/a**/c", "ac", false),
    ("a/**", "x/a/b/c", true),
    ("a/**", "x/a/", false),
    // Classes.
    ("[ab]", "b", true),
    ("[ab]", "c", false),
    ("[a-c]x", "bx", true),
    ("[a-c]x", "dx", false),
    ("[^a-c]x", "dx", true),
    ("[!a]", "b", true),
    ("[!a]", "a", false),
    ("[]a]", "]", true),
    ("[!]a]", "]", false),
    ("[a-]", "-", true),
    ("[-a]", "-", true),
    ("[\\]]", "]", true),
    ("[\\\\]", "\\", true),
    ("[*?]", "?", true),
    ("[*?]", "x", false),
    ("x[!a]y", "x/y", false),
    ("/x[./]y", "x/y", false),
    ("[\u{e0}-\u{ef}]", "\u{e9}", true),
    ("[a\\-c]", "b", false),
    // What has no meaning.
    ("{a,b}", "a", false),
    ("{a,b}", "{a,b}", true),
    ("\\{a\\}", "{a}", true),
    ("a]", "a]", true),
    ("!a", "!a", true),
    ("!a", "b", false),
    ("\\~", "x/~", true),
    ("~$a", "x/~$a", true),
    ("\\a", "a", true),
    ("\\\\", "\\", true),
    ("a b ", "a b ", true),
    ("a b ", "a b", false),
    ("\\[q]", "[q]", true),
    ("a\\/b", "x/a/b", true),
];

#[test]
fn patterns_match_as_the_table_says() {
    assert!(TABLE.len() >= 80);
    for (pattern, path, fits) in TABLE {
        let compiled = Pattern::new(pattern).expect(pattern);
        let name = path.strip_suffix('/').unwrap_or(path);
        let is_directory = name != *path;
        let path = EntryPath::new(name).expect(name);
        assert_eq!(
            compiled.matches(&path, is_directory),
            *fits,
            "{pattern} on {path}"
        );
    }
}

#[test]
fn the_table_has_all_examples_of_the_manual() {
    let manual = include_str!("../../docs/manual.md");
    let (_, section) = manual
        .split_once("\n| pattern | matches |\n")
        .expect("the table");
    let rows = section.lines().skip(1);
    let rows = rows.take_while(|line| line.starts_with("| `"));
    let mut count = 0;
    for row in rows {
        let pattern = row.split('`').nth(1).expect("a pattern in backticks");
        let is_there = |(known, _, _): &(&str, &str, bool)| *known == pattern;
        assert!(TABLE.iter().any(is_there), "{pattern}");
        count += 1;
    }
    assert!(count >= 8, "{count} examples");
}

#[test]
fn bytes_that_are_not_utf8_match_as_themselves() {
    let matches = |pattern: &[u8], path: &[u8]| {
        let path = EntryPath::new(path).expect("valid");
        let pattern = Pattern::new(OsStr::from_bytes(pattern));
        pattern.expect("compiles").matches(&path, false)
    };
    assert!(matches(b"*.o", b"\xff\xfe.o"));
    assert!(matches(b"caf\xe9", b"x/caf\xe9"));
    assert!(!matches(b"caf\xe9", b"caf\xc3\xa9"));
    assert!(matches(b"caf?", b"caf\xe9"));
    assert!(matches(b"[\xe0-\xef]", b"\xe9"));
    assert!(matches(b"[!a]", b"\xe9"));
    assert!(!matches(b"[\xe0-\xef]", "\u{e9}".as_bytes()));
}

#[test]
fn what_can_never_match_is_refused_by_name() {
    for wrong in [
        "",
        "/",
        "//",
        "a//b",
        "a//",
        "//a",
        ".",
        "./a",
        "a/..",
        "../a",
        "a/./b",
        "[a",
        "[",
        "[]",
        "[!]",
        "a\\",
        "[b-a]",
        "[[:alpha:]]",
        "[/]",
        "a\0b",
    ] {
        let error = Pattern::new(wrong).expect_err(wrong);
        assert!(
            error.starts_with(&format!("pattern \"{wrong}\"")),
            "{error}"
        );
    }
}

#[test]
fn a_hostile_pattern_takes_no_more_than_its_length() {
    let pattern = "/".to_owned() + &"a***b*".repeat(200);
    let path = EntryPath::new("a/".repeat(1000) + "c").expect("valid");
    assert!(
        !Pattern::new(&pattern)
            .expect("compiles")
            .matches(&path, false)
    );
}

#[test]
fn below_which_directories_a_pattern_may_match() {
    for (pattern, directory, may) in [
        ("*.c", "any/where", true),
        ("a/b", "any/where", true),
        ("/home/a/keep", "home", true),
        ("/home/a/keep", "home/a", true),
        ("/home/a/keep", "home/b", false),
        ("/home/a/keep", "home/a/keep", false),
        ("/home/a/keep", "homes", false),
        ("/home/a/keep/**", "home/a/keep/x", true),
        ("/home/*/keep", "home/b", true),
        ("/home/*/keep", "home/b/c", false),
        ("/home/**/keep", "home/b/c", true),
        ("/home/**/keep", "srv", false),
        ("/ho**p", "home/b/c", true),
        ("/ho**p", "srv/b/c", false),
        ("/*", "a", false),
        ("/*/*", "a", true),
        ("/[ab]/x", "a", true),
        ("/[ab]/x", "c", false),
        ("/a", "", true),
    ] {
        let compiled = Pattern::new(pattern).expect(pattern);
        assert_eq!(
            compiled.may_match_below(directory.as_bytes()),
            may,
            "{pattern} below {directory}"
        );
    }
}

/// Matches by trying everything: tokens are told by their text, and nothing of the compiled pattern is used.
fn brute(pattern: &[char], path: &[char], at_begin: bool) -> bool {
    let Some(&first) = pattern.first() else {
        return path.is_empty();
    };
    let rest = &pattern[1..];
    if pattern.starts_with(&['*', '*']) {
        let behind = &pattern[2..];
        if at_begin && behind.first() == Some(&'/') {
            let inner = &behind[1..];
            return brute(inner, path, true)
                || (0..path.len()).any(|i| path[i] == '/' && brute(inner, &path[i + 1..], true));
        }
        return (0..=path.len()).any(|i| brute(behind, &path[i..], false));
    }
    match first {
        '*' => (0..=path.len())
            .take_while(|&i| i == 0 || path[i - 1] != '/')
            .any(|i| brute(rest, &path[i..], false)),
        '?' => !path.is_empty() && path[0] != '/' && brute(rest, &path[1..], false),
        c => path.first() == Some(&c) && brute(rest, &path[1..], c == '/'),
    }
}

fn fits_by_brute_force(pattern: &str, path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let anchored = match pattern.strip_prefix('/') {
        Some(anchored) => anchored.to_owned(),
        None => format!("**/{pattern}"),
    };
    brute(&anchored.chars().collect::<Vec<_>>(), &path, true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn patterns_match_what_trying_everything_matches(
        pattern in "/?([ab\u{e9}]|\\*|\\?|\\*\\*|/){1,7}",
        path in "[ab\u{e9}]{1,3}(/[ab\u{e9}]{1,3}){0,3}",
    ) {
        // The other matcher knows neither three stars in a row nor directories.
        let known = !pattern.contains("***") && !pattern.ends_with('/');
        if let Some(compiled) = Pattern::new(&pattern).ok().filter(|_| known) {
            let entry = EntryPath::new(path.as_str()).expect("valid");
            let fits = fits_by_brute_force(&pattern, &path);
            prop_assert_eq!(compiled.matches(&entry, false), fits, "{} on {}", pattern, path);
            if fits {
                for (at, _) in path.match_indices('/') {
                    prop_assert!(compiled.may_match_below(&path.as_bytes()[..at]), "{} below {}", pattern, &path[..at]);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_a_pattern_or_an_error(pattern: Vec<u8>, path in "[a-c/*]{1,20}") {
        if let (Ok(pattern), Ok(path)) = (Pattern::new(OsStr::from_bytes(&pattern)), EntryPath::new(path)) {
            let _fits = pattern.matches(&path, true);
            let _may = pattern.may_match_below(path.as_bytes());
        }
    }
}
