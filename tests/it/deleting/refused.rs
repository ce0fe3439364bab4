//! What `restore --delete` refuses, since it may not know what belongs to the snapshot.

use super::{delete, delete_as_foretold, deleted, restored};
use crate::harness::{Ended, Place};
use crate::made_store::{MadeStore, SNAPSHOT};

#[test]
fn a_snapshot_of_another_program_deletes_nothing() {
    let place = Place::new();
    place.sh("mkdir -p store back/tree; touch back/tree/beside");
    let mut made = MadeStore::new();
    made.directory("tree");
    made.good_file("tree/file", "contents\n");
    made.write(&place.join("store"));
    for arguments in [&[][..], &["tree"], &["--dry-run"]] {
        let ended = delete(&place, arguments);
        ended.assert_one_line(1, &[SNAPSHOT, "was not made by pileus", "pileus diff"]);
    }
    assert_eq!(place.names("back/tree"), ["beside"]);
}

#[test]
fn what_could_not_be_read_is_not_superfluous() {
    let place = Place::new();
    place.sh("mkdir -p tree; touch tree/file tree/secret; chmod 000 tree/secret; chmod a+rx tree; mkdir -m 777 stores");
    let mut command = place.command_as_other([
        "backup",
        "--dest=stores/store",
        "--localdb=stores/local",
        "tree",
    ]);
    let ended = Ended::of(&mut command);
    ended.assert_one_line(3, &["tree/secret"]);
    place.sh("chmod -R a+rX stores; ln -s stores/store store; ln -s . back");
    let ended = delete(&place, &["tree"]);
    ended.assert_one_line(1, &["had a problem", "another snapshot", "pileus diff"]);
    place.sh("test -e tree/secret");
    // Nobody knows what one lacks that does not tell.
    place.sh("sed -i '/^Problems/d' store/*.lbs");
    delete(&place, &["tree"]).assert_one_line(1, &["does not say how many problems"]);
    place.sh("sed -i '/^Segments/i Problems: 0' store/*.lbs");
    let ended = delete(&place, &["tree", "-v"]);
    assert_eq!(deleted(&ended), ["tree/secret"], "{ended:?}");
}

#[test]
fn without_a_segment_nothing_is_deleted() {
    let place = restored();
    place.sh("cd back/tree; rm -r a; touch superfluous");
    let lose = r#"
import glob, os
names = glob.glob("store/*.tar*")
assert len(names) > 1
os.rename(min(names, key=os.path.getsize), "lost")
log = [name for name in names if os.path.exists(name)]
"#;
    // That of the log would end the run; of those of data, any will do.
    place.sh("head -c 300000 /dev/urandom >tree/noise");
    place.succeed(["backup", "--dest=store", "--scheme=noise", "tree"]);
    let lose = lose.replace("min(names", "max(names");
    place.python(&lose, &[]);
    let dry = delete(&place, &["--scheme=noise", "--dry-run", "-v"]);
    assert_eq!(deleted(&dry), [""; 0], "{dry:?}");
    let ended = delete(&place, &["--scheme=noise"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(
        ended.stderr.contains("nothing is deleted: segment"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("is missing from the store"),
        "{ended:?}"
    );
    // The rest of the restore took place.
    place.sh("test -e back/tree/superfluous; test -e back/tree/a/one");
    place.sh("mv lost store/$(sed -n 's/.*[*]//p' store/*noise*.sha1sums | while read f; do test -e store/$f || echo $f; done)");
    let ended = delete_as_foretold(&place, &["--scheme=noise"]);
    assert_eq!(deleted(&ended), ["tree/superfluous"]);
}
