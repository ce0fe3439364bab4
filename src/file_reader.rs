//! The contents of one file of a snapshot, front to back, checked on the way.

use anyhow::{Context, Result, bail, ensure};

use crate::format::checksum::{Checksum, Hasher};
use crate::format::entry::{FileContents, parse_data};
use crate::format::object_ref::{DataRef, ObjectId, ObjectRef};
use crate::store::object_cache::ObjectCache;

/// Deepest nesting of `data: @reference`.
const DEPTH_MAX: usize = 3;

/// Larger files are taken for damage: no file system of today holds them, and merely hashing their zeros would take a day.
pub const FILE_BYTES_MAX: u64 = 64 << 40;

/// Most bytes of lists of references that are read without finding a reference in them: what leads nowhere has to end.
const FRUITLESS_BYTES_MAX: usize = 64 << 20;

/// Most references of one file: enough for a file of 16 TiB, and a bound on what a hostile store can make of a few bytes.
const REFERENCES_MAX: usize = 16 << 20;

/// Most bytes of lists of references for each byte of a file, and those that any file may have beyond. A reference that stands for a byte or
/// more is shorter: more text than that leads to nothing, and a list that is there once may be named by any number of files.
const LIST_BYTES_PER_BYTE: u64 = 256;
const LIST_BYTES_FREE: u64 = 4 << 10;

/// Most references of a file that are in memory at once, some 40 MB: a file of 400 GiB in whole blocks. Of one with more, lists are read
/// as often as they are needed.
const HELD_MAX: usize = 400 << 10;

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'d> {
    /// These bytes.
    Bytes(&'d [u8]),
    /// That many null bytes.
    Zeros(u64),
}

impl Part<'_> {
    /// Returns the number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(count) => *count,
        }
    }

    /// Feeds the bytes to a checksum.
    pub fn feed(&self, hasher: &mut Hasher) {
        match *self {
            Self::Bytes(bytes) => hasher.update(bytes),
            Self::Zeros(mut count) => {
                const ZEROS: &[u8] = &[0; 64 << 10];
                while count > 0 {
                    let step = usize::try_from(count)
                        .unwrap_or(usize::MAX)
                        .min(ZEROS.len());
                    hasher.update(&ZEROS[..step]);
                    count -= step as u64;
                }
            }
        }
    }
}

/// Compares contents with what an entry says of them, part by part.
pub struct ContentsCheck {
    size: u64,
    checksum: Option<Checksum>,
    length: u64,
    hasher: Option<Hasher>,
}

impl ContentsCheck {
    /// Begins with nothing; a file that is too large to be one is an error.
    pub fn new(contents: &FileContents) -> Result<Self> {
        if contents.size > FILE_BYTES_MAX {
            bail!(
                "a file of {} bytes is larger than the {FILE_BYTES_MAX} that can be read",
                contents.size
            );
        }
        let hasher = contents
            .checksum
            .map(|checksum| Hasher::new(checksum.algorithm()));
        Ok(Self {
            size: contents.size,
            checksum: contents.checksum,
            length: 0,
            hasher,
        })
    }

    /// Takes the next part; more than the entry's size is an error.
    pub fn add(&mut self, part: &Part<'_>) -> Result<()> {
        self.length = self.end_of(part.length())?;
        if let Some(hasher) = &mut self.hasher {
            part.feed(hasher);
        }
        Ok(())
    }

    /// Returns where a next part of so many bytes ends; more than the entry's size is an error.
    fn end_of(&self, part_bytes: u64) -> Result<u64> {
        let end = self.length.checked_add(part_bytes);
        end.filter(|&end| end <= self.size).with_context(|| {
            format!(
                "its references add up to more than its size of {} bytes",
                self.size
            )
        })
    }

    /// Ends the file; size and checksum have to be those of the entry.
    pub fn finish(self) -> Result<()> {
        if self.length != self.size {
            bail!(
                "its references add up to {} bytes, its size is {}",
                self.length,
                self.size
            );
        }
        if let Some((wanted, hasher)) = self.checksum.zip(self.hasher) {
            let found = hasher.finish();
            if found != wanted {
                bail!("its contents are damaged: checksum {found}, wanted {wanted}");
            }
        }
        Ok(())
    }
}

