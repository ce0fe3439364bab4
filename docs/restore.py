#!/usr/bin/env python3
"""Restore a snapshot with Python 3.6 or later alone: restore.py STORE TARGET [SNAPSHOT]

The format:
1. `snapshot-*.lbs` (or `.cumulus`) is a text that names the root of a snapshot. gpg --verify checks a signed one.
2. A segment, `<uuid>.tar.bz2`, is a tar file of objects `<uuid>/<sequence>`, compressed or encrypted as its name says.
3. A reference, `uuid/sequence(sha1=...)[start+length]`, is a part of an object; without brackets it is all of it, with
   `[n]` the first n bytes, with `[=n]` all n. The checksum is of the whole object. `zero[n]` is n null bytes.
4. The root refers to the metadata log: `key: value` lines, a stanza for each file, a blank line after each. Lines that
   begin with white space continue a value. A line `@reference` stands for another part of the log (at most 3 deep).
5. Names, link targets and attributes are percent-encoded; numbers are decimal, 0octal or 0xhexadecimal.
6. A file is all that its `data` refers to, one after the other; there `@reference` is an object with more references.

SNAPSHOT is a name like home-20261121T191822, or else the newest is taken. TARGET may exist; what is in it is never
overwritten, and nothing is written outside it. Each problem is a line on standard error, and the rest is restored;
damaged files are kept, with holes for lost blocks. Only root restores owners and devices. Signatures and .sha1sums are
not looked at, each file has a checksum of its own. Exit code: 0 all is well, 1 nothing was restored, 3 problems.
"""
import bz2, collections, contextlib, gzip, hashlib, lzma, os, re, shutil, stat, subprocess, sys, tarfile, tempfile
from urllib.parse import unquote_to_bytes

OPENERS = {b"bz2": bz2.open, b"gz": gzip.open, b"xz": lzma.open}
COMMANDS = {b"zst": ["zstd", "-dcq"], b"gpg": ["gpg", "--quiet", "--decrypt"]}
HASHES = {b"sha1": hashlib.sha1, b"sha224": hashlib.sha224, b"sha256": hashlib.sha256}
SPECIAL_FILES = {b"p": stat.S_IFIFO, b"s": stat.S_IFSOCK, b"c": stat.S_IFCHR, b"b": stat.S_IFBLK}
SEGMENTS_UNPACKED = 32  # how many are kept unpacked in the temporary directory, $TMPDIR
DEEPEST = 3  # a reference in a reference in a reference

DESCRIPTOR_NAME = re.compile(rb"snapshot-((?:.+-)?\d{8}T\d{6})\.(?:lbs|cumulus)", re.DOTALL)
SEGMENT_NAME = re.compile(rb"([-0-9a-f]{36})\.tar(?:\.\w+)*")
REFERENCE = re.compile(rb"(?:zero|(?P<segment>[-0-9a-f]{36})/(?P<sequence>[0-9a-f]+))"
                       rb"(?:\((?P<algorithm>\w+)=(?P<checksum>\w+)\))?"
                       rb"(?:\[(?:(?P<exact>=)|(?P<start>\d+)\+)?(?P<length>\d+)\])?")
problems = set()


class Damage(Exception):
    """Something in the store is not as the format says."""


def problem(where, error):
    """Prints a line, but never the same line again."""
    line = "restore.py: %r: %s: %s" % (os.fsdecode(where), type(error).__name__, error)
    if line not in problems:
        problems.add(line)
        print(line, file=sys.stderr)


@contextlib.contextmanager
def going_on(where):
    """Whatever fails inside is a problem, but not the end."""
    try:
        yield
    except Exception as error:
        problem(where, error)


def integer(value):
    """The number that a value begins with."""
    digits = value.split()[0].lower()
    unsigned = digits.lstrip(b"-")
    return int(digits, 16 if unsigned.startswith(b"0x") else 8 if unsigned.startswith(b"0") else 10)


