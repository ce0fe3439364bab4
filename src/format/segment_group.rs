//! Segment groups: which objects may share a segment (docs/format.md, "Segments"). The format does not show them; they keep what
//! lives long apart from what does not, and metadata apart from data.

use std::fmt;

/// A segment group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentGroup {
    /// Blocks of files.
    Data,
    /// Pieces and lists of the metadata log.
    Metadata,
    /// Blocks that were written again because their segment had expired, of one age class from 1 up.
    Compacted(u32),
}

impl SegmentGroup {
    /// Returns the group for blocks of expired segments of an age class; those of class 0 are as young as new data.
    #[must_use]
    pub fn of_age_class(class: u32) -> Self {
        match class {
            0 => Self::Data,
            class => Self::Compacted(class),
        }
    }
}

impl fmt::Display for SegmentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("data"),
            Self::Metadata => f.write_str("metadata"),
            Self::Compacted(class) => write!(f, "compacted-{class}"),
        }
    }
}
