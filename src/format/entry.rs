//! What a stanza means: one file of a snapshot with everything that a restore brings back.
//!
//! Reading accepts every key of the lineage (docs/format.md, "Entries"); writing produces the portable subset with pileus's
//! additions: `name` first, then the other keys in alphabetical order, so that equal entries give equal bytes.

use std::fmt;

use super::checksum::Checksum;
use super::integer::{parse_i64, parse_u32, parse_u64};
use super::object_ref::DataRef;
use super::path::EntryPath;
use super::stanza::Stanza;
use super::{FormatError, percent};

/// Most references in one field. An object has room for fewer that name objects, and zeros come in runs.
const REFERENCES_MAX: usize = 400_000;

/// Most extended attributes of one file; Linux lists names of 64 KiB together.
const XATTRS_MAX: usize = 32 << 10;

/// One file, directory, link or special file at the moment of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was.
    pub path: EntryPath,
    /// What it was.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits (12 bits).
    pub mode: u32,
    /// Owning user.
    pub user: Owner,
    /// Owning group.
    pub group: Owner,
    /// Last change of contents.
    pub mtime: FileTime,
    /// Last change of the inode; written for regular files only, read where present.
    pub ctime: Option<FileTime>,
    /// Identity for hard links: equal strings with `links` above 1 are links of one another.
    pub inode: Option<Vec<u8>>,
    /// Number of hard links to the file, at least 1.
    pub links: u64,
    /// Whether the file may have changed in the second it was read, so that its times prove nothing next time.
    pub volatile: bool,
    /// Whether it is a directory of which the snapshot does not have everything that no rule left out: one above a source, or on
    /// which a file system was mounted that was not entered.
    pub partial: bool,
    /// Extended attributes as the kernel names them, sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// One extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// The type of an entry with what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File(FileContents),
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink {
        /// The link's text, bytes.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

impl EntryKind {
    /// Returns the letter of the `type` field.
    #[must_use]
    pub fn letter(&self) -> char {
        match self {
            Self::File(_) => 'f',
            Self::Directory => 'd',
            Self::Symlink { .. } => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::CharDevice(_) => 'c',
            Self::BlockDevice(_) => 'b',
        }
    }
}

/// The contents of a regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContents {
    /// Length in bytes.
    pub size: u64,
    /// Checksum of all contents.
    pub checksum: Option<Checksum>,
    /// Where the contents are, in file order.
    pub data: Vec<DataRef>,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The unit.
    pub minor: u32,
}

/// A user or group: the number, and the name it had at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The numeric id.
    pub id: u32,
    /// The name, if the number had one.
    pub name: Option<Vec<u8>>,
}

/// An instant on a file's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// 0 to 999,999,999, always counted forward.
    pub nanoseconds: u32,
}

impl Entry {
    /// Interprets a stanza; the error names the key that is missing or wrong.
    pub fn from_stanza(stanza: &Stanza<'_>) -> Result<Self, FormatError> {
        let inode = stanza.get("inode").map(<[u8]>::to_vec);
        let links = optional(stanza, "links", parse_u64)?.unwrap_or(1);
        Ok(Self {
            path: stanza_path(stanza)?,
            kind: parse_kind(stanza)?,
            mode: required(stanza, "mode", parse_u32)? & 0o7777,
            user: required(stanza, "user", parse_owner)?,
            group: required(stanza, "group", parse_owner)?,
            mtime: parse_time(stanza, "mtime", "mtime-nsec")?.ok_or_else(|| missing("mtime"))?,
            ctime: parse_time(stanza, "ctime", "ctime-nsec")?,
            inode,
            links,
            volatile: stanza.get("volatile").is_some_and(|v| v != b"0"),
            partial: stanza.get("partial").is_some_and(|v| v != b"0"),
            xattrs: optional(stanza, "xattrs", parse_xattrs)?.unwrap_or_default(),
        })
    }

