//! Writing into a store's directory: every file complete under a temporary name, synced, renamed, never overwritten.
//!
//! The steps of [`PartFile::publish`] and why they stand in this order: write → fsync (the bytes are on disk) → rename that
//! refuses to replace (the name appears, whole) → later [`StoreDir::sync`] (the name is on disk). Callers sync the directory
//! once before anything refers to the published files, so a hundred segments cost one directory sync, not a hundred.
//!
//! What this does not do: list, open or read anything that is published. A backup must work where it may only add files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::unistd::syncfs;

use crate::format::snapshot_name::SnapshotName;

/// Backups hold private files: nobody but the owner reads what pileus writes.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Ending of files that are still being written; a reader ignores them.
pub const PART_SUFFIX: &str = ".part";

/// A store's directory, opened for adding files; or one that keeps nothing, for a dry run.
#[derive(Debug)]
pub struct StoreDir {
    path: PathBuf,
    /// None if it is not there, in a dry run.
    handle: Option<File>,
    keeps: Keeps,
}

/// What becomes of what is written to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// It is kept.
    All,
    /// It goes nowhere: only what is there can be asked for.
    Nothing,
}

impl StoreDir {
    /// Opens `path` for adding files; makes the directory (mode 0700) if only its last component is missing.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !is_there(path)? {
            match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
                Err(e)
                    if e.kind() == io::ErrorKind::NotFound
                        && path.parent().is_some_and(Path::is_dir) =>
                {
                    bail!(
                        "cannot create {shown}: the file system there takes no new directories; name another place"
                    )
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    bail!(
                        "cannot create {shown}: the directory above it does not exist; make it first"
                    )
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => made
                    .and_then(|()| sync_directory_of(path))
                    .with_context(|| format!("cannot create {shown}"))?,
            }
        }
        Self::open(path, Keeps::All)
    }

    /// Opens `path` for a dry run: nothing is made, written or removed, but every call is answered as if it were. The directory itself
    /// need not be there, if it could be made.
    pub fn open_for_dry_run(path: &Path) -> Result<Self> {
        if is_there(path)? {
            return Self::open(path, Keeps::Nothing);
        }
        let above = path.parent().filter(|above| *above != Path::new(""));
        if !above.is_none_or(Path::is_dir) {
            let shown = path.display();
            bail!("cannot create {shown}: the directory above it does not exist; make it first");
        }
        Ok(Self {
            path: path.to_owned(),
            handle: None,
            keeps: Keeps::Nothing,
        })
    }

    fn open(path: &Path, keeps: Keeps) -> Result<Self> {
        let shown = path.display();
        if !fs::metadata(path)
            .with_context(|| format!("cannot open {shown}"))?
            .is_dir()
        {
            bail!("{shown} is not a directory");
        }
        // Without asking to read: the directory may be one that this machine may only add to.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path);
        let handle = opened.with_context(|| format!("cannot open {shown}"))?;
        Ok(Self {
            path: path.to_owned(),
            handle: Some(handle),
            keeps,
        })
    }

    /// Returns the directory's path as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the device and inode number that identify the directory; none if it is not there, in a dry run.
    pub fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        let metadata = self.handle.as_ref().map(File::metadata).transpose()?;
        Ok(metadata.map(|m| (m.dev(), m.ino())))
    }

    /// Begins a file that will be called `name`; nothing is visible under that name before it is published.
    pub fn begin(self: &Arc<Self>, name: &str) -> Result<PartFile> {
        let part = self.path.join(format!(".{name}{PART_SUFFIX}"));
        let file = if self.keeps == Keeps::All {
            let opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .open(&part);
            Some(opened.with_context(|| format!("cannot create {}", part.display()))?)
        } else {
            None
        };
        Ok(PartFile {
            store: Arc::clone(self),
            name: name.to_owned(),
            part,
            file,
            published: false,
        })
    }

    /// Returns the size of a file, without opening it; none if there is no such file.
    pub fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot look for {}", path.display())),
        }
    }

    /// Tells whether a file of that name is there.
    pub fn has(&self, name: &str) -> Result<bool> {
        self.size(name).map(|size| size.is_some())
    }

    /// Tells whether the descriptor of a snapshot is there, in either layout, without opening it.
    pub fn has_snapshot(&self, name: &SnapshotName) -> Result<bool> {
        Ok(self.has(&name.descriptor_file())? || self.has(&name.split_descriptor_file())?)
    }

    /// Adds an empty file, durably after [`StoreDir::sync`]; whole from the start, it needs no temporary name. One that is there
    /// already is as good.
    pub fn mark(&self, name: &str) -> Result<()> {
        if self.keeps == Keeps::Nothing {
            return Ok(());
        }
        let path = self.path.join(name);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path);
        match opened {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                Err(e).with_context(|| format!("cannot create {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes a published file that nothing refers to; one that is not there is as good. Old checkpoints go this way.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remove_below(Path::new(name))
    }

    /// Removes a file by its path relative to the store, like [`StoreDir::remove`]: stores of other programs have directories. What
    /// is pruned goes this way.
    pub fn remove_below(&self, file: &Path) -> Result<()> {
        if self.keeps == Keeps::Nothing {
            return Ok(());
        }
        let path = self.path.join(file);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the names of all files published so far durable.
    pub fn sync(&self) -> Result<()> {
        if self.keeps == Keeps::Nothing {
            return Ok(());
        }
        let synced = match File::open(&self.path) {
            Ok(directory) => directory.sync_all(),
            // A directory that may not be read cannot be synced by itself; its file system can, through any file in it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.sync_file_system(),
            Err(e) => Err(e),
        };
        synced.with_context(|| format!("cannot sync {}", self.path.display()))
    }
}

impl StoreDir {
    fn sync_file_system(&self) -> io::Result<()> {
        let path = self
            .path
            .join(format!(".sync-{}{PART_SUFFIX}", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)?;
        let synced = syncfs(&file).map_err(io::Error::from);
        fs::remove_file(&path)?;
        synced
    }
}

/// A file being written; dropped without [`publish`](Self::publish), it leaves nothing behind.
#[derive(Debug)]
pub struct PartFile {
    store: Arc<StoreDir>,
    name: String,
    part: PathBuf,
    /// None where nothing is kept.
    file: Option<File>,
    published: bool,
}

impl PartFile {
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
        let (Some(file), Some(directory)) = (&self.file, &self.store.handle) else {
            return Ok(true);
        };
        file.sync_all()
            .with_context(|| format!("cannot sync {}", self.part.display()))?;
        let target = self.store.path.join(&self.name);
        match rename_no_replace(directory, &self.part, &target) {
            Ok(()) => {
                self.published = true;
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
        if !self.published && self.file.is_some() {
            // Nothing can be done about a failure here, and a leftover part file harms nobody.
            drop(fs::remove_file(&self.part));
        }
    }
}

/// Renames without replacing. Some file systems (NFS, some FUSE ones) lack that form and answer EINVAL; a second link never
/// replaces either. Where there are no hard links at all, a look before the rename has to do: names are random or a second apart.
fn rename_no_replace(directory: &File, from: &Path, to: &Path) -> io::Result<()> {
    let (from_name, to_name) = (file_name(from), file_name(to));
    let unsupported = |errno: Errno| {
        matches!(
            errno,
            Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM
        )
    };
    match renameat2(
        directory,
        from_name,
        directory,
        to_name,
        RenameFlags::RENAME_NOREPLACE,
    ) {
        Err(errno) if unsupported(errno) => {}
        result => return result.map_err(io::Error::from),
    }
    match fs::hard_link(from, to) {
        Ok(()) => {
            // The file has its name. A second one that cannot be taken away is a leftover like any other part file.
            drop(fs::remove_file(from));
            Ok(())
        }
        Err(e)
            if e.raw_os_error()
                .is_some_and(|raw| unsupported(Errno::from_raw(raw))) =>
        {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        Err(e) => Err(e),
    }
}

/// Makes the name of a new directory durable: without it, a snapshot in it would be lost with the power, however well its files were
/// synced.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    // Seen from inside, so that `.` and `/` have a directory above them too.
    match File::open(path.join("..")) {
        Ok(above) => above.sync_all(),
        // One that may not be read can be synced with its file system, which is that of the new directory.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            syncfs(File::open(path)?).map_err(io::Error::from)
        }
        Err(e) => Err(e),
    }
}

/// Tells whether there is anything of this name, be it a link to nowhere. What cannot be looked at is not taken for missing.
pub fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
    }
}

fn file_name(path: &Path) -> &std::ffi::OsStr {
    path.file_name()
        .expect("paths in a store end in a file name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Arc<StoreDir>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = StoreDir::open_or_create(&dir.path().join("store")).expect("is created");
        (dir, Arc::new(store))
    }

    fn names(store: &StoreDir) -> Vec<String> {
        let list = fs::read_dir(store.path()).expect("is listed");
        list.map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("is UTF-8")
        })
        .collect()
    }

    #[test]
    fn a_file_appears_whole_when_published() {
        let (_dir, store) = store();
        let mut part = store.begin("x").expect("begins");
        part.write(b"abc").expect("writes");
        assert!(!store.has("x").expect("looks"));
        assert!(part.publish().expect("publishes"));
        assert_eq!(fs::read(store.path().join("x")).expect("reads"), b"abc");
        assert_eq!(names(&store), ["x"]);
    }

    #[test]
    fn nothing_is_overwritten() {
        let (_dir, store) = store();
        for (contents, published) in [(b"first", true), (b"later", false)] {
            let mut part = store.begin("x").expect("begins");
            part.write(contents).expect("writes");
            assert_eq!(part.publish().expect("no error"), published);
        }
        assert_eq!(fs::read(store.path().join("x")).expect("reads"), b"first");
        assert_eq!(names(&store), ["x"]);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let (_dir, store) = store();
        store
            .begin("x")
            .expect("begins")
            .write(b"abc")
            .expect("writes");
        assert_eq!(names(&store), [""; 0]);
    }

    #[test]
    fn only_the_last_component_is_created() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let error = StoreDir::open_or_create(&dir.path().join("a/b"))
            .expect_err("no parent")
            .to_string();
        assert!(
            error.contains("the directory above it does not exist"),
            "{error}"
        );
        fs::write(dir.path().join("file"), "").expect("writes");
        let error = StoreDir::open_or_create(&dir.path().join("file"))
            .expect_err("a file")
            .to_string();
        assert!(error.ends_with("file is not a directory"), "{error}");
    }
}
