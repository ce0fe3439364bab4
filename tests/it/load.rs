//! Much at once: many runs on one local state, readers beside writers, a tree that never holds still.
//!
//! What is tried here depends on which process the kernel lets run when, so a run of these tests proves less than one of a made order; but no
//! outcome that they allow depends on it. `PILEUS_LOAD=N` makes each of them N times as long.

mod readers;
mod turmoil;
mod turns;

use crate::harness::Place;

/// Returns how many times as long as in the suite the tests are to be.
fn length() -> u32 {
    let asked = std::env::var("PILEUS_LOAD").ok();
    asked.map_or(1, |text| text.parse().expect("PILEUS_LOAD is a number"))
}

/// Fails unless the files of `store` are those that sums files name, with these checksums, and nothing else is there; pileus has no part in this.
fn assert_nothing_left_over(place: &Place) {
    place.sh(
        "cd store; sha1sum -c --quiet --strict *.sha1sums; cut -c 43- *.sha1sums | sort -u >../named; ls | grep '\\.tar' | sort >../there; cmp \
         ../named ../there; ls *.lbs | sed 's/lbs$/sha1sums/' >../named; ls *.sha1sums >../there; cmp ../named ../there",
    );
    let names = place.sh("ls -A store");
    let is_known = |name: &&str| {
        let endings = [".lbs", ".sha1sums", ".pinned"];
        name.contains(".tar") && !name.starts_with('.')
            || endings.iter().any(|ending| name.ends_with(ending))
            || name.starts_with("localdb.")
            || name.starts_with("statcache") && !name.contains('~')
    };
    let foreign: Vec<_> = names.lines().filter(|name| !is_known(name)).collect();
    assert_eq!(foreign, [""; 0]);
}
