//! Two streams of entries side by side, in path order: what comparing snapshots is made of.
//!
//! Of two logs, a piece that both roots name is read in neither: its entries are the same. To be sure that both readers stand before it
//! at the same time, the references that the roots have in common are marks, at which each reader waits for the other. Memory holds one
//! piece of each log, the roots, and the marks: about 100 bytes for each 64 KiB of shared log.
//!
//! Where a part of one stream is lost, nobody knows whether what the other one has there is in it: such entries are not *certain* to be
//! on one side alone.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use super::reader::{LogError, MetadataLogReader};
use crate::format::entry::Entry;
use crate::format::object_ref::ObjectRef;
use crate::format::path::EntryPath;

/// Entries in path order, some of which may be lost.
pub trait EntryStream: Iterator<Item = Result<Entry, LogError>> {
    /// Goes on behind a stretch that the other stream has too, if the stream waits before one.
    fn pass_mark(&mut self) -> bool {
        false
    }
}

impl EntryStream for MetadataLogReader<'_, '_> {
    fn pass_mark(&mut self) -> bool {
        MetadataLogReader::pass_mark(self)
    }
}

impl EntryStream for std::iter::Empty<Result<Entry, LogError>> {}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Old,
    /// The second.
    New,
}

/// What comes next in path order.
#[derive(Debug)]
pub enum Step {
    /// An entry of one side alone; the flag tells whether that is certain.
    One(Side, Box<Entry>, bool),
    /// Entries of both sides under the same path.
    Both(Box<(Entry, Entry)>),
    /// Something of one side could not be read.
    Lost(Side, LogError),
}

/// Reads two streams of entries in step.
pub struct Merged<O, N> {
    old: Half<O>,
    new: Half<N>,
}

struct Half<S> {
    stream: S,
    next: Option<Entry>,
    /// Whether something between the last entry taken and the next one is lost.
    gap: bool,
    /// The path of the last entry read.
    last: Option<EntryPath>,
    /// An error from before the first entry.
    error: Option<LogError>,
}

impl<'a, 'c, 'b, 'd> Merged<MetadataLogReader<'a, 'c>, MetadataLogReader<'b, 'd>> {
    /// Pairs two logs of which nothing was read yet.
    #[must_use]
    pub fn of_logs(mut old: MetadataLogReader<'a, 'c>, mut new: MetadataLogReader<'b, 'd>) -> Self {
        let of_old = old.root_references();
        let of_new = new.root_references();
        if let (Ok(of_old), Ok(of_new)) = (&of_old, &of_new) {
            let shared: Rc<[ObjectRef]> = shared(of_old, of_new).into();
            old.stop_before(Rc::clone(&shared));
            new.stop_before(shared);
        }
        let mut merged = Self::new(old, new);
        merged.old.error = of_old.err();
        merged.new.error = of_new.err();
        merged
    }
}

impl<O: EntryStream, N: EntryStream> Merged<O, N> {
    /// Pairs two streams.
    pub fn new(old: O, new: N) -> Self {
        Self {
            old: Half::new(old),
            new: Half::new(new),
        }
    }
}

impl<O: EntryStream, N: EntryStream> Iterator for Merged<O, N> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(error) = self.old.fill() {
                return Some(Step::Lost(Side::Old, error));
            }
            if let Some(error) = self.new.fill() {
                return Some(Step::Lost(Side::New, error));
            }
            let Some(order) = order(self.old.next.as_ref(), self.new.next.as_ref()) else {
                if self.old.pass_mark() && self.new.pass_mark() {
                    continue;
                }
                return None;
            };
            return match order {
                Ordering::Less => {
                    let certain = !self.new.gap;
                    let entry = self.old.take()?;
                    Some(Step::One(Side::Old, Box::new(entry), certain))
                }
                Ordering::Greater => {
                    let certain = !self.old.gap;
                    let entry = self.new.take()?;
                    Some(Step::One(Side::New, Box::new(entry), certain))
                }
                Ordering::Equal => {
                    let both = (self.old.take()?, self.new.take()?);
                    Some(Step::Both(Box::new(both)))
                }
            };
        }
    }
}

impl<S: EntryStream> Half<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            next: None,
            gap: false,
            last: None,
            error: None,
        }
    }

    /// Makes sure that the next entry is known, unless there is none; or returns what was lost before it.
    fn fill(&mut self) -> Option<LogError> {
        if let Some(error) = self.error.take() {
            self.gap = true;
            return Some(error);
        }
        if self.next.is_some() {
            return None;
        }
        match self.stream.next()? {
            Ok(entry) if self.last.as_ref().is_some_and(|last| entry.path <= *last) => {
                self.gap = true;
                Some(LogError {
                    subject: entry.path.as_bytes().to_vec(),
                    object: None,
                    reason: "its entry does not stand in path order; it is not compared".to_owned(),
                    no_room: None,
                    is_repeated: false,
                })
            }
            Ok(entry) => {
                self.last = Some(entry.path.clone());
                self.next = Some(entry);
                None
            }
            Err(error) => {
                self.gap = true;
                Some(error)
            }
        }
    }

    fn take(&mut self) -> Option<Entry> {
        self.gap = false;
        self.next.take()
    }

    fn pass_mark(&mut self) -> bool {
        let passed = self.stream.pass_mark();
        self.gap &= !passed;
        passed
    }
}

fn order(old: Option<&Entry>, new: Option<&Entry>) -> Option<Ordering> {
    match (old, new) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(old), Some(new)) => Some(old.path.cmp(&new.path)),
    }
}

/// Returns references that both lists have, in an order that is that of both.
fn shared(old: &[ObjectRef], new: &[ObjectRef]) -> Vec<ObjectRef> {
    let mut places: HashMap<&ObjectRef, Vec<usize>> = HashMap::new();
    for (place, reference) in new.iter().enumerate() {
        places.entry(reference).or_default().push(place);
    }
    let mut shared = Vec::new();
    let mut behind = 0;
    for reference in old {
        let found = places
            .get(reference)
            .and_then(|places| places.get(places.partition_point(|&place| place < behind)));
        if let Some(&place) = found {
            behind = place + 1;
            shared.push(*reference);
        }
    }
    shared
}
