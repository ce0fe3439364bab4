//! The reading end of a pipe: standard input, or the standard output of a command that is run for it.
//!
//! A pipe may be silent for hours, and a read that waits in the kernel does not hear that the run has to end: signals may be
//! delivered to any thread, and reads go on after them. So nothing is read before there is something to read, and the flag is looked at
//! while there is not.
//!
//! The end of the data proves nothing by itself: a command that dies in the middle ends them too. They are whole once it has exited with
//! 0 ([`Pipe::finish`]). Of whoever writes to standard input only the shell knows how it ended. A command that is not needed any more is
//! asked to end (SIGTERM), killed if it does not, and in any case waited for.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::contents::Contents;
use super::run::Interrupted;
use crate::format::escape;

/// How long a silent pipe is waited for before the flag is looked at, in milliseconds.
const PATIENCE_MSEC: u8 = 100;

/// How often an ending command is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What a command that is asked to end is given for it; a dump may have to say goodbye to its server.
const GRACE: Duration = Duration::from_secs(5);

/// Where the contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipedFrom {
    /// Standard input.
    StandardInput,
    /// The standard output of a program, which is run without a shell: its name and its arguments.
    Command(Vec<OsString>),
}

/// A pipe that is read until its end.
pub(super) struct Pipe<'s> {
    pub(super) file: File,
    stop: &'s AtomicBool,
    command: Option<Running>,
}

/// A command that was started and not waited for yet.
struct Running {
    child: Child,
    /// As it was typed.
    told: String,
}

impl<'s> Pipe<'s> {
    /// Opens standard input, or starts the command, whose standard input and error stay those of this process.
    pub(super) fn open(from: &PipedFrom, stop: &'s AtomicBool) -> Result<Self> {
        let words = match from {
            PipedFrom::StandardInput => {
                // Not through the standard library's buffer, behind which poll sees nothing.
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                return Ok(Self {
                    file: stdin.context("cannot read standard input")?.into(),
                    stop,
                    command: None,
                });
            }
            PipedFrom::Command(words) => words,
        };
        let told: Vec<_> = words
            .iter()
            .map(|word| escape(word.as_encoded_bytes()))
            .collect();
        let told = told.join(" ");
        let (program, arguments) = words.split_first().context("no command is named")?;
        let spawned = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = spawned.with_context(|| format!("cannot start \"{told}\""))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        Ok(Self {
            file: OwnedFd::from(stdout).into(),
            stop,
            command: Some(Running { child, told }),
        })
    }

    /// Says what is read.
    pub(super) fn told(&self) -> String {
        let command = self.command.as_ref();
        command.map_or_else(
            || "standard input".to_owned(),
            |command| format!("\"{}\"", command.told),
        )
    }

    /// Makes sure, behind the end of the data, that they are whole.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(command) = &mut self.command {
            let status = command.wait(self.stop)?;
            // Ctrl-C reaches both: then it is not the command that failed.
            ensure_wanted(self.stop)?;
            if !status.success() {
                let told = &command.told;
                bail!("command \"{told}\" failed ({status}), so there is no snapshot");
            }
        }
        ensure_wanted(self.stop)
    }
}

impl Contents for Pipe<'_> {
    fn skip_block(&mut self, _at: u64) -> io::Result<bool> {
        Ok(false)
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other(Interrupted));
            }
            let mut waited = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::from(PATIENCE_MSEC)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(_) => {}
            }
            match self.file.read(buffer) {
                // Somebody else read it, of a pipe that does not wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}

impl Running {
    /// Waits for the command, which has nothing more to say; less patiently once the run has to end.
    fn wait(&mut self, stop: &AtomicBool) -> Result<ExitStatus> {
        loop {
            let ended = self.child.try_wait();
            let ended = ended.with_context(|| format!("cannot wait for \"{}\"", self.told))?;
            if let Some(status) = ended {
                return Ok(status);
            }
            ensure_wanted(stop)?;
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_alive() {
            return;
        }
        // It was not waited for, so the number is still its own.
        let id = i32::try_from(self.child.id()).map(Pid::from_raw);
        let is_asked = id.is_ok_and(|id| kill(id, Signal::SIGTERM).is_ok());
        let asked = Instant::now();
        while is_asked && asked.elapsed() < GRACE {
            if !self.is_alive() {
                return;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ensure_wanted(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}
