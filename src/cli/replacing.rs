//! A file that is replaced in one step: whoever opens it finds the old text or the new one, whole.
//!
//! The new text is written beside it, under a name that ends in `.part`, synced and renamed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file, or makes it; of no `mode`, what the umask leaves.
pub(super) fn replace(file: &Path, text: &[u8], mode: Option<u32>) -> io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = Path::new(&temporary);
    let mut open = OpenOptions::new();
    let opened = open.write(true).create_new(true).open(temporary);
    let written = opened.and_then(|part| fill(part, text, mode));
    let renamed = written.and_then(|()| fs::rename(temporary, file));
    if renamed.is_err() {
        // Best effort: it may not even be there.
        drop(fs::remove_file(temporary));
    }
    renamed
}

fn fill(mut part: File, text: &[u8], mode: Option<u32>) -> io::Result<()> {
    part.write_all(text)?;
    if let Some(mode) = mode {
        part.set_permissions(Permissions::from_mode(mode))?;
    }
    part.sync_all()
}
