//! What stands between tar and disk: a built-in codec or a program of the user's.
//!
//! A segment is filtered in *frames*: a built-in codec compresses pieces of the tar stream independently and the results are
//! simply put one behind the other. bzip2, gzip and zstd all define such a concatenation, their stock tools and Python's
//! modules read it, and it lets several workers share one segment. A program sees each segment whole, in one run.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use bzip2::read::MultiBzDecoder;
use bzip2::write::BzEncoder;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::command;

/// A built-in codec with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// bzip2, level 1 to 9.
    Bzip2(u32),
    /// gzip, level 1 to 9.
    Gzip(u32),
    /// zstd, level 1 to 19.
    Zstd(i32),
    /// Nothing.
    None,
}

/// A codec's name and its lowest, highest and default level, if it has levels.
type NamedCodec = (&'static str, Option<(u32, u32, u32)>);

const CODECS: &[NamedCodec] = &[
    ("bzip2", Some((1, 9, 9))),
    ("zstd", Some((1, 19, 3))),
    ("gzip", Some((1, 9, 6))),
    ("none", None),
];

impl Codec {
    /// Parses `NAME[:LEVEL]`; the error says what may be typed instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = text
            .split_once(':')
            .map_or((text, None), |(name, level)| (name, Some(level)));
        let Some((_, levels)) = CODECS.iter().find(|(known, _)| *known == name) else {
            return Err(format!(
                "unknown codec \"{name}\": use bzip2, zstd, gzip or none"
            ));
        };
        let level = match (levels, level) {
            (None, None) => 0,
            (None, Some(_)) => {
                return Err(format!("{name} has no levels: use --compression={name}"));
            }
            (Some((_, _, default)), None) => *default,
            (Some((low, high, _)), Some(level)) => match level.parse() {
                Ok(number) if (low..=high).contains(&&number) => number,
                _ => {
                    return Err(format!(
                        "level \"{level}\" is out of range: use {name}:{low} to {name}:{high}"
                    ));
                }
            },
        };
        Ok(match name {
            "bzip2" => Self::Bzip2(level),
            "zstd" => Self::Zstd(i32::try_from(level).expect("levels are small")),
            "gzip" => Self::Gzip(level),
            _ => Self::None,
        })
    }

    /// Returns the codec at the level that costs least, for what it does not shrink anyway.
    #[must_use]
    pub fn storing(self) -> Self {
        match self {
            Self::Gzip(_) => Self::Gzip(0),
            Self::Zstd(_) => Self::Zstd(1),
            Self::Bzip2(_) | Self::None => self,
        }
    }

    /// Tells whether a codec gives its segments this extension.
    #[must_use]
    pub fn is_known_extension(extension: &str) -> bool {
        ["", ".bz2", ".gz", ".zst"].contains(&extension)
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Bzip2(_) => ".bz2",
            Self::Gzip(_) => ".gz",
            Self::Zstd(_) => ".zst",
            Self::None => "",
        }
    }

    /// Bytes of the tar stream in one frame. bzip2 works in blocks of 100 kB times the level, so a frame that fills one block
    /// loses nothing to a longer stream. zstd begins each frame without history: 1 MiB frames made the store of the Linux source
    /// 3.6 % larger than 4 MiB ones, 2 MiB frames 1.3 % (2026-11-21, zstd:3).
    fn frame_bytes(self) -> usize {
        match self {
            Self::Bzip2(level) => level as usize * 100_000 - 32,
            Self::Zstd(_) => 4 << 20,
            Self::Gzip(_) | Self::None => 1 << 20,
        }
    }

    fn encode(self, raw: &[u8]) -> io::Result<Vec<u8>> {
        let buffer = Vec::with_capacity(raw.len() / 2);
        match self {
            Self::Bzip2(level) => {
                let mut encoder = BzEncoder::new(buffer, bzip2::Compression::new(level));
                encoder.write_all(raw)?;
                encoder.finish()
            }
            Self::Gzip(level) => {
                let mut encoder = GzEncoder::new(buffer, flate2::Compression::new(level));
                encoder.write_all(raw)?;
                encoder.finish()
            }
            Self::Zstd(level) => {
                let mut encoder = zstd::bulk::Compressor::new(level)?;
                // Off by default in the library; without it a flipped bit in a raw block would go unnoticed here.
                encoder.include_checksum(true)?;
                encoder.compress(raw)
            }
            Self::None => Ok(raw.to_vec()),
        }
    }
}

/// The filter of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A codec that runs in this process.
    Builtin(Codec),
    /// `sh -c command`, once a segment; it may encrypt, so nothing may go around it.
    Command {
        /// The shell command.
        command: String,
        /// What it adds to the name of a file, such as `.gpg`; may be empty.
        extension: String,
    },
}

/// How a segment's tar stream is cut before the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Frames of this many bytes, filtered independently.
    Frames(usize),
    /// The whole segment in one piece.
    Whole,
}

