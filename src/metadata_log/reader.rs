//! Reads a metadata log: follows references three deep, as every reader of the lineage does.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::format::entry::{Entry, stanza_path};
use crate::format::object_ref::{ObjectId, ObjectRef, SegmentId, Slice};
use crate::format::stanza::{LogItem, LogItems, Stanza};
use crate::store::object_cache::ObjectCache;

/// Most bytes of an unusable name that are repeated in a message.
const SHOWN_BYTES: usize = 200;

/// Deepest nesting of references, the root counted: root, piece, reused piece.
const DEPTH_MAX: usize = 3;

/// Most bytes of a log that are read without finding an entry: what leads nowhere has to end.
pub const FRUITLESS_BYTES_MAX: usize = 256 << 20;

/// How often an object may be referred to by a log in another way than once, or in slices that follow one another. No writer does that
/// at all, but the format does not forbid it either.
pub const REPEATS_MAX: u8 = 16;

/// Most reasons for losses that are remembered, to be told once for each segment.
const TOLD_MAX: usize = 1000;

/// A part of a metadata log that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    /// The path of the entry, or the object, as bytes.
    pub subject: Vec<u8>,
    /// The object, if it is one that is lost.
    pub object: Option<ObjectId>,
    /// Why.
    pub reason: String,
    /// Set if there was no room for a temporary file: then nothing is known of what seems lost.
    pub no_room: Option<String>,
    /// Whether another object of the segment was lost for the same reason before: a lost segment may have thousands of them.
    pub is_repeated: bool,
}

impl LogError {
    /// Fails where nothing is lost but room for temporary files.
    pub fn ensure_lost(&self) -> anyhow::Result<()> {
        match &self.no_room {
            Some(reason) => anyhow::bail!("{reason}"),
            None => Ok(()),
        }
    }

    /// Tells whether it is to be told, or the same was told before. Fails as [`ensure_lost`](Self::ensure_lost) does.
    pub fn is_news(&self) -> anyhow::Result<bool> {
        self.ensure_lost()?;
        Ok(!self.is_repeated)
    }
}

/// What comes next in an object of a log.
pub enum LogPart {
    /// An entry.
    Entry(Entry),
    /// A reference to an object with more.
    Reference(ObjectRef),
}

/// Reads the entries of a metadata log in the order they stand.
pub struct MetadataLogReader<'a, 'c> {
    objects: &'a mut ObjectCache<'c>,
    stack: Vec<Open>,
    next: Option<ObjectRef>,
    /// Most objects that may be open at once.
    depth_max: usize,
    fruitless_bytes: usize,
    visited: Option<&'a mut dyn FnMut(&ObjectRef)>,
    followed: Followed,
    /// References of the root before which the reader stops, in their order, and how many it has passed.
    marks: Rc<[ObjectRef]>,
    marks_passed: usize,
    /// The reference of the root that leads to what is being read.
    piece: Option<ObjectRef>,
    /// Why objects of a segment were lost so far.
    told: HashSet<(SegmentId, String)>,
}

/// What of each object a log has led to so far: a log that lists its parts n times n times would never end. Some 60 bytes for each
/// object, of which there is one for 64 KiB of log.
#[derive(Default)]
struct Followed(HashMap<ObjectId, Parts>);

/// Where in an object the next slice should begin, and how often it was another one.
#[derive(Default)]
struct Parts {
    end: u64,
    repeats: u8,
}

/// What to do with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Follow,
    /// It is too much now.
    Tell,
    /// It was too much before.
    LeaveOut,
}

