//! Directories above a source: of them, the snapshot has only what leads to it.

use crate::harness::{Ended, Place};
use crate::made_store::MadeStore;

fn backup(place: &Place) {
    let (dest, data) = (place.join("top/store"), place.join("top/data"));
    place.succeed([
        "backup".to_owned(),
        format!("--dest={}", dest.display()),
        format!("--localdb={}", place.join("state").display()),
        data.display().to_string(),
    ]);
}

fn place() -> Place {
    let place = Place::new();
    place.sh("mkdir state; mkdir -p top/data; chmod 755 top; printf 1 > top/data/file");
    backup(&place);
    place
}

/// Changes only the time of the directory above the source, as whatever is made beside the source does.
fn touch(place: &Place) {
    place.sh("touch -d 2001-02-03 top");
}

fn diff(place: &Place, more: &[&str]) -> Ended {
    place.survive([&["diff", "--dest=top/store"], more].concat())
}

/// The place as stored paths have it.
fn stored(place: &Place, name: &str) -> String {
    let path = place.join(name).display().to_string();
    path.trim_start_matches('/').to_owned()
}

#[test]
fn what_is_made_beside_a_source_is_no_difference_of_the_directories_above() {
    let place = place();
    touch(&place);
    let same = diff(&place, &["latest"]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""), "{same:?}");
    let same = diff(&place, &["latest", "--json"]);
    assert_eq!(same.summary()["metadata"], 0, "{same:?}");
    assert!(!same.stdout.contains("\"difference\""), "{same:?}");
    place.sh("touch -d 2001-02-03 top/data");
    let source = diff(&place, &["latest"]);
    assert_eq!(
        source.stdout,
        format!("[metadata] {}: mtime\n", stored(&place, "top/data"))
    );
}

#[test]
fn whatever_else_changed_of_a_directory_above_a_source_is_told() {
    let place = place();
    place.sh("chmod 711 top");
    let other = diff(&place, &["latest"]);
    assert_eq!(
        (other.code, other.stdout),
        (
            Some(3),
            format!("[metadata] {}: mode\n", stored(&place, "top"))
        )
    );
    place.sh("chmod 755 top; mv top else; touch top");
    let gone = place.survive(["diff", "--dest=else/store", "latest"]);
    let line = format!("[changed] {}: type\n", stored(&place, "top"));
    assert!(gone.stdout.contains(&line), "{gone:?}");
}

#[test]
fn two_snapshots_do_not_differ_in_the_times_above_a_source() {
    let place = place();
    touch(&place);
    backup(&place);
    let list = place.succeed(["list", "--dest=top/store"]).stdout;
    let names: Vec<_> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names.len(), 2, "{list}");
    let same = diff(&place, &names);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""), "{same:?}");
    let found = place.succeed(["find", "--dest=top/store", "top"]).stdout;
    assert_eq!(found.matches(" in ").count(), 1, "one version: {found}");
}

/// Their logs have no mark: the way to everything is taken for what is above the sources.
#[test]
fn in_stores_of_other_programs_the_way_to_the_source_is_above_it() {
    let mut made = MadeStore::new();
    made.directory("top");
    made.directory("top/data");
    made.good_file("top/data/a", "same");
    let place = Place::new();
    place.sh("mkdir -p store root/top/data; printf same > root/top/data/a; chmod 755 root/top root/top/data");
    made.write(&place.join("store"));
    let ended = place.survive(["diff", "--dest=store", "latest", "--root=root"]);
    let about = |path: &str| ended.stdout.contains(&format!(" {path}: mtime"));
    assert_eq!(
        (about("top"), about("top/data")),
        (false, true),
        "{ended:?}"
    );
}
