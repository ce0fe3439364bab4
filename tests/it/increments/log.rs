//! What a night adds to the metadata log: new stanzas, and no more of the old ones than it takes to refer to them.

use super::nights::{Nights, number};
use super::portable::{self, Shape};

fn shape(nights: &Nights, summary: &serde_json::Value) -> Shape {
    let snapshot = summary["snapshot"].as_str().expect("is there");
    portable::check(&nights.place, "store", &[snapshot])[snapshot]
}

#[test]
fn changes_in_the_middle_of_many_files_do_not_rewrite_the_others() {
    let mut nights = Nights::new();
    nights
        .place
        .sh("cd tree; seq -f file-%05g 20000 | xargs touch; mkdir middle");
    let first = nights.backup(&["--compression=none"]);
    let all = number(&first, "metadata_bytes");
    let root = shape(&nights, &first).root_bytes;
    assert!(all > 20_000 * 100 && root < all / 100, "{first}");
    // Of each piece that something happens in, less than 64 KiB can be rewritten, and a root comes on top.
    let piece = 64 << 10;
    let mut last = None;
    for (change, new_bytes) in [
        ("rm tree/file-1000[0-9]", 0),
        ("seq -f tree/file-09999-%05g 500 | xargs touch", 500 * 300),
        ("touch tree/file-05000 tree/file-15000", 2 * 300),
        ("rm tree/file-09999-*", 0),
        ("rm tree/file-00001 tree/file-20000", 0),
        ("mv tree/middle tree/aaa", 0),
    ] {
        nights.place.sh(change);
        let summary = nights.backup(&["--compression=none"]);
        let bytes = number(&summary, "metadata_bytes");
        assert!(bytes < root + new_bytes + 2 * piece, "{change}: {summary}");
        let shape = shape(&nights, &summary);
        assert!(shape.root_bytes < root + root / 4, "{change}: {shape:?}");
        assert!(shape.objects_most <= 18, "{change}: {shape:?}");
        assert_eq!(number(&summary, "new_data_bytes"), 0);
        last = Some(summary);
    }
    nights.assert_restores(&last.expect("there were nights"));
    let summary = nights.backup(&["--full-metadata"]);
    assert_eq!(number(&summary, "read_bytes"), 0);
    assert!(
        number(&summary, "metadata_bytes") > all * 9 / 10,
        "{summary}"
    );
    nights.assert_restores(&summary);
}

#[test]
fn fifty_nights_of_small_changes_do_not_break_the_log_into_pieces() {
    let mut nights = Nights::new();
    nights
        .place
        .sh("cd tree; seq -f file-%04g 3000 | xargs touch");
    let options = ["--compression=none"];
    let first = nights.backup(&options);
    let (all, before) = (number(&first, "metadata_bytes"), shape(&nights, &first));
    let mut written = 0;
    for night in 1..=50 {
        let (one, other) = (night * 37 % 3000, night * 1013 % 3000);
        nights.place.sh(&format!(
            "cd tree; date >>file-{one:04}; rm -f file-{other:04}; date >file-{other:04}-new"
        ));
        let summary = nights.backup(&options);
        written += number(&summary, "metadata_bytes");
        if night % 5 > 0 {
            continue;
        }
        let shape = shape(&nights, &summary);
        assert!(
            shape.pieces <= before.pieces * 2,
            "night {night}: {shape:?}"
        );
        assert!(
            shape.root_bytes <= before.root_bytes * 2,
            "night {night}: {shape:?}"
        );
        assert!(shape.objects_most <= 18, "night {night}: {shape:?}");
        // Every night refers to older ones; not to all of them.
        assert!(shape.segments <= 160, "night {night}: {shape:?}");
        if night % 25 == 0 {
            nights.assert_restores(&summary);
        }
    }
    // Writing all of it every night would be fifty times as much.
    assert!(
        written < 8 * all,
        "{written} bytes, the whole log has {all}"
    );
    let summary = nights.backup(&options);
    assert_eq!(number(&summary, "read_bytes"), 0);
}

#[test]
fn a_piece_of_many_slices_is_written_anew_once() {
    let mut nights = Nights::new();
    nights
        .place
        .sh("cd tree; seq -f file-%04g 1000 | xargs touch");
    nights.backup(&[]);
    nights.place.sh("cd tree; touch file-0*[05]");
    let summary = nights.backup(&[]);
    let scattered = shape(&nights, &summary);
    let summary = nights.backup(&[]);
    let mended = shape(&nights, &summary);
    assert!(mended.objects_most == 1, "{scattered:?} {mended:?}");
    let quiet = nights.backup(&[]);
    assert!(number(&quiet, "metadata_bytes") < 2000, "{quiet}");
    nights.assert_restores(&quiet);
}
