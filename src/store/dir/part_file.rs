//! A file of a store between its first byte and its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::StoreDir;

/// A file being written; dropped without [`publish`](Self::publish), it leaves nothing behind.
#[derive(Debug)]
pub struct PartFile {
    store: Arc<StoreDir>,
    name: String,
    part: PathBuf,
    /// None where nothing is kept.
    file: Option<File>,
    /// Whether the part file is there to be removed.
    is_left: bool,
}

impl PartFile {
    pub(super) fn new(
        store: &Arc<StoreDir>,
        name: &str,
        part: PathBuf,
        file: Option<File>,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            name: name.to_owned(),
            part,
            is_left: file.is_some(),
            file,
        }
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(file) => file
                .write_all(bytes)
                .with_context(|| format!("cannot write {}", self.part.display())),
            None => Ok(()),
        }
    }

    /// Makes the contents durable and gives the file its name. The name itself is durable after [`StoreDir::sync`].
    ///
    /// Returns `false`, and leaves nothing behind, if another file has the name already.
    pub fn publish(mut self) -> Result<bool> {
        let (Some(file), Some(directory)) = (self.file.take(), &self.store.handle) else {
            return Ok(true);
        };
        let abilities = &self.store.abilities;
        abilities
            .sync_file(&file)
            .with_context(|| format!("cannot sync {}", self.part.display()))?;
        let target = self.store.path.join(&self.name);
        match abilities.rename_no_replace(directory, file, &self.part, &target) {
            Ok(()) => {
                self.is_left = false;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e).with_context(|| {
                format!(
                    "cannot rename {} to {}",
                    self.part.display(),
                    target.display()
                )
            }),
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if self.is_left {
            // Closed first: some file systems remove no open file.
            drop(self.file.take());
            // Nothing can be done about a failure here, and a leftover part file harms nobody.
            drop(fs::remove_file(&self.part));
        }
    }
}
