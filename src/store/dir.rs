//! Writing into a store's directory: every file complete under a temporary name, synced, renamed, never overwritten.
//!
//! The steps of [`PartFile::publish`] and why they stand in this order: write → fsync (the bytes are on disk) → rename that
//! refuses to replace (the name appears, whole) → later [`StoreDir::sync`] (the name is on disk). Callers sync the directory
//! once before anything refers to the published files, so a hundred segments cost one directory sync, not a hundred.
//!
//! What the file system of the store cannot do is found out by trying, once ([`abilities`]).
//!
//! What this does not do: list, open or read anything that is published. A backup must work where it may only add files.

mod abilities;
mod part_file;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

use crate::format::snapshot_name::SnapshotName;

use abilities::Abilities;
pub use part_file::PartFile;

/// Backups hold private files: nobody but the owner reads what pileus writes, unless the store's directory is shared ([`file_mode`]).
const FILE_MODE: u32 = 0o600;
const GROUP_MODE: u32 = 0o640;
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
    /// The mode of new files.
    mode: u32,
    abilities: Abilities,
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
                    .and_then(|()| abilities::sync_directory_of(path))
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
            mode: FILE_MODE,
            abilities: Abilities::default(),
        })
    }

    fn open(path: &Path, keeps: Keeps) -> Result<Self> {
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("cannot open {shown}"))?;
        if !metadata.is_dir() {
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
            mode: file_mode(metadata.mode()),
            abilities: Abilities::default(),
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
            let created = self.create(&part);
            Some(created.with_context(|| format!("cannot create {}", part.display()))?)
        } else {
            None
        };
        Ok(PartFile::new(self, name, part, file))
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(self.mode);
        let file = options.open(path)?;
        if self.mode != FILE_MODE {
            // Whatever the umask is: the directory says who may read. A file system without modes has its own say.
            drop(file.set_permissions(Permissions::from_mode(self.mode)));
        }
        Ok(file)
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
        match self.create(&path) {
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
        self.sync_below(Path::new(""))
    }

    /// Makes what was removed in a directory durable, by its path relative to the store; the empty path is the store itself.
    pub fn sync_below(&self, directory: &Path) -> Result<()> {
        if self.keeps == Keeps::Nothing {
            return Ok(());
        }
        // Joining the empty path would add a slash.
        let path = if directory == Path::new("") {
            self.path.clone()
        } else {
            self.path.join(directory)
        };
        let synced = match File::open(&path) {
            Ok(opened) => self.abilities.sync_directory(&opened),
            // A directory that may not be read cannot be synced by itself; its file system can, through any file in it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.sync_file_system(),
            Err(e) => Err(e),
        };
        synced.with_context(|| format!("cannot sync {}", path.display()))
    }

    /// Returns what the file system turned out to be unable to do so far, and what is done instead, in one sentence.
    #[must_use]
    pub fn shortcomings(&self) -> Option<String> {
        let lacks = self.abilities.shortcomings()?;
        Some(format!(
            "the file system of {} {lacks}",
            self.path.display()
        ))
    }

    fn sync_file_system(&self) -> io::Result<()> {
        let name = format!(".sync-{}{PART_SUFFIX}", std::process::id());
        let path = self.path.join(name);
        let file = self.create(&path)?;
        let synced = abilities::sync_file_system(&file);
        fs::remove_file(&path)?;
        synced
    }
}

/// Returns the mode of files in a store whose directory has this mode. A group shares the store if its directory has the set-group-ID bit,
/// which hands its group on to what is made in it, is readable for that group, and closed to everybody else.
fn file_mode(directory: u32) -> u32 {
    let is_shared = directory & 0o2047 == 0o2040;
    if is_shared { GROUP_MODE } else { FILE_MODE }
}

/// Tells whether there is anything of this name, be it a link to nowhere. What cannot be looked at is not taken for missing.
pub fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
    }
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
    fn a_directory_that_is_a_groups_alone_has_files_that_the_group_may_read() {
        for (directory, file) in [
            (0o700, 0o600),
            (0o770, 0o600),
            (0o2700, 0o600),
            (0o2750, 0o640),
            (0o2770, 0o640),
            (0o2755, 0o600),
            (0o2775, 0o600),
        ] {
            assert_eq!(file_mode(0o40000 | directory), file, "{directory:o}");
        }
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
