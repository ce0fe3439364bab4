//! What lists of rules take, as a table, and that a walk which passes excluded directories by misses nothing.

use proptest::prelude::*;

use super::*;

/// A tree in path order; directories end in `/`.
const TREE: &[&str] = &[
    "a/",
    "a/b/",
    "a/b/x.c",
    "a/b/y.o",
    "a/c/",
    "a/c/d/",
    "a/c/d/x.c",
    "a/z.c",
    "e.c",
    "e.o",
];

/// Rules as they would stand in a file, and what of the tree is taken.
const TABLE: &[(&[&str], &[&str])] = &[
    (&[], TREE),
    (&["+ *"], TREE),
    (&["- *"], &[]),
    (&["- **"], &[]),
    (&["- a"], &["e.c", "e.o"]),
    (&["- a/"], &["e.c", "e.o"]),
    (&["- /b"], TREE),
    (
        &["- *.o"],
        &[
            "a/",
            "a/b/",
            "a/b/x.c",
            "a/c/",
            "a/c/d/",
            "a/c/d/x.c",
            "a/z.c",
            "e.c",
        ],
    ),
    // The first match decides.
    (
        &["+ e.o", "- *.o"],
        &[
            "a/",
            "a/b/",
            "a/b/x.c",
            "a/c/",
            "a/c/d/",
            "a/c/d/x.c",
            "a/z.c",
            "e.c",
            "e.o",
        ],
    ),
    (
        &["- *.o", "+ e.o"],
        &[
            "a/",
            "a/b/",
            "a/b/x.c",
            "a/c/",
            "a/c/d/",
            "a/c/d/x.c",
            "a/z.c",
            "e.c",
        ],
    ),
    // What is below an included directory is taken unless a rule is against it.
    (
        &["+ /a/b", "- /a"],
        &["a/b/", "a/b/x.c", "a/b/y.o", "e.c", "e.o"],
    ),
    (&["+ /a/b/", "- *.o", "- /a"], &["a/b/", "a/b/x.c", "e.c"]),
    (&["- *.o", "+ /a/b/", "- /a"], &["a/b/", "a/b/x.c", "e.c"]),
    (&["+ /a/b/", "- /a/**"], &["a/", "a/b/", "e.c", "e.o"]),
    (
        &["+ /a/b/**", "- /a/**"],
        &["a/", "a/b/x.c", "a/b/y.o", "e.c", "e.o"],
    ),
    (
        &["+ /a/b/**", "- /a/*"],
        &["a/", "a/b/x.c", "a/b/y.o", "e.c", "e.o"],
    ),
    (
        &["+ /a/b", "- /a/*"],
        &["a/", "a/b/", "a/b/x.c", "a/b/y.o", "e.c", "e.o"],
    ),
    (&["+ /a/b/x.c", "- *"], &["a/b/x.c"]),
    (&["+ /a/c/d", "- /a/c", "- *"], &["a/c/d/"]),
    // Only what stands before it can bring back what a rule leaves out.
    (&["- /a", "+ /a/b"], &["e.c", "e.o"]),
    (&["- /a", "+ *.c"], &["e.c", "e.o"]),
    (
        &["+ *.c", "- /a"],
        &["a/b/x.c", "a/c/d/x.c", "a/z.c", "e.c", "e.o"],
    ),
    (
        &["+ x.c", "- /a/c", "+ z.c", "- /a"],
        &["a/b/x.c", "a/c/d/x.c", "a/z.c", "e.c", "e.o"],
    ),
    (&["+ *.c", "- *"], &["a/b/x.c", "a/c/d/x.c", "a/z.c", "e.c"]),
    // As people write it for rsync.
    (
        &["+ */", "+ *.c", "- *"],
        &[
            "a/",
            "a/b/",
            "a/b/x.c",
            "a/c/",
            "a/c/d/",
            "a/c/d/x.c",
            "a/z.c",
            "e.c",
        ],
    ),
    (
        &["+ /a/", "+ /a/b/", "+ /a/b/**", "- *"],
        &["a/", "a/b/", "a/b/x.c", "a/b/y.o"],
    ),
    // A directory that is left out within one that was taken again.
    (
        &["+ /a/c/d/x.c", "- /a/c/d", "+ /a/c", "- *"],
        &["a/c/", "a/c/d/x.c"],
    ),
];

fn rules(lines: &[&str]) -> Vec<Rule> {
    let text = lines.join("\n");
    let rules = Rule::read_lines(text.as_bytes(), "rules", None);
    rules.collect::<Result<_, _>>().expect("rules")
}

fn entry(line: &str) -> (EntryPath, bool) {
    let name = line.strip_suffix('/');
    let path = EntryPath::new(name.unwrap_or(line)).expect(line);
    (path, name.is_some())
}

