//! Scripts that mount file systems, each in a mount namespace of its own: nothing stays mounted, whatever becomes of the test.
//!
//! As root this needs no set-up. As another user it takes a user namespace and a `/dev/fuse` that users may open.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ended, Place, is_root, need, tool};

/// Shell functions for these scripts: `pileus`, `faulty` and `disk`.
const FUNCTIONS: &str = r#"
# faulty REAL MOUNTPOINT FAULT=VALUE...: shows REAL with the faults of tests/tools/faulty_fs.py.
faulty() {
    faulty_real=$1 faulty_at=$2; shift 2
    env "$@" "$FUSE_PYTHON" "$FAULTY_FS" "$faulty_real" "$faulty_at" &
    faulty_tries=0
    until mountpoint -q "$faulty_at"; do
        faulty_tries=$((faulty_tries + 1))
        test $faulty_tries -lt 500 || { echo "faulty_fs.py mounted nothing at $faulty_at" >&2; exit 99; }
        sleep 0.02
    done
}
# disk IMAGE SIZE MOUNTPOINT MKFS...: makes an image of SIZE with the command MKFS and mounts it.
disk() {
    disk_image=$1 disk_size=$2 disk_at=$3; shift 3
    truncate -s "$disk_size" "$disk_image"
    "$@" "$disk_image" >/dev/null 2>&1 || { echo "this test needs $1" >&2; exit 99; }
    mount -o loop "$disk_image" "$disk_at"
}
"#;

impl Place {
    /// Runs a shell script (`sh -eu`) with file systems of its own; it has the functions above, and `pileus` is the binary.
    pub fn in_own_mounts(&self, script: &str) -> Ended {
        need("unshare");
        let binary = self.command(std::iter::empty::<&str>());
        let mut command = Command::new("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-euc"]);
        command.arg(format!(
            "{FUNCTIONS}\npileus() {{ \"$PILEUS\" \"$@\"; }}\n{script}"
        ));
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env_clear();
        command.envs(
            binary
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.env("PILEUS", env!("CARGO_BIN_EXE_pileus"));
        command.env("FAULTY_FS", tool("faulty_fs.py"));
        command.env("FUSE_PYTHON", python_with_fuse());
        Ended::of(&mut command)
    }

    /// Runs such a script, which has to succeed, and returns its standard output.
    pub fn sh_in_own_mounts(&self, script: &str) -> String {
        let ended = self.in_own_mounts(script);
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

/// The Python that Debian's `python3-fusepy` belongs to: `python3` on the PATH may be another one.
fn python_with_fuse() -> &'static str {
    let debian = "/usr/bin/python3";
    if Path::new(debian).exists() {
        debian
    } else {
        "python3"
    }
}