/// Hands the contents of a file to `take`, part by part. It is an error, told only at the end, if they are not what size and
/// checksum say.
pub fn read(
    contents: &FileContents,
    objects: &mut ObjectCache<'_>,
    take: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<()> {
    let mut check = ContentsCheck::new(contents)?;
    for_each(contents.into(), objects, &mut |reference, objects| {
        let bytes;
        let part = match reference {
            DataRef::Zero(count) => Part::Zeros(count),
            DataRef::Object(reference) | DataRef::Indirect(reference) => {
                // Asked first: what stands in a file of one byte may be a reference to sixteen million.
                check.end_of(objects.length(&reference)?)?;
                bytes = objects.get(&reference)?;
                Part::Bytes(&bytes)
            }
        };
        check.add(&part)?;
        take(part)
    })?;
    check.finish()
}

/// References of a file as they stand in its entry.
#[derive(Clone, Copy, Debug)]
pub struct References<'d> {
    /// All of them.
    pub data: &'d [DataRef],
    /// What they have to add up to.
    pub size: u64,
}

impl<'d> From<&'d FileContents> for References<'d> {
    fn from(contents: &'d FileContents) -> Self {
        Self {
            data: &contents.data,
            size: contents.size,
        }
    }
}

/// References of a file, with its lists of references read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expanded {
    /// All of them.
    All(Vec<DataRef>),
    /// As they stand in the entry: they lead to more than [`HELD_MAX`], which are better gone through than held.
    TooMany(Vec<DataRef>),
}

/// Replaces `@reference`s in the data of a file of `size` bytes by the references that they lead to. More than [`HELD_MAX`] are read all
/// the same, so that an error of theirs is told here.
pub fn expand(data: Vec<DataRef>, size: u64, objects: &mut ObjectCache<'_>) -> Result<Expanded> {
    if !data
        .iter()
        .any(|reference| matches!(reference, DataRef::Indirect(_)))
    {
        return Ok(Expanded::All(data));
    }
    let mut all = Vec::new();
    let mut count = 0;
    let references = References { data: &data, size };
    for_each(references, objects, &mut |reference, _| {
        count += 1;
        if count <= HELD_MAX {
            all.push(reference);
        }
        Ok(())
    })?;
    Ok(if count <= HELD_MAX {
        Expanded::All(all)
    } else {
        Expanded::TooMany(data)
    })
}

/// Hands the references of a file to `take`, in file order, with those that its lists lead to in the place of each list. Only the lists
/// that lead to the present reference are in memory.
pub fn for_each(
    references: References<'_>,
    objects: &mut ObjectCache<'_>,
    take: &mut TakeReference<'_>,
) -> Result<()> {
    let mut walk = Walk {
        objects,
        take,
        open: Vec::new(),
        count: 0,
        fruitless_bytes: 0,
        list_bytes_left: references
            .size
            .saturating_mul(LIST_BYTES_PER_BYTE)
            .saturating_add(LIST_BYTES_FREE),
    };
    walk.through(references.data)
}

/// What is done with a reference; it may read objects.
pub type TakeReference<'t> = dyn FnMut(DataRef, &mut ObjectCache<'_>) -> Result<()> + 't;

/// A walk through lists of references.
struct Walk<'w, 'c> {
    objects: &'w mut ObjectCache<'c>,
    take: &'w mut TakeReference<'w>,
    /// The lists that lead to the present one.
    open: Vec<ObjectId>,
    count: usize,
    fruitless_bytes: usize,
    list_bytes_left: u64,
}

impl Walk<'_, '_> {
    fn through(&mut self, data: &[DataRef]) -> Result<()> {
        for reference in data {
            if let DataRef::Indirect(list) = reference {
                self.through_list(list)?;
                continue;
            }
            self.fruitless_bytes = 0;
            self.count += 1;
            ensure!(
                self.count <= REFERENCES_MAX,
                "it has more than {REFERENCES_MAX} references"
            );
            (self.take)(*reference, self.objects)?;
        }
        Ok(())
    }

    fn through_list(&mut self, list: &ObjectRef) -> Result<()> {
        ensure!(
            self.open.len() < DEPTH_MAX,
            "its references are nested more than {DEPTH_MAX} deep"
        );
        ensure!(
            !self.open.contains(&list.object),
            "its list of references {} contains itself",
            list.object
        );
        let bytes = self.objects.length(list)?;
        self.list_bytes_left = self
            .list_bytes_left
            .checked_sub(bytes)
            .context("its lists of references have more text than a file of its size can need")?;
        let text = self.objects.get(list)?;
        self.fruitless_bytes += text.len();
        ensure!(
            self.fruitless_bytes <= FRUITLESS_BYTES_MAX,
            "its lists of references lead nowhere"
        );
        self.open.push(list.object);
        let data = parse_data(&text)?;
        drop(text);
        self.through(&data)?;
        self.open.pop();
        Ok(())
    }
}
