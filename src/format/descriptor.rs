//! The snapshot descriptor: the small file whose existence makes a snapshot exist (docs/format.md, "Descriptor").

mod segments;

use std::fmt::Write as _;

use jiff::Timestamp;

use super::FormatError;
use super::checksum::Checksum;
use super::date::{format_date, parse_date};
use super::integer::parse_u64;
use super::object_ref::{ObjectRef, SegmentId};
use super::snapshot_name::SnapshotName;
use super::stanza::Stanza;

const CLEARSIGN_BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE_BEGIN: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const SIGNATURE_END: &[u8] = b"-----END PGP SIGNATURE-----";

/// The version that pileus writes: the one that every reader since LBS 0.6 takes.
const WRITTEN_VERSION: &str = "LBS Snapshot v0.6";

/// The newest version of the format that pileus reads.
const NEWEST_READ: (u32, u32) = (0, 11);

/// A parsed (or to be written) descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Program and version that wrote the snapshot.
    pub producer: String,
    /// When the snapshot was taken.
    pub date: Timestamp,
    /// Name of the series; empty for none.
    pub scheme: String,
    /// The metadata log.
    pub root: ObjectRef,
    /// Checksum of the sums file; absent in version 0.11.
    pub checksums: Option<Checksum>,
    /// Checksum of the `meta/` file of version 0.11.
    pub segment_metadata: Option<Checksum>,
    /// Every segment that the snapshot needs, sorted.
    pub segments: Vec<SegmentId>,
    /// Length in bytes of the file of each of `segments`, where the writer said so (an addition by pileus).
    pub segment_bytes: Option<Vec<u64>>,
    /// Who made the snapshot, where the writer said so (an addition by pileus).
    pub maker: Maker,
    /// What the snapshot holds and cost, where the writer said so (an addition by pileus).
    pub totals: Option<Totals>,
    /// Number of problems before it was published, where the writer said so (an addition by pileus): what could not be read is not
    /// in it.
    pub problems: Option<u64>,
    /// The last snapshots before a loss that nobody has accepted (an addition by pileus): a source has lost most of what it has there.
    pub before_loss: Vec<SnapshotName>,
    /// Whether the text was clear-signed; whether the signature is good is not known here.
    pub signed: bool,
}

/// Sums over a snapshot, kept in the descriptor so that listing needs no metadata log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of entries of all types.
    pub entries: u64,
    /// Sum of the sizes of all regular files, hard links counted each time, in bytes.
    pub source_bytes: u64,
    /// Bytes of objects that this snapshot added to the store, before the filter.
    pub added_data_bytes: u64,
    /// Bytes of segments that this snapshot added to the store, after the filter.
    pub added_disk_bytes: u64,
}

/// Where a snapshot was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maker {
    /// Name of the machine. A clone of a machine gets another one.
    pub host: Option<String>,
    /// Random id of the local state. A machine that is installed again gets another one.
    pub state: Option<String>,
}

