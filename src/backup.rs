//! Makes a snapshot: the conductor of `pileus backup`.
//!
//! The order of writing is the argument that no crash leaves a dangling reference:
//!
//! 1. blocks and metadata go into segments; workers filter, sync and name them ([`crate::store::pool`]);
//! 2. when all segments have their names, the sums file gets its own, and the directory is synced;
//! 3. the descriptor appears: from here on the snapshot exists;
//! 4. the local database commits what the run added;
//! 5. the stat cache is replaced.
//!
//! A crash before 3 leaves files that nothing refers to; between 3 and 5 local state that does not know the newest segments.
//! A checkpoint takes the same steps up to 4 in the middle of a run. Nothing that is published is ever changed or opened for
//! reading (but for `--deduplicate=verify`), and nothing is removed but the checkpoints that a complete snapshot replaces.
//!
//! A dry run does all of this but 3 to 5, with a store that keeps nothing and a database that is rolled back: what it tells is what
//! the run itself would find.
//!
//! A failure of one file is a problem, and the run goes on. A failure of the store or of local state ends the run.

mod beginning;
mod block_sink;
mod change;
mod checkpoint;
mod comparison;
mod contents;
mod describe;
mod devices;
mod doubted;
mod links;
mod look_ahead;
mod losses;
mod neighbours;
mod pipe;
mod piped;
mod previous;
mod progress;
mod publish;
mod read;
mod read_ahead;
mod recognize;
mod run;
mod scan;
mod segments;
mod selection;
mod source;
mod staging;
mod store_file;
mod sub_file;
mod tally;
mod unchanged;
mod xattrs;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;

use crate::format::descriptor::Maker;
use crate::format::snapshot_name::SnapshotName;
use crate::local::adopt;
use crate::local::database::{self, Database};
use crate::local::lock::{Lock, Locked, Patience, Waiting};
use crate::local::places;
use crate::monitor::{Counter, Monitor};
use crate::store::catalog::{Catalog, is_store_file, split_segment_file};
use crate::store::dir::{StoreDir, is_there};
use crate::store::filter::{Codec, Filter};
use crate::store::pool::Names;

pub use beginning::{NotAStore, Unmounted};
pub use block_sink::Deduplicate;
use comparison::Comparison;
pub use pipe::PipedFrom;
pub use piped::Piped;
use run::Run;
use scan::{OwnDirectory, Scanner};
pub use selection::Selection;
use source::Source;
pub use source::Sources;
pub use tally::{GroupTotals, StatusCounts, Written};

/// What a backup does.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The store's directory; made if only its last component is missing.
    pub store: PathBuf,
    /// The directory of local state; `None` for the store itself.
    pub local: Option<PathBuf>,
    /// How long to wait for a run that holds the lock of local state.
    pub patience: Patience,
    /// What to back up.
    pub sources: Sources,
    /// What comes through a pipe and is backed up in place of sources.
    pub piped: Option<Piped>,
    /// What to leave out.
    pub selection: Selection,
    /// Name of the series of snapshots; empty for none.
    pub scheme: String,
    /// What stands between tar and disk.
    pub filter: Filter,
    /// Whether the filter was asked for; the default one does not follow a filter program, which may have encrypted.
    pub filter_asked_for: bool,
    /// Whether a built-in codec gets what it does not shrink, too.
    pub all_through_codec: bool,
    /// Shell command that signs the descriptor.
    pub signature_filter: Option<String>,
    /// Filtered size at which a segment is closed, in bytes.
    pub segment_bytes: usize,
    /// Number of workers that filter.
    pub jobs: usize,
    /// When a block that the store may have is stored again.
    pub deduplicate: Deduplicate,
    /// Whether to read every file, whatever the stat cache says.
    pub reread: bool,
    /// Whether to write every entry anew, even where nothing changed.
    pub full_metadata: bool,
    /// How many bytes of new blocks may be lost to a crash.
    pub checkpoint_bytes: u64,
    /// Whether to leave checkpoints in the store that a newer snapshot makes superfluous.
    pub leave_checkpoints: bool,
    /// Whether to make no snapshot if the last one of the scheme has all the same entries.
    pub skip_if_unchanged: bool,
    /// Whether a store may be begun in a directory with other things, or where one was whose disk is not mounted.
    pub new_store: bool,
    /// The file that says what stores were on; none if this machine remembers nothing.
    pub places: Option<PathBuf>,
    /// Whether sources that lost most of what they held are as they are meant to be.
    pub accept_loss: bool,
    /// Whether to do everything but write: the store and local state are left as they are.
    pub dry_run: bool,
    /// Whether to tell what is left out too, and which rule decided about each path.
    pub reasons: bool,
    /// Most bytes of a file that is copied aside because it keeps changing: 0 for none, `None` for a tenth of the free space.
    pub staging_bytes: Option<u64>,
}

