//! `--deduplicate=verify`: compares a block that the index knows with what the store has of it.
//!
//! This is the only part of a backup that reads the store. What this run wrote itself is not compared, and what cannot be read
//! by itself (behind a filter program) is taken on trust, which is said once.

use std::collections::HashSet;

use anyhow::Result;

use crate::format::object_ref::{ObjectId, ObjectRef};
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// Compares blocks with stored objects.
pub(super) struct Comparison<'r> {
    catalog: &'r Catalog,
    objects: ObjectCache<'r>,
    monitor: &'r Counter<'r>,
    told_unreadable: bool,
    /// Objects that were told to be wrong; sub-file increments come to the same ones again and again.
    told_wrong: HashSet<ObjectId>,
}

impl<'r> Comparison<'r> {
    /// Compares with what the store had when the run began.
    pub(super) fn new(catalog: &'r Catalog, monitor: &'r Counter<'r>) -> Result<Self> {
        Ok(Self {
            catalog,
            objects: ObjectCache::new(catalog, None)?,
            monitor,
            told_unreadable: false,
            told_wrong: HashSet::new(),
        })
    }

    /// Tells whether a block may be taken for the object; what differs or cannot be read is a problem.
    pub(super) fn is_same(&mut self, object: &ObjectRef, block: &[u8]) -> bool {
        self.is_sound(object, |stored| stored == block)
    }

    /// Tells whether an object may be referred to, going by its stored bytes; what is wrong or cannot be read is a problem, once.
    pub(super) fn is_sound(
        &mut self,
        object: &ObjectRef,
        is_right: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        let segment = object.object.segment;
        if self.told_wrong.contains(&object.object) {
            return false;
        }
        let Some(file) = self.catalog.segment_file(segment) else {
            return true;
        };
        if self.catalog.ensure_readable(&[segment], None).is_err() {
            if !self.told_unreadable {
                self.told_unreadable = true;
                let name = file.display();
                self.monitor.note(&format!(
                    "{name} and others like it cannot be read by themselves: their blocks are not compared"
                ));
            }
            return true;
        }
        let found = self.objects.get(object);
        if found.as_ref().is_ok_and(|stored| is_right(stored)) {
            return true;
        }
        let what = found.map_or_else(
            |error| format!("cannot be read ({error:#})"),
            |_| "is not what its digest says".to_owned(),
        );
        self.told_wrong.insert(object.object);
        let subject = object.object.to_string();
        self.monitor.problem(
            subject.as_bytes(),
            format_args!("{what}; the block is stored again"),
        );
        false
    }
}