    /// Appends the stanza, with the blank line that ends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        field(out, "name", |out| {
            percent::encode(self.path.as_bytes(), out);
        });
        if let EntryKind::File(contents) = &self.kind
            && let Some(checksum) = &contents.checksum
        {
            field(out, "checksum", |out| checksum.encode(out));
        }
        if let Some(ctime) = self.ctime {
            encode_time(out, "ctime", "ctime-nsec", ctime);
        }
        match &self.kind {
            EntryKind::File(contents) => field(out, "data", |out| encode_data(&contents.data, out)),
            EntryKind::CharDevice(d) | EntryKind::BlockDevice(d) => {
                text_field(out, "device", format_args!("{}/{}", d.major, d.minor));
            }
            _ => {}
        }
        encode_owner(out, "group", &self.group);
        if let Some(inode) = &self.inode {
            field(out, "inode", |out| out.extend_from_slice(inode));
        }
        if self.links > 1 {
            text_field(out, "links", format_args!("{}", self.links));
        }
        text_field(out, "mode", format_args!("0{:o}", self.mode));
        encode_time(out, "mtime", "mtime-nsec", self.mtime);
        if self.partial {
            text_field(out, "partial", format_args!("1"));
        }
        match &self.kind {
            EntryKind::File(contents) => text_field(out, "size", format_args!("{}", contents.size)),
            EntryKind::Symlink { target } => {
                field(out, "target", |out| percent::encode(target, out));
            }
            _ => {}
        }
        text_field(out, "type", format_args!("{}", self.kind.letter()));
        encode_owner(out, "user", &self.user);
        if self.volatile {
            text_field(out, "volatile", format_args!("1"));
        }
        if !self.xattrs.is_empty() {
            field(out, "xattrs", |out| encode_xattrs(&self.xattrs, out));
        }
        out.push(b'\n');
    }

    /// Tells whether other entries of the snapshot may be hard links of this one.
    #[must_use]
    pub fn may_be_hard_link(&self) -> bool {
        self.links > 1 && self.inode.is_some() && !matches!(self.kind, EntryKind::Directory)
    }
}

/// Returns the path of a stanza: the key `name`, or `path` in logs up to LBS 0.2 and of one development version.
pub fn stanza_path(stanza: &Stanza<'_>) -> Result<EntryPath, FormatError> {
    let text = stanza
        .get("name")
        .or_else(|| stanza.get("path"))
        .ok_or_else(|| missing("name"))?;
    EntryPath::new(percent::decode(text)?)
}

/// Parses the references of a `data` field, or of an object that a `data: @reference` names.
pub fn parse_data(text: &[u8]) -> Result<Vec<DataRef>, FormatError> {
    parse_words(text, REFERENCES_MAX, DataRef::parse)
}

/// Parses each of the words of a field, which are at most `limit`: a few bytes of a hostile store must not fill the memory.
fn parse_words<T>(
    text: &[u8],
    limit: usize,
    parse: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let words = || {
        text.split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
    };
    if words().nth(limit).is_some() {
        return Err(FormatError::plain(format!(
            "more than {limit} words in a field"
        )));
    }
    words().map(parse).collect()
}

fn parse_kind(stanza: &Stanza<'_>) -> Result<EntryKind, FormatError> {
    match stanza.get("type").ok_or_else(|| missing("type"))? {
        b"f" | b"-" => Ok(EntryKind::File(FileContents {
            size: required(stanza, "size", parse_u64)?,
            checksum: optional(stanza, "checksum", Checksum::parse)?,
            data: required(stanza, "data", parse_data)?,
        })),
        b"d" => Ok(EntryKind::Directory),
        b"l" => {
            let text = stanza
                .get("target")
                .or_else(|| stanza.get("contents"))
                .ok_or_else(|| missing("target"))?;
            let target = percent::decode(text)?;
            if target.is_empty() || target.contains(&0) {
                return Err(FormatError::new("invalid link target", text));
            }
            Ok(EntryKind::Symlink { target })
        }
        b"p" => Ok(EntryKind::Fifo),
        b"s" => Ok(EntryKind::Socket),
        b"c" => required(stanza, "device", parse_device).map(EntryKind::CharDevice),
        b"b" => required(stanza, "device", parse_device).map(EntryKind::BlockDevice),
        other => Err(FormatError::new("unknown entry type", other)),
    }
}

fn parse_device(text: &[u8]) -> Result<DeviceNumber, FormatError> {
    let at = text
        .iter()
        .position(|&b| b == b'/')
        .ok_or_else(|| FormatError::new("invalid device number", text))?;
    Ok(DeviceNumber {
        major: parse_u32(&text[..at])?,
        minor: parse_u32(&text[at + 1..])?,
    })
}

