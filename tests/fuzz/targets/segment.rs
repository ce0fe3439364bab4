//! Segments: any bytes behind each of the built-in codecs. The first byte chooses the codec, and whether it is the decoder or the
//! tar reader that gets the bytes as they are.

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use pileus::format::object_ref::SegmentId;
use pileus::store::segment_reader::{OBJECT_BYTES_MAX, SegmentReader};

const ID: &[u8; 36] = b"dddddddd-0000-4000-8000-000000000001";

fuzz_target!(|bytes: &[u8]| {
    let Some((&codec, bytes)) = bytes.split_first() else {
        return;
    };
    let extension = ["", ".bz2", ".gz", ".zst"][usize::from(codec) % 4];
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path().join("segment");
    std::fs::write(&path, bytes).expect("the segment is written");
    let id = SegmentId::parse(ID).expect("is a name");
    let Ok(reader) = SegmentReader::open(id, &path, extension, None) else {
        return;
    };
    let _ = reader.read(
        |sequence| sequence % 16 != 15,
        |_, data| {
            assert!(data.len() as u64 <= OBJECT_BYTES_MAX);
            Ok(ControlFlow::Continue(()))
        },
    );
});
