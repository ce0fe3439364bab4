//! Where in a file each of its references belongs.

use anyhow::{Result, anyhow, bail};

use crate::file_reader::FILE_BYTES_MAX;
use crate::format::object_ref::{DataRef, ObjectRef, Slice};

/// A reference whose place in the file is known.
pub(crate) struct Placed {
    pub(crate) reference: ObjectRef,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Placed {
    /// Tells whether the reference says something of the whole object, which has to be compared when the object is there.
    pub(crate) fn is_checked(&self) -> bool {
        let of_whole_object = matches!(self.reference.slice, Slice::Exactly(_) | Slice::Whole);
        of_whole_object || self.reference.checksum.is_some()
    }
}

/// Where a file's references go.
pub(crate) enum Layout {
    /// Each at a known offset, with its length.
    Known(Vec<Placed>),
    /// Some only where the one before it ends.
    Unknown,
}

/// Finds the offset of each object reference in a file of `size` bytes; references that do not add up to it are an error.
pub(crate) fn layout(data: &[DataRef], size: u64) -> Result<Layout> {
    let mut placing = Placing::new(size)?;
    let mut references = Vec::with_capacity(data.len());
    for reference in data {
        // One reference of unknown length can be placed, if it is the only one: it is as long as the file.
        if reference.length().is_none() && data.len() > 1 {
            return Ok(Layout::Unknown);
        }
        references.extend(placing.next(reference)?);
    }
    placing.finish()?;
    Ok(Layout::Known(references))
}

/// Places one reference after the other.
pub(crate) struct Placing {
    size: u64,
    offset: u64,
}

impl Placing {
    /// Begins at the front of a file of `size` bytes.
    pub(crate) fn new(size: u64) -> Result<Self> {
        if size > FILE_BYTES_MAX {
            bail!(
                "a file of {size} bytes is larger than the {FILE_BYTES_MAX} that can be restored"
            );
        }
        Ok(Self { size, offset: 0 })
    }

    /// Places the next reference; none of what has no bytes of an object: there is nothing to write, and nothing that a task could
    /// end with. Of unknown length, it takes all of the file.
    pub(crate) fn next(&mut self, reference: &DataRef) -> Result<Option<Placed>> {
        let offset = self.offset;
        let length = reference.length().unwrap_or(self.size);
        self.offset = offset
            .checked_add(length)
            .ok_or_else(|| anyhow!("the lengths of its references overflow"))?;
        let DataRef::Object(object) = reference else {
            return Ok(None);
        };
        Ok((length != 0).then_some(Placed {
            reference: *object,
            offset,
            length,
        }))
    }

    /// Ends the file, which has to have its size.
    pub(crate) fn finish(self) -> Result<()> {
        if self.offset != self.size {
            bail!(
                "its references add up to {} bytes, its size is {}",
                self.offset,
                self.size
            );
        }
        Ok(())
    }
}
