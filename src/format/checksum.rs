//! Checksums as the store writes them: `sha1=<hex>`, `sha224=<hex>`, `sha256=<hex>`.
//!
//! SHA-1 is the format's default (docs/format.md, "Object references") and what pileus writes. It guards against damage, not
//! against an attacker who makes collisions: block identity in the local database therefore uses a stronger digest.

use std::fmt;

use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256};

use super::FormatError;

/// A checksum algorithm that the format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 160 bits; what every version of the format reads, and what pileus writes.
    Sha1,
    /// 224 bits; written by Cumulus 0.11.
    Sha224,
    /// 256 bits.
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
        }
    }

    /// Returns a number that stands for the algorithm in files of our own; never 0.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha224 => 2,
            Self::Sha256 => 3,
        }
    }

    /// Returns the algorithm that a number stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Sha1, Self::Sha224, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.code() == code)
    }

    /// Returns the length of a digest.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
        }
    }
}

/// A digest together with the algorithm that made it; displayed as `algorithm=hex`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    digest: [u8; 32],
}

impl Checksum {
    /// Computes the checksum of `data` in one go.
    #[must_use]
    pub fn of(algorithm: Algorithm, data: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// Parses `algorithm=hexdigest`; an unknown algorithm or a digest of the wrong length is an error.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let invalid = || FormatError::new("invalid checksum", text);
        let at = text.iter().position(|&b| b == b'=').ok_or_else(invalid)?;
        let algorithm = match &text[..at] {
            b"sha1" => Algorithm::Sha1,
            b"sha224" => Algorithm::Sha224,
            b"sha256" => Algorithm::Sha256,
            other => return Err(FormatError::new("unknown checksum algorithm", other)),
        };
        Self::from_hex(algorithm, &text[at + 1..]).ok_or_else(invalid)
    }

    /// Makes a checksum from its hexadecimal digits (either case), if they are as many as `algorithm` has.
    #[must_use]
    pub fn from_hex(algorithm: Algorithm, hex: &[u8]) -> Option<Self> {
        if hex.len() != 2 * algorithm.digest_bytes() {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = hex_value(pair[0])? << 4 | hex_value(pair[1])?;
        }
        Some(Self { algorithm, digest })
    }

    /// Makes a checksum from a digest that is filled up with zeros to 32 bytes, as [`padded_digest`](Self::padded_digest) gives it.
    #[must_use]
    pub fn from_padded_digest(algorithm: Algorithm, digest: [u8; 32]) -> Self {
        Self { algorithm, digest }
    }

    /// Returns the digest, filled up with zeros to 32 bytes.
    #[must_use]
    pub fn padded_digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Compares the checksum with that of `data`; the error says both.
    pub fn verify(&self, data: &[u8]) -> Result<(), FormatError> {
        self.compare(&Self::of(self.algorithm, data))
    }

    /// Compares the checksum that is wanted with one that was found; the error says both.
    pub fn compare(&self, found: &Self) -> Result<(), FormatError> {
        if found == self {
            Ok(())
        } else {
            Err(FormatError::plain(format!(
                "is damaged: checksum {found}, wanted {self}"
            )))
        }
    }

    /// Returns the algorithm that made the digest.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the digest in lower-case hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut hex = Vec::with_capacity(64);
        push_hex(&mut hex, self.digest());
        String::from_utf8(hex).expect("hexadecimal digits are ASCII")
    }

    /// Appends `algorithm=hexdigest` to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.algorithm.name().as_bytes());
        out.push(b'=');
        push_hex(out, self.digest());
    }

    fn digest(&self) -> &[u8] {
        &self.digest[..self.algorithm.digest_bytes()]
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An incremental checksum.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-1 in progress.
    Sha1(Sha1),
    /// SHA-224 in progress.
    Sha224(Sha224),
    /// SHA-256 in progress.
    Sha256(Sha256),
}

impl Hasher {
    /// Starts a checksum over nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha224 => Self::Sha224(Sha224::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    /// Adds `data` to what the checksum covers.
    pub fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha1(h) => h.update(data),
            Self::Sha224(h) => h.update(data),
            Self::Sha256(h) => h.update(data),
        }
    }

    /// Returns the checksum of everything added.
    #[must_use]
    pub fn finish(self) -> Checksum {
        let mut digest = [0; 32];
        let algorithm = match self {
            Self::Sha1(h) => {
                digest[..20].copy_from_slice(&h.finalize());
                Algorithm::Sha1
            }
            Self::Sha224(h) => {
                digest[..28].copy_from_slice(&h.finalize());
                Algorithm::Sha224
            }
            Self::Sha256(h) => {
                digest.copy_from_slice(&h.finalize());
                Algorithm::Sha256
            }
        };
        Checksum { algorithm, digest }
    }
}

/// Returns the value of a hexadecimal digit of either case.
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends `bytes` in lower-case hexadecimal.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_of_abc() {
        // FIPS 180-2, appendix A and B.
        for (algorithm, text) in [
            (
                Algorithm::Sha1,
                "sha1=a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                Algorithm::Sha224,
                "sha224=23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
            ),
            (
                Algorithm::Sha256,
                "sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            let sum = Checksum::of(algorithm, b"abc");
            assert_eq!(sum.to_string(), text);
            assert_eq!(Checksum::parse(text.as_bytes()).expect("parses"), sum);
        }
    }

    #[test]
    fn bad_checksums_are_refused() {
        for bad in [
            "",
            "sha1",
            "sha1=",
            "sha1=12",
            "md5=d41d8cd98f00b204e9800998ecf8427e",
            "sha1=zz93e364706816aba3e25717850c26c9cd0d89dd",
        ] {
            assert!(Checksum::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
