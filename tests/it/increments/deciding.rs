//! Which files a run opens: all that may have changed, and no others.

use super::nights::{Nights, number};
use crate::harness::{Ended, need};

/// Makes a tree and backs it up once.
fn nights() -> Nights {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 5);
    nights.backup(&[]);
    nights
}

#[test]
fn an_unchanged_run_opens_no_file_and_stores_one_object() {
    need("strace");
    let mut nights = nights();
    let segments = nights.place.names_ending("store", ".tar.bz2");
    let strace = [
        "strace",
        // A file for each thread: calls of one do not cut those of another in two.
        "-ff",
        "-y",
        "-qq",
        "-o",
        "trace",
        "-e",
        "trace=open,openat,read,pread64",
    ];
    let ended = Ended::of(&mut nights.command(&strace, &[]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.summary();
    for field in [
        "read_bytes",
        "new_data_bytes",
        "new",
        "partial",
        "sub_file",
        "repack",
    ] {
        assert_eq!(summary[field], 0, "{field} in {summary}");
    }
    let trace = nights.place.sh("cat trace.*");
    let tree = format!("{}/tree", nights.place.path().display());
    let mut directories = 0;
    for line in trace
        .lines()
        .filter(|line| line.contains(&tree) || line.contains("\"tree"))
    {
        let is_read = line.contains("read(") || line.contains("pread64(");
        let opens = line.starts_with("open");
        assert!(
            !is_read && (!opens || line.contains("O_DIRECTORY")),
            "{line}"
        );
        directories += u32::from(opens);
    }
    assert!(directories > 5, "the trace shows the walk");
    let mut now = nights.place.names_ending("store", ".tar.bz2");
    now.retain(|name| !segments.contains(name));
    assert_eq!(now.len(), 1, "{now:?}");
    assert_eq!(
        nights
            .place
            .sh(&format!("tar tf store/{}", now[0]))
            .lines()
            .count(),
        1
    );
    assert!(number(&summary, "metadata_bytes") < 1000, "{summary}");
    nights.assert_restores(&summary);
}

#[test]
fn a_change_that_hides_behind_size_and_mtime_is_seen_by_its_ctime() {
    let mut nights = nights();
    nights.place.sh("cd tree/order; touch -r a-b ../../times; printf SORT | dd of=a-b conv=notrunc status=none; touch -r ../../times a-b");
    let (new, summary) = nights.backup_telling("new", &[]);
    assert_eq!(new, ["tree/order/a-b"]);
    assert_eq!(summary["new_data_bytes"], 11);
    nights.assert_restores(&summary);
}

#[test]
fn renamed_files_and_directories_are_stored_once() {
    let mut nights = nights();
    nights
        .place
        .sh("cd tree; mv hello.txt hullo.txt; mv many lots; mv blobs/random.bin order/moved.bin");
    let summary = nights.backup(&[]);
    assert_eq!(summary["new_data_bytes"], 0);
    nights.assert_restores(&summary);
    let summary = nights.backup(&[]);
    assert_eq!(summary["read_bytes"], 0);
}

#[test]
fn another_file_under_an_old_name_and_inode_is_read() {
    let mut nights = nights();
    let reuse = "
import os
st = os.stat('tree/old-file')
os.unlink('tree/old-file')
for i in range(100):
    name = 'tree/try%d' % i
    open(name, 'w').write('new')
    if os.stat(name).st_ino == st.st_ino: break
os.rename(name, 'tree/old-file')
os.utime('tree/old-file', ns=(st.st_atime_ns, st.st_mtime_ns))";
    nights.place.python(reuse, &[]);
    let summary = nights.backup(&[]);
    assert!(number(&summary, "read_bytes") >= 3);
    nights.assert_restores(&summary);
}

#[test]
fn two_files_that_trade_names_are_both_seen() {
    let mut nights = nights();
    nights
        .place
        .sh("cd tree; printf abc >one; printf xyz >two; touch -d @1000000000 one two");
    nights.backup(&[]);
    nights
        .place
        .sh("cd tree; mv one three; mv two one; mv three two");
    let summary = nights.backup(&[]);
    assert_eq!(
        (
            number(&summary, "read_bytes"),
            number(&summary, "new_data_bytes")
        ),
        (6, 0)
    );
    nights.assert_restores(&summary);
}

#[test]
fn a_file_that_changed_in_the_second_of_its_backup_is_read_again() {
    let mut nights = Nights::new();
    nights.place.write("tree/file", "first");
    nights.backup_with(&[("TEST_AHEAD", "0")], &[]);
    nights.place.write("tree/file", "later");
    let summary = nights.backup(&["--scheme=other"]);
    nights.assert_restores(&summary);
    // Not changed at all, but nothing of its times could have told.
    let summary = nights.backup(&[]);
    assert_eq!(number(&summary, "read_bytes"), 5);
    nights.assert_restores(&summary);
    assert_eq!(number(&nights.backup(&[]), "read_bytes"), 0);
}

#[test]
fn a_file_that_changes_in_the_second_of_its_backup_is_read_again_though_nothing_tells() {
    let mut nights = Nights::new();
    nights.place.write("tree/file", "first");
    let now = nights
        .place
        .sh("touch -d @1900000000 tree/file; echo 1900000000");
    let pinned = [("TEST_CTIME", now.trim()), ("TEST_AHEAD", "0")];
    nights.backup_with(&pinned, &[]);
    nights
        .place
        .sh("printf later >tree/file; touch -d @1900000000 tree/file");
    let summary = nights.backup_with(&[("TEST_CTIME", now.trim())], &[]);
    assert_eq!(number(&summary, "read_bytes"), 5);
    nights.assert_restores(&summary);
}

#[test]
fn files_from_the_future_are_read_until_the_clock_is_right() {
    let mut nights = nights();
    // The clock of the machine was set back by an hour, and files have been changed before that.
    nights.place.sh("printf new >tree/hello.txt");
    let back = [("TEST_AHEAD", "-3600")];
    // The snapshot of the first night is from the future, too.
    let back_up = |nights: &mut Nights| {
        let ended = Ended::of(nights.command(&[], &[]).envs(back));
        ended.assert_one_line(0, &["from the future"]);
        ended.summary()
    };
    let summary = back_up(&mut nights);
    assert_eq!(number(&summary, "new_data_bytes"), 3);
    nights.place.sh("printf NEW >tree/hello.txt");
    let summary = back_up(&mut nights);
    assert_eq!(number(&summary, "new_data_bytes"), 3);
    nights.assert_restores(&summary);
    assert!(number(&back_up(&mut nights), "read_bytes") >= 3);
    assert!(number(&nights.backup(&[]), "read_bytes") >= 3);
    assert_eq!(number(&nights.backup(&[]), "read_bytes"), 0);
}

#[test]
fn a_file_system_that_was_mounted_again_under_another_number_is_unchanged() {
    let mut nights = nights();
    // The first night tells the three hard links of the tree anew: their identity has the number of the device in it.
    for bytes_most in [2000, 1000] {
        let summary = nights.backup_with(&[("TEST_DEVICE", "1")], &[]);
        assert_eq!(number(&summary, "read_bytes"), 0);
        let bytes = number(&summary, "metadata_bytes");
        assert!(bytes < bytes_most, "{summary}");
        nights.assert_restores(&summary);
    }
}

#[test]
fn hard_links_stay_links_where_half_of_the_log_was_written_before_another_mount() {
    let mut nights = Nights::new();
    nights.place.sh("cd tree; for i in $(seq 1000); do echo $i >f$i; done; echo contents >a-link; ln a-link z-link");
    nights.backup(&[]);
    // So many changes that the first piece is written anew the night after.
    nights
        .place
        .sh("cd tree; for i in f1[0-9][25]; do echo more >>$i; done");
    nights.backup(&[]);
    let moved = [("TEST_DEVICE", "1")];
    let summary = nights.backup_with(&moved, &[]);
    let bytes = number(&summary, "metadata_bytes");
    assert!(
        (30_000..150_000).contains(&bytes),
        "one piece is renewed: {summary}"
    );
    nights.assert_restores(&summary);
    let summary = nights.backup_with(&moved, &["--full-metadata"]);
    nights.assert_restores(&summary);
}

#[test]
fn reread_tells_of_contents_that_changed_without_a_trace() {
    let mut nights = Nights::new();
    nights.place.sample_tree("tree", 5);
    let pinned = [("TEST_CTIME", "1000000000")];
    nights.backup_with(&pinned, &[]);
    let rot = "cd tree/blobs; touch -r random.bin ../../times; printf X | dd of=random.bin bs=1 seek=700000 conv=notrunc status=none; touch -r ../../times random.bin";
    nights.place.sh(rot);
    assert_eq!(number(&nights.backup_with(&pinned, &[]), "read_bytes"), 0);
    let ended = Ended::of(nights.command(&[], &["--reread"]).envs(pinned));
    ended.assert_one_line(
        3,
        &["tree/blobs/random.bin: its contents changed though its size and times did not"],
    );
    nights.assert_restores(&ended.summary());
    // It is told once: what was read then is what is known now.
    nights.backup_with(&pinned, &["--reread"]);
}
