//! A store that is taken away while it is pruned: an empty directory is in its place, as where a mount is gone.

use std::path::Path;

use super::*;

/// Takes the store away at the note of this number.
struct Taking<'p> {
    store: &'p Path,
    away: &'p Path,
    notes_left: Mutex<usize>,
}

impl Monitor for Taking<'_> {
    fn event(&self, event: &Event<'_>) {
        let mut left = self.notes_left.lock().expect("nobody panics here");
        if matches!(event, Event::Note(_)) && *left > 0 {
            *left -= 1;
            if *left == 0 {
                fs::rename(self.store, self.away).expect("is taken away");
                fs::create_dir(self.store).expect("is made");
            }
        }
    }
}

#[test]
fn a_prune_whose_store_is_taken_away_fails_and_the_next_one_finishes() {
    let whole = place_of_three();
    prune(&whole.options(&[(Period::Last, 1)]));
    let finished = whole.names();
    for notes in 1.. {
        let (place, state) = (place_of_three(), tempfile::tempdir().expect("a directory"));
        let database = state.path().join(database::FILE_NAME);
        fs::rename(place.path(database::FILE_NAME), database).expect("is moved");
        let mut options = place.options(&[(Period::Last, 1)]);
        options.local = Some(state.path().to_owned());
        let away = place.dir.path().with_extension("away");
        let taking = Taking {
            store: place.dir.path(),
            away: &away,
            notes_left: Mutex::new(notes),
        };
        let pruned = Prune::prepare(&options, now(), &taking).and_then(Prune::execute);
        if !away.exists() {
            pruned.expect("nothing was taken away");
            assert!(notes > 10, "{notes}");
            break;
        }
        let error = pruned.expect_err("most of it is still there").to_string();
        assert!(error.contains("see that the disk is mounted"), "{error}");
        fs::remove_dir(place.dir.path()).expect("is empty");
        fs::rename(&away, place.dir.path()).expect("is brought back");
        let database = Database::open(state.path()).expect("opens");
        let known = database.snapshots().expect("looks");
        drop(database);
        let is_known = |name: &SnapshotName| known.contains(name);
        let inventory = Inventory::take(place.dir.path()).expect("lists");
        let there = inventory
            .snapshots
            .iter()
            .filter(|(_, files)| !files.descriptors.is_empty());
        assert!(
            there.clone().all(|(name, _)| is_known(name)),
            "after {notes} notes"
        );
        place.assert_sound();
        prune(&options);
        place.assert_sound();
        assert_eq!(place.names(), finished, "after {notes} notes");
    }
}