def stanzas(lines):
    """Makes a dictionary of each stanza. The last line must be blank."""
    stanza, key = {}, None
    for line in lines:
        if not line.strip():
            if stanza:
                yield {name: b" ".join(parts) for name, parts in stanza.items()}
            stanza, key = {}, None
        elif line[:1].isspace() and key is not None:
            stanza[key].append(line.strip())
        elif b":" in line and not line[:1].isspace():
            key, _, value = line.partition(b":")
            stanza[key] = [value.strip()]
        else:
            problem("metadata", Damage("not understood: %r" % line[:80]))


def parse_reference(text):
    """A match, whose "segment" is None for zero[n], and whose "length" is None for all of an object."""
    reference = REFERENCE.fullmatch(text.strip())
    if not reference:
        raise Damage("not a reference: %r" % text[:120])
    return reference


def check(where, algorithm, checksum, chunks):
    """Reports a wrong checksum."""
    if algorithm not in HASHES:
        return problem(where, Damage("unknown checksum %r" % algorithm))
    digest = HASHES[algorithm]()
    for chunk in chunks:
        digest.update(chunk)
    if digest.hexdigest().encode() != checksum.lower():
        problem(where, Damage("wrong %s checksum" % algorithm.decode()))


def unpack(path):
    """Unpacks a segment into a temporary file; if it is damaged, as far as that goes."""
    plain = open(path, "rb")
    for extension in reversed(os.path.basename(path).split(b".")[2:]):  # of uuid.tar.gz.gpg first gpg, then gz
        packed, plain = plain, tempfile.TemporaryFile()
        with packed, going_on(path):
            if extension in OPENERS:
                shutil.copyfileobj(OPENERS[extension](packed), plain)
            elif extension in COMMANDS:
                subprocess.run(COMMANDS[extension], stdin=packed, stdout=plain, check=True)
            else:
                raise Damage("cannot undo %r: unpack it by hand, to a file beside it that ends with .tar" % extension)
        plain.seek(0)
    return plain


class Store:
    """Finds descriptors and segments, and reads what references refer to."""

    def __init__(self, directory):
        self.descriptors, self.segments, self.unpacked = {}, {}, collections.OrderedDict()
        inner = [name for name in sorted(os.listdir(directory)) if re.fullmatch(rb"snapshots|segments\d+", name)]
        for place in [directory] + [os.path.join(directory, name) for name in inner]:
            for name in sorted(os.listdir(place)):  # sorted: of uuid.tar and uuid.tar.bz2 the first is taken
                for pattern, found in (DESCRIPTOR_NAME, self.descriptors), (SEGMENT_NAME, self.segments):
                    match = pattern.fullmatch(name)
                    if match:
                        found.setdefault(match.group(1), os.path.join(place, name))

    def choose(self, wanted):
        """The name of the snapshot that is wanted, or else of the newest."""
        names = sorted(self.descriptors, key=lambda name: (name[-15:], name))  # the last 15 bytes are the time
        match = DESCRIPTOR_NAME.fullmatch(os.path.basename(wanted)) if wanted else None
        name = match.group(1) if match else wanted or b"".join(names[-1:])
        if name not in names:
            raise Damage("no such snapshot; there are: %s" % [os.fsdecode(name) for name in names])
        return name

    def root(self, snapshot):
        """The reference to the metadata log of a snapshot."""
        with open(self.descriptors[snapshot], "rb") as file:
            lines = file.read().splitlines()
        if lines[:1] == [b"-----BEGIN PGP SIGNED MESSAGE-----"]:
            lines = lines[lines.index(b"") + 1:lines.index(b"-----BEGIN PGP SIGNATURE-----")]
            lines = [line[2:] if line.startswith(b"- ") else line for line in lines]
        descriptor = next(stanzas(lines + [b""]), {})
        version = re.fullmatch(rb"(?:LBS|Cumulus) Snapshot v(\d+)\.(\d+)", descriptor.get(b"Format", b""))
        if not version or tuple(map(int, version.groups())) > (0, 11) or b"Root" not in descriptor:
            raise Damage("not a snapshot of a version up to v0.11: %r" % descriptor.get(b"Format"))
        return descriptor[b"Root"]

    def segment(self, uuid):
        """The unpacked tar file of a segment, and where in it the objects are: name to (offset, size)."""
        if uuid not in self.unpacked:
            if uuid not in self.segments:
                raise Damage("segment %s is not in the store" % uuid.decode())
            if len(self.unpacked) >= SEGMENTS_UNPACKED:
                self.unpacked.popitem(last=False)[1][0].close()
            tar, objects = unpack(self.segments[uuid]), {}
            with going_on(self.segments[uuid]):  # if it is damaged, the objects before the damage are good
                for member in tarfile.open(fileobj=tar, mode="r:"):
                    if member.size < 0:
                        raise Damage("negative size")
                    objects[member.name] = member.offset_data, member.size
            self.unpacked[uuid] = tar, objects
        self.unpacked.move_to_end(uuid)
        return self.unpacked[uuid]

    def read(self, reference):
        """The bytes that a reference refers to. Not for zero[n], which may be longer than memory."""
        if not reference["segment"]:
            raise Damage("zero where there should be an object")
        tar, objects = self.segment(reference["segment"])
        name = (reference["segment"] + b"/" + reference["sequence"]).decode()
        if name not in objects:
            raise Damage("object %s is not in its segment" % name)
        offset, size = objects[name]
        tar.seek(offset)
        data = tar.read(size)
        if reference["algorithm"]:
            check(name, reference["algorithm"], reference["checksum"], [data])
        start = int(reference["start"] or 0)
        end = start + int(reference["length"] or size)
        if end > len(data) or (reference["exact"] and end != size):
            raise Damage("object %s has %d bytes, which does not fit the reference" % (name, len(data)))
        return data[start:end]

    def log_lines(self, reference, depth=1):
        """The lines of the metadata log, without the parts that cannot be read."""
        lines = []
        with going_on(b"metadata " + reference):
            if depth > DEEPEST:
                raise Damage("nested too deep")
            lines = self.read(parse_reference(reference)).split(b"\n")
        for line in lines:
            if line.startswith(b"@"):
                yield from self.log_lines(line[1:], depth + 1)
            else:
                yield line
        yield b""  # a stanza never goes on in another part

    def blocks(self, data, depth=0):
        """The references in the `data` of a file, in order."""
        if depth > DEEPEST:
            raise Damage("nested too deep")
        for word in data.split():
            if word.startswith(b"@"):
                yield from self.blocks(self.read(parse_reference(word[1:])), depth + 1)
            else:
                yield parse_reference(word)


