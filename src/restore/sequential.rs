//! Files whose references do not say how long they are, as other programs write them: nobody knows where a part belongs before all
//! parts in front of it were read. Each is restored by itself, front to back.

use anyhow::{Context, Error, Result, anyhow};

use super::Restorer;
use super::contents::Opened;
use super::rest::Failed;
use super::spool::{Place, Spool};
use super::target::DirCursor;
use crate::file_reader::{self, Part};
use crate::format::entry::EntryKind;
use crate::store::object_cache::ObjectCache;

/// Restores one such file.
pub(crate) fn restore(
    restorer: &Restorer<'_>,
    spool: &Spool,
    place: Place,
    objects: &mut ObjectCache<'_>,
) -> Result<()> {
    let (entry, work) = spool.reader().entry(place)?;
    let EntryKind::File(contents) = &entry.kind else {
        return Err(anyhow!("an entry that is no file was kept for later"));
    };
    let mut cursor = DirCursor::new(restorer.target);
    let opened = match Opened::create(restorer, &mut cursor, place, &entry.path, work) {
        Ok(opened) => opened,
        Err(failed) => {
            restorer.fail(&entry.path, &failed);
            return Ok(());
        }
    };
    let mut offset = 0;
    let written = file_reader::read(contents, objects, &mut |part| {
        restorer.rest.ensure_going_on().map_err(Error::msg)?;
        if let Part::Bytes(bytes) = part {
            opened
                .write(offset, bytes, restorer.options.sparse)
                .context("cannot be written")?;
        }
        offset += part.length();
        Ok(())
    });
    match written {
        Ok(()) => restorer.complete_verified(&mut cursor, &opened, &entry),
        Err(error) => {
            let reason = format!("{error:#}");
            let failed = error
                .downcast_ref()
                .map(|error| Failed::new(error, reason.clone()));
            match failed {
                Some(failed) if failed.no_room => {
                    opened.discard(&mut cursor).map_err(Error::msg)?;
                    restorer.fail(&entry.path, &failed);
                }
                _ => restorer.give_up(&mut cursor, &opened, &reason),
            }
        }
    }
    Ok(())
}
