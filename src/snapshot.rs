//! Which snapshot is meant, and its descriptor with or without a checked signature.
//!
//! `latest`, a full name, the beginning of one, or `@TIME`: what users type for `--snapshot`. A name that fits nothing is answered
//! with the nearest one that exists.

pub mod future;
mod time;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use crate::format::FormatError;
use crate::format::descriptor::Descriptor;
use crate::format::path::EntryPath;
use crate::format::snapshot_name::SnapshotName;
use crate::pattern;
use crate::store::catalog::Catalog;
use crate::store::command;
use crate::wording::{of_scheme, shell_word};
use time::Wrong;

/// Finds the snapshot that `wanted` means among those of `scheme` (all if none).
pub fn choose(
    catalog: &Catalog,
    wanted: &str,
    scheme: Option<&str>,
    now: Timestamp,
) -> Result<SnapshotName> {
    let candidates: Vec<_> = catalog
        .snapshots()
        .filter(|name| scheme.is_none_or(|s| name.scheme() == s))
        .collect();
    if candidates.is_empty() {
        bail!(
            "there is no snapshot{} in {}",
            of_scheme(scheme),
            catalog.root().display()
        );
    }
    if wanted == "latest" {
        let mut complete = candidates.iter().rev().filter(|name| !name.is_checkpoint());
        let last = complete.clone().next();
        let latest = complete.find(|name| !future::is_of_future(catalog, name, now));
        let latest = latest.or(last);
        return Ok((*latest.unwrap_or(&candidates[candidates.len() - 1])).clone());
    }
    if let Some(time) = wanted.strip_prefix('@') {
        let limit = time::parse(time, now).map_err(|wrong| match wrong {
            Wrong::NoTime(advice) => anyhow!("\"{wanted}\" is no time: {advice}"),
            Wrong::ToCome => {
                anyhow!("\"{wanted}\" has not come yet: the last snapshot is called latest")
            }
            Wrong::NoZone(why) => anyhow!("\"{wanted}\" is a local time, and {why}"),
        })?;
        let before = candidates
            .iter()
            .rev()
            .find(|name| name.instant() <= limit.min(now) && !name.is_checkpoint());
        let oldest = candidates[0];
        return before
            .map(|name| (*name).clone())
            .with_context(|| format!("no snapshot is as old as {wanted}: the oldest is {oldest}"));
    }
    let wanted = wanted.strip_prefix("snapshot-").unwrap_or(wanted);
    if let Some(exact) = candidates.iter().find(|name| name.to_string() == wanted) {
        return Ok((*exact).clone());
    }
    let matching: Vec<_> = candidates
        .iter()
        .filter(|name| name.to_string().starts_with(wanted))
        .collect();
    match matching[..] {
        [one] => Ok((*one).clone()),
        [] if time::parse(wanted, now).is_ok() => bail!(
            "there is no snapshot \"{wanted}\": a time is written @{wanted}, and means the last one up to then"
        ),
        [] => bail!(
            "there is no snapshot \"{}\": {}",
            crate::format::escape(wanted.as_bytes()),
            instead(&candidates, wanted, catalog.root())
        ),
        _ => bail!(
            "\"{wanted}\" fits {} snapshots, from {} to {}: write more of the name{}",
            matching.len(),
            matching[0],
            matching[matching.len() - 1],
            latest_of_scheme(&candidates, wanted)
        ),
    }
}

/// Reads a snapshot's descriptor. With `verify_signature`, a shell command that gets the descriptor on standard input, an unsigned
/// descriptor or a command that fails is an error.
pub fn open(
    catalog: &Catalog,
    name: &SnapshotName,
    verify_signature: Option<&str>,
) -> Result<Descriptor> {
    let (descriptor, text) = catalog.descriptor_and_text(name)?;
    if let Some(command) = verify_signature {
        if !descriptor.signed {
            bail!("snapshot {name} is not signed");
        }
        command::check(command, &text)
            .with_context(|| format!("the signature of snapshot {name} is not good"))?;
    }
    Ok(descriptor)
}

