//! The store on disk: publishing files, filters, and segments in both directions.
//!
//! A file of the store appears whole under its final name or not at all, is never changed and never overwritten ([`dir`]).
//! [`segment_writer`] and [`pool`] make segments, [`segment_reader`] opens them, [`filter`] stands between tar and disk,
//! [`catalog`] is what a reader finds in the directory, [`expected`] what its segments must be,
//! [`inventory`] all that is in it. The writing half never lists or opens a published file; the reading
//! half never writes into the store. Nothing here knows local state.

pub mod catalog;
pub mod command;
pub mod dir;
pub mod expected;
pub mod filter;
pub mod inventory;
pub mod lengths;
mod member_header;
pub mod object_cache;
pub mod pool;
pub mod probe;
pub mod segment_reader;
pub mod segment_writer;