class Restorer:
    """Makes files in the target. It is entered name by name: no link is followed, and a path may have any length."""

    def __init__(self, store, target):
        os.makedirs(target, exist_ok=True)
        self.target = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        self.store, self.directories, self.first_links, self.restored_count = store, [], {}, 0

    def run(self, root):
        os.umask(0o077)  # nobody else reads a file before it has its owner and mode
        for entry in stanzas(self.store.log_lines(root)):
            path = unquote_to_bytes(entry.get(b"name", entry.get(b"path", b"")))
            if path == b".":
                continue  # the target itself is left as it is
            with going_on(path), self.parent_of(path) as (parent, name):
                self.make(parent, name, path, entry)
                self.restored_count += 1
        # Directories last, since a mode can forbid to make files in them and making files changes their times;
        # the deepest first, since a mode can put what is below out of reach.
        for path, entry in sorted(self.directories, key=lambda item: -item[0].count(b"/")):
            with going_on(path), self.parent_of(path) as (parent, name):
                set_attributes(parent, name, path, entry)

    @contextlib.contextmanager
    def parent_of(self, path):
        """Opens the directory that a path is in, made if missing: its descriptor, and the name in it."""
        names = path.split(b"/")
        if {b"", b".", b".."} & set(names):
            raise Damage("such a path could lead out of the target")
        here = os.dup(self.target)
        try:
            for name in names[:-1]:
                above, here = here, open_directory(here, name)
                os.close(above)
            yield here, names[-1]
        finally:
            os.close(here)

    def make(self, parent, name, path, entry):
        """Makes what an entry says. Of several links to a file, the first is made, and the others are linked to it."""
        kind = entry[b"type"]
        if kind == b"d":
            os.close(open_directory(parent, name))
            return self.directories.append((path, entry))
        linked = b"inode" in entry and integer(entry.get(b"links", b"1")) > 1
        identity = tuple(map(entry.get, (b"inode", b"type", b"checksum", b"size", b"target", b"device")))
        if linked and identity in self.first_links:
            with going_on(path), self.parent_of(self.first_links[identity]) as (first_parent, first):
                return os.link(first, name, src_dir_fd=first_parent, dst_dir_fd=parent, follow_symlinks=False)
            # Not every file system has links: go on and make a copy.
        if kind in (b"f", b"-"):
            self.make_file(parent, name, path, entry)
        elif kind == b"l":
            target = entry[b"target"] if b"target" in entry else entry[b"contents"]
            os.symlink(unquote_to_bytes(target), name, dir_fd=parent)
        elif kind in SPECIAL_FILES:
            device = os.makedev(*map(integer, entry[b"device"].split(b"/"))) if kind in (b"c", b"b") else 0
            os.mknod(name, SPECIAL_FILES[kind] | 0o600, device, dir_fd=parent)
        else:
            raise Damage("unknown type %r" % kind)
        set_attributes(parent, name, path, entry)
        if linked:
            self.first_links.setdefault(identity, path)

    def make_file(self, parent, name, path, entry):
        """Writes a file, then reads it to check it. Null bytes and lost blocks are left out: they become holes."""
        size, lost = integer(entry[b"size"]), False
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "w+b") as file, going_on(path):
            for block in self.store.blocks(entry.get(b"data", b"")):
                content = None
                if block["segment"]:
                    with going_on(path):
                        content = self.store.read(block)
                    lost = lost or content is None
                if content is not None:
                    length = len(content)
                else:  # how long the hole is; where that is not known, there is no place for what follows
                    length = int(block["length"] or size + 1)
                if file.tell() + length > size:
                    raise Damage("cut off after %d of %d bytes" % (file.tell(), size))
                file.seek(length, os.SEEK_CUR) if content is None else file.write(content)
            if file.tell() != size:
                raise Damage("has %d bytes, not %d" % (file.tell(), size))
            file.truncate()  # makes the hole at the end, if there is one
            file.seek(0)
            algorithm, _, checksum = entry[b"checksum"].partition(b"=")
            if not lost:
                check(path, algorithm, checksum, iter(lambda: file.read(1 << 20), b""))


