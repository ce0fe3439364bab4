//! The inner parts of pileus that all the time goes through, each measured alone: `cargo bench --locked`.
//!
//! These figures are for whoever changes one of the parts, to be compared with those of the same machine before the change. What a
//! command costs as a whole, against the least that its work takes, is measured by tests/bench/run.py.
//!
//! Inputs are made here ([`made`]), the same ones every time and everywhere. Only public functions of the library are called; what is
//! private is measured through the nearest one that is public ([`files`]). What has to be written goes to memory ([`place`]), so that no
//! disk is measured.

mod block_index;
mod digests;
mod files;
mod made;
mod pages;
mod place;
mod references;
mod segments;
mod stanzas;
mod stat_cache;

use std::time::Duration;

/// Enough for a steady median of each; all of them together take less than a minute.
const SECONDS_EACH: u64 = 2;

fn main() {
    let default = divan::Divan::default().max_time(Duration::from_secs(SECONDS_EACH));
    default.config_with_args().main();
}
