//! A quick guess whether compression would be wasted on a block.
//!
//! Order-0 entropy of a sample is cheap and rules out nearly everything that compresses (text is near 5 bits a byte, machine
//! code near 6); only what looks like noise pays for a trial compression, which decides. Wrong guesses cost space or time,
//! never correctness.

/// Smaller blocks are not probed: a file of its own segment group would cost more order than it saves.
const SMALLEST_PROBED_BYTES: usize = 16 << 10;
const SAMPLE_BYTES: usize = 4096;
const RUN_BYTES: usize = 64;
const TRIAL_BYTES: usize = 16 << 10;
/// Entropy of a 4 KiB sample of noise measures about 7.95 bits a byte.
const NOISE_BITS_PER_BYTE: f64 = 7.8;

/// Tells whether `block` is unlikely to shrink by more than a few per cent.
#[must_use]
pub fn is_incompressible(block: &[u8]) -> bool {
    block.len() >= SMALLEST_PROBED_BYTES
        && entropy(block) > NOISE_BITS_PER_BYTE
        && trial_fails(block)
}

/// Returns the order-0 entropy of a sample, runs of bytes spread evenly over the block, in bits a byte.
fn entropy(block: &[u8]) -> f64 {
    let step = block.len() / (SAMPLE_BYTES / RUN_BYTES);
    let mut counts = [0_u32; 256];
    for chunk in block.chunks(step) {
        for &byte in &chunk[..RUN_BYTES.min(chunk.len())] {
            counts[usize::from(byte)] += 1;
        }
    }
    let total = f64::from(counts.iter().sum::<u32>());
    counts
        .iter()
        .filter(|&&n| n > 0)
        .map(|&n| f64::from(n) / total)
        .map(|p| -p * p.log2())
        .sum()
}

fn trial_fails(block: &[u8]) -> bool {
    let middle = (block.len() - TRIAL_BYTES) / 2;
    let trial = &block[middle..middle + TRIAL_BYTES];
    zstd::bulk::compress(trial, 1).is_ok_and(|out| out.len() * 100 > trial.len() * 97)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block cipher would do as well: SHA-1 of a counter looks like noise to every compressor.
    fn noise(bytes: usize) -> Vec<u8> {
        use crate::format::checksum::{Algorithm, Checksum};
        let digests = (0_u64..).map(|i| Checksum::of(Algorithm::Sha256, &i.to_le_bytes()));
        let hex = digests
            .flat_map(|d| d.hex().into_bytes())
            .take(2 * bytes)
            .collect::<Vec<_>>();
        hex.chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")
            })
            .collect()
    }

    #[test]
    fn noise_is_incompressible_and_text_is_not() {
        assert!(is_incompressible(&noise(100_000)));
        assert!(is_incompressible(&noise(SMALLEST_PROBED_BYTES)));
        assert!(!is_incompressible(&b"the quick brown fox ".repeat(5_000)));
        let repeated: Vec<u8> = noise(1000).repeat(100);
        assert!(
            !is_incompressible(&repeated),
            "high entropy, yet it compresses"
        );
        assert!(!is_incompressible(&noise(1000)), "too small to ask");
    }
}
