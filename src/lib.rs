//! pileus: snapshot backups into plain tar segments.
//!
//! The layers, from the bottom (docs/architecture.md has the map): [`format`] is the store's text, `store` its files, `local`
//! the cache beside it, `metadata_log` the stream of entries, and above them one conductor for each verb. The library prints
//! nothing and never exits: what happens leaves through [`monitor::Monitor`].

pub mod format;
pub mod monitor;
