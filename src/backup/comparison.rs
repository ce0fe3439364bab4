//! `--deduplicate=verify`: compares a block that the index knows with what the store has of it.
//!
//! This is the only part of a backup that reads the store. What this run wrote itself is not compared, and what cannot be read
//! by itself (behind a filter program) is taken on trust, which is said once.

use anyhow::Result;

use crate::format::object_ref::ObjectRef;
use crate::monitor::Counter;
use crate::store::catalog::Catalog;
use crate::store::object_cache::ObjectCache;

/// Compares blocks with stored objects.
pub(super) struct Comparison<'r> {
    catalog: &'r Catalog,
    objects: ObjectCache<'r>,
    monitor: &'r Counter<'r>,
    told_unreadable: bool,
}

impl<'r> Comparison<'r> {
    /// Compares with what the store had when the run began.
    pub(super) fn new(catalog: &'r Catalog, monitor: &'r Counter<'r>) -> Result<Self> {
        Ok(Self {
            catalog,
            objects: ObjectCache::new(catalog, None)?,
            monitor,
            told_unreadable: false,
        })
    }

    /// Tells whether a block may be taken for the object; what differs or cannot be read is a problem.
    pub(super) fn is_same(&mut self, object: &ObjectRef, block: &[u8]) -> bool {
        let segment = object.object.segment;
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
        if found.as_ref().is_ok_and(|stored| stored == block) {
            return true;
        }
        let what = found.map_or_else(
            |error| format!("cannot be read ({error:#})"),
            |_| "is not what its digest says".to_owned(),
        );
        let subject = object.object.to_string();
        self.monitor.problem(
            subject.as_bytes(),
            format_args!("{what}; the block is stored again"),
        );
        false
    }
}