impl Descriptor {
    /// Parses a descriptor, plain or clear-signed. A clear-signed one must hold nothing outside the armor, so that everything
    /// that is used is also signed.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let (body, signed) = match text.strip_prefix(CLEARSIGN_BEGIN) {
            Some(rest) => (signed_text(rest)?, true),
            None => (text.to_vec(), false),
        };
        let stanza = Stanza::parse(body.trim_ascii_end())?;
        let required = |key: &str| {
            stanza
                .get(key)
                .ok_or_else(|| FormatError::plain(format!("no \"{key}:\" in the descriptor")))
        };
        check_version(required("Format")?)?;
        let (segments, segment_bytes) =
            segments::parse(required("Segments")?, stanza.get("Segment-bytes"))?;
        let shown = |key| stanza.get(key).map(super::escape);
        Ok(Self {
            producer: super::escape(stanza.get("Producer").unwrap_or_default()),
            date: parse_date(required("Date")?)?,
            scheme: super::escape(stanza.get("Scheme").unwrap_or_default()),
            root: ObjectRef::parse(required("Root")?)?,
            checksums: stanza.get("Checksums").map(Checksum::parse).transpose()?,
            segment_metadata: stanza
                .get("Segment-metadata")
                .map(Checksum::parse)
                .transpose()?,
            segments,
            segment_bytes,
            maker: Maker {
                host: shown("Host"),
                state: shown("State"),
            },
            totals: parse_totals(&stanza),
            problems: stanza.get("Problems").and_then(|text| parse_u64(text).ok()),
            before_loss: parse_names(stanza.get("Before-loss").unwrap_or_default()),
            signed,
        })
    }

    /// Tells whether what its log says means what it means where pileus writes it.
    #[must_use]
    pub fn is_by_pileus(&self) -> bool {
        self.producer.starts_with("pileus ")
    }

    /// Returns the length that the file of a segment must have, if the descriptor says so.
    #[must_use]
    pub fn bytes_of(&self, segment: SegmentId) -> Option<u64> {
        let place = self.segments.binary_search(&segment).ok()?;
        self.segment_bytes.as_ref()?.get(place).copied()
    }

    /// Writes the descriptor as version 0.6, unsigned.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key}: {value}").expect("a String takes all text");
        };
        line("Format", &WRITTEN_VERSION);
        line("Producer", &self.producer);
        line("Date", &format_date(self.date));
        if !self.scheme.is_empty() {
            line("Scheme", &self.scheme);
        }
        if let Some(host) = &self.maker.host {
            line("Host", host);
        }
        if let Some(state) = &self.maker.state {
            line("State", state);
        }
        line("Root", &self.root);
        if let Some(checksums) = &self.checksums {
            line("Checksums", checksums);
        }
        if let Some(totals) = &self.totals {
            line("Entries", &totals.entries);
            line("Source-bytes", &totals.source_bytes);
            line("Added-data-bytes", &totals.added_data_bytes);
            line("Added-disk-bytes", &totals.added_disk_bytes);
        }
        if let Some(problems) = &self.problems {
            line("Problems", problems);
        }
        if !self.before_loss.is_empty() {
            let names: Vec<_> = self.before_loss.iter().map(ToString::to_string).collect();
            line("Before-loss", &names.join(" "));
        }
        segments::encode(&mut text, &self.segments, self.segment_bytes.as_deref());
        text.into_bytes()
    }
}

/// Refuses what is not of the lineage and what is newer than this reader, by name.
fn check_version(format: &[u8]) -> Result<(), FormatError> {
    let foreign = || {
        FormatError::new(
            "not a snapshot descriptor of LBS or Cumulus: format",
            format,
        )
    };
    let text = std::str::from_utf8(format).map_err(|_| foreign())?;
    let number = text
        .strip_prefix("LBS Snapshot v")
        .or_else(|| text.strip_prefix("Cumulus Snapshot v"))
        .ok_or_else(foreign)?;
    let mut parts = number
        .split('.')
        .map(|part| part.parse::<u32>().map_err(|_| foreign()));
    let major = parts.next().ok_or_else(foreign)??;
    let minor = parts.next().ok_or_else(foreign)??;
    if (major, minor) > NEWEST_READ {
        return Err(FormatError::plain(format!(
            "format \"{text}\" is newer than v0.11, the newest that this version of pileus reads"
        )));
    }
    Ok(())
}

/// Names that cannot be read are those of a writer to come.
fn parse_names(text: &[u8]) -> Vec<SnapshotName> {
    let words = text.split(u8::is_ascii_whitespace);
    words
        .filter_map(|word| SnapshotName::parse(std::str::from_utf8(word).ok()?))
        .collect()
}

/// Totals are for show: a descriptor without them, or with rubbish in them, is still good.
fn parse_totals(stanza: &Stanza<'_>) -> Option<Totals> {
    let number = |key| stanza.get(key).and_then(|text| parse_u64(text).ok());
    Some(Totals {
        entries: number("Entries")?,
        source_bytes: number("Source-bytes")?,
        added_data_bytes: number("Added-data-bytes")?,
        added_disk_bytes: number("Added-disk-bytes")?,
    })
}

