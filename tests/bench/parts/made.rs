//! Inputs: bytes and entries as file trees have them, made of nothing but a seed.

use pileus::format::checksum::{Algorithm, Checksum};
use pileus::format::entry::{Entry, EntryKind, FileContents, FileTime, Owner};
use pileus::format::object_ref::{DataRef, ObjectId, ObjectRef, SegmentId, Slice};
use pileus::format::path::EntryPath;

/// Numbers without a pattern that matters here: a linear congruential generator, of which the upper half is taken.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Begins a series; the same seed gives the same one.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u32 {
        let factor = 6_364_136_223_846_793_005;
        self.0 = self.0.wrapping_mul(factor).wrapping_add(1);
        let [.., a, b, c, d] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Returns bytes that cannot be compressed.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.flatten().take(count).collect()
    }
}

/// Files of a directory.
const FILES_EACH: usize = 100;

/// One file in so many has many blocks.
const LARGE_EACH: usize = 50;

/// Blocks of a large file.
const LARGE_BLOCKS: u32 = 40;

/// Objects of a segment.
const OBJECTS_EACH: u32 = 1000;

/// Makes entries in path order: directories of a hundred files, most of them of one block, some of many.
pub(crate) fn entries(count: usize) -> Vec<Entry> {
    let mut numbers = Numbers::new(1);
    let mut object = 0;
    (0..count)
        .map(|number| entry(number, &mut numbers, &mut object))
        .collect()
}

fn entry(number: usize, numbers: &mut Numbers, object: &mut u32) -> Entry {
    let (directory, file) = (number / FILES_EACH, number % FILES_EACH);
    let directory = format!("home/user/some work/{directory:05}");
    let (path, kind) = if file == 0 {
        (directory, EntryKind::Directory)
    } else {
        let path = format!("{directory}/letter of {file:04}.txt");
        (path, EntryKind::File(contents(number, numbers, object)))
    };
    let owner = |name: &str| Owner {
        id: 1000,
        name: Some(name.as_bytes().to_vec()),
    };
    let mut time = || FileTime {
        seconds: 1_700_000_000 + i64::from(numbers.next() % 90_000_000),
        nanoseconds: numbers.next() % 1_000_000_000,
    };
    Entry {
        path: EntryPath::new(path).expect("is a path"),
        kind,
        mode: 0o644,
        user: owner("user"),
        group: owner("users"),
        mtime: time(),
        ctime: Some(time()),
        inode: Some(format!("254/1/{}", 10_000_000 + number).into_bytes()),
        links: 1,
        volatile: false,
        partial: false,
        incomplete: false,
        xattrs: Vec::new(),
    }
}

fn contents(number: usize, numbers: &mut Numbers, object: &mut u32) -> FileContents {
    let is_large = number % LARGE_EACH == 1;
    let blocks = if is_large { LARGE_BLOCKS } else { 1 };
    let data: Vec<_> = (0..blocks)
        .map(|_| {
            *object += 1;
            reference(*object, u64::from(1 + numbers.next() % (1 << 20)))
        })
        .collect();
    FileContents {
        size: data.iter().filter_map(DataRef::length).sum(),
        checksum: Some(Checksum::of(Algorithm::Sha1, &number.to_le_bytes())),
        data,
    }
}

/// Returns a reference to a whole block, as a backup writes it.
pub(crate) fn reference(object: u32, bytes: u64) -> DataRef {
    DataRef::Object(ObjectRef {
        object: ObjectId {
            segment: segment(object / OBJECTS_EACH),
            sequence: object % OBJECTS_EACH,
        },
        checksum: None,
        slice: Slice::First(bytes),
    })
}

/// Returns a reference to a piece of the metadata log, which has a checksum.
pub(crate) fn piece(sequence: u32, bytes: u64) -> ObjectRef {
    ObjectRef {
        object: ObjectId {
            segment: segment(u32::MAX),
            sequence,
        },
        checksum: Some(Checksum::of(Algorithm::Sha1, &sequence.to_le_bytes())),
        slice: Slice::First(bytes),
    }
}

/// Returns the name of a segment.
pub(crate) fn segment(number: u32) -> SegmentId {
    let digest = Checksum::of(Algorithm::Sha1, &number.to_le_bytes());
    let mut name = [0; 16];
    name.copy_from_slice(&digest.padded_digest()[..16]);
    SegmentId::from_bytes(name)
}
