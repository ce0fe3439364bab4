//! The text that a backup writes, taken apart by a small reader that shares nothing with pileus.

use std::collections::BTreeMap;

use crate::harness::Place;

/// Reads a store: `descriptor`, `objects` by name, and `log`, the metadata log with all references followed.
const READER: &str = r#"
import glob, os, re, sys, tarfile
from urllib.parse import unquote_to_bytes
store = sys.argv[1]
objects, members = {}, []
for path in sorted(glob.glob(store + "/*.tar*")):
    with tarfile.open(path) as tar:
        for member in tar:
            members.append((os.path.basename(path), member))
            objects[member.name] = tar.extractfile(member).read()
descriptor = open(sorted(glob.glob(store + "/*.lbs"))[-1]).read()
metadata = []
def follow(reference, depth=1):
    assert depth <= 3, "nested too deep"
    name = re.match(r"[-0-9a-f]{36}/[0-9a-f]{8}", reference)[0]
    metadata.append(name)
    lines = objects[name].decode("ascii").splitlines(True)
    return "".join(follow(line[1:], depth + 1) if line[0] == "@" else line for line in lines)
log = follow(re.search(r"^Root: (.*)$", descriptor, re.M)[1])
"#;

fn read(place: &Place, store: &str, program: &str) -> String {
    place.python(&format!("{READER}{program}"), &[store])
}

#[test]
fn the_log_is_in_path_order_and_names_every_path_once() {
    let place = Place::new();
    place.sample_tree("tree/sample", 8);
    place.sh("cd tree; mkdir a; touch a/b a-b a.b 'a b' a! a+ a0 aa; mkdir 'a '; touch 'a /x' \"$(printf 'a\\377')\"; seq -f 'file%g' 700 | xargs touch");
    place.succeed(["backup", "--dest=store", "--compression=none", "tree"]);
    let check = r#"
names = [unquote_to_bytes(name) for name in re.findall(r"^name: (.*)$", log, re.M)]
assert names == sorted(names, key=lambda name: name.split(b"/")), names
assert len(set(names)) == len(names)
found = [os.path.join(d, name) for d, ds, fs in os.walk(b"tree") for name in ds + fs]
assert set(names) == {b"tree", *found}
assert len(metadata) > 3, "several pieces"
print(len(names))
"#;
    let found = place.sh("find tree -printf x | wc -c");
    assert_eq!(read(&place, "store", check), found);
}

#[test]
fn equal_input_gives_equal_text() {
    let place = Place::new();
    place.sample_tree("tree", 9);
    // The name of a segment is random, and a file of this very second is volatile; all else is the input's.
    let normalize = r#"
log = re.sub(r"^volatile: 1\n", "", log, flags=re.M)
uuids = []
for uuid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", log):
    if uuid not in uuids:
        uuids.append(uuid)
for number, uuid in enumerate(uuids):
    log = log.replace(uuid, "segment%d" % number)
print(log)
"#;
    let mut logs = BTreeMap::new();
    for store in ["store-1", "store-2", "store-3"] {
        let dest = format!("--dest={store}");
        place.succeed([
            "backup",
            &dest,
            "--compression=gzip",
            "--segment-size=64K",
            "--jobs=3",
            "tree",
        ]);
        logs.insert(read(&place, store, normalize), store);
    }
    assert_eq!(logs.len(), 1, "{:?}", logs.values());
    assert!(logs.keys().all(|log| log.contains("segment1/")));
}

