//! The only place that starts programs: `pileus` itself, shells, Python and all others.
//!
//! Every program starts the same way whoever runs the tests: in the directory of the test, with no standard input, no environment
//! but `PATH`, `HOME`, `TMPDIR`, `XDG_STATE_HOME`, a locale and `PROJECT`, the directory of this project, a umask of 022, and no signal ignored.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicBool;

use nix::sys::stat::{Mode, umask};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::{Ended, Place, is_root, need, project};

/// Returns the path of the program under test. A shell script calls it `pileus`: it is on the `PATH`.
pub fn pileus() -> &'static str {
    env!("CARGO_BIN_EXE_pileus")
}

/// Makes this process one whose children begin as those of a login shell: `nohup cargo test &` leaves signals ignored, and a caller
/// may have any umask.
pub(super) fn settle() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        umask(Mode::from_bits_truncate(0o022));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
            if is_ignored(signal) {
                // A signal that is handled here has its default again in a program that starts.
                let unheeded = Arc::new(AtomicBool::new(false));
                signal_hook::flag::register(signal, unheeded).expect("a signal can be handled");
            }
        }
    });
}

fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("is there");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.expect("a mask") >> (signal - 1) & 1 == 1
}

/// Returns the search path of every program: `pileus` first, then the caller's.
pub fn search_path() -> OsString {
    let own = Path::new(pileus()).parent().expect("is in a directory");
    let callers = std::env::var_os("PATH").expect("PATH is set");
    // Users who are not root may lack the directories that hold `mkfs.ext4` and its like.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let all = std::iter::once(PathBuf::from(own))
        .chain(std::env::split_paths(&callers))
        .chain(system);
    std::env::join_paths(all).expect("the directory of the build has no colon in its name")
}

impl Place {
    /// Prepares a run of a program in this directory.
    pub fn program(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(name);
        command.current_dir(self.path()).stdin(Stdio::null());
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.path())
            .env("TMPDIR", self.temporary())
            // What pileus remembers of the machine.
            .env("XDG_STATE_HOME", self.path().with_file_name("state"))
            // Everywhere the same, and there on any machine; names are UTF-8 in it.
            .env("LC_ALL", "C.UTF-8")
            .env("PROJECT", project(""))
            // Nothing is to be written beside the tools.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Prepares a run of pileus in this directory, with an empty home and no configuration from outside.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(pileus());
        command.args(arguments);
        self.set_clock(&mut command);
        command
    }

    /// Lets later runs of pileus go by a clock that is ahead, with a library in this directory that heeds `TEST_AHEAD`.
    pub fn go_ahead(&self, library: &'static str, seconds: u64) {
        *self.clock.lock().expect("nothing panics with it") = Some((library, seconds));
    }

    fn set_clock(&self, command: &mut Command) {
        if let Some((library, seconds)) = *self.clock.lock().expect("nothing panics with it") {
            command.env("LD_PRELOAD", library);
            command.env("TEST_AHEAD", seconds.to_string());
        }
    }

    /// Prepares a run of pileus by another program, such as `timeout 60`, which takes it as its last arguments.
    pub fn command_under<S: AsRef<OsStr>>(
        &self,
        wrapper: &[&str],
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.program(wrapper[0]);
        command.args(&wrapper[1..]).arg(pileus()).args(arguments);
        self.set_clock(&mut command);
        command
    }

    /// Prepares a run of pileus as a user who owns nothing here; tests that do not run as root are such a user already.
    pub fn command_as_other<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        if !is_root() {
            return self.command(arguments);
        }
        need("setpriv");
        // The build directory may be closed to others.
        let binary = self.join(".pileus");
        if !binary.exists() {
            // By another process: while this one has it open for writing, a child that another test starts at that moment
            // holds it open too, and the kernel runs no file that is being written.
            let mut copy = self.program("cp");
            copy.arg(pileus()).arg(&binary);
            assert_eq!(Ended::of(&mut copy).code, Some(0), "the binary is copied");
            fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755))
                .expect("the place is opened to others");
        }
        let mut command = self.program("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(binary).args(arguments);
        self.set_clock(&mut command);
        command
    }

    /// Runs a Python program, which has to succeed, with arguments in `sys.argv`; returns its standard output.
    pub fn python(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.program("python3");
        command.args(["-c", program]).args(arguments);
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    /// Runs a shell command, which has to succeed, and returns its standard output. `$PROJECT` is the directory of the project.
    pub fn sh(&self, script: &str) -> String {
        let mut command = self.program("sh");
        let ended = Ended::of(command.args(["-euc", script]));
        assert_eq!(
            ended.code,
            Some(0),
            "{script}\n{}{}",
            ended.stdout,
            ended.stderr
        );
        ended.stdout
    }
}
