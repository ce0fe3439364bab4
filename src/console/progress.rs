//! How far a run has come, in one line that fits the terminal.
//!
//! The line must never be wider than the terminal: what goes on in the next line is not erased with it. So a character counts for two
//! columns where it may take them, and what is worth least is left out until the rest fits. Of the path the middle goes: the file's
//! name says more than the directories that all files are in.

use std::time::{Duration, Instant};

use pileus::format::escape;
use pileus::monitor::Progress;

use pileus::size;

/// For less, the path is not shown.
const PATH_COLUMNS_MIN: usize = 8;
/// What the path gets before figures do.
const PATH_COLUMNS: usize = 16;
/// The rate is that of between one and two of these: steady enough to be read, and soon true again after a change.
const RATE_WINDOW: Duration = Duration::from_secs(2);
/// There is no rate before: the first file would make it.
const RATE_AFTER: Duration = Duration::from_secs(1);
/// What is left is not foretold before.
const FORESIGHT_AFTER: Duration = Duration::from_secs(5);
/// Least part of the work from which the rest is foretold.
const FORESIGHT_SHARE: f64 = 0.01;

/// Measures how fast a run goes.
pub(super) struct Meter {
    begun: Instant,
    /// The begin of the window that the rate is taken of, and of the next one: when, and the bytes moved until then.
    windows: [(Instant, u64); 2],
}

/// How fast a run goes, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    seconds_left: Option<u64>,
}

impl Meter {
    pub(super) fn start(now: Instant) -> Self {
        Self {
            begun: now,
            windows: [(now, 0); 2],
        }
    }

    /// Takes the measure of a run that has come this far.
    pub(super) fn pace(&mut self, progress: &Progress<'_>, now: Instant) -> Pace {
        let Some(bytes) = &progress.bytes else {
            return Pace::default();
        };
        let [(since, before), next] = self.windows;
        if now.duration_since(next.0) >= RATE_WINDOW {
            self.windows = [next, (now, bytes.moved)];
        }
        Pace {
            bytes_per_second: rate(
                bytes.moved.saturating_sub(before),
                now.duration_since(since),
            ),
            seconds_left: left(progress, now.duration_since(self.begun)),
        }
    }
}

fn rate(bytes: u64, time: Duration) -> Option<u64> {
    if time < RATE_AFTER {
        return None;
    }
    let milliseconds = u64::try_from(time.as_millis()).ok()?;
    let rate = bytes.checked_mul(1000)?.checked_div(milliseconds)?;
    (rate > 0).then_some(rate)
}

/// Foretells how long the rest takes. Entries cost time, and so do bytes; which of them more is not known, so each counts for half.
fn left(progress: &Progress<'_>, time: Duration) -> Option<u64> {
    let share = |done: u64, total: Option<u64>| {
        let total = total.filter(|&total| total >= done && total > 0)?;
        #[allow(clippy::cast_precision_loss)] // It is a guess.
        Some(done as f64 / total as f64)
    };
    let bytes = progress.bytes.as_ref()?;
    let shares = [
        share(progress.done, progress.total)?,
        share(bytes.done, bytes.total)?,
    ];
    let done = f64::midpoint(shares[0], shares[1]);
    if time < FORESIGHT_AFTER || done < FORESIGHT_SHARE {
        return None;
    }
    let rest = time.as_secs_f64() / done * (1.0 - done);
    Some(Duration::try_from_secs_f64(rest).ok()?.as_secs())
}

/// Returns what is known, whole.
pub(super) fn whole(progress: &Progress<'_>, pace: Pace) -> String {
    line(progress, pace, usize::MAX)
}

/// Returns what is known and fits into so many columns.
pub(super) fn line(progress: &Progress<'_>, pace: Pace, columns: usize) -> String {
    let path = progress.path.map(|path| escape(path.as_bytes()));
    let for_path = path
        .as_deref()
        .map_or(0, |path| 2 + width(path).min(PATH_COLUMNS));
    let mut parts = parts(progress, pace);
    let joined = |parts: &[(u8, String)]| {
        let texts: Vec<_> = parts.iter().map(|(_, text)| text.as_str()).collect();
        texts.join(", ")
    };
    while width(&joined(&parts)).saturating_add(for_path) > columns
        && let Some(least) = parts.iter().map(|(worth, _)| *worth).max()
        && least > 0
    {
        parts.retain(|(worth, _)| *worth != least);
    }
    let figures = cut(&joined(&parts), columns);
    let room = columns.saturating_sub(width(&figures) + 2);
    match path {
        Some(path) if room >= PATH_COLUMNS_MIN.min(width(&path)) => {
            format!("{figures}: {}", cut(&path, room))
        }
        _ => figures,
    }
}

