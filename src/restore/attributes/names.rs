//! Numbers of users and groups by name, remembered, because a look-up may go over the network.

use std::collections::HashMap;
use std::sync::Mutex;

use nix::unistd::{Group, User};

use crate::format::entry::Owner;

/// Answers which number a name has on this machine.
pub(super) struct NameCache {
    look_up: fn(&str) -> Option<u32>,
    /// `None` for a name that is unknown here.
    known: Mutex<HashMap<Vec<u8>, Option<u32>>>,
}

impl NameCache {
    /// Longest name that is looked up; Linux has none of more than 255 bytes.
    const NAME_MAX: usize = 255;

    /// Most names remembered, so that a store with a name for each file does not fill the memory.
    const CAPACITY: usize = 4096;

    pub(super) fn of_users() -> Self {
        Self::new(|name| Some(User::from_name(name).ok()??.uid.as_raw()))
    }

    pub(super) fn of_groups() -> Self {
        Self::new(|name| Some(Group::from_name(name).ok()??.gid.as_raw()))
    }

    fn new(look_up: fn(&str) -> Option<u32>) -> Self {
        Self {
            look_up,
            known: Mutex::default(),
        }
    }

    /// Returns the number of the owner's name, or the stored number: for no name, an unknown one, and when the look-up fails.
    pub(super) fn resolve(&self, owner: &Owner) -> u32 {
        let name = owner.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.len() > Self::NAME_MAX {
            return owner.id;
        }
        let mut known = self.known.lock().expect("a look-up does not panic");
        if let Some(id) = known.get(name) {
            return id.unwrap_or(owner.id);
        }
        let id = str::from_utf8(name).ok().and_then(self.look_up);
        if known.len() >= Self::CAPACITY {
            known.clear();
        }
        known.insert(name.to_vec(), id);
        id.unwrap_or(owner.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn owner(id: u32, name: &[u8]) -> Owner {
        Owner {
            id,
            name: Some(name.to_vec()),
        }
    }

    #[test]
    fn a_known_name_counts_more_than_the_number() {
        assert_eq!(NameCache::of_users().resolve(&owner(4711, b"root")), 0);
        assert_eq!(NameCache::of_groups().resolve(&owner(4711, b"root")), 0);
    }

    #[test]
    fn the_number_counts_where_the_name_says_nothing() {
        let users = NameCache::of_users();
        let overlong = [b'n'; 256];
        for name in [&b"no-such-user"[..], b"", b"\xff\xfe", b"a\0b", &overlong] {
            assert_eq!(users.resolve(&owner(4711, name)), 4711);
        }
        let nameless = Owner { id: 12, name: None };
        assert_eq!(users.resolve(&nameless), 12);
    }

    #[test]
    fn each_name_is_looked_up_once_also_when_it_is_unknown() {
        static LOOK_UPS: AtomicU64 = AtomicU64::new(0);
        let cache = NameCache::new(|name| {
            LOOK_UPS.fetch_add(1, Ordering::Relaxed);
            (name == "here").then_some(7)
        });
        for id in 0..10 {
            assert_eq!(cache.resolve(&owner(id, b"here")), 7);
            assert_eq!(cache.resolve(&owner(id, b"elsewhere")), id);
        }
        assert_eq!(LOOK_UPS.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_name_for_each_file_does_not_fill_the_memory() {
        let cache = NameCache::new(|_| None);
        for id in 0..10_000 {
            cache.resolve(&owner(id, format!("user{id}").as_bytes()));
        }
        let known = cache.known.lock().expect("a look-up does not panic");
        assert!(known.len() <= NameCache::CAPACITY);
    }
}
