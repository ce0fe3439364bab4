//! pileus: snapshot backups into plain tar segments.
//!
//! The layers, from the bottom (docs/architecture.md has the map): [`mod@format`] is the store's text, `store` its files, `local`
//! the cache beside it, `metadata_log` the stream of entries, and above them one conductor for each verb. The library prints
//! nothing and never exits: what happens leaves through [`monitor::Monitor`].

pub mod age;
pub mod backup;
pub mod changes;
pub mod chosen;
pub mod clean;
pub mod diff;
pub mod export;
pub mod file_reader;
pub mod find;
pub mod format;
pub mod growth;
mod holes;
pub mod local;
pub mod metadata_log;
pub mod monitor;
mod mount;
mod names;
pub mod pattern;
pub mod prune;
pub mod rebuild;
pub mod report;
pub mod restore;
pub mod rules;
pub mod size;
pub mod snapshot;
pub mod sorter;
pub mod spool;
pub mod stats;
pub mod store;
pub mod verify;
pub mod wording;
pub mod zone;
