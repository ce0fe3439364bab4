//! `--metrics-file`: how a backup went, for the textfile collector of Prometheus' node exporter.
//!
//! The file has one family of gauges for each thing that is told, all with the labels `scheme` and `store`. It is replaced in one step, since the
//! collector may read it at any moment; the temporary name does not end in `.prom`, which is what the collector looks for.
//!
//! What a failed run does not know is left out rather than told as 0. The time of the last success is the one thing that outlives a run: it
//! is taken over from the file that is there, if that is of the same scheme and store.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::outcome::Outcome;
use super::replacing::replace;

/// The metric that a failed run takes over.
const LAST_SUCCESS: &str = "pileus_backup_last_success_timestamp_seconds";

/// A run that has ended.
pub(super) struct Measured<'m> {
    pub(super) scheme: &'m str,
    pub(super) store: &'m Path,
    pub(super) outcome: &'m Outcome<'m>,
    pub(super) started: Timestamp,
    pub(super) duration: Duration,
}

/// Replaces the file with what there is to tell of a run.
pub(super) fn write(file: &Path, run: &Measured<'_>) -> Result<()> {
    let old = match fs::read(file) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context("cannot read what it had"),
    };
    // Whoever runs the collector has to read the file, whatever the umask says.
    replace(file, run.text(&old).as_bytes(), Some(0o644)).context("cannot write it")
}

impl Measured<'_> {
    /// Returns the whole text; `old` is what was told of the run before.
    fn text(&self, old: &str) -> String {
        let mut text = Text {
            labels: format!(
                "scheme=\"{}\",store=\"{}\"",
                escape_label(self.scheme),
                escape_label(&self.store.to_string_lossy())
            ),
            text: String::new(),
        };
        let outcome = self.outcome;
        text.gauge(
            "pileus_backup_start_timestamp_seconds",
            "When the last backup began.",
            &in_seconds(self.started.as_millisecond()),
        );
        text.gauge(
            "pileus_backup_duration_seconds",
            "How long the last backup took.",
            &format!("{:.3}", self.duration.as_secs_f64()),
        );
        text.gauge(
            "pileus_backup_exit_code",
            "Exit code of the last backup: 0 done, 3 done with problems, others failed.",
            &outcome.code().to_string(),
        );
        let ended = || {
            let took = i64::try_from(self.duration.as_millis()).unwrap_or(0);
            in_seconds(self.started.as_millisecond().saturating_add(took))
        };
        let last = if outcome.has_snapshot() {
            Some(ended())
        } else {
            // One from the future would hide for years that no backup succeeds.
            let now: f64 = ended().parse().unwrap_or(f64::MAX);
            kept(old, &format!("{LAST_SUCCESS}{{{}}} ", text.labels), now)
        };
        if let Some(last) = last {
            let help = "When the last backup that left a complete snapshot ended.";
            text.gauge(LAST_SUCCESS, help, &last);
        }
        self.tell_counts(&mut text);
        text.text
    }

    fn tell_counts(&self, text: &mut Text) {
        let Some(report) = self.outcome.report else {
            return;
        };
        let entries = report.entries;
        text.head("pileus_backup_entries", "Entries by what became of them.");
        for (status, count) in [
            ("new", entries.new),
            ("old", entries.old),
            ("partial", entries.partial),
            ("repack", entries.repack),
            ("sub-file", entries.sub_file),
            ("metadata", entries.metadata),
        ] {
            let more = format!(",status=\"{status}\"");
            text.sample("pileus_backup_entries", &more, &count.to_string());
        }
        for (name, help, value) in [
            (
                "pileus_backup_problems",
                "Files and other things that failed.",
                report.problems,
            ),
            (
                "pileus_backup_source_bytes",
                "Sizes of all regular files.",
                report.source_bytes,
            ),
            (
                "pileus_backup_read_bytes",
                "Bytes read from files.",
                report.read_bytes,
            ),
            (
                "pileus_backup_new_data_bytes",
                "Bytes of files that the store did not have, before compression.",
                report.groups.new_data_bytes(),
            ),
            (
                "pileus_backup_disk_bytes",
                "Bytes added to the store.",
                report.groups.total().disk_bytes,
            ),
        ] {
            text.gauge(name, help, &value.to_string());
        }
    }
}

/// Text that is being put together.
struct Text {
    /// What every sample has.
    labels: String,
    text: String,
}

impl Text {
    fn gauge(&mut self, name: &str, help: &str, value: &str) {
        self.head(name, help);
        self.sample(name, "", value);
    }

    fn head(&mut self, name: &str, help: &str) {
        let head = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        self.text.push_str(&head);
    }

    fn sample(&mut self, name: &str, more: &str, value: &str) {
        let sample = format!("{name}{{{}{more}}} {value}\n", self.labels);
        self.text.push_str(&sample);
    }
}

/// Returns the value behind `sample` in the text of an earlier run, if it is at most `most`.
fn kept(old: &str, sample: &str, most: f64) -> Option<String> {
    let mut lines = old.lines();
    let value = lines.find_map(|line| line.strip_prefix(sample))?;
    let is_good = value.parse::<f64>().is_ok_and(|number| number <= most);
    is_good.then(|| value.to_owned())
}

fn in_seconds(milliseconds: i64) -> String {
    let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    format!("{seconds}.{rest:03}")
}

/// Escapes what may not stand in the value of a label as it is.
fn escape_label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_label_is_escaped() {
        assert_eq!(escape_label("a\\b\"c\nd e"), "a\\\\b\\\"c\\nd e");
    }

    #[test]
    fn a_value_is_kept_only_of_the_same_sample_and_only_if_it_is_a_number() {
        let old = "# HELP x\nx{scheme=\"a\"} 17.250\nx{scheme=\"b\"} none\n";
        assert_eq!(
            kept(old, "x{scheme=\"a\"} ", 20.0),
            Some("17.250".to_owned())
        );
        assert_eq!(kept(old, "x{scheme=\"b\"} ", 20.0), None);
        assert_eq!(kept(old, "x{scheme=\"c\"} ", 20.0), None);
        assert_eq!(kept(old, "x{scheme=\"a\"} ", 17.0), None);
    }
}