/// What a backup needs from outside.
pub struct Surroundings<'s> {
    /// Where time comes from.
    pub clock: &'s dyn Clock,
    /// Where names of segments come from.
    pub names: Box<Names>,
    /// Becomes true when the run has to end early.
    pub stop: &'s AtomicBool,
    /// Is told what happens.
    pub monitor: &'s dyn Monitor,
    /// Name of this machine, for the descriptor.
    pub host: String,
    /// A random id for local state that has none yet.
    pub state_id: String,
}

/// Where time comes from; passed in, so that a test knows what is written.
pub trait Clock: Sync {
    /// Returns the present instant.
    fn now(&self) -> Timestamp;
    /// Returns once `instant` is not in the future.
    fn wait_until(&self, instant: Timestamp);
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The snapshot's name; of an interrupted run that of its checkpoint, if there was anything to put into one.
    pub snapshot: Option<SnapshotName>,
    /// The last snapshot, if nothing changed since and that was a reason not to make another.
    pub same_as: Option<SnapshotName>,
    /// Whether the run was told to end early.
    pub interrupted: bool,
    /// Number of entries by what became of them.
    pub entries: StatusCounts,
    /// Sum of the sizes of all regular files.
    pub source_bytes: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// What was written, by segment group.
    pub groups: GroupTotals,
    /// Number of problems told on the way.
    pub problems: u64,
}

impl BackupReport {
    /// Tells of a run that was told to end before it had begun.
    #[must_use]
    pub fn interrupted() -> Self {
        Self {
            interrupted: true,
            ..Self::default()
        }
    }
}

/// Makes a snapshot. An error means that there is no new snapshot (but for checkpoints); problems of single files are counted in
/// the report.
pub fn run(options: &BackupOptions, surroundings: Surroundings<'_>) -> Result<BackupReport> {
    let report = back_up(options, surroundings);
    report.map_err(|error| database::with_store(error, &options.store))
}

