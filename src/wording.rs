//! Words of sentences: the one place that knows singular from plural, and what of an error is for people.

pub(crate) mod future;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::format::escape;

/// Returns a number with what it counts; `what` is the singular.
#[must_use]
pub fn count(number: u64, what: &str) -> String {
    if number == 1 {
        return format!("1 {what}");
    }
    match what.strip_suffix("ry") {
        Some(stem) => format!("{number} {stem}ries"),
        None => format!("{number} {what}s"),
    }
}

/// Returns what stands behind "snapshots" where only those of one scheme are meant: nothing if all are. The empty scheme is one, too.
#[must_use]
pub fn of_scheme(scheme: Option<&str>) -> String {
    match scheme {
        None => String::new(),
        Some("") => " without a scheme".to_owned(),
        Some(scheme) => format!(" of scheme {scheme}"),
    }
}

/// Says which schemes there are among these, each once; none if no snapshot has one.
#[must_use]
pub fn schemes<'n>(schemes: impl Iterator<Item = &'n str>) -> Option<String> {
    let named: BTreeSet<_> = schemes.filter(|scheme| !scheme.is_empty()).collect();
    let named: Vec<_> = named.into_iter().collect();
    (!named.is_empty()).then(|| format!("its schemes are {}", named.join(", ")))
}

/// Returns the line of a summary about problems; none if there are none.
#[must_use]
pub fn problems(number: u64) -> Option<String> {
    (number > 0).then(|| format!("{}, named above", count(number, "problem")))
}

/// Returns a word as a shell takes it; what cannot be seen on a terminal as `$'…'`, which bash, zsh and ksh know.
#[must_use]
pub fn shell_word(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().as_bytes();
    let is_plain = |&b: &u8| b.is_ascii_alphanumeric() || b"/._-+,".contains(&b);
    if !word.is_empty() && word.iter().all(is_plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let shown = escape(word);
    if shown.as_bytes() == word {
        return format!("'{}'", shown.replace('\'', r"'\''"));
    }
    format!("$'{}'", escape(&backslashed(word, b"\\'")))
}

/// Returns a text with a backslash before each of some bytes.
#[must_use]
pub fn backslashed(text: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(text.len());
    for byte in text {
        if bytes.contains(byte) {
            marked.push(b'\\');
        }
        marked.push(*byte);
    }
    marked
}

/// Returns a message without the numbers of errors that the standard library puts behind the names of errors.
#[must_use]
pub fn without_numbers(message: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut parts = message.split(BEGIN);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<u32>().is_ok() => told += rest,
            _ => told.extend([BEGIN, part]),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        let error = std::io::Error::from_raw_os_error(28).to_string();
        let told = without_numbers(&format!(
            "cannot write a: {error}: b: {error} (os error x) c"
        ));
        assert_eq!(
            told,
            "cannot write a: No space left on device: b: No space left on device (os error x) c"
        );
        assert_eq!(without_numbers(" (os error 2"), " (os error 2");
    }

    #[test]
    fn a_shell_gets_back_the_word_that_was_quoted() {
        let words: [&[u8]; 9] = [
            b"plain/a.txt",
            b"",
            b"two words",
            b"it's",
            b"back\\slash",
            b"new\nline 1",
            b"b\xff\xc3",
            b"it's a \\ new\nline\\'",
            b"$HOME `a` \"b\" !",
        ];
        for word in words {
            let script = format!("printf %s {}", shell_word(OsStr::from_bytes(word)));
            let told = std::process::Command::new("bash")
                .args(["-c", &script])
                .output();
            assert_eq!(told.expect("bash runs").stdout, word, "{script}");
        }
    }

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
