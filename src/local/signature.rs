//! Signatures: digests of the pages of a stored object, by which a later backup finds them again inside a changed file.
//!
//! An object is cut into pages of 4 KiB, the last one may be shorter. Of each page a signature has 16 bytes: a weak sum that can be
//! rolled over new data byte by byte, and the beginning of BLAKE3, without which no page is ever taken as found. It costs 0.39 %
//! of the object in the database. docs/decisions/0007-sub-file-pages-with-a-rolling-sum.md says why pages and not content-defined
//! chunks.
//!
//! The weak sum is the pair of sums known from Adler-32 and rsync, both modulo 2^16, over values that spread the bytes over 16 bits:
//! over plain bytes, the sums of texts would lie close together. It must cost little besides BLAKE3, since it runs over all new
//! data. Therefore it is made of what every x86-64 can do on eight numbers at a time, and `RollingSum::of` is written in columns,
//! so that the compiler does.
//!
//! A signature read from the database is not trusted further than its length; it holds no lengths and no offsets.

/// Size of a page; the last one of an object may be shorter.
pub const PAGE_BYTES: usize = 4096;

/// Size of what a signature has of each page.
const ENTRY_BYTES: usize = WEAK_BYTES + StrongDigest::BYTES;

const WEAK_BYTES: usize = 4;

/// The digests of an object's pages, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// Computes the signature of an object's bytes.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        let mut packed = Vec::with_capacity(block.len().div_ceil(PAGE_BYTES) * ENTRY_BYTES);
        for page in block.chunks(PAGE_BYTES) {
            packed.extend_from_slice(&RollingSum::of(page).value().to_le_bytes());
            packed.extend_from_slice(&StrongDigest::of(page).0);
        }
        Self(packed)
    }

    /// Takes the bytes of a signature as they were stored; none if an object of that size cannot have it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], object_bytes: u32) -> Option<Self> {
        let page_count = usize::try_from(object_bytes).ok()?.div_ceil(PAGE_BYTES);
        (bytes.len() == page_count.checked_mul(ENTRY_BYTES)?).then(|| Self(bytes.to_vec()))
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of pages, the short last one included.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.0.len() / ENTRY_BYTES
    }

    /// Returns the weak sums of all pages, in order.
    pub fn weak_sums(&self) -> impl Iterator<Item = u32> {
        let weak_sum = |entry: &[u8]| {
            let (weak, _) = entry.split_at(WEAK_BYTES);
            u32::from_le_bytes(weak.try_into().expect("it was split off at 4 bytes"))
        };
        self.0.chunks_exact(ENTRY_BYTES).map(weak_sum)
    }

    /// Returns the strong digest of a page; none if the object has fewer pages.
    #[must_use]
    pub fn strong_digest(&self, page: usize) -> Option<StrongDigest> {
        let entry = self.0.chunks_exact(ENTRY_BYTES).nth(page)?;
        let (_, strong) = entry.split_at(WEAK_BYTES);
        Some(StrongDigest(
            strong.try_into().expect("an entry ends with it"),
        ))
    }
}

/// What tells a page for certain: the first 96 bits of BLAKE3.
///
/// A page is only compared with those of its file's previous version, some thousands at a time. By accident that many bits never
/// agree; somebody who makes two pages agree on purpose damages a file that both of them are his.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrongDigest([u8; Self::BYTES]);

impl StrongDigest {
    const BYTES: usize = 12;

    /// Computes the digest of a page.
    #[must_use]
    pub fn of(page: &[u8]) -> Self {
        let hash = blake3::hash(page);
        let (first, _) = hash.as_bytes().split_at(Self::BYTES);
        Self(first.try_into().expect("it was split off at this length"))
    }
}

/// The weak sum of a window of data, which can be moved along by a byte at small cost.
#[derive(Clone, Copy, Debug)]
pub struct RollingSum {
    /// Sum of the spread bytes; only the lower half counts, but whole registers are cheaper to add.
    sum: u32,
    /// Sum of the spread bytes, the last one once, the one before it twice, and so on; likewise.
    weighted: u32,
}

impl RollingSum {
    /// Computes the sum of a page.
    #[must_use]
    pub fn of(page: &[u8]) -> Self {
        let (rows, rest) = page.as_chunks();
        let (sums, weighted) = sum_columns(rows);
        // A byte that stands r rows and c columns before the end of the rows counts 16 r + c times.
        let mut whole = Self {
            sum: 0,
            weighted: 0,
        };
        for (column, (sum, in_rows)) in (0_u32..).zip(sums.into_iter().zip(weighted)) {
            whole.sum = whole.sum.wrapping_add(sum.into());
            let weighted = u32::from(in_rows)
                .wrapping_mul(16)
                .wrapping_sub(column.wrapping_mul(sum.into()));
            whole.weighted = whole.weighted.wrapping_add(weighted);
        }
        for &byte in rest {
            whole.sum = whole.sum.wrapping_add(spread(byte).into());
            whole.weighted = whole.weighted.wrapping_add(whole.sum);
        }
        whole
    }

