//! Scripts that mount file systems, each in a mount namespace of its own: nothing stays mounted, whatever becomes of the test.
//!
//! As root this needs no set-up. As another user it takes a user namespace and a `/dev/fuse` that users may open.

use std::path::Path;
use std::sync::OnceLock;

use super::{Ended, Place, is_root, need, pileus, tool};

/// Shell functions for these scripts: `pileus`, `faulty`, `disk` and `exfat`.
const FUNCTIONS: &str = r#"
# cannot WHY: ends a test that this machine cannot run.
cannot() { echo "this test $1" >&2; exit 99; }
# faulty REAL MOUNTPOINT FAULT=VALUE...: shows REAL with the faults of tests/tools/faulty_fs.py.
faulty() {
    { [ -c /dev/fuse ] && (: <>/dev/fuse) 2>/dev/null; } || cannot "needs a /dev/fuse that it may open (package fuse3, and the kernel's module fuse)"
    faulty_real=$1 faulty_at=$2; shift 2
    env "$@" "$FUSE_PYTHON" "$FAULTY_FS" "$faulty_real" "$faulty_at" &
    faulty_tries=0
    until mountpoint -q "$faulty_at"; do
        faulty_tries=$((faulty_tries + 1))
        test $faulty_tries -lt 500 || cannot "needs file systems in user space, and faulty_fs.py mounted nothing"
        sleep 0.02
    done
}
# disk IMAGE SIZE MOUNTPOINT MKFS...: makes an image of SIZE with the command MKFS and mounts it.
disk() {
    disk_image=$1 disk_size=$2 disk_at=$3; shift 3
    command -v "$1" >/dev/null || cannot "needs the program $1: install it (tests/packages names what has it)"
    truncate -s "$disk_size" "$disk_image"
    "$@" "$disk_image" >/dev/null
    disk_told=$(mount -o loop "$disk_image" "$disk_at" 2>&1) || cannot "has to mount a disk image, and may not: $disk_told"
}
# exfat IMAGE SIZE MOUNTPOINT: makes an exFAT image of SIZE and mounts it in user space.
exfat() {
    truncate -s "$2" "$1"
    mkfs.exfat "$1" >/dev/null 2>&1 || { echo "this test needs mkfs.exfat (exfatprogs)" >&2; exit 99; }
    exfat_loop=$(losetup -f --show "$1")
    mount.exfat-fuse "$exfat_loop" "$3" >/dev/null || { losetup -d "$exfat_loop"; echo "this test needs mount.exfat-fuse (exfat-fuse)" >&2; exit 99; }
    # It is gone with the mount.
    losetup -d "$exfat_loop"
}
"#;

impl Place {
    /// Runs a shell script (`sh -eu`) with file systems of its own; it has the functions above, and `pileus` is the binary.
    pub fn in_own_mounts(&self, script: &str) -> Ended {
        need_own_mounts();
        let mut command = self.program("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-euc"]);
        command.arg(format!(
            "{FUNCTIONS}\npileus() {{ \"$PILEUS\" \"$@\"; }}\n{script}"
        ));
        command.env("PILEUS", pileus());
        command.env("FAULTY_FS", tool("faulty_fs.py"));
        command.env("FUSE_PYTHON", python_with_fuse());
        let ended = Ended::of(&mut command);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_ne!(ended.code, Some(99), "{last}");
        ended
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

/// Fails with one line where no mount namespace can be had, as in a container without the capabilities of root.
pub fn need_own_mounts() {
    static TOLD: OnceLock<Option<String>> = OnceLock::new();
    need("unshare");
    let told = TOLD.get_or_init(|| {
        let place = Place::new();
        let mut command = place.program("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        let flags = ["--mount", "--pid", "--fork", "--mount-proc", "true"];
        let ended = Ended::of(command.args(flags));
        Some(ended.stderr.trim().to_owned()).filter(|_| ended.code != Some(0))
    });
    if let Some(told) = told {
        panic!(
            "this test needs a mount namespace of its own, and may not have one ({told}): run it as root, or allow user namespaces"
        );
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
