//! Local state: what this machine remembers of a store, so that backups need not read it.
//!
//! One directory (by default the store's own) with the local database ([`database`]) and a lock ([`lock`]). It is only a cache:
//! losing it loses no snapshot and no file, the next backup merely stores again what it no longer recognizes.
//! docs/local-state.md describes the files.

pub mod database;
pub mod lock;

/// Tells whether a file name is one of local state.
#[must_use]
pub fn is_local_file(name: &str) -> bool {
    name == lock::FILE_NAME
        || name
            .strip_prefix(database::FILE_NAME)
            .is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm" | "-journal"))
}
