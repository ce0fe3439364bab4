//! The metadata log of a snapshot: a stream of entries in path order, stored as pieces that a root object lists.
//!
//! docs/format.md, "Metadata log". Writing: stanzas gather to a piece of about 64 KiB, each piece is one object, and the root has
//! one `@reference` line for each. What the stat cache knows of the last log is taken over: an unchanged piece is named again, of
//! a changed one the unchanged stretches become slices in a new piece. Reading is total: a damaged piece or stanza is one
//! [`LogError`], and the entries behind it are still read. Two logs are read side by side with [`Merged`], which leaves out what both
//! name in their roots.

mod merged;
mod old;
mod piece;
mod reader;
mod writer;

pub use merged::{EntryStream, Merged, Side, Step};
pub use old::OldEntry;
pub use reader::{FRUITLESS_BYTES_MAX, LogError, LogPart, MetadataLogReader, REPEATS_MAX};
pub use writer::{FinishedLog, MetadataLogWriter, OldLogOptions};
