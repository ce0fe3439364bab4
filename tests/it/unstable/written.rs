//! A process that never stops writing to a file while that is backed up, and file systems with reflinks.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use super::{is_volatile, restored_counts};
use crate::harness::{Place, is_root};

/// A process that writes a rising count to the beginning and then to the end of a file, without pause.
struct Writer(Child);

impl Writer {
    fn start(place: &Place, path: &str) -> Self {
        let program = "import itertools, os, sys\n\
            file = os.open(sys.argv[1], os.O_WRONLY)\n\
            end = os.fstat(file).st_size - 8\n\
            for count in itertools.count(1):\n\
            \x20   os.pwrite(file, count.to_bytes(8, 'little'), 0)\n\
            \x20   os.pwrite(file, count.to_bytes(8, 'little'), end)\n\
            \x20   if count == 1: print('writing', flush=True)\n";
        let mut command = place.program("python3");
        command.args(["-c", program, path]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("is a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("has begun");
        assert_eq!(line, "writing\n");
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().expect("is killed");
        self.0.wait().expect("ends");
    }
}

/// Tells whether both counts were in the file at one moment.
fn is_one_moment([begin, end]: [u64; 2]) -> bool {
    begin > 0 && (begin == end || begin == end + 1)
}

#[test]
fn of_a_file_that_is_written_without_end_one_moment_is_restored_or_a_problem_told() {
    let place = Place::new();
    // Copying takes longer than the ticks in which older kernels count times.
    place.sh("mkdir tree; head -c 33554432 /dev/urandom >tree/written");
    let _writer = Writer::start(&place, "tree/written");
    for night in 0..3 {
        place.sh("rm -f store/*.tar store/*.lbs store/localdb.sqlite*");
        let ended = place.run(["backup", "--dest=store", "--compression=none", "tree"]);
        let counts = restored_counts(&place, "tree/written");
        if ended.code == Some(0) {
            assert!(is_one_moment(counts), "{night} {counts:?} {ended:?}");
        } else {
            ended.assert_one_line(3, &["tree/written", "changed while it was being read"]);
        }
        assert!(is_volatile(&place, "tree/written"), "{night}");
    }
}

/// A directory in which reflinks work; a file system of its own is unmounted when this goes.
struct Reflinks<'p> {
    mounted: Option<&'p Place>,
}

impl Drop for Reflinks<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.mounted {
            // A test that fails here already says why; another panic would end all the others.
            drop(place.program("umount").arg(place.join("disk")).status());
        }
    }
}

/// Makes `disk` a directory where reflinks work: where the place is, or on a file system of its own, which takes root and
/// `mkfs.btrfs`. Returns none, having said so, if this machine can do neither.
fn reflinks(place: &Place) -> Option<Reflinks<'_>> {
    let works = "echo x >disk/a && cp --reflink=always disk/a disk/b 2>/dev/null && rm disk/a disk/b && echo yes || echo no";
    if place.sh(&format!("mkdir disk; {works}")) == "yes\n" {
        return Some(Reflinks { mounted: None });
    }
    let mount = "rm -f disk/*; truncate -s 300M image; \
        { mkfs.btrfs -q image >/dev/null && mount -o loop image disk && echo yes; } 2>/dev/null || echo no";
    if is_root() && place.sh(mount) == "yes\n" {
        let mounted = Some(place);
        let disk = Reflinks { mounted };
        assert_eq!(place.sh(works), "yes\n");
        return Some(disk);
    }
    let skipped = "not tested: there is no file system with reflinks here";
    writeln!(std::io::stderr(), "{skipped}").expect("standard error is open");
    None
}

#[test]
fn a_reflink_of_a_file_that_is_written_without_end_is_one_moment_and_no_problem() {
    let place = Place::new();
    let Some(_disk) = reflinks(&place) else {
        return;
    };
    place.sh("mkdir disk/tree disk/local; head -c 33554432 /dev/urandom >disk/tree/written");
    let writer = Writer::start(&place, "disk/tree/written");
    let arguments = [
        "backup",
        "--dest=store",
        "--localdb=disk/local",
        "--staging-size=1G",
        "--compression=none",
        "--json",
        "disk/tree",
    ];
    // Three times in place and once from the copy; then from the copy only.
    for times in [4, 1, 1] {
        let ended = place.succeed(arguments);
        let read_bytes = &ended.summary()["read_bytes"];
        assert_eq!(read_bytes.as_u64(), Some(times * (32 << 20)));
        let counts = restored_counts(&place, "disk/tree/written");
        assert!(is_one_moment(counts), "{counts:?}");
        assert!(is_volatile(&place, "disk/tree/written"));
    }
    drop(writer);
    place.sh("touch disk/tree/written");
    place.succeed(arguments);
    place.sh("rm -r back");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("cmp disk/tree/written back/disk/tree/written");
}
