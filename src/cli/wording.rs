//! Numbers in sentences: the one place that knows singular from plural.

/// Returns a number with what it counts; `what` is the singular.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 {
        return format!("1 {what}");
    }
    match what.strip_suffix("ry") {
        Some(stem) => format!("{number} {stem}ries"),
        None => format!("{number} {what}s"),
    }
}

/// Returns the line of a summary about problems; none if there are none.
pub(crate) fn problems(number: u64) -> Option<String> {
    (number > 0).then(|| format!("{}, named above", count(number, "problem")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let told = [
            count(0, "problem"),
            count(1, "entry"),
            count(2, "entry"),
            count(2, "store file"),
            count(2, "day"),
        ];
        assert_eq!(
            told,
            [
                "0 problems",
                "1 entry",
                "2 entries",
                "2 store files",
                "2 days"
            ]
        );
        assert_eq!(problems(0), None);
        assert_eq!(problems(1).as_deref(), Some("1 problem, named above"));
    }
}
