//! Running filter programs: bytes in, bytes out, and the exit status and standard error as part of the result.
//!
//! A filter has done its work only if it exited with 0 *and* read all its input. The second half matters: `head -c 100` exits
//! with 0. After the exit the parent empties its own copy of the pipe's reading end; a byte found there was never read by the
//! filter. Draining also frees a writer thread that is stuck on a full pipe, so no early death of a filter can hang a run.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use crate::format::escape;

/// Most bytes of a program's standard error that are kept for the message.
const STDERR_BYTES: usize = 4096;

/// Lets a filter outlive Ctrl-C, which a terminal sends to every process of the run: what it is filtering belongs to the checkpoint
/// that the run ends at, and a reader whose filter died before it would take the segment for damaged.
const IGNORING_INTERRUPTION: &str = "trap '' INT\n";

/// Feeds `input` to `sh -c command` and returns what it wrote. The command does not hear Ctrl-C.
pub fn filter(command: &str, input: &[u8]) -> Result<Vec<u8>> {
    run_script(command, &format!("{IGNORING_INTERRUPTION}{command}"), input)
}

/// Feeds `input` to `sh -c command` and returns what it wrote.
pub fn run(command: &str, input: &[u8]) -> Result<Vec<u8>> {
    run_script(command, command, input)
}

fn run_script(command: &str, script: &str, input: &[u8]) -> Result<Vec<u8>> {
    let (stdin, mut writer) = io::pipe().context("cannot make a pipe")?;
    let unread = stdin.try_clone().context("cannot make a pipe")?;
    let spawned = spawn(script, stdin.into());
    let mut child = spawned.with_context(|| format!("cannot start filter \"{command}\""))?;
    let errors = drain_stderr(&mut child)?;
    let mut stdout = child.stdout.take().expect("standard output is piped");
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, move || writer.write_all(input))
            .context("cannot start a thread")?;
        let mut output = Vec::new();
        let read = stdout.read_to_end(&mut output);
        let status = child
            .wait()
            .with_context(|| format!("cannot wait for filter \"{command}\""))?;
        let unread_bytes = drain(unread);
        let stderr = joined(errors);
        check_status("filter", command, status, &stderr)?;
        read.with_context(|| format!("cannot read from filter \"{command}\""))?;
        if unread_bytes > 0 {
            bail!("filter \"{command}\" did not read all its input{stderr}");
        }
        if output.is_empty() && !input.is_empty() {
            bail!("filter \"{command}\" wrote nothing{stderr}");
        }
        Ok(output)
    })
}

/// Feeds `input` to `sh -c command`, whose exit status alone is the answer: for programs that verify.
pub fn check(command: &str, input: &[u8]) -> Result<()> {
    let (stdin, mut writer) = io::pipe().context("cannot make a pipe")?;
    let spawned = spawn(command, stdin.into());
    let mut child = spawned.with_context(|| format!("cannot start \"{command}\""))?;
    let errors = drain_stderr(&mut child)?;
    let mut stdout = child.stdout.take().expect("standard output is piped");
    thread::scope(|scope| {
        // A verifier may stop reading when it has seen enough.
        thread::Builder::new()
            .spawn_scoped(scope, move || drop(writer.write_all(input)))
            .context("cannot start a thread")?;
        let read = io::copy(&mut stdout, &mut io::sink());
        let status = child
            .wait()
            .with_context(|| format!("cannot wait for \"{command}\""))?;
        check_status("command", command, status, &joined(errors))?;
        read.map(drop)
            .with_context(|| format!("cannot read from \"{command}\""))
    })
}

/// Starts `sh -c command` with `input` as its standard input and returns what it writes as a stream.
///
/// The stream's end is an error unless the program exited with 0; a stream dropped early ends the program, which does not hear Ctrl-C.
pub fn stream(command: &str, input: File) -> Result<CommandStream> {
    let spawned = spawn(&format!("{IGNORING_INTERRUPTION}{command}"), input.into());
    let mut child = spawned.with_context(|| format!("cannot start \"{command}\""))?;
    let errors = drain_stderr(&mut child)?;
    let stdout = child.stdout.take().expect("standard output is piped");
    Ok(CommandStream {
        command: command.to_owned(),
        child,
        stdout: Some(stdout),
        errors: Some(errors),
    })
}