/// Reads the descriptor of a snapshot without which there is nothing to do; where it is damaged, the error points to the others.
pub fn open_chosen(
    catalog: &Catalog,
    name: &SnapshotName,
    verify_signature: Option<&str>,
) -> Result<Descriptor> {
    open(catalog, name, verify_signature).map_err(|error| {
        if is_damage(&error) {
            let list = listing(catalog.root());
            anyhow!("{error:#}; choose another snapshot ({list} names them)")
        } else {
            error
        }
    })
}

/// Says what is wrong with a descriptor, and what can be done about it.
#[must_use]
pub fn way_out(error: &anyhow::Error, store: &Path, name: &SnapshotName) -> String {
    let store = shell_word(store);
    let advice = format!(
        "; if there is no copy of it, it goes with pileus prune --dest={store} --remove={name}"
    );
    let advice = if is_damage(error) { &advice } else { "" };
    format!("{error:#}{advice}")
}

/// Tells whether a descriptor was read and is none.
fn is_damage(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| cause.downcast_ref::<FormatError>().is_some())
}

/// The command that names all snapshots of a store.
#[must_use]
pub fn listing(store: &Path) -> String {
    format!("pileus list --dest={}", shell_word(store))
}

/// Says behind a path that a snapshot does not have it, and how to find those that do. A part of the metadata may be `lost`, in which the
/// path may have been.
#[must_use]
pub fn lacks(store: &Path, snapshot: &SnapshotName, path: &EntryPath, lost: bool) -> String {
    let known = if lost { "what can be read of " } else { "" };
    let text = path.to_string();
    if text == "latest" || SnapshotName::parse(&text).is_some() {
        return format!(
            "is not in {known}snapshot {snapshot}; another snapshot is chosen with --snapshot={text}"
        );
    }
    let dashes = if text.starts_with('-') { "-- " } else { "" };
    let store = shell_word(store);
    let pattern = shell_word(OsStr::from_bytes(&pattern::escaped(path.as_bytes())));
    // What is shown of a name is not always its bytes.
    let typed = if path.as_bytes().windows(2).any(|pair| pair == b"\\x") {
        " (bytes that are shown as \\x0a are typed in quotes that begin with $: $'a\\x0ab')"
    } else {
        ""
    };
    format!(
        "is not in {known}snapshot {snapshot}{typed}; to look for it in all of them: pileus find --dest={store} {dashes}{pattern}"
    )
}

/// Says what to write in place of a name that no snapshot has.
fn instead(candidates: &[&SnapshotName], wanted: &str, store: &Path) -> String {
    let list = listing(store);
    let nearest = nearest(candidates, wanted);
    if wanted.starts_with("latest") {
        return format!("{list} names those before the latest");
    }
    let begin = |name: &str| name.chars().next();
    let hint = if begin(&nearest.to_string()) == begin(wanted) {
        String::new()
    } else {
        format!(" ({list} names all; times are written @1d, a day ago, or @2026-11-01)")
    };
    format!("the nearest is {nearest}{hint}")
}

/// Says how the latest snapshot of a scheme is named, if that is what was typed.
fn latest_of_scheme(candidates: &[&SnapshotName], wanted: &str) -> String {
    let is_scheme = candidates.iter().any(|name| name.scheme() == wanted);
    let hint = format!(", or --scheme={wanted} for the latest of that scheme");
    if is_scheme { hint } else { String::new() }
}