fn parse_owner(text: &[u8]) -> Result<Owner, FormatError> {
    let Some(at) = text.iter().position(u8::is_ascii_whitespace) else {
        return Ok(Owner {
            id: parse_u32(text)?,
            name: None,
        });
    };
    let name = text[at..]
        .trim_ascii()
        .strip_prefix(b"(")
        .and_then(|n| n.strip_suffix(b")"));
    let name = name.ok_or_else(|| FormatError::new("invalid owner", text))?;
    Ok(Owner {
        id: parse_u32(&text[..at])?,
        name: Some(percent::decode(name)?),
    })
}

fn parse_time(
    stanza: &Stanza<'_>,
    key: &str,
    nsec_key: &str,
) -> Result<Option<FileTime>, FormatError> {
    let Some(seconds) = optional(stanza, key, parse_i64)? else {
        return Ok(None);
    };
    let nanoseconds = optional(stanza, nsec_key, parse_u32)?.unwrap_or(0);
    if nanoseconds > 999_999_999 {
        return Err(FormatError::plain(format!(
            "{nsec_key} {nanoseconds} is more than 999999999"
        )));
    }
    Ok(Some(FileTime {
        seconds,
        nanoseconds,
    }))
}

fn parse_xattrs(text: &[u8]) -> Result<Vec<Xattr>, FormatError> {
    parse_words(text, XATTRS_MAX, |word| {
        let invalid = || FormatError::new("invalid extended attribute", word);
        let at = word.iter().position(|&b| b == b'=').ok_or_else(invalid)?;
        let name = percent::decode(&word[..at])?;
        if name.is_empty() || name.contains(&0) {
            return Err(invalid());
        }
        Ok((name, percent::decode(&word[at + 1..])?))
    })
}

fn missing(key: &str) -> FormatError {
    FormatError::plain(format!("the key \"{key}\" is missing"))
}

fn optional<T>(
    stanza: &Stanza<'_>,
    key: &str,
    parse: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> Result<Option<T>, FormatError> {
    let parsed = stanza.get(key).map(parse).transpose();
    parsed.map_err(|e| FormatError::plain(format!("{key}: {e}")))
}

fn required<T>(
    stanza: &Stanza<'_>,
    key: &str,
    parse: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> Result<T, FormatError> {
    optional(stanza, key, parse)?.ok_or_else(|| missing(key))
}

fn field(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b": ");
    value(out);
    out.push(b'\n');
}

fn text_field(out: &mut Vec<u8>, key: &str, value: fmt::Arguments<'_>) {
    use std::io::Write as _;
    field(out, key, |out| {
        out.write_fmt(value).expect("a Vec takes all bytes");
    });
}

fn encode_time(out: &mut Vec<u8>, key: &str, nsec_key: &str, time: FileTime) {
    text_field(out, key, format_args!("{}", time.seconds));
    if time.nanoseconds != 0 {
        text_field(out, nsec_key, format_args!("{}", time.nanoseconds));
    }
}

fn encode_owner(out: &mut Vec<u8>, key: &str, owner: &Owner) {
    field(out, key, |out| {
        out.extend_from_slice(owner.id.to_string().as_bytes());
        if let Some(name) = &owner.name {
            out.extend_from_slice(b" (");
            percent::encode(name, out);
            out.push(b')');
        }
    });
}

/// Appends references, one a line, as a `data` field has them; the older readers take any white space between them.
pub fn encode_data(data: &[DataRef], out: &mut Vec<u8>) {
    for (i, reference) in data.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\n    ");
        }
        reference.encode(out);
    }
}