impl Filter {
    /// Extensions of programs that need no `--filter-extension`.
    const KNOWN_PROGRAMS: &[(&str, &str)] = &[
        ("bzip2", ".bz2"),
        ("gzip", ".gz"),
        ("zstd", ".zst"),
        ("xz", ".xz"),
        ("lz4", ".lz4"),
        ("gpg", ".gpg"),
        ("age", ".age"),
    ];

    /// Returns the extension that the program at the head of `command` gives its files, if it is a known one.
    #[must_use]
    pub fn known_extension(command: &str) -> Option<&'static str> {
        if command.contains(['|', ';', '&', '\n']) {
            // What comes out at the end of several programs only the user knows.
            return None;
        }
        let program = command.split_ascii_whitespace().next()?;
        let name = program.rsplit('/').next()?;
        Self::KNOWN_PROGRAMS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, extension)| *extension)
    }

    /// Returns what follows `.tar` in the names of segments.
    #[must_use]
    pub fn extension(&self) -> &str {
        match self {
            Self::Builtin(codec) => codec.extension(),
            Self::Command { extension, .. } => extension,
        }
    }

    /// Returns how the tar stream has to be cut for this filter.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Builtin(codec) => Framing::Frames(codec.frame_bytes()),
            Self::Command { .. } => Framing::Whole,
        }
    }

    /// Filters one frame. A failing program is an error with its exit status and standard error.
    pub fn encode(&self, raw: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Builtin(codec) => codec.encode(raw).context("cannot compress"),
            Self::Command { command, .. } => command::filter(command, raw),
        }
    }
}

/// Opens the tar stream of a segment: what follows `.tar` in its name says how. Extensions that no codec knows need `unfilter`.
pub fn decoder(
    file: File,
    extension: &str,
    unfilter: Option<&str>,
) -> Result<Box<dyn Read + Send>> {
    let buffered = |file| BufReader::with_capacity(64 << 10, file);
    Ok(match (extension, unfilter) {
        ("", unfilter) => plain_or_unfiltered(file, unfilter)?,
        (".bz2", _) => Box::new(MultiBzDecoder::new(buffered(file))),
        (".gz", _) => Box::new(MultiGzDecoder::new(buffered(file))),
        (".zst", _) => {
            Box::new(zstd::Decoder::with_buffer(buffered(file)).context("cannot start zstd")?)
        }
        (_, Some(command)) => Box::new(command::stream(command, file)?),
        (other, None) => bail!(
            "no built-in codec reads \"{other}\": say how with --unfilter=COMMAND, such as --unfilter=\"gpg -d\""
        ),
    })
}

/// Opens a segment without extension: plain tar, unless its first header is none and `unfilter` may make it one
/// (`--filter-extension=""` is allowed).
fn plain_or_unfiltered(file: File, unfilter: Option<&str>) -> Result<Box<dyn Read + Send>> {
    let mut magic = [0; 5];
    let is_tar = file.read_exact_at(&mut magic, 257).is_ok() && &magic == b"ustar";
    match unfilter {
        Some(command) if !is_tar => Ok(Box::new(command::stream(command, file)?)),
        _ => Ok(Box::new(BufReader::with_capacity(64 << 10, file))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(extension: &str, bytes: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("writes");
        io::Seek::rewind(&mut file).expect("rewinds");
        let mut out = Vec::new();
        decoder(file, extension, None)
            .expect("opens")
            .read_to_end(&mut out)
            .expect("decodes");
        out
    }

    #[test]
    fn frames_put_together_decode_to_the_whole() {
        let raw: Vec<u8> = (0..500_000_u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect();
        for codec in ["bzip2:1", "bzip2", "gzip", "zstd", "zstd:19", "none"] {
            let filter = Filter::Builtin(Codec::parse(codec).expect(codec));
            let frames: Vec<_> = raw
                .chunks(700_001)
                .map(|c| filter.encode(c).expect("encodes"))
                .collect();
            assert!(
                decoded(filter.extension(), &frames.concat()) == raw,
                "{codec}"
            );
        }
    }

    #[test]
    fn wrong_codecs_are_answered_with_what_to_type() {
        for (text, answer) in [
            (
                "lzma",
                "unknown codec \"lzma\": use bzip2, zstd, gzip or none",
            ),
            (
                "bzip2:10",
                "level \"10\" is out of range: use bzip2:1 to bzip2:9",
            ),
            ("zstd:", "level \"\" is out of range: use zstd:1 to zstd:19"),
            ("none:1", "none has no levels: use --compression=none"),
        ] {
            assert_eq!(Codec::parse(text), Err(answer.to_owned()));
        }
    }

    #[test]
    fn extensions_of_known_programs() {
        assert_eq!(
            Filter::known_extension("/usr/bin/gpg -e -r x"),
            Some(".gpg")
        );
        assert_eq!(Filter::known_extension("zstd | age -r x"), None);
        assert_eq!(Filter::known_extension("openssl enc"), None);
        assert_eq!(Filter::known_extension(""), None);
    }
}