    /// Moves a window of [`PAGE_BYTES`] on by one byte: `first` leaves it, `next` enters it.
    #[inline]
    pub fn roll(&mut self, first: u8, next: u8) {
        let leaving = SPREAD[usize::from(first)];
        let entering = SPREAD[usize::from(next)];
        self.sum = self.sum.wrapping_add(entering.wrapping_sub(leaving));
        // The window's length in 16 bits is 2^12, so that the product is a shift.
        self.weighted = self
            .weighted
            .wrapping_add(self.sum.wrapping_sub(leaving << PAGE_BYTES.ilog2()));
    }

    /// Returns the sum as a signature has it.
    #[inline]
    #[must_use]
    pub fn value(self) -> u32 {
        self.weighted << 16 | self.sum & 0xffff
    }
}

/// Number of columns in which a page is summed up: they fill two vectors of the smallest size there is.
const COLUMNS: usize = 16;

/// Sums up each column, once plainly and once with the last row counted once, the one before it twice, and so on.
///
/// A function of its own, and never inlined: together with what is done to the result, the compiler makes it three times slower.
#[inline(never)]
fn sum_columns(rows: &[[u8; COLUMNS]]) -> ([u16; COLUMNS], [u16; COLUMNS]) {
    let mut sums = [0_u16; COLUMNS];
    let mut weighted = [0_u16; COLUMNS];
    for row in rows {
        for column in 0..COLUMNS {
            sums[column] = sums[column].wrapping_add(spread(row[column]));
            weighted[column] = weighted[column].wrapping_add(sums[column]);
        }
    }
    (sums, weighted)
}

/// Spreads a byte over 16 bits: x (2x + 1) is a permutation of the numbers modulo 2^16, and so is a product with an odd number.
const fn spread(byte: u8) -> u16 {
    const FACTOR: u16 = 0x9e37;
    let x = byte as u16;
    x.wrapping_mul(x.wrapping_mul(FACTOR.wrapping_mul(2)).wrapping_add(FACTOR))
}

/// All values of [`spread`]: a look-up is cheaper where single bytes are taken.
const SPREAD: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = spread(byte) as u32;
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_signature_has_sixteen_bytes_a_page_and_covers_a_short_last_page() {
        let block: Vec<u8> = (0..2 * PAGE_BYTES + 100)
            .map(|i| u8::try_from(i % 251).expect("below 251"))
            .collect();
        let signature = Signature::of(&block);
        assert_eq!(signature.as_bytes().len(), 3 * 16);
        assert_eq!(signature.page_count(), 3);
        let last = &block[2 * PAGE_BYTES..];
        assert_eq!(signature.strong_digest(2), Some(StrongDigest::of(last)));
        assert_eq!(
            signature.weak_sums().last(),
            Some(RollingSum::of(last).value())
        );
        assert_eq!(signature.strong_digest(3), None);
        assert_eq!(Signature::of(b"").page_count(), 0);
    }

    #[test]
    fn a_stored_signature_of_the_wrong_length_is_refused() {
        let signature = Signature::of(&[7; PAGE_BYTES + 1]);
        let bytes = signature.as_bytes();
        for object_bytes in [4097, 8191, 8192] {
            assert_eq!(
                Signature::from_bytes(bytes, object_bytes).as_ref(),
                Some(&signature)
            );
        }
        for object_bytes in [0, 1, 4096, 8193, u32::MAX] {
            assert_eq!(Signature::from_bytes(bytes, object_bytes), None);
        }
        assert_eq!(Signature::from_bytes(&bytes[..31], 8192), None);
        assert_eq!(Signature::from_bytes(&[], 0), Some(Signature::of(b"")));
    }

    #[test]
    fn no_two_bytes_are_spread_alike() {
        let mut values = SPREAD.to_vec();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 256);
    }

    /// The sum by its definition.
    fn slow_sum(page: &[u8]) -> u32 {
        let mut sum = 0_u16;
        let mut weighted = 0_u16;
        for &byte in page {
            sum = sum.wrapping_add(spread(byte));
            weighted = weighted.wrapping_add(sum);
        }
        u32::from(weighted) << 16 | u32::from(sum)
    }

    proptest! {
        #[test]
        fn the_sum_in_columns_is_that_of_the_definition(page in vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(RollingSum::of(&page).value(), slow_sum(&page));
        }

        #[test]
        fn a_rolled_sum_is_that_of_the_window_it_came_to(data in vec(any::<u8>(), PAGE_BYTES..PAGE_BYTES + 200)) {
            let mut sum = RollingSum::of(&data[..PAGE_BYTES]);
            for at in 1..=data.len() - PAGE_BYTES {
                sum.roll(data[at - 1], data[at + PAGE_BYTES - 1]);
            }
            prop_assert_eq!(sum.value(), RollingSum::of(&data[data.len() - PAGE_BYTES..]).value());
        }

        #[test]
        fn stored_bytes_never_panic(bytes: Vec<u8>, object_bytes: u32) {
            if let Some(signature) = Signature::from_bytes(&bytes, object_bytes) {
                prop_assert_eq!(signature.as_bytes(), &bytes[..]);
                prop_assert_eq!(signature.weak_sums().count(), signature.page_count());
            }
        }
    }
}
