//! Numbers as few bytes: 7 bits a byte, the lowest first; the top bit says that more follow. Reading never panics.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("7 bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("less than 0x80"));
}

/// Appends a number that may be negative; small ones of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Reads what was appended, from the front.
#[derive(Clone, Copy)]
pub(super) struct Source<'b> {
    rest: &'b [u8],
}

impl<'b> Source<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns how many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

/// Reads a count and that many items; a count that the bytes cannot hold fails at its first missing item.
pub(super) fn list<'b, T>(
    source: &mut Source<'b>,
    mut item: impl FnMut(&mut Source<'b>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = source.number()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(source)?);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<u64>, signed: Vec<i64>) {
            let mut bytes = Vec::new();
            for &n in &numbers {
                put(&mut bytes, n);
            }
            for &n in &signed {
                put_signed(&mut bytes, n);
            }
            let mut source = Source::new(&bytes);
            for n in numbers {
                prop_assert_eq!(source.number(), Some(n));
            }
            for n in signed {
                prop_assert_eq!(source.signed(), Some(n));
            }
            prop_assert_eq!(source.left(), 0);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let mut source = Source::new(&bytes);
            while source.signed().is_some() && source.small().is_some() {}
        }
    }
}
