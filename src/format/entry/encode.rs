//! Entry to stanza: `name` first, then the other keys in alphabetical order, so that equal entries give equal bytes.

use std::fmt;

use super::{Entry, EntryKind, FileTime, Owner, Xattr};
use crate::format::object_ref::DataRef;
use crate::format::percent;

impl Entry {
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
        if self.incomplete {
            text_field(out, "incomplete", format_args!("1"));
        }
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
