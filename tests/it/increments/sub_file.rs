//! What a changed large file costs: the pages and bytes that are new, however they came into it.

use super::nights::{Nights, number};

const PAGE: u64 = 4096;

/// A tree with a large file of noise, in a store that has it.
fn nights(bytes: u64) -> Nights {
    let mut nights = Nights::new();
    nights
        .place
        .sh(&format!("head -c {bytes} /dev/urandom >tree/image"));
    nights.backup(&["--compression=none"]);
    nights
}

/// Makes a change of the tree and fails unless the next night stores at most so many bytes of data.
fn assert_costs(nights: &mut Nights, change: &str, bytes_most: u64) {
    nights.place.python(&format!("{HELPERS}\n{change}"), &[]);
    let summary = nights.backup(&["--compression=none"]);
    let new = number(&summary, "new_data_bytes");
    assert!(
        new <= bytes_most,
        "{change}: {new} of {bytes_most}: {summary}"
    );
    nights.assert_restores(&summary);
}

const HELPERS: &str = "
import os, random
def overwrite(path, at, data):
    with open(path, 'r+b') as f: f.seek(at); f.write(data)
def pages(path, count, seed):
    r = random.Random(seed); last = os.path.getsize(path) // 4096
    for _ in range(count): overwrite(path, r.randrange(last) * 4096, r.randbytes(4096))
def splice(path, at, removed, inserted):
    data = open(path, 'rb').read(); open(path, 'wb').write(data[:at] + inserted + data[at + removed:])
noise = lambda n: random.Random(n).randbytes(n)
";

#[test]
fn overwritten_pages_cost_themselves_night_after_night() {
    let mut nights = nights(8 << 20);
    for night in 0..10 {
        // A page that lies beside an older change may take that with it.
        assert_costs(
            &mut nights,
            &format!("pages('tree/image', 12, {night})"),
            12 * 2 * PAGE,
        );
    }
    assert_costs(
        &mut nights,
        "overwrite('tree/image', 5_000_001, b'unaligned')",
        4 * PAGE,
    );
}

#[test]
fn what_is_inserted_or_removed_costs_the_place_where_it_happened() {
    let mut nights = nights(6 << 20);
    let around = 3 * PAGE;
    for (change, bytes) in [
        ("splice('tree/image', 3_000_000, 0, b'x')", 1),
        ("splice('tree/image', 1_234_567, 0, noise(1024))", 1024),
        ("splice('tree/image', 0, 0, noise(10))", 10),
        ("splice('tree/image', 2_000_000, 1, b'')", 0),
        ("splice('tree/image', 2_500_000, 300_000, b'')", 0),
        (
            "splice('tree/image', 4_000_000, 50_000, noise(60_000))",
            60_000,
        ),
        ("open('tree/image', 'ab').write(noise(100_000))", 100_000),
        // What is left of the last block is compared with the older version only if it has 64 KiB.
        ("os.truncate('tree/image', 5_000_001)", 64 << 10),
        ("splice('tree/image', 0, 1_500_000, b'')", 0),
        ("open('tree/image', 'ab').write(b'.')", 64 << 10),
    ] {
        assert_costs(&mut nights, change, bytes + around);
    }
}

#[test]
fn a_file_that_grows_every_night_costs_what_it_grows_by() {
    let mut nights = nights(200_000);
    for night in 0..12 {
        let change = format!("open('tree/image', 'ab').write(noise({}))", 30_000 + night);
        // The last block is compared with the older version only if it has 64 KiB.
        assert_costs(&mut nights, &change, 30_000 + night + (64 << 10));
    }
}

#[test]
fn a_large_file_that_was_moved_and_edited_costs_the_edit() {
    let mut nights = nights(4 << 20);
    let change = "os.mkdir('tree/dir'); os.rename('tree/image', 'tree/dir/moved'); overwrite('tree/dir/moved', 2_000_000, noise(5000))";
    assert_costs(&mut nights, change, 4 * PAGE);
    // And back, another file being there now.
    let change = "os.rename('tree/dir/moved', 'tree/other'); open('tree/dir/moved', 'wb').write(b'new'); overwrite('tree/other', 100, noise(50))";
    assert_costs(&mut nights, change, 3 * PAGE);
}

#[test]
fn a_large_file_that_was_copied_and_edited_costs_the_edit() {
    let mut nights = nights(4 << 20);
    let change = "import shutil; shutil.copy('tree/image', 'tree/copy'); overwrite('tree/copy', 3_000_000, noise(5000))";
    assert_costs(&mut nights, change, 4 * PAGE);
}

#[test]
fn a_file_saved_by_an_editor_as_another_inode_costs_the_edit() {
    let mut nights = nights(3 << 20);
    let change = "data = open('tree/image', 'rb').read(); os.unlink('tree/image'); open('tree/image', 'wb').write(data[:999_999] + b'saved' + data[999_999:])";
    assert_costs(&mut nights, change, 3 * PAGE);
}

#[test]
fn many_nights_of_scattered_edits_leave_a_file_of_few_references() {
    let mut nights = nights(2 << 20);
    let mut stored = 0;
    for night in 0..30 {
        nights
            .place
            .python(&format!("{HELPERS}\npages('tree/image', 20, {night})"), &[]);
        let summary = nights.backup(&["--compression=none"]);
        stored += number(&summary, "new_data_bytes");
    }
    let summary = nights.backup(&["--compression=none", "--full-metadata"]);
    nights.assert_restores(&summary);
    // A reference takes some 50 bytes; slices have 8 KiB on average, or their block is stored anew.
    let log_bytes = number(&summary, "metadata_bytes");
    assert!(log_bytes < 70 * (2 << 20) / (8 << 10), "{log_bytes}");
    // A block is stored anew after some 64 pages, which is four times as much as they are.
    assert!(stored < 30 * 20 * PAGE * 5, "{stored}");
    let state = nights
        .place
        .sh("cat store/localdb.sqlite store/statcache | wc -c");
    let state: u64 = state.trim().parse().expect("is a number");
    assert!(state < 400_000, "{state}");
}