def open_directory(parent, name):
    """Opens a directory, made if missing. A link to one is refused."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def set_attributes(parent, name, path, entry):
    """Owner first, since a new owner takes away capabilities and set-id bits; then extended attributes, since a mode
    can forbid to set them; then mode and times."""
    here = {"dir_fd": parent, "follow_symlinks": False}
    owner = integer(entry[b"user"]), integer(entry[b"group"])
    if os.geteuid() == 0:
        with going_on(b"owner of " + path):
            os.chown(name, *owner, **here)
    for word in entry.get(b"xattrs", b"").split():
        key, _, value = map(unquote_to_bytes, word.partition(b"="))
        with going_on(key + b" of " + path):  # setxattr has no dir_fd, but the directory has a name in /proc
            os.setxattr(b"/proc/self/fd/%d/%s" % (parent, name), key, value, follow_symlinks=False)
    if entry[b"type"] != b"l":
        mode, made = integer(entry[b"mode"]) & 0o7777, os.stat(name, **here)
        if (made.st_uid, made.st_gid) != owner:
            mode &= ~(stat.S_ISUID | stat.S_ISGID)  # never lend them to somebody else
        with going_on(b"mode of " + path):
            os.chmod(name, mode, dir_fd=parent)
    with going_on(b"times of " + path):
        nanoseconds = integer(entry[b"mtime"]) * 10**9 + integer(entry.get(b"mtime-nsec", b"0"))
        os.utime(name, ns=(nanoseconds, nanoseconds), **here)


def main(store_path, target, wanted=None):
    with going_on(store_path):
        store = Store(store_path)
        snapshot = store.choose(wanted)
        root = store.root(snapshot)
        restorer = Restorer(store, target)
        restorer.run(root)
        print("%d entries of %a restored" % (restorer.restored_count, os.fsdecode(snapshot)))
        return 0 if not problems else 3 if restorer.restored_count else 1
    return 1


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*map(os.fsencode, sys.argv[1:])))
