//! All that the binary prints: problems and errors to standard error, one line each; paths, tables and JSON to standard output.
//!
//! Bytes that came from a file system or a store are escaped before they reach a terminal ([`escape`]). In JSON, paths are text
//! in which every byte that is not valid UTF-8, and `%` itself, is written `%xx` (docs/manual.md, "JSON").
//!
//! How far a run has come is drawn in the last line of the terminal, and erased before anything else is printed. A thread that only
//! sleeps says when it is time to draw again: a run asks for every path whether anybody wants to know, and must not look at a clock
//! for it. A signal asks for a line of its own, terminal or not.

mod closed;
mod progress;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pileus::format::escape;
use pileus::monitor::{Event, Monitor, Problem, Progress};
use pileus::wording::without_numbers;
use serde_json::{Value, json};
use signal_hook::consts::SIGUSR1;

use progress::{Meter, Pace};

/// What is said when printing fails.
const STDOUT: &str = "cannot write to standard output";

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Errors and problems.
    Quiet,
    /// Also notes and a summary, if standard output is a terminal.
    Normal,
    /// Also each path, and notes wherever standard output goes.
    Paths,
}

/// How much of the output was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it.
    All,
    /// The reader went away before its end.
    Cut,
}

/// Shortest time between two drawings of progress; more often, nobody could read it.
const DRAWING_INTERVAL: Duration = Duration::from_millis(100);
/// Goes back to the beginning of the line and empties it.
const ERASE: &str = "\r\x1b[K";
/// What stands before each line on standard error.
const NAME: &str = "pileus: ";
/// The same where something went wrong.
const RED_NAME: &str = "\x1b[31mpileus:\x1b[0m ";
/// The width of a terminal that does not say it.
const COLUMNS: usize = 80;

/// Help that is wider is hard to read.
const HELP_COLUMNS: usize = 100;

/// Prints for one run; safe to use from several threads.
pub(crate) struct Console {
    verbosity: Verbosity,
    json: bool,
    /// Whether it is time to draw on standard error how far the run has come; never, if that is not wanted.
    is_due: Arc<AtomicBool>,
    /// Whether a signal asked how far the run has come.
    is_asked: Arc<AtomicBool>,
    /// Whether problems and errors are marked with a color.
    colors: bool,
    output: Mutex<Output>,
}

struct Output {
    stdout: BufWriter<io::Stdout>,
    /// The first error of writing to standard output; it ends the run at its next check.
    failed: Option<io::Error>,
    /// Whether a line of progress stands on the terminal.
    drawn: bool,
    /// Whether the thread runs that says when to draw.
    is_ticking: bool,
    meter: Meter,
}

impl Console {
    pub(crate) fn new(verbosity: Verbosity, json: bool) -> Self {
        let output = Output {
            stdout: BufWriter::with_capacity(32 << 10, io::stdout()),
            failed: None,
            drawn: false,
            is_ticking: false,
            meter: Meter::start(Instant::now()),
        };
        Self {
            verbosity,
            json,
            is_due: Arc::default(),
            is_asked: Arc::default(),
            colors: is_capable_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
            output: Mutex::new(output),
        }
    }

    /// Draws progress on standard error: always, never, or (nothing said) if it is a terminal and results are for people.
    pub(crate) fn draw_if(&self, asked: Option<bool>) {
        let watched = is_capable_terminal() && self.verbosity != Verbosity::Quiet && !self.json;
        let draws = asked.unwrap_or(watched);
        self.is_due.store(draws, Ordering::Relaxed);
    }

    /// Makes SIGUSR1 ask how far the run has come.
    pub(crate) fn answer_signal(&self) -> io::Result<()> {
        signal_hook::flag::register(SIGUSR1, Arc::clone(&self.is_asked)).map(drop)
    }

