//! Stat caches. The first byte says whether the rest is the file, or the bodies of its blocks, to which good digests are added:
//! otherwise nothing would get past them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pileus::local::stat_cache::StatCacheReader;

/// Length and digest in front of each block, as docs/local-state.md says.
fn block(body: &[u8]) -> Vec<u8> {
    let digest = blake3::hash(body);
    [
        &(body.len() as u64).to_le_bytes()[..],
        &digest.as_bytes()[..16],
        body,
    ]
    .concat()
}

fn file(bodies: &[u8]) -> Vec<u8> {
    let mut file = b"pileus stats  2\n".to_vec();
    let mut rest = bodies;
    while let [length, left @ ..] = rest {
        // Short bodies, and one that takes all that is left.
        let length = if *length == 255 {
            left.len()
        } else {
            usize::from(*length).min(left.len())
        };
        if length > 0 {
            file.extend(block(&left[..length]));
        }
        rest = &left[length..];
    }
    let end = file.len() as u64 + 24;
    file.extend([0; 24]);
    for inode in 0..8_u64 {
        file.extend(inode.to_le_bytes());
        file.extend(16_u64.to_le_bytes());
    }
    file.extend(8_u64.to_le_bytes());
    file.extend(end.to_le_bytes());
    file
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&raw, bytes)) = bytes.split_first() else {
        return;
    };
    let bytes = if raw == 0 {
        bytes.to_vec()
    } else {
        file(bytes)
    };
    let directory = tempfile::tempdir().expect("a directory is made");
    std::fs::write(directory.path().join("statcache"), bytes).expect("the stat cache is written");
    let mut reader = StatCacheReader::open(directory.path(), "")
        .expect("opens")
        .expect("is there");
    while let Ok(Some(block)) = reader.next_block() {
        let mut cursor = block.cursor();
        while cursor.advance(&block) {
            let Some(record) = cursor.record() else {
                break;
            };
            let _ = (
                block.remembered(record),
                block.stanza_place(record),
                cursor.path(),
                cursor.passed(),
            );
            let _ = block.rest(&cursor);
        }
        let _ = (
            block.segments(),
            block.texts(),
            block.piece(),
            block.slices(),
            block.text_bytes(),
        );
    }
    for inode in 0..8 {
        let _ = reader.find_inode(inode);
    }
});