impl Followed {
    fn again(&mut self, reference: &ObjectRef) -> Again {
        let parts = self.0.entry(reference.object).or_default();
        let (start, end) = match reference.slice {
            Slice::Part { start, length } => (start, start.saturating_add(length)),
            // An empty one would be followed for ever, too.
            Slice::Whole | Slice::First(_) | Slice::Exactly(_) => (0, u64::MAX),
        };
        if start >= parts.end && end > start {
            parts.end = end;
            return Again::Follow;
        }
        parts.repeats = parts.repeats.saturating_add(1);
        match parts.repeats {
            0..=REPEATS_MAX => Again::Follow,
            repeats if repeats == REPEATS_MAX + 1 => Again::Tell,
            _ => Again::LeaveOut,
        }
    }
}

/// An object that is being read.
struct Open {
    object: ObjectId,
    text: Vec<u8>,
    position: usize,
}

impl<'a, 'c> MetadataLogReader<'a, 'c> {
    /// Starts at the root that a descriptor names.
    pub fn new(objects: &'a mut ObjectCache<'c>, root: ObjectRef) -> Self {
        Self {
            objects,
            stack: Vec::new(),
            next: Some(root),
            depth_max: DEPTH_MAX,
            fruitless_bytes: 0,
            visited: None,
            followed: Followed::default(),
            marks: Rc::new([]),
            marks_passed: 0,
            piece: None,
            told: HashSet::new(),
        }
    }

    /// Starts at an object that a root refers to. `fruitless_bytes` are those of pieces read before.
    pub fn of_piece(
        objects: &'a mut ObjectCache<'c>,
        piece: ObjectRef,
        fruitless_bytes: usize,
    ) -> Self {
        Self {
            depth_max: DEPTH_MAX - 1,
            fruitless_bytes,
            ..Self::new(objects, piece)
        }
    }

    /// Returns how many bytes were read since the last entry.
    #[must_use]
    pub fn fruitless_bytes(&self) -> usize {
        self.fruitless_bytes
    }

    /// Calls `visited` with the reference of every object of the log, the root first.
    #[must_use]
    pub fn watch(self, visited: &'a mut dyn FnMut(&ObjectRef)) -> Self {
        Self {
            visited: Some(visited),
            ..self
        }
    }

    /// Reads the root, if no entry was asked for yet, and returns the references that stand in it.
    pub fn root_references(&mut self) -> Result<Vec<ObjectRef>, LogError> {
        if let Some(root) = self.next.take() {
            self.descend(&root)?;
        }
        let text = self.stack.first().map_or(&[][..], |root| &root.text);
        let references = LogItems::new(text).filter_map(|item| match item {
            Ok(LogItem::Reference(reference)) => Some(reference),
            _ => None,
        });
        Ok(references.collect())
    }

    /// Makes the reader stop before each of these references of the root, as if the log ended there, until
    /// [`pass_mark`](Self::pass_mark); they are in the order in which they stand in the root.
    pub fn stop_before(&mut self, marks: Rc<[ObjectRef]>) {
        self.marks = marks;
        self.marks_passed = 0;
    }

    /// Returns the reference of the root in whose piece the last entry stood; none if that was in the root itself.
    #[must_use]
    pub fn piece(&self) -> Option<&ObjectRef> {
        self.piece.as_ref().filter(|_| self.stack.len() > 1)
    }

    fn is_at_mark(&self) -> bool {
        self.stack.len() == 1
            && self.next.is_some()
            && self.next.as_ref() == self.marks.get(self.marks_passed)
    }

    /// Goes on behind the reference before which the reader stands, without reading it; `false` if it stands before none.
    pub fn pass_mark(&mut self) -> bool {
        let stands = self.is_at_mark();
        if stands {
            self.next = None;
            self.marks_passed += 1;
        }
        stands
    }