    /// Tells whether results are to be printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Tells whether more is to be told of each path.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Paths
    }

    /// Prints a line to standard output.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        // In one piece: other threads print too.
        self.bytes(&[text.as_bytes(), b"\n"].concat())
    }

    /// Writes bytes to standard output as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut output = self.lock();
        output.erase();
        closed::ensure_open().context(STDOUT)?;
        output.stdout.write_all(bytes).context(STDOUT)
    }

    /// Prints a line for people, unless told to be quiet or to print JSON.
    pub(crate) fn tell(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet && !self.json {
            let text = without_numbers(text);
            self.keep_error(|console| console.line(&escape(text.as_bytes())));
        }
    }

    /// Prints a line for people if they are watching: cron should stay silent on success.
    pub(crate) fn tell_terminal(&self, text: &str) {
        if io::stdout().is_terminal() {
            self.tell(text);
        }
    }

    /// Takes the line of progress away, before another program prints.
    pub(crate) fn step_aside(&self) {
        let mut output = self.lock();
        output.erase();
        output.flush();
    }

    /// Prints a note where notes are wanted, at once: it may say why nothing else is printed for an hour.
    fn note(&self, text: &str) {
        if self.json {
            self.summary(&json!({ "type": "note", "message": without_numbers(text) }));
        } else if self.verbosity == Verbosity::Paths {
            self.tell(text);
        } else {
            self.tell_terminal(text);
        }
        self.lock().flush();
    }

    /// Prints a note to standard error, where standard output is not for people.
    pub(crate) fn note_aside(&self, text: &str) {
        if self.tells_aside() {
            self.to_stderr(NAME, text);
        }
    }

    /// Tells whether notes are printed where standard output is not for people.
    pub(crate) fn tells_aside(&self) -> bool {
        let watched = self.verbosity == Verbosity::Normal && io::stderr().is_terminal();
        watched || self.verbosity == Verbosity::Paths
    }

    /// Prints what is to be done about problems, where they were printed.
    pub(crate) fn advise(&self, text: &str) {
        self.to_stderr(NAME, text);
    }

    /// Prints what failed for one thing of a run that goes on.
    pub(crate) fn problem(&self, subject: &[u8], reason: &str) {
        self.told(&Problem {
            subject: subject.to_vec(),
            reason: reason.to_owned(),
            reach: None,
        });
    }

    fn told(&self, problem: &Problem) {
        let Problem {
            subject, reason, ..
        } = problem;
        if self.json {
            self.summary(&problem_object(problem));
        }
        let text = format!("{}: {reason}", escape(subject));
        self.to_stderr(self.alarm(), &text);
    }

    fn alarm(&self) -> &'static str {
        if self.colors { RED_NAME } else { NAME }
    }

    /// Tells how far the run has come: in a line for whoever asked by a signal, and on the terminal if it is time to.
    fn progress(&self, progress: &Progress<'_>) {
        if self.is_asked.swap(false, Ordering::Relaxed) {
            let pace = self.lock().meter.pace(progress, Instant::now());
            self.to_stderr(NAME, &progress::whole(progress, pace));
        }
        if self.is_due.swap(false, Ordering::Relaxed) {
            let mut output = self.lock();
            let pace = output.meter.pace(progress, Instant::now());
            output.draw(progress, pace);
            if !std::mem::replace(&mut output.is_ticking, true) {
                tick(&self.is_due);
            }
        }
    }

    /// Prints a JSON object, if JSON was asked for.
    pub(crate) fn summary(&self, value: &Value) {
        if self.json {
            self.keep_error(|console| console.line(&value.to_string()));
        }
    }

    /// Prints an error of the whole run; in JSON too, so that a reader of standard output sees why there is no summary.
    pub(crate) fn error(&self, text: &str) {
        let text = without_numbers(&text.replace('\n', " "));
        if self.json {
            self.keep_error(|console| {
                console.line(&json!({ "type": "error", "message": text }).to_string())
            });
            self.keep_error(|console| console.finish().map(drop));
        }
        self.to_stderr(self.alarm(), &text);
    }

    /// Flushes standard output; fails if anything could not be written for another reason than that nobody reads it any more.
    pub(crate) fn finish(&self) -> Result<Written> {
        let mut output = self.lock();
        output.erase();
        let outcome = output
            .failed
            .take()
            .map_or_else(|| output.stdout.flush(), Err);
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Cut),
            Err(error) => Err(error).context(STDOUT),
            Ok(()) => Ok(Written::All),
        }
    }

    fn to_stderr(&self, name: &str, text: &str) {
        // What was printed before comes first, also where both go to one place.
        let mut output = self.lock();
        output.erase();
        output.flush();
        // Escaped here, whatever the text was made of: no message can reach the terminal raw. If standard error is gone, there
        // is nobody left to tell.
        let text = without_numbers(text);
        drop(writeln!(io::stderr(), "{name}{}", escape(text.as_bytes())));
    }

    /// Keeps the first error for `finish`; after it nothing more is printed. Whoever closed the pipe has seen enough of the run,
    /// which goes on: that is no error.
    fn keep_error(&self, print: impl FnOnce(&Self) -> Result<()>) {
        if self.lock().failed.is_some() {
            return;
        }
        if let Err(error) = print(self) {
            self.lock().failed = error.downcast::<io::Error>().ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output
            .lock()
            .expect("no thread panics while it prints")
    }
}

/// Prints a line on standard error if that is a terminal, without waiting for another thread, which may be waiting for whoever reads.
pub(crate) fn tell_terminal_at_once(text: &str) {
    if io::stderr().is_terminal() {
        let erase = if is_capable_terminal() { ERASE } else { "\n" };
        drop(writeln!(io::stderr(), "{erase}{NAME}{text}"));
    }
}

