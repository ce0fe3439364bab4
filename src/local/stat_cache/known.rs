//! What an entry of the stat cache says beyond times, size and inode: who owns the file and what is known of its attributes. Layout 2 did
//! not have it.

use super::code::{Source, put, put_signed};
use super::{Attributes, Given, Remembered};

/// Mode, owner or group are not those of the last entry of the same type, and follow.
const OWNED: u8 = 0x01;
/// Not all of its extended attributes could be read.
const INCOMPLETE: u8 = 0x02;
/// Its file system had none.
const UNSUPPORTED: u8 = 0x04;
/// Some may have been hidden from the user that looked.
const HIDDEN: u8 = 0x08;
/// It has extended attributes, and their digest follows.
const XATTRS: u8 = 0x10;
/// The time at which it was looked at follows.
const SEEN: u8 = 0x20;
/// What a stat gives for nothing is not known.
const UNKNOWN: u8 = 0x40;

/// The types of devices.
const DEVICES: [u8; 2] = [2, 6];

/// Mode, owner and group of the last entry of each type.
pub(super) type Owned = [(u32, u32, u32); 16];

/// What follows the device number of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) given: Option<Given>,
    pub(super) attributes: Attributes,
    pub(super) seen: Option<i64>,
}

impl Known {
    pub(super) fn of(remembered: &Remembered) -> Self {
        Self {
            given: remembered.key.given,
            attributes: remembered.attributes,
            seen: remembered.seen,
        }
    }

    /// Appends it; the entry's device number, which only one with several links has, stands before.
    pub(super) fn encode(&self, out: &mut Vec<u8>, kind: u8, is_linked: bool, last: &mut Owned) {
        let last = &mut last[usize::from(kind & 0x0f)];
        let owned = self
            .given
            .map(|given| (given.mode, given.user, given.group));
        let attributes = &self.attributes;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            flag(owned.is_some_and(|owned| owned != *last), OWNED)
                | flag(attributes.incomplete, INCOMPLETE)
                | flag(attributes.unsupported, UNSUPPORTED)
                | flag(attributes.hidden, HIDDEN)
                | flag(attributes.digest != 0, XATTRS)
                | flag(self.seen.is_some(), SEEN)
                | flag(owned.is_none(), UNKNOWN),
        );
        if let Some(given) = self.given {
            if owned != Some(*last) {
                put(out, given.mode.into());
                put(out, given.user.into());
                put(out, given.group.into());
                *last = (given.mode, given.user, given.group);
            }
            if is_linked {
                put(out, given.links);
            }
            if DEVICES.contains(&kind) {
                put(out, given.device);
            }
        }
        if attributes.digest != 0 {
            out.extend_from_slice(&attributes.digest.to_le_bytes());
        }
        if let Some(seen) = self.seen {
            put_signed(out, seen);
        }
    }

    pub(super) fn decode(
        source: &mut Source<'_>,
        kind: u8,
        is_linked: bool,
        last: &mut Owned,
    ) -> Option<Self> {
        let [flags] = source.array()?;
        let last = &mut last[usize::from(kind & 0x0f)];
        let mut given = None;
        if flags & UNKNOWN == 0 {
            if flags & OWNED != 0 {
                *last = (source.small()?, source.small()?, source.small()?);
            }
            let (mode, user, group) = *last;
            given = Some(Given {
                mode,
                user,
                group,
                links: if is_linked { source.number()? } else { 1 },
                device: if DEVICES.contains(&kind) {
                    source.number()?
                } else {
                    0
                },
            });
        }
        let digest = match flags & XATTRS {
            0 => 0,
            _ => u64::from_le_bytes(source.array()?),
        };
        let seen = match flags & SEEN {
            0 => None,
            _ => Some(source.signed()?),
        };
        Some(Self {
            given,
            attributes: Attributes {
                digest,
                incomplete: flags & INCOMPLETE != 0,
                unsupported: flags & UNSUPPORTED != 0,
                hidden: flags & HIDDEN != 0,
            },
            seen,
        })
    }
}