fn encode_xattrs(xattrs: &[Xattr], out: &mut Vec<u8>) {
    for (i, (name, value)) in xattrs.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        for part in name.split_inclusive(|&b| b == b'=') {
            match part.strip_suffix(b"=") {
                Some(head) => {
                    percent::encode(head, out);
                    out.extend_from_slice(b"%3d");
                }
                None => percent::encode(part, out),
            }
        }
        out.push(b'=');
        percent::encode(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum::Algorithm;
    use crate::format::stanza::{LogItem, LogItems};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn parse(text: &[u8]) -> Result<Entry, FormatError> {
        match LogItems::new(text).next() {
            Some(Ok(LogItem::Stanza(stanza))) => Entry::from_stanza(&stanza),
            other => panic!("not a stanza: {other:?}"),
        }
    }

    #[test]
    fn an_entry_of_the_reference_program() {
        let text = b"name: data/docs/third-link\nchecksum: sha1=f572d396fae9206628714fb2ce00f72e94f2258f\nctime: 1795291558\n\
            data: 90b3367e-c348-47df-8e3c-4f2b64714d8c/00000004[6]\ngroup: 0 (root)\ninode: 254/0/10010836\nlinks: 3\n\
            mode: 0644\nmtime: 86400\nsize: 6\ntype: f\nuser: 0 (root)\nvolatile: 1\n\n";
        let entry = parse(text).expect("parses");
        assert_eq!(entry.mode, 0o644);
        assert!(entry.may_be_hard_link() && entry.volatile);
        let mut again = Vec::new();
        entry.encode(&mut again);
        assert_eq!(
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(text)
        );
    }

    #[test]
    fn keys_of_the_first_generation() {
        let entry = parse(b"path: a%20link\ntype: l\ncontents: to%20there\nmode: 0777\nuser: 1000\ngroup: 100 (users)\nmtime: -5\n").expect("parses");
        assert_eq!(entry.path.as_bytes(), b"a link");
        assert_eq!(
            entry.kind,
            EntryKind::Symlink {
                target: b"to there".to_vec()
            }
        );
        assert_eq!(
            entry.mtime,
            FileTime {
                seconds: -5,
                nanoseconds: 0
            }
        );
    }

    #[test]
    fn errors_name_the_key() {
        for (text, message) in [
            ("type: f\n", "the key \"name\" is missing"),
            ("name: ../x\n", "\".\" or \"..\" in path \"../x\""),
            ("name: x\ntype: q\n", "unknown entry type \"q\""),
            (
                "name: x\ntype: f\nsize: -1\n",
                "size: invalid number \"-1\"",
            ),
            (
                "name: x\ntype: d\nmode: 0755\nuser: 0\ngroup: 0 root\n",
                "group: invalid owner \"0 root\"",
            ),
            (
                "name: x\ntype: d\nmode: 0755\nuser: 0\ngroup: 0\nmtime: 1\nmtime-nsec: 1000000000\n",
                "mtime-nsec 1000000000 is more than 999999999",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).expect_err(text).to_string(), message);
        }
    }

    fn kinds() -> impl Strategy<Value = EntryKind> {
        prop_oneof![
            Just(EntryKind::Directory),
            Just(EntryKind::Fifo),
            Just(EntryKind::Socket),
            any::<(u32, u32)>()
                .prop_map(|(major, minor)| EntryKind::CharDevice(DeviceNumber { major, minor })),
            any::<(u32, u32)>()
                .prop_map(|(major, minor)| EntryKind::BlockDevice(DeviceNumber { major, minor })),
            vec(1_u8.., 1..20).prop_map(|target| EntryKind::Symlink { target }),
            (any::<u64>(), vec(any::<u64>(), 0..4)).prop_map(|(size, zeros)| EntryKind::File(
                FileContents {
                    size,
                    checksum: Some(Checksum::of(Algorithm::Sha1, &size.to_le_bytes())),
                    data: zeros.into_iter().map(DataRef::Zero).collect(),
                }
            )),
        ]
    }

    fn owners() -> impl Strategy<Value = Owner> {
        (any::<u32>(), option::of(vec(any::<u8>(), 0..8))).prop_map(|(id, name)| Owner { id, name })
    }

    fn times() -> impl Strategy<Value = FileTime> {
        (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| FileTime {
            seconds,
            nanoseconds,
        })
    }

    proptest! {
        #[test]
        fn round_trip(
            path in vec(1_u8.., 1..30).prop_filter_map("a valid path", |p| EntryPath::new(p).ok()),
            kind in kinds(), mode in 0..0o10000_u32, user in owners(), group in owners(), mtime in times(),
            ctime in option::of(times()), inode in option::of("[0-9]{1,3}/[0-9]{1,9}"), links in 1_u64.., volatile: bool, partial: bool,
            xattrs in vec((vec(1_u8.., 1..9), vec(any::<u8>(), 0..9)), 0..4),
        ) {
            let inode = inode.map(String::into_bytes);
            let entry = Entry { path, kind, mode, user, group, mtime, ctime, inode, links, volatile, partial, xattrs };
            let mut text = Vec::new();
            entry.encode(&mut text);
            prop_assert_eq!(parse(&text).expect("parses"), entry);
        }
    }
}
