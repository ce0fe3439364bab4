//! Where in a file each of its references belongs.

use anyhow::{Result, anyhow, bail};

use crate::file_reader::FILE_BYTES_MAX;
use crate::format::object_ref::{DataRef, ObjectRef, Slice};

/// A reference whose place in the file is known.
pub(crate) struct Placed {
    pub(crate) reference: ObjectRef,
    pub(crate) index: usize,
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

impl Layout {
    /// Tells whether the references themselves are needed when the contents are written.
    pub(crate) fn needs_references(&self) -> bool {
        match self {
            Self::Known(placed) => placed.iter().any(Placed::is_checked),
            Self::Unknown => true,
        }
    }
}

/// Where a file's references go.
pub(crate) enum Layout {
    /// Each at a known offset, with its length and its number among the file's references.
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
    index: usize,
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
        Ok(Self {
            size,
            index: 0,
            offset: 0,
        })
    }

    /// Places the next reference; none of what has no bytes of an object: there is nothing to write, and nothing that a task could
    /// end with. Of unknown length, it takes all of the file.
    pub(crate) fn next(&mut self, reference: &DataRef) -> Result<Option<Placed>> {
        let (index, offset) = (self.index, self.offset);
        let length = reference.length().unwrap_or(self.size);
        self.index += 1;
        self.offset = offset
            .checked_add(length)
            .ok_or_else(|| anyhow!("the lengths of its references overflow"))?;
        let DataRef::Object(object) = reference else {
            return Ok(None);
        };
        Ok((length != 0).then_some(Placed {
            reference: *object,
            index,
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
