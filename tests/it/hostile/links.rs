//! Entries that do not fit together: links where directories are expected, one path twice, hard links across types.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Case;
use crate::made_store::file_lines;

/// Lines that make entries hard links of one another.
const LINKED: &str = "links: 2\ninode: 8/1/42";

pub fn cases() -> Vec<Case> {
    [through_links(), twice(), out_of_order(), hard_links()]
        .into_iter()
        .flatten()
        .collect()
}

fn through_links() -> Vec<Case> {
    let below_a_link = |store: &mut crate::made_store::MadeStore, target: &str| {
        store.symlink("d", target);
        store.file("d/evil", "evil");
        store.file("d/secret.txt", "evil");
        store.directory("d/sub");
        store.symlink("d/link", "x");
        store.entry("d/pipe", "p", "");
    };
    vec![
        Case::new("a link out, and files below it", below_a_link)
            .told("d/evil: ")
            .told("\"d\" is a symbolic link"),
        Case::new("the same, replacing", below_a_link)
            .arguments(&["--overwrite=always"])
            .told("d/secret.txt: ")
            .told("\"d\" is a symbolic link"),
        Case::new("a link upwards, and files below it", move |store, _| {
            below_a_link(store, "..");
        })
        .told("d/evil: "),
        Case::new("a link to itself, and files below it", move |store, _| {
            below_a_link(store, "d");
        })
        .told("d/evil: "),
        Case::new(
            "a link out, then a directory of that name",
            |store, outside| {
                store.symlink("d", outside);
                store.entry("d", "d", "mode: 0777\nmtime: 1");
                store.file("d/evil", "evil");
            },
        )
        .told("d: ")
        .told("left out with it: 1 entry below it"),
        Case::new(
            "a link to a file, then a file of that name",
            |store, outside| {
                store.symlink("a", &format!("{outside}/secret.txt"));
                store.file("a", "evil");
            },
        )
        .told("a: "),
        Case::new("the same, replacing", |store, outside| {
            store.symlink("a", &format!("{outside}/secret.txt"));
            store.file("a", "a file now");
        })
        .arguments(&["--overwrite=always"])
        .code(0)
        .after(|target| assert!(!target.join("a").is_symlink())),
        Case::new(
            "a link to a missing name, then a file of that name",
            |store, outside| {
                store.symlink("a", &format!("{outside}/made-by-restore"));
                store.file("a", "evil");
            },
        )
        .told("a: "),
        Case::new("a link deep in a chain of directories", |store, outside| {
            store.directory("a");
            store.directory("a/b");
            store.symlink("a/b/c", outside);
            store.file("a/b/c/d/e/f", "evil");
        })
        .told("a/b/c/d/e/f: ")
        .told("\"a/b/c\" is a symbolic link"),
    ]
}

fn twice() -> Vec<Case> {
    vec![
        Case::new("two files of one path", |store, _| {
            store.file("twin", "one of them");
            store.file("twin", "or another");
        })
        .told("twin: ")
        .after(|target| {
            let contents = fs::read_to_string(target.join("twin")).expect("one of them");
            assert!(
                ["one of them", "or another"].contains(&contents.as_str()),
                "{contents}"
            );
        }),
        Case::new("two directories of one path", |store, _| {
            store.directory("twin");
            store.file("twin/a", "a");
            store.directory("twin");
            store.file("twin/b", "b");
        })
        .code(0)
        .after(|target| assert!(target.join("twin/a").exists() && target.join("twin/b").exists())),
        Case::new("a file, then a directory of that path", |store, _| {
            store.file("twin", "file");
            store.directory("twin");
            store.file("twin/below", "below");
        })
        .told("twin: "),
        Case::new("a directory, then a file of that path", |store, _| {
            store.directory("twin");
            store.file("twin/below", "below");
            store.file("twin", "file");
        })
        .told("twin: ")
        .after(|target| assert!(target.join("twin/below").exists())),
        Case::new("the same, replacing", |store, _| {
            store.directory("twin");
            store.file("twin/below", "below");
            store.file("twin", "file");
        })
        .arguments(&["--overwrite=always"])
        .told("twin: ")
        .after(|target| assert!(target.join("twin/below").exists())),
        Case::new(
            "two files, one of them damaged, the other where its rest is kept",
            |store, _| {
                let object = store.object("half of it");
                let wrong =
                    file_lines(&format!("{object} {object}"), "twenty bytes, but not these");
                store.entry("twin", "f", &wrong.replace("size: 27", "size: 20"));
                store.file("twin.damaged", "this is the good one");
            },
        )
        .told("twin: ")
        .absent("twin"),
    ]
}

