//! Checksums of one object, each computed once.
//!
//! Any number of references may say a checksum of the same object, each for a byte of it. To hash the object for each of them would
//! cost its length as many times: a store of some megabytes could keep its reader busy for days. A wrong checksum is found wrong as
//! cheaply as a right one is found right.

use super::FormatError;
use super::checksum::{Algorithm, Checksum};

/// What is known of the checksums of an object.
#[derive(Clone, Debug, Default)]
pub struct KnownChecksums {
    /// One for each algorithm that was asked for.
    found: Vec<Checksum>,
}

impl KnownChecksums {
    /// Tells whether the object need not be looked at for a checksum by this algorithm.
    #[must_use]
    pub fn has(&self, algorithm: Algorithm) -> bool {
        self.found.iter().any(|sum| sum.algorithm() == algorithm)
    }

    /// Compares a checksum with that of the object; `object` is looked at only if its checksum is not known yet.
    pub fn verify(&mut self, wanted: &Checksum, object: &[u8]) -> Result<(), FormatError> {
        let algorithm = wanted.algorithm();
        let known = self.found.iter().find(|sum| sum.algorithm() == algorithm);
        if let Some(found) = known {
            return wanted.compare(found);
        }
        let found = Checksum::of(algorithm, object);
        self.found.push(found);
        wanted.compare(&found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_looked_at_once_for_each_algorithm() {
        let mut known = KnownChecksums::default();
        for algorithm in [Algorithm::Sha1, Algorithm::Sha224, Algorithm::Sha256] {
            let right = Checksum::of(algorithm, b"abc");
            let wrong = Checksum::of(algorithm, b"another");
            assert!(!known.has(algorithm));
            assert_eq!(known.verify(&right, b"abc"), Ok(()));
            assert!(known.has(algorithm));
            // With other bytes the answers would be the other way round, if they were looked at.
            assert_eq!(known.verify(&right, b"another"), Ok(()));
            assert!(known.verify(&wrong, b"another").is_err());
        }
    }

    #[test]
    fn a_wrong_checksum_does_not_spoil_the_right_one() {
        let mut known = KnownChecksums::default();
        let (right, wrong) = (
            Checksum::of(Algorithm::Sha1, b"abc"),
            Checksum::of(Algorithm::Sha1, b"another"),
        );
        assert!(known.verify(&wrong, b"abc").is_err());
        assert_eq!(known.verify(&right, b"abc"), Ok(()));
    }
}
