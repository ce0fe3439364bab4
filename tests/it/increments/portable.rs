//! Holds what was written to the portable subset (docs/format.md, "What is written") with a program that shares no code with
//! pileus: it unpacks the segments and follows every reference of every snapshot from its root.

use std::collections::BTreeMap;

use crate::harness::Place;

/// Prints a line for each snapshot; fails at the first thing that an older reader could not read or a cleaner would get wrong.
const CHECK: &str = r#"
import bz2, functools, gzip, hashlib, io, os, re, subprocess, sys, tarfile
from urllib.parse import unquote_to_bytes
store, wanted = sys.argv[1], sys.argv[2:]
names = os.listdir(store)
REFERENCE = re.compile(r"([-0-9a-f]{36})/([0-9a-f]{8})(\(sha1=[0-9a-f]{40}\))?\[(?:(\d+)\+)?(\d+)\]")

def unfiltered(path):
    data = open(path, "rb").read()
    if path.endswith(".bz2"): return bz2.decompress(data)
    if path.endswith(".gz"): return gzip.decompress(data)
    if path.endswith(".zst"): return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    return data

@functools.lru_cache(None)
def segment(uuid):
    files = [n for n in names if n.startswith(uuid + ".tar") and not n.endswith(".part")]
    assert len(files) == 1, (uuid, files)
    with tarfile.open(fileobj=io.BytesIO(unfiltered(os.path.join(store, files[0])))) as tar:
        members = tar.getmembers()
        objects = {m.name: tar.extractfile(m).read() for m in members}
    assert list(objects) == ["%s/%08x" % (uuid, i) for i in range(len(members))], uuid
    return files[0], objects

class Snapshot:
    def __init__(self, descriptor):
        self.reached, self.pieces, self.objects_most, self.last = set(), 0, 0, None
        self.directories = {b""}
        root = descriptor["Root"]
        self.root_bytes = len(self.text(root))
        self.walk(root, 1)
        assert descriptor["Segments"].split() == sorted(self.reached), "Segments: is not what the root leads to"

    def resolve(self, reference):
        match = REFERENCE.fullmatch(reference)
        assert match, reference
        uuid, sequence, checksum, start, length = match.groups()
        self.reached.add(uuid)
        whole = segment(uuid)[1]["%s/%s" % (uuid, sequence)]
        if checksum: assert checksum == "(sha1=%s)" % hashlib.sha1(whole).hexdigest(), reference
        if start is None: assert len(whole) == int(length), ("[n] of a part", reference)
        else: assert int(start) + int(length) <= len(whole), reference
        assert int(length) > 0, reference
        return whole, int(start or 0), int(length), checksum

    def text(self, reference):
        whole, start, length, checksum = self.resolve(reference)
        assert checksum, ("metadata without a checksum", reference)
        part, before = whole[start:start + length], whole[:start]
        if length < len(whole):
            ends_reference = before.rsplit(b"\n", 2)[-2].startswith(b"@") if before.endswith(b"\n") else False
            assert not before or before.endswith(b"\n\n") or ends_reference, ("begins inside a stanza", reference)
            assert part.endswith(b"\n\n"), ("ends inside a stanza", reference)
            assert not re.search(rb"(?m)^@", part), ("a slice with references", reference)
        return part.decode()

    def walk(self, reference, level):
        assert level <= 3, "nested too deep"
        objects = set()
        for chunk in re.split(r"(?<=\n)(?=@)|(?<=\n\n)", self.text(reference)):
            if chunk.startswith("@"):
                line, rest = chunk.split("\n", 1)
                objects.add(line.split("(")[0])
                self.walk(line[1:], level + 1)
                chunk = rest
            if chunk: self.stanza(chunk)
        if level == 2:
            self.pieces += 1
            self.objects_most = max(self.objects_most, len(objects) + 1)

    def stanza(self, text):
        assert text.endswith("\n\n"), text
        fields = {}
        for line in re.sub(r"\n\s+", " ", text.rstrip("\n")).split("\n"):
            key, value = line.split(":", 1)
            assert key not in fields, text
            fields[key] = value.strip()
        path = unquote_to_bytes(fields["name"])
        order = path.split(b"/") if path != b"." else []
        assert self.last is None or self.last < order, ("out of order", self.last, order)
        self.last = order
        if order: assert b"/".join(order[:-1]) in self.directories, ("a file before its directory", path)
        if fields["type"] == "d": self.directories.add(b"" if path == b"." else path)
        if fields["type"] == "f": assert sum(map(self.bytes, fields["data"].split())) == int(fields["size"]), text

    def bytes(self, reference):
        if reference.startswith("@"):
            return sum(map(self.bytes, self.text_of_list(reference[1:]).split()))
        zeros = re.fullmatch(r"zero\[(\d+)\]", reference)
        if zeros: return int(zeros[1])
        whole, start, length, checksum = self.resolve(reference)
        assert len(whole) <= 1 << 20, reference
        return length

    def text_of_list(self, reference):
        whole, start, length, checksum = self.resolve(reference)
        assert checksum and length == len(whole), reference
        return whole.decode()

for name in sorted(n for n in names if n.endswith(".lbs")):
    if wanted and name[9:-4] not in wanted: continue
    text = open(os.path.join(store, name)).read()
    descriptor = dict(line.split(": ", 1) if ": " in line else line.split(":", 1) for line in re.sub(r"\n\s+", " ", text).splitlines())
    assert descriptor["Format"] == "LBS Snapshot v0.6", text
    snapshot = Snapshot(descriptor)
    sums = open(os.path.join(store, name[:-4] + ".sha1sums"), "rb").read()
    assert descriptor["Checksums"] == "sha1=" + hashlib.sha1(sums).hexdigest(), name
    listed = [line.split(" *")[1] for line in sums.decode().splitlines()]
    assert sorted(listed) == sorted(segment(uuid)[0] for uuid in snapshot.reached), name
    print(name[9:-4], snapshot.pieces, snapshot.objects_most, snapshot.root_bytes, len(snapshot.reached))
"#;

/// The shape of one snapshot's metadata log.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Number of pieces that the root names.
    pub pieces: u64,
    /// Most objects that one piece is read from, itself included.
    pub objects_most: u64,
    pub root_bytes: u64,
    /// Number of segments that the snapshot needs.
    pub segments: u64,
}

/// Fails unless these snapshots of a store (all if none is named) use the portable subset alone; returns their shapes.
pub fn check(place: &Place, store: &str, snapshots: &[&str]) -> BTreeMap<String, Shape> {
    let printed = place.python(CHECK, &[&[store], snapshots].concat());
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a line has words").to_owned();
        let mut number = || {
            let word = words.next().expect("a line has five words");
            word.parse().expect("is a number")
        };
        let shape = Shape {
            pieces: number(),
            objects_most: number(),
            root_bytes: number(),
            segments: number(),
        };
        (name, shape)
    };
    printed.lines().map(parse).collect()
}