#[test]
fn only_the_portable_subset_is_written() {
    let place = Place::new();
    place.sample_tree("tree", 10);
    place.sh("seq -f 'tree/file%g' 300 | xargs touch; truncate -s 18M tree/hole; touch -d @-1.5 tree/old");
    place.succeed(["backup", "--dest=store", "--scheme=portable", "tree"]);
    let check = r#"
uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
sha1, number = r"\(sha1=[0-9a-f]{40}\)", r"(?:0|[1-9][0-9]*)"
whole = rf"({uuid}/[0-9a-f]{{8}})({sha1})\[({number})\]"
data = rf"(?:{uuid}/[0-9a-f]{{8}}(?:\[{number}\]|\[{number}\+{number}\])|zero\[{number}\])"
encoded = r"(?:[+-$&-?A-~]|%[0-9a-f]{2})*".replace("+-$&-?A-~", "+-?A-~")
owner = rf"{number}(?: \({encoded}\))?"
seconds, nanoseconds = rf"-?{number}", r"[1-9][0-9]{0,8}"

lines = rf"""Format: LBS Snapshot v0\.6
Producer: pileus [0-9.]+
Date: \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \+0000
Scheme: portable
Host: \S+
State: [0-9a-f]{{32}}
Root: {whole}
Checksums: sha1=[0-9a-f]{{40}}
(?:[A-Z][-A-Za-z]*: {number}
)*Problems: 0
Segment-bytes:
(?:    {number}
)+Segments:
(?:    {uuid}
)+"""
assert re.fullmatch(lines, descriptor), descriptor
listed = re.findall(rf"^    ({uuid})$", descriptor, re.M)
assert listed == sorted({name[:36] for name in objects})

fields = {
    "name": encoded, "type": "[fdlpscb]", "mode": "0[0-7]{1,4}", "user": owner, "group": owner,
    "mtime": seconds, "ctime": seconds, "mtime-nsec": nanoseconds, "ctime-nsec": nanoseconds,
    "size": number, "checksum": "sha1=[0-9a-f]{40}", "data": rf"(?:{data}(?:\s+{data})*)?", "target": encoded,
    "device": f"{number}/{number}", "links": number, "inode": f"{number}/{number}/{number}", "volatile": "1", "partial": "1",
    "xattrs": rf"{encoded}={encoded}(?: {encoded}={encoded})*",
}
required = {"name", "type", "mode", "user", "group", "mtime"}
by_type = {"f": {"size", "checksum", "data"}, "l": {"target"}, "c": {"device"}, "b": {"device"}}
types = set()
assert log.endswith("\n\n") and "\n\n\n" not in log
for stanza in log[:-2].split("\n\n"):
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    pairs = [line.split(": ", 1) for line in unfolded.split("\n")]
    keys = [key for key, value in pairs]
    assert len(set(keys)) == len(keys) and keys[0] == "name", stanza
    for key, value in pairs:
        assert re.fullmatch(fields[key], value), (key, value)
    kind = dict(pairs)["type"]
    types.add(kind)
    assert required | by_type.get(kind, set()) <= set(keys), stanza
assert types == set(sys.argv[2]), types

for name in metadata:
    lines = objects[name].splitlines()
    if lines[0].startswith(b"@"):
        for line in lines:
            target, checksum, length = re.fullmatch("@" + whole, line.decode()).groups()
            assert len(objects[target]) == int(length), "[n] only on whole objects"
for target, length in re.findall(rf"({uuid}/[0-9a-f]{{8}})\[({number})\]", log):
    assert len(objects[target]) == int(length), "[n] only on whole objects"
    assert objects[target].strip(b"\0"), "zeros are stored nowhere"
assert re.search(r"zero\[", log)

for segment, member in members:
    assert member.isreg() and member.mode == 0o600 and member.uid == member.gid == 0
    assert member.name[:36] == segment[:36] and len(member.name) < 100 and member.size <= 1 << 20
sequences = {}
for segment, member in members:
    assert int(member.name[37:], 16) == sequences.setdefault(segment, 0)
    sequences[segment] += 1
assert not {name[:36] for name in metadata} & {name[:36] for name in set(objects) - set(metadata)}, "groups share no segment"
print("ok")
"#;
    let types = if crate::harness::is_root() {
        "fdlpscb"
    } else {
        "fdlps"
    };
    let program = format!("{READER}{check}");
    assert_eq!(place.python(&program, &["store", types]), "ok\n");
}