fn back_up(options: &BackupOptions, surroundings: Surroundings<'_>) -> Result<BackupReport> {
    let started = surroundings.clock.now();
    let monitor = Counter::new(surroundings.monitor);
    let mut sources = options.sources.clone();
    check_sources(&mut sources, &monitor)?;
    let knows_stores = knows_stores(options);
    if !knows_stores {
        ensure_store(options)?;
    }
    let place = match Place::open(options, started, &surroundings) {
        Err(error) if error.is::<Locked>() && surroundings.stop.load(Ordering::Relaxed) => {
            return Ok(BackupReport {
                problems: monitor.problems(),
                ..BackupReport::interrupted()
            });
        }
        opened => opened?,
    };
    let (store, local, started) = (&place.store, &place.local, place.since);
    if !Path::new("/proc/self/fd").exists() {
        monitor.problem(b"/proc", "is not mounted: extended attributes of directories, links and special files are left out");
    }
    let own_directories = own_directories(store, local)?;
    let database = place.database(options, &monitor)?;
    if !options.filter_asked_for {
        ensure_no_program(&database)?;
    }
    let made_here = database.ensure_made_in(&options.store, |name| store.has_snapshot(name));
    made_here.inspect_err(|_| place.leave_as_it_was())?;
    let knows_none = place.store_was_there && database.snapshots()?.is_empty();
    if knows_none && knows_stores {
        ensure_store(options)?;
    }
    let maker = Maker {
        host: Some(surroundings.host),
        state: Some(database.state_id()?.unwrap_or(surroundings.state_id)),
    };
    // Whoever may only add files cannot list them, and backs up all the same.
    if let Some(catalog) = place.listed() {
        let (path, scheme) = (store.path(), &options.scheme);
        if knows_none && database.state_id()?.is_none() {
            beginning::look(path, catalog.snapshots(), local, scheme, &monitor);
        }
        neighbours::look(&catalog, &database, scheme, &maker, &monitor)?;
    }
    beginning::warn_of_clock(&database, options, started, &monitor)?;
    let scanner = Scanner::new(
        &sources,
        &options.selection,
        &own_directories,
        &monitor,
        options.reasons,
        !database.has_complete(&options.scheme)?,
    );
    let comparing = options.deduplicate == Deduplicate::Verify && store.path().exists();
    let catalog = comparing.then(|| Catalog::open(store.path())).transpose()?;
    let compare = |catalog| Comparison::new(catalog, &monitor);

    let outside = run::Outside {
        clock: surroundings.clock,
        stop: surroundings.stop,
        monitor: &monitor,
        started,
        maker: &maker,
        begun: Instant::now(),
    };
    let state = run::State {
        store: Arc::clone(store),
        local,
        database,
        comparison: catalog.as_ref().map(compare).transpose()?,
    };
    let mut run = Run::start(options, outside, state, surroundings.names)?;
    let walked = match &options.piped {
        Some(piped) => run.back_up_piped(piped),
        None => look_ahead::scan(scanner, surroundings.clock, run.reads_all(), &mut run),
    };
    let report = match walked {
        Err(error) if error.is::<run::Interrupted>() => run.interrupt(),
        Ok(()) => run.finish(),
        Err(error) => Err(error),
    };
    if report
        .as_ref()
        .is_ok_and(|report| report.snapshot.is_some())
    {
        place.remember(options, &monitor);
    }
    if let Some(shortcomings) = store.shortcomings() {
        monitor.note(&shortcomings);
    }
    drop(place);
    report
}

/// Whether local state elsewhere remembers a store, and so notices by itself that it is gone.
fn knows_stores(options: &BackupOptions) -> bool {
    let local = options.local.as_ref();
    local.is_some_and(|local| local.join(database::FILE_NAME).exists())
}

/// Refuses a directory that would become a store by mistake, before anything is made in it.
fn ensure_store(options: &BackupOptions) -> Result<()> {
    beginning::ensure_store(options, || {
        let catalog = Catalog::open(&options.store);
        catalog.is_ok_and(|catalog| catalog.snapshots().next().is_some())
    })
}

/// Where a run works: the store, and local state, whose lock is held.
struct Place {
    store: Arc<StoreDir>,
    /// In a dry run, it need not be there.
    local: PathBuf,
    store_was_there: bool,
    /// When the lock was taken.
    since: Timestamp,
    _lock: Option<Lock>,
}

