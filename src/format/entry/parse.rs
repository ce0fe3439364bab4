//! Stanza to entry: every key of the lineage is understood, and nothing in it is trusted.

use super::{DeviceNumber, Entry, EntryKind, FileContents, FileTime, Owner, Xattr};
use crate::format::checksum::Checksum;
use crate::format::integer::{parse_i64, parse_u32, parse_u64};
use crate::format::object_ref::DataRef;
use crate::format::path::EntryPath;
use crate::format::stanza::Stanza;
use crate::format::{FormatError, percent};

/// Most references in one field. An object has room for fewer that name objects, and zeros come in runs.
const REFERENCES_MAX: usize = 400_000;

/// Most extended attributes of one file; Linux lists names of 64 KiB together.
const XATTRS_MAX: usize = 32 << 10;

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
            incomplete: stanza.get("incomplete").is_some_and(|v| v != b"0"),
            xattrs: optional(stanza, "xattrs", parse_xattrs)?.unwrap_or_default(),
        })
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
