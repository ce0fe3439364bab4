//! Every kind of file and attribute that Linux has, there and back.

use crate::harness::{Place, is_root, need, root_for, without_owners};

/// Backs `from` up, restores it and holds the result against it.
fn assert_comes_back(place: &Place) {
    let of = |tree: &str| {
        let own = place.sh(&format!("stat -c '%a %u %g %y' {tree}"));
        let manifest = place.manifest(tree, "");
        let all = if is_root() {
            manifest
        } else {
            without_owners(&manifest)
        };
        own + &all
    };
    let before = of("from");
    place.succeed(["backup", "--dest=store", "--compression=zstd", "from"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    assert_eq!(of("back/from"), before);
    place.succeed(["verify", "--dest=store", "--level=files"]);
}

#[test]
fn every_type_of_file_with_every_mode() {
    let place = Place::new();
    place.python(
        r#"
import os, socket
os.mkdir("from"); os.chdir("from")
root = os.geteuid() == 0
for mode in [0, 0o1, 0o070, 0o644, 0o777, 0o1755, 0o2755, 0o4755, 0o7777]:
    name = "%o" % mode
    open("file" + name, "w").write(name); os.chmod("file" + name, mode)
    os.mkfifo("fifo" + name); os.chmod("fifo" + name, mode)
    s = socket.socket(socket.AF_UNIX); s.bind("socket" + name); os.chmod("socket" + name, mode)
    if root or mode & 0o500 == 0o500:
        os.mkdir("dir" + name); os.chmod("dir" + name, mode)
    if root:
        os.mknod("char" + name, 0o020600, os.makedev(1, mode)); os.chmod("char" + name, mode)
if root:
    os.mknod("large-numbers", 0o060600, os.makedev(4095, 1048575))
else:
    os.chmod("file0", 0o400); os.chmod("file1", 0o401); os.chmod("file70", 0o470)
os.mkdir("empty"); open("empty-file", "w")
os.symlink("nowhere", "dangling"); os.symlink("/", "out"); os.symlink(".", "self"); os.symlink("t" * 4095, "long")
os.symlink(bytes(range(1, 256)), "bytes")
"#,
        &[],
    );
    assert_comes_back(&place);
}

#[test]
fn times_before_1970_and_after_2038_to_the_nanosecond() {
    let place = Place::new();
    place.python(
        r#"
import os
os.mkdir("from"); os.chdir("from")
second = 10**9
times = [0, 1, -1, -second, -second - 1, -3 * second // 2, 999_999_999, -2**31 * second, 1 - (2**31 - 1) * second,
         2**31 * second, 2**32 * second + 5, 13_569_465_600 * second + 123_456_789]
for i, time in enumerate(times):
    open("file%d" % i, "w"); os.mkdir("dir%d" % i); os.symlink("x", "link%d" % i); os.mkfifo("fifo%d" % i)
    for kind in ["file", "dir", "link", "fifo"]:
        os.utime(kind + str(i), ns=(time, time), follow_symlinks=False)
        assert os.lstat(kind + str(i)).st_mtime_ns == time, "this file system does not keep the time %d" % time
os.utime(".", ns=(-1, -1))
"#,
        &[],
    );
    assert_comes_back(&place);
}

#[test]
fn owners_with_and_without_names() {
    if !root_for("give files away") {
        return;
    }
    let place = Place::new();
    place.python(
        r#"
import os
os.mkdir("from"); os.chdir("from")
for name, user, group in [("named", 1, 2), ("numbered", 4_000_000_000, 3_999_999_999), ("mixed", 1, 54321)]:
    open(name, "w"); os.chown(name, user, group); os.chmod(name, 0o6755)
    os.mkdir("dir-" + name); os.chown("dir-" + name, user, group); os.chmod("dir-" + name, 0o2770)
    os.symlink("x", "link-" + name); os.lchown("link-" + name, user, group)
"#,
        &[],
    );
    assert_comes_back(&place);
    let entry = |path| place.succeed(["ls", "--dest=store", "--json", path]).stdout;
    let names = place.sh("getent passwd 1 | cut -d: -f1; getent group 2 | cut -d: -f1");
    for name in names.lines() {
        assert!(entry("from/named").contains(&format!("\"{name}\"")));
    }
    assert!(!entry("from/numbered").contains("root"));
}

#[test]
fn access_control_lists_and_capabilities() {
    need("setfacl");
    need("setcap");
    let place = Place::new();
    place.sh("mkdir -p from/dir; cd from; echo x >file; echo y >masked; cp /bin/true able; cp able both
        setfacl -m u:1:r,g:4000000000:rw file; setfacl -m u:1:rwx,m::r masked
        setfacl -m u:2:rwx dir; setfacl -d -m u:1:rwx,g:2:- dir; mkdir dir/inherits; echo z >dir/inherits/too");
    if is_root() {
        place.sh("cd from; setcap cap_net_raw,cap_dac_override=ep able; chown 1:2 both; chmod 4755 both; setcap cap_net_raw=p both");
    }
    assert_comes_back(&place);
    let acls = |tree: &str| place.sh(&format!("cd {tree} && getfacl -R . 2>/dev/null"));
    assert_eq!(acls("back/from"), acls("from"));
    let capabilities = |tree: &str| place.sh(&format!("cd {tree} && getcap -r ."));
    assert_eq!(capabilities("back/from"), capabilities("from"));
    assert_eq!(
        capabilities("from").lines().count(),
        if is_root() { 2 } else { 0 }
    );
}

#[test]
fn extended_attributes_of_any_name_and_value() {
    let place = Place::new();
    place.python(
        r#"
import os
os.mkdir("from"); os.chdir("from")
open("file", "w"); os.mkdir("dir"); os.symlink("nowhere", "link"); os.mkfifo("fifo")
set = lambda path, name, value: os.setxattr(path, name, value, follow_symlinks=False)
odd = b"user.\xff=%@ \n" if os.geteuid() == 0 else b"user.=%@ \n"
for path in ["file", "dir", "."]:
    set(path, "user.all", bytes(range(256))); set(path, "user.empty", b""); set(path, odd, b"=")
    set(path, "user.large", b"\0" * 2000)
if os.geteuid() == 0:
    for path in ["file", "dir", "link", "fifo"]:
        set(path, "trusted.hidden", b"\0\n"); set(path, "security.own", path.encode())
"#,
        &[],
    );
    assert_comes_back(&place);
    let dump = "getfattr -d -m - -e hex -h";
    let dumped = |tree: &str| place.sh(&format!("cd {tree} && {dump} . file dir link fifo"));
    assert_eq!(dumped("back/from"), dumped("from"));
}

#[test]
fn hard_links_of_every_type_and_across_directories() {
    let place = Place::new();
    place.python(
        r#"
import os, socket
os.mkdir("from"); os.chdir("from"); os.mkdir("a"); os.mkdir("b"); os.mkdir("b/c")
open("a/file", "w").write("linked"); open("a/empty", "w"); os.symlink("nowhere", "a/link"); os.mkfifo("a/fifo")
open("a/large", "wb").write(os.urandom(1_200_000))
socket.socket(socket.AF_UNIX).bind("a/socket")
kinds = ["file", "empty", "large", "link", "fifo", "socket"]
if os.geteuid() == 0:
    os.mknod("a/device", 0o020600, os.makedev(1, 3)); kinds.append("device")
for kind in kinds:
    for other in ["b/" + kind, "b/c/second-" + kind, "a-" + kind]:
        os.link("a/" + kind, other, follow_symlinks=False)
open("outside", "w"); os.link("outside", "../not-backed-up")
open("twin1", "w").write("same"); open("twin2", "w").write("same")
"#,
        &[],
    );
    let before = place.manifest("from", "");
    place.succeed(["backup", "--dest=store", "from"]);
    place.succeed(["restore", "--dest=store", "--target=back"]);
    // The link outside of the source is no longer one.
    let outside = |line: &&str| !line.contains("\"outside\"");
    let inside = |manifest: &str| {
        manifest
            .lines()
            .filter(outside)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(inside(&place.manifest("back/from", "")), inside(&before));
    assert_eq!(
        place.sh("stat -c %h back/from/outside back/from/a/large"),
        "1\n4\n"
    );
    let summary = place
        .succeed(["backup", "--dest=store-2", "--json", "from"])
        .summary();
    assert_eq!(
        summary["new_data_bytes"],
        1_200_000 + "linked".len() + "same".len()
    );
    assert_eq!(
        summary["read_bytes"],
        1_200_000 + "linked".len() + 2 * "same".len(),
        "each file is read once"
    );
}

#[test]
fn names_of_every_byte() {
    let place = Place::new();
    place.python(
        r#"
import os
os.mkdir("from"); os.chdir("from")
every = [bytes([b]) for b in range(1, 256) if b not in b"/."]
for name in every + [b"".join(every), b"%00", b"%2f", b"...", b"\xff" * 255]:
    open(name, "wb").write(name)
    os.mkdir(b"d" + name[:254]); os.symlink(name, b"l" + name[:254])
    open(b"d" + name[:254] + b"/" + name, "w")
"#,
        &[],
    );
    assert_comes_back(&place);
}

#[test]
fn ten_thousand_files_in_one_directory() {
    let place = Place::new();
    place.sh("mkdir -p from/many from/empty; cd from/many; seq 10000 | xargs touch; for i in 1 50 9999; do echo $i >$i; done");
    assert_comes_back(&place);
}

#[test]
fn a_sparse_file_takes_no_room_in_the_store_and_comes_back_sparse() {
    let size: u64 = (4 << 30) + (100 << 20);
    let place = Place::new();
    let write = "
import os, sys
size = int(sys.argv[1]); os.mkdir('from')
with open('from/sparse', 'wb') as f:
    f.truncate(size)
    for at in [5_000_000, 2**20 * 8 - 3, 60_000_000, 2**32 - 2, 2**32 + 4096]:
        if at < size:
            f.seek(at); f.write(b'island' * 1000)
with open('from/hole', 'wb') as f:
    f.truncate(20_000_001)
with open('from/end', 'wb') as f:
    f.seek(3_000_000); f.write(b'end')
";
    place.python(write, &[&size.to_string()]);
    let summary = place
        .succeed(["backup", "--dest=store", "--json", "from"])
        .summary();
    assert_eq!(summary["source_bytes"], size + 20_000_001 + 3_000_003);
    assert!(summary["disk_bytes"].as_u64() < Some(100_000), "{summary}");
    place.succeed(["restore", "--dest=store", "--target=back"]);
    place.sh("for name in sparse hole end; do cmp from/$name back/from/$name; done");
    let kilobytes = place.sh("du -k back/from/sparse back/from/hole back/from/end | cut -f1");
    let kilobytes: Vec<u64> = kilobytes
        .lines()
        .map(|l| l.parse().expect("a number"))
        .collect();
    assert!(
        kilobytes[0] <= 256 && kilobytes[1] == 0 && kilobytes[2] <= 32,
        "{kilobytes:?}"
    );
}
