//! Stores made by hand, byte by byte, with whatever a broken or hostile writer could put into one.
//!
//! Nothing of pileus is used here, so that a mistake in its writer cannot hide one in its reader.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha1::{Digest, Sha1};

/// The segment of the files that [`MadeStore::good_file`] adds.
pub const GOOD: &str = "cccccccc-0000-4000-8000-000000000001";
/// The segment that [`MadeStore::object`] adds to.
pub const DATA: &str = "dddddddd-0000-4000-8000-000000000001";
/// The segment that [`MadeStore::log_object`] adds to.
pub const LOG: &str = "aaaaaaaa-0000-4000-8000-000000000001";
/// The only snapshot.
pub const SNAPSHOT: &str = "20260102T030405";

/// A store that is being made.
pub struct MadeStore {
    segments: Vec<Segment>,
    /// The stanzas of the root object.
    pub log: Vec<u8>,
    /// What stands behind `Root:`; the object of `log` if there is nothing.
    pub root: Option<String>,
    /// The descriptor; a good one if there is nothing.
    pub descriptor: Option<Vec<u8>>,
    /// Lines that are added to the sums file.
    pub more_sums: Vec<u8>,
}

/// A segment that is being made.
pub struct Segment {
    id: String,
    /// What follows `.tar`.
    pub extension: String,
    members: Vec<Member>,
    /// Bytes of the file, if it is not to be a tar of the members.
    pub bytes: Option<Vec<u8>>,
}

/// A member of a tar file.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    /// The type flag: `b'0'` for a regular file.
    pub kind: u8,
    /// The size field; the length of the data if there is nothing.
    pub size: Option<[u8; 12]>,
    pub data: Vec<u8>,
    pub link_name: String,
}

impl Member {
    pub fn new(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            kind: b'0',
            size: None,
            data: data.into(),
            link_name: String::new(),
        }
    }

    pub fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }

    pub fn size(self, size: u64) -> Self {
        let text = format!("{size:011o}\0");
        let size = text.as_bytes().try_into().expect("a size of 33 bits");
        self.raw_size(size)
    }

    pub fn raw_size(self, size: [u8; 12]) -> Self {
        Self {
            size: Some(size),
            ..self
        }
    }

    /// Returns header, data and padding.
    pub fn encode(&self) -> Vec<u8> {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        let length = format!("{:011o}\0", self.data.len());
        put(0, self.name.as_bytes());
        put(100, b"0000600\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(
            124,
            self.size.as_ref().map_or(length.as_bytes(), |size| size),
        );
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link_name.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let padding = self.data.len().next_multiple_of(512) - self.data.len();
        [&header[..], &self.data, &vec![0; padding]].concat()
    }
}

impl Segment {
    /// Returns the tar file of the members, without compression.
    pub fn tar(&self) -> Vec<u8> {
        let mut tar = self
            .members
            .iter()
            .flat_map(Member::encode)
            .collect::<Vec<_>>();
        tar.extend([0; 1024]);
        tar
    }
}

impl MadeStore {
    pub fn new() -> Self {
        let segment = |id: &str| Segment {
            id: id.to_owned(),
            extension: String::new(),
            members: Vec::new(),
            bytes: None,
        };
        Self {
            segments: vec![segment(GOOD), segment(DATA), segment(LOG)],
            log: Vec::new(),
            root: None,
            descriptor: None,
            more_sums: Vec::new(),
        }
    }

    pub fn segment(&mut self, id: &str) -> &mut Segment {
        let found = self.segments.iter_mut().find(|segment| segment.id == id);
        found.expect("one of the three")
    }

    /// Adds a member to a segment, of whatever kind and name.
    pub fn member(&mut self, segment: &str, member: Member) {
        self.segment(segment).members.push(member);
    }

    /// Adds an object and returns its name.
    fn add(&mut self, segment: &str, data: &[u8]) -> String {
        let name = self.next_name(segment);
        self.member(segment, Member::new(name.clone(), data));
        name
    }