fn out_of_order() -> Vec<Case> {
    vec![
        Case::new("a directory after its contents", |store, _| {
            store.file("late/a", "a");
            store.file("late/deep/b", "b");
            store.entry("late", "d", "mode: 0750\nmtime: 1234567890");
        })
        .code(0)
        .after(|target| {
            let stat = fs::metadata(target.join("late")).expect("is there");
            assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o750, 1_234_567_890));
            assert_eq!(
                fs::read_to_string(target.join("late/deep/b")).expect("is there"),
                "b"
            );
        }),
        Case::new("a file where a directory is expected", |store, _| {
            store.file("a", "file");
            store.file("a/below", "evil");
            store.file("a/b/c/below", "evil");
        })
        .told("a: "),
        Case::new("a named pipe where a directory is expected", |store, _| {
            store.entry("p", "p", "");
            store.file("p/below", "evil");
        })
        .told("p/below: ")
        .told("is not a directory"),
        Case::new("paths in reverse order", |store, _| {
            for name in ["z/z", "z/a", "m", "b/b/b", "b/a", "a"] {
                store.file(name, name);
            }
        })
        .code(0)
        .after(|target| {
            for name in ["z/z", "z/a", "m", "b/b/b", "b/a", "a"] {
                assert_eq!(fs::read_to_string(target.join(name)).expect(name), name);
            }
        }),
    ]
}

fn hard_links() -> Vec<Case> {
    vec![
        Case::new(
            "hard links, the first a symbolic link out",
            |store, outside| {
                store.entry("a", "l", &format!("target: {outside}/secret.txt\n{LINKED}"));
                let object = store.object("mine");
                store.entry(
                    "b",
                    "f",
                    &format!("{}\n{LINKED}", file_lines(&object, "mine")),
                );
            },
        )
        .code(0)
        .after(|target| {
            assert!(target.join("a").is_symlink());
            assert!(!target.join("b").is_symlink());
            assert_eq!(
                fs::read_to_string(target.join("b")).expect("is there"),
                "mine"
            );
        }),
        Case::new(
            "two symbolic links out that are hard links",
            |store, outside| {
                for name in ["a", "b"] {
                    store.entry(
                        name,
                        "l",
                        &format!("target: {outside}/secret.txt\n{LINKED}"),
                    );
                }
            },
        )
        .code(0)
        .after(|target| assert!(target.join("b").is_symlink())),
        Case::new("hard links, the first damaged", |store, _| {
            let object = store.object("other contents");
            for name in ["a", "b"] {
                let lines = file_lines(&object, "these contents");
                store.entry(name, "f", &format!("{lines}\n{LINKED}"));
            }
        })
        .told("a: ")
        .told("b: ")
        .absent("a")
        .absent("b"),
        Case::new(
            "hard links by inode, but of different contents",
            |store, _| {
                for (name, contents) in [("a", "one"), ("b", "two")] {
                    let object = store.object(contents);
                    let lines = file_lines(&object, contents);
                    store.entry(name, "f", &format!("{lines}\n{LINKED}"));
                }
            },
        )
        .code(0)
        .after(|target| {
            assert_eq!(
                fs::read_to_string(target.join("a")).expect("is there"),
                "one"
            );
            assert_eq!(
                fs::read_to_string(target.join("b")).expect("is there"),
                "two"
            );
        }),
        Case::new("directories that are hard links", |store, _| {
            for name in ["a", "b"] {
                store.entry(name, "d", &format!("mode: 0755\n{LINKED}"));
                store.file(&format!("{name}/f"), name);
            }
        })
        .code(0)
        .after(|target| assert_eq!(fs::read_to_string(target.join("b/f")).expect("f"), "b")),
        Case::new("a hard link below a symbolic link out", |store, outside| {
            let object = store.object("mine");
            let lines = format!("{}\n{LINKED}", file_lines(&object, "mine"));
            store.entry("a", "f", &lines);
            store.symlink("d", outside);
            store.entry("d/secret.txt", "f", &lines);
            store.entry("d/evil", "f", &lines);
        })
        .told("d/secret.txt: ")
        .told("d/evil: "),
    ]
}
