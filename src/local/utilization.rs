//! Which segments are poorly used, and marking them as expired: what cleaning is.
//!
//! **Utilization** is the part of a segment's data bytes that the snapshots known here still need. Local state knows for each
//! snapshot how many bytes of a segment it refers to, not which ones, so the bytes that several snapshots need together lie between
//! the greatest and the sum of their numbers. The greatest is taken. As long as the snapshot is kept that filled a segment, it needs
//! all of it, and writing some of it again would free nothing; once that one is gone, those that are left mostly need the same
//! bytes. Each reference counts, so a block that one snapshot has twice counts twice: then a segment passes for better used than it
//! is, and at most for fully used.
//!
//! **Before the month ends**, that is too late. What is stored tonight is mostly needed by tonight's snapshot, so the greatest number
//! falls only when that one is pruned. By then the month may have ended, and the last snapshot of a month is one that keep rules keep
//! for long: it holds the segment, however little it needs of it. So a segment that was written in this month is judged by what the
//! newest snapshot of a scheme needs; then the one that stays has it written again, beside what else lives. Unless the oldest
//! snapshot uses it: that one was kept longest, and nothing could be freed before it is gone. A year of nights
//! (docs/decisions/0009-clean-threshold.md) tells what each of both is worth.
//!
//! **Age.** Writing a segment's live bytes again pays if they stay: what was stored long ago mostly will. The lineage weighs
//! (1 − u) · age / (u + 0.1), and so does this when it orders what it marks. Blocks that go on living are to lie beside others of
//! their age, since they will die together; so segments that expire get an **age class**, and the next backup writes the live blocks
//! of each class into segments of their own. Class 0 is young data, which lies among what is new.
//!
//! Only the database is changed, and nothing that a snapshot needs is touched: marking only says what the *next* ones may refer to.
//! A segment that no snapshot uses is left to `prune`; marking it would only have blocks stored again that an interrupted run has
//! stored already.

use anyhow::Result;
use jiff::Timestamp;

use super::database::{AGE_CLASS_MAX, Database, UsedSegment};
use crate::format::date::format_stamp;
use crate::format::object_ref::SegmentId;

/// Data younger than this goes back among what is new, in seconds.
const YOUNG_SECONDS: i64 = 30 * 24 * 3600;

/// An age class is not worth segments of its own if it has fewer live bytes.
const CLASS_BYTES_MIN: u64 = 32 << 20;

/// More classes would hardly tell ages apart better, and each takes a writer with its buffers.
const CLASSES_MAX: u64 = 7;

/// A segment that is marked as expired, or would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Expiring {
    /// Its name.
    pub id: SegmentId,
    /// Bytes of its objects.
    pub data_bytes: u64,
    /// How many of them snapshots need.
    pub live_bytes: u64,
    /// How long ago its data were stored, in seconds.
    pub age_seconds: i64,
    /// Which group its live blocks go to.
    pub class: u32,
    /// What writing it again is worth.
    pub benefit: f64,
    is_metadata: bool,
}

impl Expiring {
    /// Returns the part of its data bytes that snapshots need.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        ratio(self.live_bytes, self.data_bytes)
    }
}

/// Chooses the segments whose utilization is less than `below`, those first that are most worth it; `now` in seconds since 1970.
pub fn poorly_used(database: &Database, below: f64, now: i64) -> Result<Vec<Expiring>> {
    let used = database.used_segments()?;
    let mut expiring: Vec<_> = used
        .iter()
        .map(|segment| expire(segment, now))
        .filter(|segment| segment.utilization() < below)
        .collect();
    classify(&mut expiring);
    expiring.sort_by(|a, b| b.benefit.total_cmp(&a.benefit).then(a.id.cmp(&b.id)));
    Ok(expiring)
}

/// Marks segments as expired and makes that durable.
pub fn mark(database: &Database, expiring: &[Expiring]) -> Result<()> {
    for segment in expiring {
        database.expire_segment(segment.id, segment.class)?;
    }
    database.commit()
}

fn expire(segment: &UsedSegment, now: i64) -> Expiring {
    let judged_bytes = if !segment.oldest_uses && month(segment.written) == month(now) {
        segment.newest_bytes
    } else {
        segment.used_bytes
    };
    let live_bytes = judged_bytes.min(segment.data_bytes);
    // A clock that was set back makes no data younger than new.
    let age_seconds = now.saturating_sub(segment.stored).max(0);
    let unused = 1.0 - ratio(live_bytes, segment.data_bytes);
    #[allow(clippy::cast_precision_loss)] // An order of magnitude is enough.
    let age = age_seconds as f64;
    Expiring {
        id: segment.id,
        data_bytes: segment.data_bytes,
        live_bytes,
        age_seconds,
        class: 0,
        benefit: unused * age / (1.1 - unused),
        is_metadata: segment.is_metadata,
    }
}

