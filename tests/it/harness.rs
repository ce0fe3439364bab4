//! What every test needs: a directory of its own, the binary, and programs that pileus had no part in.

mod mounts;
mod programs;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

pub use mounts::need_own_mounts;
pub use programs::{pileus, search_path};

/// A temporary directory in which a test runs commands; gone when the test ends.
pub struct Place {
    /// Holds the directory, and one beside it for temporary files.
    around: tempfile::TempDir,
    here: PathBuf,
    /// The library in front of the C library that sets the clock of runs, and by how many seconds it is ahead.
    clock: Mutex<Option<(&'static str, u64)>>,
}

impl Place {
    pub fn new() -> Self {
        programs::settle();
        let around = tempfile::tempdir().expect("a temporary directory");
        let here = around.path().join("place");
        // Runs of another user pass through the one and use the other.
        for (path, mode) in [
            ("", 0o711),
            ("place", 0o700),
            ("tmp", 0o1777),
            ("state", 0o1777),
        ] {
            let path = around.path().join(path);
            fs::create_dir_all(&path).expect("is made");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("has its mode");
        }
        Self {
            around,
            here,
            clock: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.here
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.here.join(name)
    }

    /// The directory for temporary files of the programs that run here.
    pub fn temporary(&self) -> PathBuf {
        self.around.path().join("tmp")
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("is below the place"))
            .expect("directories are made");
        fs::write(&path, contents).expect("the file is written");
        path
    }

    /// Runs pileus on what may be damaged or hostile: it has to end by itself, on a busy machine within minutes, without a panic, and must not
    /// print a control character other than the line feed.
    pub fn survive<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let limit = ["timeout", "--kill-after=5", "300"];
        let mut command = self.command_under(&limit, arguments);
        let ended = Ended::of(&mut command);
        assert!(matches!(ended.code, Some(0..=3)), "{command:?}\n{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{command:?}\n{ended:?}");
        let printed = [&ended.stdout, &ended.stderr];
        let is_raw = |c: char| c.is_control() && c != '\n';
        assert!(
            !printed.iter().any(|text| text.contains(is_raw)),
            "{command:?}\n{ended:?}"
        );
        ended
    }

    /// Runs pileus to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// Runs pileus, which has to succeed silently.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "stdout: {}",
            ended.stdout
        );
        ended
    }

    /// Makes the sample tree of `tests/tools/make_sample_tree.py`, which has one of everything.
    pub fn sample_tree(&self, name: &str, seed: u32) -> PathBuf {
        self.sh(&format!(
            "python3 \"$PROJECT/tests/tools/make_sample_tree.py\" {name} {seed}"
        ));
        self.join(name)
    }

    /// Returns what `tests/tools/tree_manifest.py` says of a tree.
    pub fn manifest(&self, tree: &str, flags: &str) -> String {
        self.sh(&format!(
            "python3 \"$PROJECT/tests/tools/tree_manifest.py\" {tree} {flags}"
        ))
    }

    /// Returns the names in a directory, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let list = fs::read_dir(self.join(directory)).expect("is listed");
        let mut names: Vec<_> = list
            .map(|e| {
                e.expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// Returns those names in a directory that end like this, sorted.
    pub fn names_ending(&self, directory: &str, ending: &str) -> Vec<String> {
        let mut names = self.names(directory);
        names.retain(|name| name.ends_with(ending));
        names
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the program starts"))
    }

    /// Returns the last line of standard output, parsed as JSON.
    pub fn summary(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().expect("a line of output");
        serde_json::from_str(line).expect("the last line is JSON")
    }

    /// Fails unless the run ended with this code and exactly one line on standard error that has all these parts.
    pub fn assert_one_line(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "\"{part}\" is not in: {}",
                self.stderr
            );
        }
    }
}

/// A run of pileus that stops in the middle: its first segment's filter waits at a FIFO until the test lets it go on.
///
/// With segments of 4 KiB and one job, a run that waits has read at most four blocks of the file that it is reading.
pub struct HeldRun {
    child: Child,
    fifo: PathBuf,
    writer: Option<File>,
}

impl HeldRun {
    /// Starts a backup into `store` with further arguments, and returns once it waits.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command([
            "backup",
            "--dest=store",
            "--filter=[ ! -p gate ] || cat gate; cat",
            "--filter-extension=",
            "--segment-size=4K",
            "--jobs=1",
        ]);
        command.args(arguments);
        Self::of(place, &mut command)
    }

    /// Starts any run one of whose programs opens the FIFO `gate` for reading, and returns once it waits there.
    pub fn of(place: &Place, command: &mut Command) -> Self {
        place.sh("mkfifo gate");
        let fifo = place.join("gate");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("pileus starts");
        let mut open = OpenOptions::new();
        open.write(true).custom_flags(nix::libc::O_NONBLOCK);
        // A FIFO opens for writing only once the filter has opened it for reading.
        let writer = loop {
            if let Ok(writer) = open.open(&fifo) {
                break writer;
            }
            let ended = child.try_wait().expect("the run is looked at");
            assert!(ended.is_none(), "the run ended before its first segment");
            std::thread::yield_now();
        };
        Self {
            child,
            fifo,
            writer: Some(writer),
        }
    }

    /// Lets the run go on, and waits for its end.
    pub fn finish(mut self) -> Ended {
        self.release();
        Ended::from(self.child.wait_with_output().expect("the run ends"))
    }

    /// Kills the run where it is.
    pub fn kill(mut self) {
        self.child.kill().expect("the run is killed");
        self.child.wait().expect("the run ends");
        self.release();
    }

    /// Later filters find no FIFO and do not wait.
    fn release(&mut self) {
        fs::remove_file(&self.fifo).expect("the FIFO is removed");
        self.writer = None;
    }
}

/// Tells whether the tests run as root, which alone may restore owners and devices.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Tells whether the tests run as root; if not, says of this test, past what `cargo test` captures, that it was left out.
pub fn root_for(what: &str) -> bool {
    if !is_root() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        let line = format!("{test}: left out, as only root may {what}\n");
        std::io::stderr()
            .write_all(line.as_bytes())
            .expect("standard error is open");
    }
    is_root()
}

/// Returns a manifest without what only root can bring back: owners, and the set-id bits that go with them.
pub fn without_owners(manifest: &str) -> String {
    let mut plain = String::new();
    for line in manifest.lines() {
        let mut entry: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let fields = entry.as_object_mut().expect("an object");
        fields.remove("uid");
        fields.remove("gid");
        let mode = fields["mode"]
            .as_str()
            .and_then(|text| text.strip_prefix("0o"));
        let mode = u32::from_str_radix(mode.expect("an octal mode"), 8).expect("an octal mode");
        fields["mode"] = (mode & 0o1777).into();
        plain.push_str(&entry.to_string());
        plain.push('\n');
    }
    plain
}

/// Returns the path of a test tool.
pub fn tool(name: &str) -> String {
    format!("{}/tests/tools/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the path of a file of the project.
pub fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Fails with a clear message if a program that the test needs is not installed.
pub fn need(program: &str) {
    let found = std::env::split_paths(&search_path()).any(|path| path.join(program).is_file());
    assert!(
        found,
        "this test needs the program {program}: install it (tests/packages names what has it)"
    );
}