/// Walks the tree as the scan does: an excluded directory is entered only if something in it may be included.
fn walk<'t>(stack: &RuleStack, tree: &[&'t str]) -> Vec<&'t str> {
    let mut taken = Vec::new();
    let mut entered = vec![(String::new(), None)];
    for line in tree {
        let (path, is_directory) = entry(line);
        let (above, name) = path.split();
        let above = if above == b"." { &b""[..] } else { above };
        assert!(!name.is_empty());
        let Some((_, outer)) = entered.iter().find(|(d, _)| d.as_bytes() == above) else {
            continue;
        };
        let verdict = stack.decide(&path, is_directory, *outer);
        let left_out_by = verdict.left_out_by();
        if left_out_by.is_none() {
            taken.push(*line);
        }
        if is_directory && left_out_by.is_none_or(|rule| stack.may_include_below(&path, rule)) {
            entered.push((path.to_string(), left_out_by));
        }
    }
    taken
}

fn takes<'t>(rules: Vec<Rule>, tree: &[&'t str]) -> Vec<&'t str> {
    let mut walk = RuleWalk::new(rules);
    let lines = tree.iter().copied();
    lines
        .filter(|line| {
            let (path, is_directory) = entry(line);
            walk.takes(&path, is_directory)
        })
        .collect()
}

#[test]
fn lists_of_rules_take_what_the_table_says() {
    for (lines, taken) in TABLE {
        assert_eq!(
            &walk(&RuleStack::new(rules(lines)), TREE),
            taken,
            "{lines:?}"
        );
        assert_eq!(&takes(rules(lines), TREE), taken, "{lines:?}");
    }
}

#[test]
fn rules_of_a_directory_are_relative_to_it_and_go_first() {
    let a = EntryPath::new("a").expect("valid");
    for (outer, inner, taken) in [
        (
            &["- *.c"][..],
            &["+ *.c"][..],
            &[
                "a/",
                "a/b/",
                "a/b/x.c",
                "a/b/y.o",
                "a/c/",
                "a/c/d/",
                "a/c/d/x.c",
                "a/z.c",
                "e.o",
            ][..],
        ),
        (
            &["- *.o"],
            &["- /b", "- /z.c"],
            &["a/", "a/c/", "a/c/d/", "a/c/d/x.c", "e.c"],
        ),
        (
            &["- *.o"],
            &["- /a/b"],
            &[
                "a/",
                "a/b/",
                "a/b/x.c",
                "a/c/",
                "a/c/d/",
                "a/c/d/x.c",
                "a/z.c",
                "e.c",
            ],
        ),
        (
            &["+ /a/b", "- *.o"],
            &["- b"],
            &["a/", "a/c/", "a/c/d/", "a/c/d/x.c", "a/z.c", "e.c"],
        ),
        (
            &["- e.*"],
            &["+ /c/d/*.c", "- /c", "+ /b/x.c", "- *"],
            &["a/", "a/b/x.c", "a/c/d/x.c"],
        ),
    ] {
        let (inside, outside): (Vec<&str>, Vec<_>) = TREE
            .iter()
            .partition(|l| l.starts_with("a/") && **l != "a/");
        let mut stack = RuleStack::new(rules(outer));
        let mut found = walk(&stack, &outside);
        stack.push(&a, rules(inner));
        let below = std::iter::once("a/").chain(inside).collect::<Vec<_>>();
        found.splice(1..1, walk(&stack, &below).into_iter().skip(1));
        assert_eq!(found, taken, "{inner:?} in {outer:?}");
        stack.pop();
        assert_eq!(
            walk(&stack, &outside),
            walk(&RuleStack::new(rules(outer)), &outside)
        );
    }
}

#[test]
fn lines_of_a_file_are_rules_or_errors_that_name_them() {
    let read = |text: &[u8], bare| {
        let read = Rule::read_lines(text, "f", bare);
        read.map(|rule| rule.map(|rule| (rule.action, rule.told)))
            .collect::<Vec<_>>()
    };
    let (include, exclude) = (Action::Include, Action::Exclude);
    let told = |action, told: &str| Ok((action, told.to_owned()));
    assert_eq!(
        read(
            b"\xef\xbb\xbf# a comment\n\n*.o\r\n+ keep.o\n- b \n\\#c",
            Some(exclude)
        ),
        [
            told(exclude, "f:3: *.o"),
            told(include, "f:4: + keep.o"),
            told(exclude, "f:5: - b "),
            told(exclude, "f:6: \\#c"),
        ]
    );
    let wrong: Vec<_> = read(b"*.o\n+ \n- [\n-x\n", None)
        .into_iter()
        .map(|rule| rule.expect_err("is wrong"))
        .collect();
    assert_eq!(wrong.len(), 4);
    for (error, begin) in wrong.iter().zip([
        "f:1: *.o: is no rule: begin it",
        "f:2: pattern \"\" matches nothing",
        "f:3: pattern \"[\" has an unclosed [",
        "f:4: -x: is no rule",
    ]) {
        assert!(error.starts_with(begin), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_walk_that_passes_excluded_directories_by_misses_nothing(
        lines in proptest::collection::vec("[+-] /?(\\*|\\*\\*|[a-e]|x|z|[xyze*]\\.[co])(/(\\*|\\*\\*|[b-d]|x|[xyz*]\\.[co])){0,3}/?", 0..6),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let all = rules(&lines);
        prop_assert_eq!(walk(&RuleStack::new(all.clone()), TREE), takes(all, TREE), "{:?}", lines);
    }
}