    /// Returns what comes next in the objects that are open, without going into what a reference refers to.
    pub fn next_part(&mut self) -> Option<Result<LogPart, LogError>> {
        loop {
            if self.is_at_mark() {
                return None;
            }
            if let Some(reference) = self.next.take()
                && let Err(error) = self.descend(&reference)
            {
                return Some(Err(error));
            }
            let open = self.stack.last_mut()?;
            let mut items = LogItems::new(&open.text[open.position..]);
            let item = items.next();
            open.position = open.text.len() - items.rest().len();
            match item {
                None => drop(self.stack.pop()),
                Some(Ok(LogItem::Reference(reference))) => {
                    return Some(Ok(LogPart::Reference(reference)));
                }
                Some(Ok(LogItem::Stanza(stanza))) => {
                    self.fruitless_bytes = 0;
                    return Some(interpret(&stanza).map(LogPart::Entry));
                }
                Some(Err(e)) => {
                    return Some(Err(LogError {
                        subject: b"metadata log".to_vec(),
                        object: None,
                        reason: e.to_string(),
                        no_room: None,
                        is_repeated: false,
                    }));
                }
            }
        }
    }

    fn descend(&mut self, reference: &ObjectRef) -> Result<(), LogError> {
        let error = |reason| LogError {
            subject: reference.object.to_string().into_bytes(),
            object: Some(reference.object),
            reason,
            no_room: None,
            is_repeated: false,
        };
        if self
            .stack
            .iter()
            .any(|open| open.object == reference.object)
        {
            return Err(error(
                "this part of the metadata log is nested in itself".to_owned(),
            ));
        }
        if self.stack.len() >= self.depth_max {
            return Err(error(format!(
                "metadata references are nested more than {DEPTH_MAX} deep"
            )));
        }
        match self.followed.again(reference) {
            Again::Follow => {}
            Again::Tell => {
                return Err(error(
                    "the metadata log has it again and again; this is left out from here on"
                        .to_owned(),
                ));
            }
            Again::LeaveOut => return Ok(()),
        }
        if let Some(visited) = &mut self.visited {
            visited(reference);
        }
        let text = self.objects.get(reference).map_err(|e| LogError {
            no_room: self
                .objects
                .ensure_had_room()
                .err()
                .map(|e| format!("{e:#}")),
            ..self.lost(reference.object, &e)
        })?;
        self.fruitless_bytes += text.len();
        if self.fruitless_bytes > FRUITLESS_BYTES_MAX {
            self.stack.clear();
            return Err(error(
                "the metadata log leads nowhere; the rest of it is left out".to_owned(),
            ));
        }
        if self.stack.len() == 1 {
            self.piece = Some(*reference);
        }
        self.stack.push(Open {
            object: reference.object,
            text,
            position: 0,
        });
        Ok(())
    }

    /// Says why an object of the log is lost.
    fn lost(&mut self, object: ObjectId, error: &anyhow::Error) -> LogError {
        let subject = object.to_string();
        let reason = format!("{error:#}");
        // The subject has the name of the object.
        let reason = reason
            .strip_prefix(&format!("object {subject}: "))
            .unwrap_or(&reason);
        let told = (object.segment, reason.to_owned());
        LogError {
            subject: subject.into_bytes(),
            object: Some(object),
            reason: format!("part of the metadata log is lost: {reason}"),
            no_room: None,
            is_repeated: self.told.contains(&told)
                || (self.told.len() < TOLD_MAX && !self.told.insert(told)),
        }
    }
}

impl Iterator for MetadataLogReader<'_, '_> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_part()? {
                Ok(LogPart::Reference(reference)) => self.next = Some(reference),
                Ok(LogPart::Entry(entry)) => return Some(Ok(entry)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn interpret(stanza: &Stanza<'_>) -> Result<Entry, LogError> {
    Entry::from_stanza(stanza).map_err(|e| {
        let named = || {
            stanza
                .get("name")
                .or_else(|| stanza.get("path"))
                .unwrap_or(b"metadata log")
        };
        let subject = match stanza_path(stanza) {
            Ok(path) => path.as_bytes().to_vec(),
            Err(_) => named().iter().take(SHOWN_BYTES).copied().collect(),
        };
        LogError {
            subject,
            object: None,
            reason: format!("cannot use its entry: {e}"),
            no_room: None,
            is_repeated: false,
        }
    })
}