/// The output of a running program.
#[derive(Debug)]
pub struct CommandStream {
    command: String,
    child: Child,
    stdout: Option<ChildStdout>,
    errors: Option<JoinHandle<Vec<u8>>>,
}

impl Read for CommandStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stdout) = &mut self.stdout else {
            return Ok(0);
        };
        let count = stdout.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.stdout = None;
            let status = self.child.wait()?;
            let stderr = self.errors.take().map(joined).unwrap_or_default();
            check_status("filter", &self.command, status, &stderr).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

impl Drop for CommandStream {
    fn drop(&mut self) {
        if self.stdout.take().is_some() {
            // The reader has what it needed; what the program would still say is of no interest.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Starts the command in a shell that fails if any part of a pipeline does: in `xz | gpg -e` a killed xz must not go unnoticed.
/// bash can tell; `sh` can where it knows `pipefail` (POSIX 2024).
fn spawn(command: &str, stdin: OwnedFd) -> io::Result<Child> {
    let again = stdin.try_clone()?;
    let start = |shell: &mut Command, stdin: OwnedFd| {
        shell
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    match start(
        Command::new("bash").args(["-o", "pipefail", "-c", command]),
        stdin,
    ) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let script =
                format!("if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n{command}");
            start(Command::new("sh").args(["-c", &script]), again)
        }
        started => started,
    }
}

fn drain_stderr(child: &mut Child) -> Result<JoinHandle<Vec<u8>>> {
    let mut stderr = child.stderr.take().expect("standard error is piped");
    let drain = move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 1024];
        // An error here only shortens the message.
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            let room = STDERR_BYTES - kept.len();
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        kept
    };
    let started = thread::Builder::new().spawn(drain);
    started.context("cannot start a thread")
}

/// Returns `: <standard error>` on one line, or nothing.
fn joined(errors: JoinHandle<Vec<u8>>) -> String {
    let bytes = errors.join().expect("the draining thread does not panic");
    let text = escape(bytes.trim_ascii()).replace("\\x0a", " | ");
    if text.is_empty() {
        text
    } else {
        format!(": {text}")
    }
}

fn drain(mut unread: PipeReader) -> u64 {
    io::copy(&mut unread, &mut io::sink()).unwrap_or(0)
}

fn check_status(what: &str, command: &str, status: ExitStatus, stderr: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("{what} \"{command}\" failed ({status}){stderr}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(command: &str, input: &[u8]) -> String {
        run(command, input).expect_err(command).to_string()
    }

    #[test]
    fn bytes_go_through() {
        let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(run("cat", &input).expect("works"), input);
        assert_eq!(run("tr a-z A-Z", b"abc").expect("works"), b"ABC");
    }

    #[test]
    fn a_failing_filter_is_told_with_its_standard_error() {
        let text = message("cat; echo oops >&2; exit 3", b"abc");
        assert_eq!(
            text,
            "filter \"cat; echo oops >&2; exit 3\" failed (exit status: 3): oops"
        );
        assert!(message("kill -9 $$", b"abc").contains("signal: 9"));
        assert!(message("no-such-program-anywhere", b"abc").contains("not found"));
    }

    #[test]
    fn a_failing_part_of_a_pipeline_fails_the_filter() {
        assert!(message("(cat >/dev/null; exit 5) | gzip", b"abc").contains("exit status: 5"));
    }

    #[test]
    fn a_filter_that_stops_reading_is_found_out() {
        assert!(
            message("head -c 10 </dev/null; exit 0", &[1; 100])
                .contains("did not read all its input")
        );
        assert!(message("head -c 10", &vec![1; 1 << 20]).contains("did not read all its input"));
        assert!(message("cat >/dev/null", b"abc").contains("wrote nothing"));
    }

    #[test]
    fn a_stream_ends_in_an_error_if_the_program_failed() {
        let mut stream =
            stream("cat; exit 7", File::open("/dev/null").expect("opens")).expect("starts");
        let error = stream
            .read_to_end(&mut Vec::new())
            .expect_err("exit 7")
            .to_string();
        assert!(error.contains("exit status: 7"), "{error}");
    }
}