/// Returns year and month in UTC; none for times that cannot be.
fn month(second: i64) -> Option<String> {
    let instant = Timestamp::from_second(second).ok()?;
    let mut stamp = format_stamp(instant);
    stamp.truncate("YYYYMM".len());
    Some(stamp)
}

#[allow(clippy::cast_precision_loss)] // Fifteen digits of a share are enough.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// Gives age classes of about equal live bytes, from the youngest up. Metadata need none: they have one group.
fn classify(expiring: &mut [Expiring]) {
    expiring.sort_by_key(|segment| (segment.age_seconds, segment.id));
    let has_class =
        |segment: &&mut Expiring| !segment.is_metadata && segment.age_seconds >= YOUNG_SECONDS;
    let total: u64 = expiring
        .iter_mut()
        .filter(has_class)
        .map(|segment| segment.live_bytes)
        .sum();
    let classes = (total / CLASS_BYTES_MIN).clamp(1, CLASSES_MAX.min(AGE_CLASS_MAX.into()));
    let mut passed = 0_u64;
    for segment in expiring.iter_mut().filter(has_class) {
        let middle = u128::from(passed) + u128::from(segment.live_bytes / 2);
        let class = middle * u128::from(classes) / u128::from(total.max(1));
        segment.class = 1 + u32::try_from(class).map_or(0, |class| class.min(AGE_CLASS_MAX - 1));
        passed += segment.live_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn segment(n: u8, used: u64, age_days: i64) -> UsedSegment {
        UsedSegment {
            id: SegmentId::from_bytes([n; 16]),
            is_metadata: false,
            data_bytes: 100 << 20,
            used_bytes: used << 20,
            newest_bytes: 0,
            oldest_uses: true,
            stored: 1_000 * DAY - age_days * DAY,
            written: 1_000 * DAY - age_days * DAY,
        }
    }

    #[test]
    fn what_is_of_this_month_is_judged_by_the_newest_snapshot() {
        // The 23rd of a month.
        let now = 996 * DAY;
        let live = |segment: &UsedSegment| expire(segment, now).live_bytes >> 20;
        let of_this_month = UsedSegment {
            newest_bytes: 30 << 20,
            oldest_uses: false,
            ..segment(1, 90, 26)
        };
        assert_eq!(live(&of_this_month), 30);
        let held = UsedSegment {
            oldest_uses: true,
            ..of_this_month.clone()
        };
        assert_eq!(live(&held), 90, "the oldest snapshot uses it");
        let of_last_month = UsedSegment {
            written: of_this_month.written - 2 * DAY,
            ..of_this_month
        };
        assert_eq!(live(&of_last_month), 90, "a month has ended since");
    }

    #[test]
    fn old_and_empty_segments_are_worth_most() {
        let now = 1_000 * DAY;
        let benefit = |used, age| expire(&segment(1, used, age), now).benefit;
        assert!(benefit(10, 100) > benefit(50, 100));
        assert!(benefit(50, 200) > benefit(50, 100));
        assert!((benefit(0, 1) - 10.0 * 86_400.0).abs() < 1e-6);
        assert!(benefit(100, 100).abs() < 1e-6, "nothing to gain");
        assert!(benefit(200, 100).abs() < 1e-6, "each reference counts");
        assert!(benefit(0, -5).abs() < 1e-6, "stored in the future");
    }

    #[test]
    fn classes_go_by_age_and_have_about_equal_bytes() {
        let now = 1_000 * DAY;
        let ages = [1, 29, 31, 60, 90, 120, 150, 500, 501, 900];
        let segments = (0..).zip(ages).map(|(n, age)| segment(n, 40, age));
        let mut expiring: Vec<_> = segments.map(|s| expire(&s, now)).collect();
        expiring.reverse();
        classify(&mut expiring);
        let classes: Vec<_> = expiring.iter().map(|s| s.class).collect();
        assert_eq!(classes[..2], [0, 0], "young");
        assert!(classes.is_sorted() && classes[2] == 1, "{classes:?}");
        assert!(classes.iter().all(|class| *class <= 7), "{classes:?}");
        let most = (1..=7).map(|class| classes.iter().filter(|c| **c == class).count());
        assert!(most.max() <= Some(2), "{classes:?}");
    }

    #[test]
    fn metadata_and_little_data_share_a_class() {
        let now = 1_000 * DAY;
        let mut metadata = segment(1, 40, 900);
        metadata.is_metadata = true;
        let mut small = segment(2, 0, 900);
        small.used_bytes = 1;
        let mut expiring = [expire(&metadata, now), expire(&small, now)];
        classify(&mut expiring);
        let mut classes = expiring.map(|s| s.class);
        classes.sort_unstable();
        assert_eq!(classes, [0, 1]);
        classify(&mut []);
    }
}
