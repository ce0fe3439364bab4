//! What a directory says about itself by the files in it: that it is a cache, that it is not to be backed up, or which rules apply in
//! it.

use std::io::Read;
use std::os::fd::AsFd;

use super::open::open_file;
use crate::backup::selection::Selection;
use crate::names::Names;
use crate::rules::Rule;

/// The file that marks a cache, and how it begins (<https://bford.info/cachedir/>).
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// More rules than anybody writes; what is longer is some other file.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// Returns why nothing is taken of a directory but the files that say so, and their names; none for others.
pub(super) fn closed_by(
    selection: &Selection,
    directory: impl AsFd,
    names: &Names,
) -> Option<(&'static str, Vec<Vec<u8>>)> {
    let tags = selection.tags.iter().filter(|tag| names.has(tag));
    let tags: Vec<_> = tags.cloned().collect();
    if !tags.is_empty() {
        return Some(("--exclude-if-present", tags));
    }
    let is_cache = selection.exclude_caches && names.has(CACHE_TAG) && is_cache(directory);
    is_cache.then(|| ("--exclude-caches", vec![CACHE_TAG.to_vec()]))
}

/// A tag that cannot be read marks nothing: what is taken too much does no harm.
fn is_cache(directory: impl AsFd) -> bool {
    let mut begin = [0; CACHE_SIGNATURE.len()];
    open_file(directory, CACHE_TAG)
        .and_then(|mut file| file.read_exact(&mut begin))
        .is_ok_and(|()| begin == CACHE_SIGNATURE)
}

/// Reads the rules that a directory brings, and calls `tell` for each that is wrong; the others apply. The error says why there are
/// none. `file` is its path, for people.
pub(super) fn read_rules(
    directory: impl AsFd,
    name: &[u8],
    file: &str,
    mut tell: impl FnMut(String),
) -> std::io::Result<Vec<Rule>> {
    let mut text = Vec::new();
    let opened = open_file(directory, name)?;
    opened.take(RULES_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > RULES_BYTES_MAX {
        return Err(std::io::Error::other("has more than a megabyte"));
    }
    let mut rules = Vec::new();
    for rule in Rule::read_lines(&text, file, None) {
        match rule {
            Ok(rule) => rules.push(rule),
            Err(reason) => tell(reason),
        }
    }
    Ok(rules)
}
