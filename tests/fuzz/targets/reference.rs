//! References to objects: read, written and read again, and what they mean in an object of any length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pileus::format::object_ref::{DataRef, ObjectId, ObjectRef, SegmentId};

fuzz_target!(|text: &[u8]| {
    let _ = (SegmentId::parse(text), ObjectId::parse(text));
    if let Ok(reference) = ObjectRef::parse(text) {
        let mut again = Vec::new();
        reference.encode(&mut again);
        assert_eq!(ObjectRef::parse(&again), Ok(reference));
        for length in [0, 1, text.len() as u64, 1 << 20, u64::MAX] {
            if let Ok(range) = reference.range(length) {
                assert!(
                    range.start <= range.end && range.end <= length,
                    "{reference} in {length} bytes"
                );
            }
        }
    }
    if let Ok(data) = DataRef::parse(text) {
        let mut again = Vec::new();
        data.encode(&mut again);
        assert_eq!(DataRef::parse(&again), Ok(data));
    }
});
