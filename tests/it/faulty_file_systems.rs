//! What is backed up from file systems that do what they should not, and restored to them.

use crate::harness::Place;

#[test]
fn a_tree_behind_a_pass_through_file_system_is_backed_up_as_it_is() {
    let place = Place::new();
    place.write("real/file", "contents");
    place.sh_in_own_mounts(
        "mkdir mnt; faulty real mnt; pileus backup --dest=store mnt; pileus restore --dest=store --target=back; cmp back/mnt/file real/file",
    );
}
