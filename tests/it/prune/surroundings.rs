//! What runs of the library get from outside in these tests: a clock, and a monitor that may be the end of them.

use std::sync::Mutex;

use jiff::Timestamp;
use pileus::backup::Clock;
use pileus::local::lock::Locked;
use pileus::monitor::{Event, Monitor};

/// A clock that a test sets.
pub(super) struct TestClock(pub(super) Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("nobody panics here")
    }

    fn wait_until(&self, instant: Timestamp) {
        let mut now = self.0.lock().expect("nobody panics here");
        *now = instant.max(*now);
    }
}

/// Keeps problems, and panics at a certain note or sign of progress.
pub(super) struct Told {
    pub(super) problems: Mutex<Vec<String>>,
    notes_left: Mutex<Option<usize>>,
}

impl Monitor for Told {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Problem(problem) => {
                let told = format!(
                    "{}: {}",
                    String::from_utf8_lossy(&problem.subject),
                    problem.reason
                );
                self.problems.lock().expect("nobody panics here").push(told);
            }
            Event::Note(_) | Event::Warning(_) | Event::Progress(_) => {
                let left = {
                    let mut left = self.notes_left.lock().expect("nobody panics here");
                    *left = left.map(|left| left.saturating_sub(1));
                    *left
                };
                assert!(left != Some(0), "dies here");
            }
            Event::Path { .. } => {}
        }
    }
}

pub(super) fn told(dies_after: Option<usize>) -> Told {
    Told {
        problems: Mutex::new(Vec::new()),
        notes_left: Mutex::new(dies_after.map(|notes| notes + 1)),
    }
}

/// Takes a step again as long as the lock is held: a program that another test starts at this moment has every open file of this
/// process, until the program runs.
pub(super) fn alone<T>(step: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    loop {
        match step() {
            Err(error) if error.is::<Locked>() => std::thread::yield_now(),
            done => return done,
        }
    }
}