    /// Returns the name that the next object of a segment gets.
    pub fn next_name(&mut self, segment: &str) -> String {
        format!("{segment}/{:08x}", self.segment(segment).members.len())
    }

    /// Adds an object of file data and returns its name.
    pub fn object(&mut self, data: impl AsRef<[u8]>) -> String {
        self.add(DATA, data.as_ref())
    }

    /// Adds an object of the metadata log and returns its name.
    pub fn log_object(&mut self, data: impl AsRef<[u8]>) -> String {
        self.add(LOG, data.as_ref())
    }

    /// Adds lines to the log, and the blank line that ends a stanza.
    pub fn stanza(&mut self, lines: &str) {
        self.log.extend(lines.as_bytes());
        self.log.extend(b"\n\n");
    }

    /// Adds the stanza of an entry with all that every entry has; `more` are further lines, which count more if repeated.
    pub fn entry(&mut self, name: &str, kind: &str, more: &str) {
        let stanza = entry(name, kind, more);
        self.log.extend(stanza.as_bytes());
    }

    /// Adds a good file, whatever happens to the segment of the others.
    pub fn good_file(&mut self, name: &str, contents: &str) {
        let object = self.add(GOOD, contents.as_bytes());
        self.entry(name, "f", &file_lines(&object, contents));
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, contents: &str) {
        let object = self.object(contents);
        self.entry(name, "f", &file_lines(&object, contents));
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, name: &str, target: &str) {
        self.entry(name, "l", &format!("target: {target}"));
    }

    /// Adds a directory.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, "d", "mode: 0755");
    }

    /// Writes the store's files into `directory`, which is made if need be.
    pub fn write(mut self, directory: &Path) {
        fs::create_dir_all(directory).expect("the directory is made");
        let put = |name: &str, bytes: &[u8]| {
            fs::write(directory.join(name), bytes).expect("a file of the store is written");
        };
        let root = self.root.take().unwrap_or_else(|| {
            let log = std::mem::take(&mut self.log);
            let name = self.log_object(&log);
            format!("{name}(sha1={})[{}]", sha1(&log), log.len())
        });
        let mut sums = Vec::new();
        for segment in &self.segments {
            let name = format!("{}.tar{}", segment.id, segment.extension);
            let bytes = segment.bytes.clone().unwrap_or_else(|| segment.tar());
            sums.extend(format!("{} *{name}\n", sha1(&bytes)).into_bytes());
            put(&name, &bytes);
        }
        sums.extend(&self.more_sums);
        put(&format!("snapshot-{SNAPSHOT}.sha1sums"), &sums);
        let descriptor = self.descriptor.take().unwrap_or_else(|| {
            let sums = sha1(&sums);
            format!(
                "Format: LBS Snapshot v0.6\nProducer: by hand\nDate: 2026-01-02 03:04:05 +0000\n\
                Root: {root}\nChecksums: sha1={sums}\nSegments:\n    {LOG}\n    {GOOD}\n    {DATA}\n"
            )
            .into_bytes()
        });
        put(&format!("snapshot-{SNAPSHOT}.lbs"), &descriptor);
    }
}

/// Returns the stanza of an entry.
pub fn entry(name: &str, kind: &str, more: &str) -> String {
    let newline = if more.is_empty() { "" } else { "\n" };
    format!(
        "name: {name}\ntype: {kind}\nmode: 0644\nuser: 0\ngroup: 0\nmtime: 1000000000\n{more}{newline}\n"
    )
}

/// Returns the lines that a file's stanza has beyond others.
pub fn file_lines(data: &str, contents: &str) -> String {
    let (size, sum) = (contents.len(), sha1(contents.as_bytes()));
    format!("data: {data}\nsize: {size}\nchecksum: sha1={sum}")
}

/// Returns a checksum in hexadecimal.
pub fn sha1(data: &[u8]) -> String {
    Sha1::digest(data)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes all text");
            hex
        })
}
