//! The local time zone: the only place that looks for it.
//!
//! `TZ` may hold a name (`Europe/Berlin`), a path, either of them behind a colon, or a rule (`CET-1CEST,M3.5.0,M10.5.0/3`). Without
//! `TZ`, `/etc/localtime` counts; without that file, local time is UTC, as localtime(5) says. A zone that is set but not known is an
//! error: UTC in its place would choose another snapshot, or remove one, without a word.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jiff::tz::TimeZone;

use crate::wording::shell_word;

/// The zone of a system whose `TZ` is not set.
const OF_SYSTEM: &str = "/etc/localtime";

/// Where zones are if `TZDIR` does not say otherwise.
const DATABASE: &str = "/usr/share/zoneinfo";

/// When summer time begins and ends where a rule such as `EST5EDT` does not say: the C library's rule.
const DEFAULT_SUMMER: &str = ",M3.2.0,M11.1.0";

/// Returns the local time zone, or a sentence that says what is not known and what to do about it.
pub fn local() -> Result<TimeZone, String> {
    static LOCAL: OnceLock<Result<TimeZone, String>> = OnceLock::new();
    LOCAL.get_or_init(find).clone()
}

/// Returns the zone in which lengths of time are counted: one that is not known has days of 24 hours.
#[must_use]
pub fn for_lengths() -> TimeZone {
    local().unwrap_or(TimeZone::UTC)
}

fn find() -> Result<TimeZone, String> {
    let value = std::env::var_os("TZ");
    let named = value.as_deref().filter(|value| !is_of_system(value));
    let Some(named) = named else {
        return of_system(Path::new(OF_SYSTEM));
    };
    if matches!(named.as_encoded_bytes(), b"" | b":") {
        return Ok(TimeZone::UTC);
    }
    let known = TimeZone::try_system().ok();
    let known = known.or_else(|| named.to_str().and_then(from_text));
    known.ok_or_else(|| {
        format!(
            "the time zone TZ={} is not known here, so local times and days are not: write one that is in {}, such as TZ=Europe/Berlin, \
             or TZ=UTC (zones are in the package tzdata)",
            shell_word(named),
            database().display()
        )
    })
}

/// Whether a value of `TZ` only points to what counts without it.
fn is_of_system(value: &OsStr) -> bool {
    let path = value.as_encoded_bytes();
    path.strip_prefix(b":").unwrap_or(path) == OF_SYSTEM.as_bytes()
}

/// Returns the zone that the system was set to by a link or a file.
fn of_system(file: &Path) -> Result<TimeZone, String> {
    if file.symlink_metadata().is_err() {
        return Ok(TimeZone::UTC);
    }
    let target = fs::read_link(file).unwrap_or_default();
    let read = fs::read(file).ok();
    let known = read.and_then(|bytes| TimeZone::tzif("", &bytes).ok());
    known
        .or_else(|| target.to_str().and_then(of_utc))
        .ok_or_else(|| {
            format!(
                "the time zone of {} is not known here, so local times and days are not: install the package tzdata, or set TZ, such as \
                 TZ=UTC",
                file.display()
            )
        })
}

/// Returns a zone that the crate does not find by itself.
fn from_text(value: &str) -> Option<TimeZone> {
    let value = value.strip_prefix(':').unwrap_or(value);
    let name = value
        .strip_prefix("posix/")
        .or_else(|| value.strip_prefix("right/"))
        .unwrap_or(value);
    let of_database = || {
        let bytes = fs::read(database().join(name)).ok()?;
        TimeZone::tzif(name, &bytes).ok()
    };
    let by_default_rule = || TimeZone::posix(&format!("{value}{DEFAULT_SUMMER}")).ok();
    of_utc(name).or_else(of_database).or_else(by_default_rule)
}

/// Returns UTC for its names: they are known where no zones are installed.
fn of_utc(name: &str) -> Option<TimeZone> {
    let last = name.rsplit('/').next()?;
    let names = ["UTC", "UCT", "GMT", "Universal", "Zulu", "Greenwich"];
    names.contains(&last).then_some(TimeZone::UTC)
}

fn database() -> std::path::PathBuf {
    std::env::var_os("TZDIR")
        .filter(|directory| !directory.is_empty())
        .map_or_else(|| DATABASE.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_a_zone_is_at_utc_and_one_whose_zone_is_gone_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let link = |name: &str, target: &str| {
            let path = dir.path().join(name);
            std::os::unix::fs::symlink(target, &path).expect("links");
            path
        };
        assert!(of_system(&dir.path().join("none")).is_ok());
        assert!(of_system(&link("utc", "/nowhere/zoneinfo/Etc/UTC")).is_ok());
        let error = of_system(&link("gone", "/nowhere/zoneinfo/Europe/Berlin"));
        assert!(error.is_err_and(|text| text.contains("tzdata")));
    }

    #[test]
    fn rules_without_their_dates_have_those_of_the_c_library() {
        let zone = from_text("EST5EDT").expect("a zone");
        let summer: jiff::Timestamp = "2026-07-01T00:00:00Z".parse().expect("a time");
        assert_eq!(zone.to_offset(summer).seconds(), -4 * 3600);
        for unknown in ["Foo/Bar", "Foo", "../nowhere"] {
            assert!(from_text(unknown).is_none(), "{unknown}");
        }
    }
}
