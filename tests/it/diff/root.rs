//! Where stored paths begin on the disk, if nobody says it.

use crate::harness::Place;

#[test]
fn without_a_root_what_was_backed_up_by_a_relative_path_is_not_looked_for_at_the_top() {
    for (paths, named) in [
        (&["one", "tree-of-mine"][..], "one is not in /"),
        (&["."], "is not in /"),
    ] {
        let place = Place::new();
        place.sh("mkdir one tree-of-mine state; touch one/file");
        place.succeed(
            [
                &[
                    "backup",
                    "--dest=store",
                    "--localdb=state",
                    "--exclude=store",
                    "--exclude=state",
                ],
                paths,
            ]
            .concat(),
        );
        for only in [&[][..], &["--only=tree-of-mine"]] {
            let ended = place.run([&["diff", "--dest=store", "latest"], only].concat());
            let named = if only.is_empty() {
                named
            } else {
                "tree-of-mine is not in /"
            };
            ended.assert_one_line(1, &[named, "--root=DIR"]);
            assert_eq!(ended.stdout, "", "nothing passes for removed");
            place.succeed(
                [
                    &[
                        "diff",
                        "--dest=store",
                        "latest",
                        "--root=.",
                        "--exclude=store",
                        "--exclude=state",
                    ],
                    only,
                ]
                .concat(),
            );
        }
        let gone = place.run(["diff", "--dest=store", "latest", "--root=/", "--only=one"]);
        assert_eq!(gone.code, Some(3), "{gone:?}");
        assert!(gone.stdout.contains("[removed] one/file"), "{gone:?}");
    }
}
