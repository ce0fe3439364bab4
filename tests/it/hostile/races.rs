//! Somebody who exchanges directories of the target for symbolic links out of it while a restore runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::harness::Place;
use crate::made_store::MadeStore;

const DIRECTORIES: usize = 40;

/// Exchanges each directory of the target for a link, back and forth, until it is told to stop; counts how often it did.
fn exchange(place: [&Path; 3], stop: &AtomicBool, count: &AtomicU32) {
    let [target, link, outside] = place;
    while !stop.load(Ordering::Relaxed) {
        for index in 0..DIRECTORIES {
            let directory = target.join(format!("tree/d{index:02}"));
            let swap = || {
                renameat2(
                    AT_FDCWD,
                    &directory,
                    AT_FDCWD,
                    link,
                    RenameFlags::RENAME_EXCHANGE,
                )
            };
            if swap().is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
                // Back again, so that the next one finds the link; unless the directory was removed meanwhile.
                if swap().is_err() {
                    drop(fs::remove_dir_all(link));
                    drop(symlink(outside, link));
                }
            }
        }
    }
}

#[test]
fn directories_that_become_links_during_a_restore_lead_nowhere() {
    let place = Place::new();
    place.write("arena/outside/secret", "nobody may touch this\n");
    let mut store = MadeStore::new();
    store.directory("tree");
    for index in 0..DIRECTORIES {
        store.directory(&format!("tree/d{index:02}"));
        store.directory(&format!("tree/d{index:02}/in"));
        for file in 0..10 {
            store.file(&format!("tree/d{index:02}/in/f{file}"), "contents\n");
            store.symlink(&format!("tree/d{index:02}/l{file}"), "/etc");
        }
        store.file(&format!("tree/d{index:02}/secret"), "of the store\n");
    }
    store.write(&place.join("store"));
    let outside = place.join("arena/outside");
    let (stop, count) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let (target, link) = (place.join("arena/target"), place.join("arena/link"));
        symlink(&outside, &link).expect("a link is made");
        let (stop, count, outside) = (&stop, &count, &outside);
        scope.spawn(move || exchange([&target, &link, outside], stop, count));
        for round in 0..100 {
            place.sh("rm -rf arena/target || true");
            place.survive([
                "restore",
                "--dest=store",
                "--target=arena/target",
                "--overwrite=always",
            ]);
            if round >= 5 && count.load(Ordering::Relaxed) > 50 {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(count.load(Ordering::Relaxed) > 0, "nothing was exchanged");
    assert_eq!(place.names("arena/outside"), ["secret"]);
    let secret = fs::read_to_string(outside.join("secret")).expect("is read");
    assert_eq!(secret, "nobody may touch this\n");
}
