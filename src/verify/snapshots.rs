//! Sets of the snapshots that are being verified, one bit each: a piece of a log may be shared by a thousand of them.

use crate::format::snapshot_name::SnapshotName;

/// Snapshots by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SnapshotSet {
    words: Vec<u64>,
}

impl SnapshotSet {
    pub(super) fn insert(&mut self, number: usize) {
        let word = number / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
    }

    pub(super) fn add(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Returns those that are not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        let words = self.words.iter().zip(others).map(|(word, not)| word & !not);
        Self {
            words: words.collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Returns the numbers, the smallest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let bits = |word: u64| (0..64).filter(move |bit| word & 1 << bit != 0);
        self.words
            .iter()
            .enumerate()
            .flat_map(move |(at, word)| bits(*word).map(move |bit| at * 64 + bit))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        Self {
            words: words.collect(),
        }
    }

    /// Names the snapshots: each of a few, else how many there are, the first and the last.
    pub(super) fn told(&self, names: &[SnapshotName]) -> String {
        let found: Vec<_> = self.iter().filter_map(|number| names.get(number)).collect();
        match &found[..] {
            [] => "no snapshot".to_owned(),
            [one] => format!("snapshot {one}"),
            [one, two] => format!("snapshots {one} and {two}"),
            [one, two, three] => format!("snapshots {one}, {two} and {three}"),
            [first, .., last] => format!("{} snapshots from {first} to {last}", found.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[usize]) -> SnapshotSet {
        let mut set = SnapshotSet::default();
        for number in numbers {
            set.insert(*number);
        }
        set
    }

    #[test]
    fn sets_are_joined_and_subtracted_and_survive_the_spool() {
        let mut joined = set(&[1, 700]);
        joined.add(&set(&[0, 64]));
        assert_eq!(joined.iter().collect::<Vec<_>>(), [0, 1, 64, 700]);
        assert_eq!(SnapshotSet::decode(&joined.encode()), joined);
        let rest = joined.without(&set(&[1, 64]));
        assert_eq!(rest.iter().collect::<Vec<_>>(), [0, 700]);
        assert_eq!(set(&[3]).without(&set(&[3, 900])).iter().count(), 0);
    }

    #[test]
    fn many_snapshots_are_told_by_the_first_and_the_last() {
        let name = |day: usize| SnapshotName::parse(&format!("home-202601{day:02}T000000"));
        let names: Vec<_> = (1..10).map(|day| name(day).expect("a name")).collect();
        assert_eq!(set(&[2]).told(&names), "snapshot home-20260103T000000");
        assert_eq!(
            set(&[0, 2, 3, 8]).told(&names),
            "4 snapshots from home-20260101T000000 to home-20260109T000000"
        );
    }
}