impl Output {
    /// Takes the line of progress away, so that something else may be printed.
    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            drop(write!(io::stderr(), "{ERASE}"));
        }
    }

    fn draw(&mut self, progress: &Progress<'_>, pace: Pace) {
        // Else it would be printed behind the line, when there is more of it.
        self.flush();
        let room = columns(io::stderr()).saturating_sub(NAME.len() + 1);
        let line = progress::line(progress, pace, room);
        drop(write!(io::stderr(), "{ERASE}{NAME}{line}"));
        self.drawn = true;
    }

    /// Prints what was kept for later; the first error is kept instead.
    fn flush(&mut self) {
        let flushed = self.stdout.flush();
        self.failed = self.failed.take().or(flushed.err());
    }
}

/// Says again and again that it is time to draw, as long as there is a console.
fn tick(is_due: &Arc<AtomicBool>) {
    let is_due = Arc::downgrade(is_due);
    let say = move || {
        while let Some(is_due) = is_due.upgrade() {
            is_due.store(true, Ordering::Relaxed);
            drop(is_due);
            thread::sleep(DRAWING_INTERVAL);
        }
    };
    // Without it, what was drawn stays as it is.
    drop(thread::Builder::new().name("drawing".to_owned()).spawn(say));
}

/// Tells whether standard error is a terminal on which lines can be erased.
fn is_capable_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns how wide help may be. A terminal that does not know its own height is one of unknown size to whoever prints it, and then it has
/// 100 columns: too many for most.
pub(crate) fn help_columns() -> usize {
    columns(io::stderr()).min(HELP_COLUMNS)
}

/// Returns how wide a table may be, if it goes to a terminal.
pub(crate) fn table_columns() -> Option<usize> {
    let stdout = io::stdout();
    stdout.is_terminal().then(|| columns(stdout))
}

fn columns(terminal: impl AsFd) -> usize {
    let size = rustix::termios::tcgetwinsize(terminal);
    let columns = size.map_or(0, |size| size.ws_col);
    if columns == 0 {
        COLUMNS
    } else {
        columns.into()
    }
}

/// The console of a command whose standard output is for a program: notes go to standard error.
pub(crate) struct Aside<'c>(pub(crate) &'c Console);

impl Monitor for Aside<'_> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Note(text) => self.0.note_aside(text),
            other => self.0.event(other),
        }
    }

    fn wants_progress(&self) -> bool {
        self.0.wants_progress()
    }
}

impl Monitor for Console {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Path { status, path, rule } if self.verbosity == Verbosity::Paths => {
                let line = if self.json {
                    let mut line = json!({ "type": "path", "status": status.to_string(), "path": json_text(path.as_bytes()) });
                    if let Some(rule) = rule {
                        line["rule"] = (*rule).into();
                    }
                    line.to_string()
                } else {
                    let rule = rule.map(|rule| format!(" ({})", escape(rule.as_bytes())));
                    format!("[{status}] {path}{}", rule.unwrap_or_default())
                };
                self.keep_error(|console| console.line(&line));
            }
            Event::Path { .. } => {}
            Event::Note(text) => self.note(text),
            Event::Warning(text) => {
                self.summary(&json!({ "type": "warning", "message": without_numbers(text) }));
                self.to_stderr(NAME, text);
            }
            Event::Problem(problem) => self.told(problem),
            Event::Progress(progress) => self.progress(progress),
        }
    }

    fn wants_progress(&self) -> bool {
        self.is_due.load(Ordering::Relaxed) || self.is_asked.load(Ordering::Relaxed)
    }
}

fn problem_object(problem: &Problem) -> Value {
    let subject = json_text(&problem.subject);
    let mut object = json!({ "type": "problem", "subject": subject, "reason": without_numbers(&problem.reason) });
    if let Some(reach) = &problem.reach {
        let name = |id: &dyn std::fmt::Display| Value::from(id.to_string());
        object["segment"] = reach.segment.as_ref().map_or(Value::Null, |id| name(id));
        object["object"] = reach.object.as_ref().map_or(Value::Null, |id| name(id));
        let path = reach.path.as_ref().map(|path| json_text(path.as_bytes()));
        object["path"] = path.into();
        object["snapshots"] = reach.snapshots.iter().map(|id| name(id)).collect();
    }
    object
}

/// Returns bytes as text that can be turned back into them: `%` and what is not UTF-8 become `%xx`.
pub(crate) fn json_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            write!(text, "%{byte:02x}").expect("a String takes all text");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_can_be_turned_back() {
        assert_eq!(json_text("naïve\n100%".as_bytes()), "naïve\n100%25");
        assert_eq!(json_text(b"\xff\xfe%ff"), "%ff%fe%25ff");
    }
}