impl Place {
    fn open(
        options: &BackupOptions,
        started: Timestamp,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self> {
        let local = options.local.as_ref().unwrap_or(&options.store).clone();
        let open = if options.dry_run {
            StoreDir::open_for_dry_run
        } else {
            StoreDir::open_or_create
        };
        let store_was_there = is_there(&options.store)?;
        let store = Arc::new(open(&options.store)?);
        // The same rules as for a store: only the last component is made.
        open(&local)?;
        let waiting = Waiting {
            patience: options.patience,
            stop: Some(surroundings.stop),
            monitor: surroundings.monitor,
        };
        let lock = if options.dry_run {
            Lock::take_silently(&local, started, &waiting)?
        } else {
            Some(Lock::take(&local, started, &waiting)?)
        };
        Ok(Self {
            store,
            local,
            store_was_there,
            since: lock.as_ref().map_or(started, Lock::since),
            _lock: lock,
        })
    }

    /// Lists the store as this run found it; nothing if it is new or may not be listed.
    fn listed(&self) -> Option<Catalog> {
        let listed = || Catalog::open(self.store.path()).ok();
        self.store_was_there.then(listed).flatten()
    }

    /// Removes the store's directory if this run made it: where a disk is not mounted, it would look like a store.
    fn leave_as_it_was(&self) {
        if !self.store_was_there {
            // Anything in it keeps it.
            drop(std::fs::remove_dir(self.store.path()));
        }
    }

    /// Remembers what the store is on, for the run that finds its disk not mounted.
    fn remember(&self, options: &BackupOptions, monitor: &Counter<'_>) {
        let Some(file) = options.places.as_ref().filter(|_| !options.dry_run) else {
            return;
        };
        if let Err(error) = places::remember(file, self.store.path()) {
            let shown = file.display();
            monitor.note(&format!(
                "{shown} cannot be written, so a disk that is not mounted may go unnoticed: {error}"
            ));
        }
    }

    /// Opens the database. In a dry run, what is done to it is never committed; if there is none, none is made.
    ///
    /// Local state of the store's own directory is the beginning of one elsewhere.
    fn database(&self, options: &BackupOptions, monitor: &Counter<'_>) -> Result<Database> {
        let is_there = |directory: &Path| directory.join(database::FILE_NAME).exists();
        if options.dry_run && !is_there(&self.local) {
            return if is_there(self.store.path()) {
                Database::open_for_dry_run(self.store.path())
            } else {
                Database::temporary()
            };
        }
        match adopt::adopt(self.store.path(), &self.local, self.since) {
            Ok(true) => monitor.note(&format!(
                "local state of {} is copied to {}",
                self.store.path().display(),
                self.local.display()
            )),
            Ok(false) => {}
            Err(error) => monitor.note(&format!("{error:#}")),
        }
        if options.dry_run {
            return Database::open_for_dry_run(&self.local);
        }
        Database::open(&self.local)
    }
}

/// Refuses to go on without the program that the last segments went through: whoever forgets it may store in clear text.
fn ensure_no_program(database: &Database) -> Result<()> {
    let file = database.last_file()?;
    let extension = file.as_deref().and_then(split_segment_file);
    let program = extension.map(|(_, extension)| extension);
    match program.filter(|extension| !Codec::is_known_extension(extension)) {
        Some(extension) => Err(anyhow!(
            "the last backup went through a filter program (its segments end in \"{extension}\"): name it again with --filter, or a codec \
             with --compression"
        )),
        None => Ok(()),
    }
}

/// Finds a source that is missing before anything is made. One that was only listed is left out instead.
fn check_sources(sources: &mut Sources, monitor: &Counter<'_>) -> Result<()> {
    let base = sources.base.clone();
    let mut missing = None;
    sources.paths.retain(|source| {
        let shown = shown(&base, source);
        match scan::exists(&base, source.place()) {
            Ok(true) => {
                if source.on_disk.is_some() && !scan::is_directory(&base, source) {
                    missing.get_or_insert(anyhow!(
                        "{shown} is no directory, and --as-path renames only directories"
                    ));
                }
                true
            }
            Ok(false) if source.listed => {
                monitor.problem(source.path.as_bytes(), "does not exist");
                false
            }
            Err(error) if source.listed => {
                let reason = format_args!("cannot look at it: {error}");
                monitor.problem(source.path.as_bytes(), reason);
                false
            }
            Ok(false) => {
                missing.get_or_insert(anyhow!("{shown} does not exist: nothing was backed up"));
                true
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                missing.get_or_insert(error.context(format!("cannot look at {shown}")));
                true
            }
        }
    });
    missing.map_or(Ok(()), Err)
}

/// Returns a source as it was named.
fn shown(base: &Path, source: &Source) -> String {
    if base == Path::new("/") {
        format!("/{}", source.place())
    } else {
        source.place().to_string()
    }
}

/// Tells whether a file of this name is one of pileus itself, of a store or of local state.
fn is_own(name: &[u8]) -> bool {
    is_store_file(name) || std::str::from_utf8(name).is_ok_and(crate::local::is_local_file)
}

/// Tells directories with files of pileus itself; those that are not there, in a dry run, have none.
fn own_directories(store: &StoreDir, local: &Path) -> Result<Vec<OwnDirectory>> {
    use std::os::unix::fs::MetadataExt;
    let cannot_look = |path: &Path| format!("cannot look at {}", path.display());
    let store_identity = store
        .identity()
        .with_context(|| cannot_look(store.path()))?;
    let local_identity = match std::fs::metadata(local) {
        Ok(metadata) => Some((metadata.dev(), metadata.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| cannot_look(local)),
    };
    let identities = [store_identity, local_identity].into_iter().flatten();
    Ok(identities
        .map(|identity| OwnDirectory { identity, is_own })
        .collect())
}
