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
    if size > FILE_BYTES_MAX {
        bail!("a file of {size} bytes is larger than the {FILE_BYTES_MAX} that can be restored");
    }
    let mut references = Vec::with_capacity(data.len());
    let mut offset = 0_u64;
    for (index, reference) in data.iter().enumerate() {
        // One reference of unknown length can be placed, if it is the only one: it is as long as the file.
        let length = match reference.length() {
            Some(length) => length,
            None if index == 0 && data.len() == 1 => size,
            None => return Ok(Layout::Unknown),
        };
        if let DataRef::Object(object) = reference {
            references.push(Placed {
                reference: *object,
                index,
                offset,
                length,
            });
        }
        offset = offset
            .checked_add(length)
            .ok_or_else(|| anyhow!("the lengths of its references overflow"))?;
    }
    if offset != size {
        bail!("its references add up to {offset} bytes, its size is {size}");
    }
    // Nothing to write for an empty reference, and nothing that a task could end with.
    references.retain(|placed| placed.length != 0);
    Ok(Layout::Known(references))
}
