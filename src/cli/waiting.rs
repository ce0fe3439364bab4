//! `--wait`: how long a run waits for another one that holds the lock of local state.

use std::time::Duration;

use clap::Args;
use pileus::age::quantities;
use pileus::local::lock::Patience;

use super::Failure;

/// Seconds of the units in which people say how long to wait. Months and years are no time to wait, so a lone `m` can only mean minutes.
const UNITS: [(&str, u64); 6] = [
    ("s", 1),
    ("m", 60),
    ("min", 60),
    ("h", 3600),
    ("d", 86_400),
    ("w", 7 * 86_400),
];

/// What the commands take that use the lock.
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// Wait until the run has ended that uses the local state; no longer than this, if it is said: 90s, 10min, 2h30min
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    wait: Option<String>,
}

impl WaitArguments {
    pub(super) fn patience(&self) -> Result<Patience, Failure> {
        match self.wait.as_deref() {
            None => Ok(Patience::None),
            Some("") => Ok(Patience::Endless),
            Some(text) => match parse(text) {
                Some(most) => Ok(Patience::AtMost(most)),
                None => Err(Failure::Usage(format!(
                    "--wait={text} is not a length of time: write numbers with s, min, h, d or w, such as 10min; alone, --wait waits as long as \
                     it takes"
                ))),
            },
        }
    }
}

/// Parses lengths of time such as `90s`, `10min` and sums of them (`2h30min`).
fn parse(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    for (number, unit) in quantities(text)? {
        let (_, unit_seconds) = UNITS.iter().find(|(known, _)| *known == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*unit_seconds)?)?;
    }
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_as_people_type_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("10min", 600),
            ("2h30m", 9000),
            ("1d", 86_400),
            ("1w1s", 604_801),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["10", "m", "1.5h", "1mo", "-1s", "1h ", "99999999999999999w"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