/// Returns the text inside a clear-signature (RFC 9580, section 7), given what follows its first line's dashes.
///
/// Strict on purpose: only `Hash:` headers, one empty line, dash-escapes undone, and nothing behind the signature. Lenient
/// readers have been led to use text that the signature did not cover.
fn signed_text(rest: &[u8]) -> Result<Vec<u8>, FormatError> {
    let invalid =
        |what: &str| FormatError::plain(format!("invalid clear-signed descriptor: {what}"));
    let mut lines = rest
        .split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next() != Some(b"") {
        return Err(invalid("text behind the first line"));
    }
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if !line.starts_with(b"Hash: ")
            || !line[6..]
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b',' | b' ' | b'-'))
        {
            return Err(invalid("unknown header"));
        }
    }
    let mut body = Vec::new();
    let ended = lines.by_ref().any(|line| {
        if line == SIGNATURE_BEGIN {
            return true;
        }
        body.extend_from_slice(line.strip_prefix(b"- ").unwrap_or(line));
        body.push(b'\n');
        false
    });
    if !ended
        || body
            .split(|&b| b == b'\n')
            .any(|line| line.starts_with(b"-----"))
    {
        return Err(invalid("no signature, or more than one"));
    }
    if !lines.by_ref().any(|line| line == SIGNATURE_END)
        || lines.any(|line| !line.trim_ascii().is_empty())
    {
        return Err(invalid("text behind the signature"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "2f9b46cc-4bda-45f5-aece-bc81a0886616/00000001(sha1=1dddf49698867e8cc175323ef09258b5238ec6a9)";

    fn text(format: &str) -> String {
        format!(
            "Format: {format}\nProducer: Cumulus 0.10\nDate: 2026-11-21 20:09:05 +0000\nScheme: sample\nBackup-Intent: 1\nRoot: {ROOT}\n\
            Checksums: sha1=8ebf8faf336ce1f47878410f61c897690e56ac37\nSegments:\n    2f9b46cc-4bda-45f5-aece-bc81a0886616\n    \
            08786bf1-65f1-4720-8a22-788558c2315b\n"
        )
    }

    fn sign(body: &str) -> String {
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{body}-----BEGIN PGP SIGNATURE-----\n\niHUE\n-----END PGP SIGNATURE-----\n"
        )
    }

    #[test]
    fn versions_of_the_lineage() {
        for good in [
            "LBS Snapshot v0.1",
            "LBS Snapshot v0.8",
            "Cumulus Snapshot v0.11",
        ] {
            assert!(Descriptor::parse(text(good).as_bytes()).is_ok(), "{good}");
        }
        let newer = Descriptor::parse(text("Cumulus Snapshot v0.12").as_bytes())
            .expect_err("newer")
            .to_string();
        assert!(
            newer.contains("\"Cumulus Snapshot v0.12\" is newer"),
            "{newer}"
        );
        for bad in [
            "restic 1",
            "LBS Snapshot",
            "LBS Snapshot vx.y",
            "Cumulus Snapshot v1.0",
        ] {
            assert!(Descriptor::parse(text(bad).as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn clear_signed_text_is_read() {
        let signed =
            Descriptor::parse(sign(&text("LBS Snapshot v0.8")).as_bytes()).expect("parses");
        let plain = Descriptor::parse(text("LBS Snapshot v0.8").as_bytes()).expect("parses");
        assert!(signed.signed && !plain.signed);
        assert_eq!(
            Descriptor {
                signed: false,
                ..signed
            },
            plain
        );
        assert_eq!(plain.segments.len(), 2);
        assert!(plain.segments.is_sorted());
    }

    #[test]
    fn text_outside_the_signature_is_never_used() {
        let body = text("LBS Snapshot v0.8");
        for bad in [
            format!("{body}{}", sign(&body))
                .replace("Format", "-----BEGIN PGP SIGNED MESSAGE-----\nFormat"),
            format!("{}Root: x\n", sign(&body)),
            sign(&body).replace("Hash: SHA256", "Scheme: evil"),
            sign(&body).replace("-----BEGIN PGP SIGNATURE-----", ""),
            sign(&sign(&body)),
        ] {
            assert!(Descriptor::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn written_descriptors_are_read_back() {
        let mut descriptor =
            Descriptor::parse(text("LBS Snapshot v0.8").as_bytes()).expect("parses");
        descriptor.problems = Some(5);
        descriptor.totals = Some(Totals {
            entries: 1,
            source_bytes: 2,
            added_data_bytes: 3,
            added_disk_bytes: 4,
        });
        descriptor.segment_bytes = Some(vec![7, 0]);
        descriptor.maker = Maker {
            host: Some("desk".to_owned()),
            state: Some("00112233445566778899aabbccddeeff".to_owned()),
        };
        assert_eq!(Descriptor::parse(&descriptor.encode()), Ok(descriptor));
    }
}
