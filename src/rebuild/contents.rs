//! References of older programs as pileus writes them (docs/format.md, "What is written").
//!
//! `[n]` meant the first bytes of an object to some and all of it to others; here it is written only where both are true. A reference
//! without a slice does not say how long the object is. Where the size of the file does not tell, the object is looked at.

use crate::format::entry::FileContents;
use crate::format::object_ref::{DataRef, ObjectRef, Slice};
use crate::store::object_cache::ObjectCache;

/// Returns contents, whose lists of references are expanded, with a slice in every reference; none if they make no sense.
pub(super) fn portable(
    contents: &FileContents,
    by_pileus: bool,
    objects: &mut ObjectCache<'_>,
) -> Option<FileContents> {
    let unknown_length = only_unknown_length(contents);
    let mut data = Vec::with_capacity(contents.data.len());
    let mut size = 0_u64;
    for reference in &contents.data {
        let DataRef::Object(object) = reference else {
            size = size.checked_add(reference.length()?)?;
            data.push(*reference);
            continue;
        };
        let slice = match object.slice {
            Slice::Part { .. } => object.slice,
            Slice::Exactly(length) => Slice::First(length),
            Slice::First(_) if by_pileus => object.slice,
            Slice::First(length) => Slice::Part { start: 0, length },
            Slice::Whole => Slice::First(match unknown_length {
                Some(length) => length,
                None => objects.length(object).ok()?,
            }),
        };
        let object = ObjectRef {
            checksum: None,
            slice,
            ..*object
        };
        size = size.checked_add(object.length()?)?;
        data.push(DataRef::Object(object));
    }
    (size == contents.size).then(|| FileContents {
        data,
        ..contents.clone()
    })
}

/// Returns what the file's size leaves for the one reference that does not tell its length.
fn only_unknown_length(contents: &FileContents) -> Option<u64> {
    let mut unknown = 0;
    let mut known_bytes = 0_u64;
    for reference in &contents.data {
        match reference.length() {
            Some(length) => known_bytes = known_bytes.checked_add(length)?,
            None => unknown += 1,
        }
    }
    (unknown == 1)
        .then(|| contents.size.checked_sub(known_bytes))
        .flatten()
}
