//! What goes in comes out: with pileus, with docs/restore.py, and with stock tools.

use crate::harness::Place;

#[test]
fn everything_comes_back_exactly_whatever_the_codec() {
    for (seed, codec) in [(1, "bzip2"), (2, "zstd"), (3, "gzip:1"), (4, "none")] {
        let place = Place::new();
        place.sample_tree("tree", seed);
        let before = place.manifest("tree", "");
        place.succeed([
            "backup",
            "--dest=store",
            &format!("--compression={codec}"),
            "tree",
        ]);
        place.succeed(["restore", "--dest=store", "--target=back"]);
        assert_eq!(place.manifest("back/tree", ""), before, "{codec}");
        place.sh("python3 \"$PROJECT/docs/restore.py\" store by-script");
        assert_eq!(place.manifest("by-script/tree", ""), before, "{codec}");
        place.sh("cd store && sha1sum -c --quiet --strict *.sha1sums");
        for level in ["sums", "objects", "files"] {
            place.succeed(["verify", "--dest=store", &format!("--level={level}")]);
        }
    }
}
