//! What a restore does once all contents are written: the attributes of directories, deepest first.
//!
//! Directories come last, since whatever is made in one changes its times, and a mode may forbid to make anything.

use anyhow::Result;
use nix::unistd::geteuid;

use super::Restorer;
use super::attributes;
use super::planner::Plan;
use super::target::DirCursor;
use crate::format::entry::Entry;

impl Restorer<'_> {
    /// Gives directories their attributes, the deepest first: making anything in one changes its times.
    pub(super) fn finish_directories(&self, plan: &Plan) -> Result<()> {
        let mut cursor = DirCursor::new(self.target);
        let mut spool = plan.spool.reader();
        for (path, mode) in plan.opened_up.iter().rev() {
            let (parent, name) = path.split();
            let reset = cursor
                .enter(parent)
                .and_then(|parent| attributes::set_mode(parent, name, *mode));
            if let Err(error) = reset {
                let reason = format_args!("cannot be given back its mode {mode:04o}: {error}");
                self.problem(path.as_bytes(), reason);
            }
        }
        for &place in plan.directories.iter().rev() {
            let (entry, _) = spool.entry(place)?;
            if self.rest.is_over() && would_lock_out(&entry) {
                continue;
            }
            let (parent, name) = entry.path.split();
            match cursor.enter(parent) {
                Ok(parent) => {
                    self.give_attributes(parent, name, None, &entry);
                    self.restored(&entry.path, 0);
                }
                Err(error) => self.problem(
                    entry.path.as_bytes(),
                    format_args!("its attributes are lost: {error}"),
                ),
            }
        }
        Ok(())
    }
}

/// Tells whether a directory, once it has its mode, would keep out the restore that brings the rest of what is in it.
fn would_lock_out(entry: &Entry) -> bool {
    entry.mode & 0o300 != 0o300 && !geteuid().is_root()
}
