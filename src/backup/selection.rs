//! What a backup takes and what it leaves out, as it was asked for. [`super::scan`] carries it out.

use crate::rules::Rule;

/// What is taken of the sources.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Rules for the stored paths, in the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Name of the files in which directories bring rules of their own.
    pub dir_rules: Option<Vec<u8>>,
    /// Whether only the tag is taken of directories with a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Names of which one in a directory means that nothing else in it is taken.
    pub tags: Vec<Vec<u8>>,
    /// Regular files of more bytes are left out.
    pub file_bytes_max: Option<u64>,
    /// Whether file systems that are mounted below a source are left out.
    pub one_file_system: bool,
}
