//! What every test needs: a directory of its own, the binary, and programs that pileus had no part in.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary directory in which a test runs commands; gone when the test ends.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("is below the place")).expect("directories are made");
        fs::write(&path, contents).expect("the file is written");
        path
    }

    /// Prepares a run of pileus in this directory, with an empty home and no configuration from outside.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pileus"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").expect("PATH is set")).env("HOME", self.path());
        command
    }

    /// Runs pileus to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// Runs pileus, which has to succeed silently.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let ended = self.run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "stdout: {}", ended.stdout);
        ended
    }

    /// Runs a shell command, which has to succeed, and returns its standard output.
    pub fn sh(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.path()).stdin(Stdio::null());
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code, Some(0), "{script}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Makes the sample tree of tests/tools/make_sample_tree.py, which has one of everything.
    pub fn sample_tree(&self, name: &str, seed: u32) -> PathBuf {
        self.sh(&format!("python3 {} {name} {seed}", tool("make_sample_tree.py")));
        self.join(name)
    }

    /// Returns what tests/tools/tree_manifest.py says of a tree.
    pub fn manifest(&self, tree: &str, flags: &str) -> String {
        self.sh(&format!("python3 {} {tree} {flags}", tool("tree_manifest.py")))
    }

    /// Returns the names in a directory, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let list = fs::read_dir(self.join(directory)).expect("is listed");
        let mut names: Vec<_> = list.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
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

impl Ended {
    pub fn of(command: &mut Command) -> Self {
        let output: Output = command.output().expect("the program starts");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
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
            assert!(self.stderr.contains(part), "\"{part}\" is not in: {}", self.stderr);
        }
    }
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
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh starts").status.success();
    assert!(found, "this test needs the program {program}: install it (README.md, \"Tests\", names the packages)");
}