/// Returns the snapshot whose name shares the longest beginning with `wanted`; the latest of equals.
fn nearest<'n>(candidates: &[&'n SnapshotName], wanted: &str) -> &'n SnapshotName {
    let shared = |name: &&&SnapshotName| {
        name.to_string()
            .bytes()
            .zip(wanted.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    candidates
        .iter()
        .max_by_key(shared)
        .expect("there are candidates")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_from(names: &[&str], wanted: &str, scheme: Option<&str>) -> Result<String, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in names {
            std::fs::write(dir.path().join(format!("snapshot-{name}.lbs")), "").expect("writes");
        }
        let catalog = Catalog::open(dir.path()).expect("opens");
        let now = "2026-11-21T12:00:00Z".parse().expect("a time");
        choose(&catalog, wanted, scheme, now)
            .map(|n| n.to_string())
            .map_err(|e| e.to_string())
    }

    const NAMES: &[&str] = &[
        "a-20261101T000000",
        "b-20261110T120000",
        "a-20261120T235959",
        "b-20261121T000000.checkpoint",
    ];

    #[test]
    fn snapshots_as_people_name_them() {
        for (wanted, scheme, chosen) in [
            ("latest", None, "a-20261120T235959"),
            ("latest", Some("b"), "b-20261110T120000"),
            ("b-20261110T120000", None, "b-20261110T120000"),
            ("snapshot-b-20261110T120000", None, "b-20261110T120000"),
            ("a-202611011", None, ""),
            ("a-2026110", None, "a-20261101T000000"),
            (
                "b-20261121T000000.checkpoint",
                None,
                "b-20261121T000000.checkpoint",
            ),
            ("@3d", None, "b-20261110T120000"),
            ("@43201s", None, "a-20261120T235959"),
            ("@2w", None, "a-20261101T000000"),
            ("@2026-11-15", None, "b-20261110T120000"),
            ("@2026-11-20T23:59:59Z", None, "a-20261120T235959"),
            ("@2026-11-20T23:59:58Z", None, "b-20261110T120000"),
            ("@2026-11-21", None, "a-20261120T235959"),
        ] {
            let found = choose_from(NAMES, wanted, scheme);
            if chosen.is_empty() {
                assert_eq!(
                    found,
                    Err(
                        "there is no snapshot \"a-202611011\": the nearest is a-20261101T000000"
                            .to_owned()
                    )
                );
            } else {
                assert_eq!(found, Ok(chosen.to_owned()), "{wanted}");
            }
        }
    }

    #[test]
    fn a_snapshot_of_the_future_is_the_latest_only_where_there_is_no_other() {
        let names = [
            "a-20261101T000000",
            "a-20261102T000000",
            "a-20350101T000000",
            "b-20360101T000000",
        ];
        for (wanted, scheme, chosen) in [
            ("latest", None, "a-20261102T000000"),
            ("latest", Some("a"), "a-20261102T000000"),
            ("latest", Some("b"), "b-20360101T000000"),
            ("@2026", None, "a-20261102T000000"),
            ("a-2035", None, "a-20350101T000000"),
        ] {
            let found = choose_from(&names, wanted, scheme);
            assert_eq!(found, Ok(chosen.to_owned()), "{wanted}");
        }
    }

    #[test]
    fn what_cannot_be_chosen_is_explained() {
        for (names, wanted, scheme, part) in [
            (&[][..], "latest", None, "there is no snapshot in"),
            (
                NAMES,
                "latest",
                Some("c"),
                "there is no snapshot of scheme c",
            ),
            (
                &["a-20261101T000000"],
                "latest",
                Some(""),
                "there is no snapshot without a scheme in",
            ),
            (
                NAMES,
                "a-",
                None,
                "fits 2 snapshots, from a-20261101T000000 to a-20261120T235959",
            ),
            (
                NAMES,
                "b",
                None,
                "write more of the name, or --scheme=b for the latest of that scheme",
            ),
            (NAMES, "@x", None, "\"@x\" is no time: write @2026-11-01"),
            (NAMES, "@5m", None, "\"@5m\" is no time: write 5min"),
            (NAMES, "@2026-11-23", None, "has not come yet"),
            (NAMES, "2026", None, "a time is written @2026,"),
            (NAMES, "latest~1", None, "names those before the latest"),
            (
                NAMES,
                "yesterday",
                None,
                " names all; times are written @1d, a day ago,",
            ),
            (
                NAMES,
                "2026-11-20",
                None,
                "there is no snapshot \"2026-11-20\": a time is written @2026-11-20",
            ),
            (
                NAMES,
                "@2020-01-01",
                None,
                "the oldest is a-20261101T000000",
            ),
        ] {
            let error = choose_from(names, wanted, scheme).expect_err(wanted);
            assert!(error.contains(part), "{error}");
        }
    }
}
