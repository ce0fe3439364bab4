//! Directories for what the benches write: in memory where there is a file system for that, gone when they are dropped.

use std::path::Path;

use tempfile::TempDir;

/// The tmpfs that Linux systems have.
const MEMORY: &str = "/dev/shm";

/// Makes an empty directory.
pub(crate) fn empty() -> TempDir {
    let made = if Path::new(MEMORY).is_dir() {
        tempfile::tempdir_in(MEMORY)
    } else {
        tempfile::tempdir()
    };
    made.expect("a directory is made")
}