/// Returns the figures in the order in which they are shown, each with a number that is greater the less it is worth.
fn parts(progress: &Progress<'_>, pace: Pace) -> Vec<(u8, String)> {
    // What has grown since the end was known has none.
    let end = |done: u64, total: Option<u64>| total.filter(|&total| total >= done);
    let (done, unit) = (progress.done, progress.unit);
    let count = match end(done, progress.total) {
        Some(total) => format!("{done} of {total} {unit}"),
        None => format!("{done} {unit}"),
    };
    let mut parts = vec![(0, count)];
    if let Some(bytes) = &progress.bytes {
        let done = size::show(bytes.done);
        parts.push((
            3,
            match end(bytes.done, bytes.total) {
                Some(total) => format!("{done} of {}", size::show(total)),
                None => done,
            },
        ));
    }
    if let Some(rate) = pace.bytes_per_second {
        parts.push((4, format!("{}/s", size::show(rate))));
    }
    if let Some(left) = pace.seconds_left {
        parts.push((2, format!("{} left", clock(left))));
    }
    match progress.problems {
        0 => {}
        1 => parts.push((1, "1 problem".to_owned())),
        count => parts.push((1, format!("{count} problems"))),
    }
    parts
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Leaves out as much of the middle as does not fit.
fn cut(text: &str, columns: usize) -> String {
    const GAP: &str = "...";
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(GAP.len());
    let head = fitting(text.chars(), room / 3);
    let head_columns: usize = text.chars().take(head).map(columns_of).sum();
    let tail = fitting(text.chars().rev(), room - head_columns);
    let tail_begin = text.chars().count() - tail;
    let kept = |range: std::ops::Range<usize>| text.chars().skip(range.start).take(range.len());
    let gap = GAP.chars().take(columns);
    kept(0..head)
        .chain(gap)
        .chain(kept(tail_begin..tail_begin + tail))
        .collect()
}

/// Returns how many of the characters fit.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> usize {
    let widths = characters.map(columns_of).scan(0, |sum, columns| {
        *sum += columns;
        Some(*sum)
    });
    widths.take_while(|&sum| sum <= columns).count()
}

fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Returns the columns that a character takes at most. Below Hangul none is wide; above, many are not, but a table of them would be
/// another one with every year's Unicode.
fn columns_of(character: char) -> usize {
    if character < '\u{1100}' { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pileus::format::path::EntryPath;
    use pileus::monitor::Bytes;

    fn progress(path: Option<&EntryPath>) -> Progress<'_> {
        Progress {
            done: 122_345,
            total: Some(200_000),
            unit: "entries",
            bytes: Some(Bytes {
                done: 3 << 30,
                total: Some(5 << 30),
                moved: 1 << 30,
            }),
            path,
            problems: 2,
        }
    }

    const PACE: Pace = Pace {
        bytes_per_second: Some(120 << 20),
        seconds_left: Some(130),
    };

    #[test]
    fn what_is_worth_least_goes_first() {
        let path = EntryPath::scan_root()
            .join(b"home")
            .join(b"a-rather-long-name-of-a-file");
        let progress = progress(Some(&path));
        for (columns, wanted) in [
            (
                200,
                "122345 of 200000 entries, 3.0 GiB of 5.0 GiB, 120.0 MiB/s, 2:10 left, 2 problems: home/a-rather-long-name-of-a-file",
            ),
            (
                90,
                "122345 of 200000 entries, 3.0 GiB of 5.0 GiB, 2:10 left, 2 problems: home/a...me-of-a-file",
            ),
            (
                71,
                "122345 of 200000 entries, 2:10 left, 2 problems: home/a...ame-of-a-file",
            ),
            (40, "122345 of 200000 entries: hom...f-a-file"),
            (30, "122345 of 200000 entries"),
            (10, "12...tries"),
            (2, ".."),
        ] {
            assert_eq!(line(&progress, PACE, columns), wanted, "{columns}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for name in [
            &b"plain"[..],
            "日本語の長い名前です".as_bytes(),
            b"\xff\xfe\x1b[31m\n",
            "é\u{301}".as_bytes(),
        ] {
            let path = EntryPath::scan_root()
                .join(b"directory")
                .join(name)
                .join(name);
            let progress = progress(Some(&path));
            for columns in 0..150 {
                let line = line(&progress, PACE, columns);
                assert!(width(&line) <= columns, "{columns}: {line}");
                assert!(!line.contains(char::is_control), "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn there_is_no_end_where_more_is_done_than_there_was() {
        let mut progress = progress(None);
        progress.total = Some(100_000);
        progress.bytes.as_mut().expect("is there").total = None;
        progress.problems = 0;
        let whole = whole(&progress, Pace::default());
        assert_eq!(whole, "122345 entries, 3.0 GiB");
        assert_eq!(left(&progress, Duration::from_secs(100)), None);
    }

    #[test]
    fn the_pace_is_that_of_the_last_moments_and_the_rest_that_of_all() {
        let begun = Instant::now();
        let mut meter = Meter::start(begun);
        let mut at = |seconds, done, moved| {
            let mut progress = progress(None);
            (progress.done, progress.total) = (done, Some(100));
            let bytes = progress.bytes.as_mut().expect("is there");
            *bytes = Bytes {
                done,
                total: Some(100),
                moved,
            };
            meter.pace(&progress, begun + Duration::from_secs(seconds))
        };
        let pace = |rate, left| Pace {
            bytes_per_second: rate,
            seconds_left: left,
        };
        assert_eq!(at(0, 0, 0), pace(None, None));
        assert_eq!(at(2, 10, 2000), pace(Some(1000), None));
        assert_eq!(at(4, 20, 2000), pace(Some(500), None));
        assert_eq!(at(6, 25, 2000), pace(None, Some(18)));
        assert_eq!(at(8, 40, 10_000), pace(Some(2000), Some(12)));
    }
}
