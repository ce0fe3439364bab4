//! Which paths a backup leaves out. What is below an excluded directory is not visited.

use crate::format::path::EntryPath;
use crate::pattern::Pattern;

/// A list of exclusion patterns.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    excluded: Vec<Pattern>,
}

impl Selection {
    /// Compiles exclusion patterns; the error names the one that is wrong.
    pub fn excluding(patterns: &[String]) -> Result<Self, String> {
        let excluded = Pattern::all(patterns)?;
        Ok(Self { excluded })
    }

    /// Tells whether a path is left out, and with it everything below.
    #[must_use]
    pub fn excludes(&self, path: &EntryPath, is_directory: bool) -> bool {
        self.excluded
            .iter()
            .any(|pattern| pattern.matches(path, is_directory))
    }
}
