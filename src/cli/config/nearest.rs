//! The word that somebody may have meant: only one that is near is worth naming.

/// Returns the nearest of the words that there are, if no more than a third of its letters has to change, or one.
pub(crate) fn nearest<'w>(
    word: &str,
    known: impl IntoIterator<Item = &'w String>,
) -> Option<&'w str> {
    let near = |known: &str| (known.chars().count() / 3).max(1);
    let known = known
        .into_iter()
        .map(|known| (distance(known, word), known));
    let known =
        known.filter(|(distance, known)| *distance <= near(known) && *distance < word.len());
    let nearest = known.min_by_key(|(distance, _)| *distance)?;
    Some(nearest.1)
}

/// Returns how many characters have to be put in, taken out, replaced, or exchanged with the next one, to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let first: Vec<_> = (0..=other.len()).collect();
    let mut rows = vec![first];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_far_apart_as_the_letters_that_differ() {
        for (one, other, wanted) in [
            ("dest", "dest", 0),
            ("dest", "test", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("exclude", "exlcude", 1),
            ("dest", "dset", 1),
            ("home", "list", 4),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn what_is_far_is_not_offered() {
        let known = ["list", "as-path", "exclude-caches"].map(str::to_owned);
        for (word, wanted) in [
            ("lists", Some("list")),
            ("home", None),
            ("keep-daily", None),
            ("exclude-cache-dirs", Some("exclude-caches")),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), wanted, "{word}");
        }
    }
}
