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

SNAPSHOT is a name like home-20261121T191822, or else the newest complete one is taken. TARGET may exist; what is in it is never
overwritten, and nothing is written outside it. Each problem is a line on standard error, and the rest is restored; what
is left of a damaged file NAME is called NAME.damaged and has holes for lost blocks. Only root restores owners and
devices. Signatures and .sha1sums are not looked at: each file has a checksum of its own. Unpacked segments are in
$TMPDIR for a while. Exit code: 0 all is well, 1 nothing was restored, 3 problems.
"""
import bz2, contextlib, functools, gzip, hashlib, lzma, os, re, shutil, stat, subprocess, sys, tarfile, tempfile
from urllib.parse import unquote_to_bytes

def output_of(*command):
    def start(path, mode):
        if not shutil.which(command[0]):
            raise ValueError("the program %s is not installed" % command[0])
        return subprocess.Popen(command + (path,), stdout=subprocess.PIPE).stdout
    return start

OPENERS = {b"": open, b".bz2": bz2.open, b".gz": gzip.open, b".xz": lzma.open,
           b".zst": output_of("zstd", "-dcqq"), b".gpg": output_of("gpg", "--quiet", "--decrypt")}
SPECIAL_FILES = {b"p": stat.S_IFIFO, b"s": stat.S_IFSOCK, b"c": stat.S_IFCHR, b"b": stat.S_IFBLK}
DESCRIPTOR_NAME = re.compile(rb"snapshot-((?:.+-)?\d{8}T\d{6}(?:\.checkpoint)?)\.(?:lbs|cumulus)")
SEGMENT_NAME = re.compile(rb"([-0-9a-f]{36})\.tar(?:\.\w+)*")
REFERENCE = re.compile(rb"(?:zero|(?P<segment>[-0-9a-f]{36})/(?P<sequence>[0-9a-f]{8}))"
                       rb"(?:\((?P<checksum>(?:sha1|sha224|sha256)=[0-9a-f]+)\))?"
                       rb"(?:\[(?:(?P<exact>=)|(?P<start>\d+)\+)?(?P<length>\d+)\])?")
descriptors, segments, checked, problems = {}, {}, set(), []

def words(error):
    if isinstance(error, FileExistsError):
        return "exists already"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "there is no %r in it" % error.args if type(error) is KeyError else str(error) or type(error).__name__

@contextlib.contextmanager
def going_on(where, what="", later=None):
    """Whatever fails inside is a problem, but not the end. It is told at once, or put into the list `later`."""
    try:
        yield
    except Exception as error:
        if later is None:
            problems.append(where)
            print("restore.py: %s: %s" % (repr(os.fsdecode(where))[1:-1], what + words(error)), file=sys.stderr)
        else:
            later.append(words(error))

def find_root(store, wanted):
    """Finds all segments, and the reference to the metadata log of the snapshot that is wanted, or of the newest."""
    os.listdir(store)  # fails if it may not be read, which os.walk passes over
    for directory, _, names in os.walk(store):  # Cumulus 0.11 has its files one level down
        for name in sorted(names):  # of uuid.tar and uuid.tar.bz2 the first is taken
            path = os.path.join(directory, name)
            for pattern, found in (DESCRIPTOR_NAME, descriptors), (SEGMENT_NAME, segments):
                if pattern.fullmatch(name) and os.path.isfile(path):
                    found.setdefault(pattern.fullmatch(name)[1], path)
    by_age = lambda name: (not name.endswith(b".checkpoint"), name.partition(b".checkpoint")[0][-15:], name)
    names = sorted(descriptors, key=by_age)  # 15 bytes are the time; an unfinished snapshot is taken if there is no other
    if not names:
        raise ValueError("there is no snapshot in it")
    if wanted and wanted not in names:
        raise ValueError("there is no snapshot %s; there are: %s" % (os.fsdecode(wanted), os.fsdecode(b" ".join(names))))
    descriptor_file = descriptors[wanted or names[-1]]
    if not os.access(descriptor_file, os.R_OK):
        raise ValueError("%s may not be read" % os.fsdecode(descriptor_file))
    lines = open(descriptor_file, "rb").read().splitlines()
    if lines[:1] == [b"-----BEGIN PGP SIGNED MESSAGE-----"]:
        lines = lines[lines.index(b"") + 1:lines.index(b"-----BEGIN PGP SIGNATURE-----")]
    descriptor = next(stanzas(lines + [b""]), {})
    version = re.fullmatch(rb"(?:LBS|Cumulus) Snapshot v(\d+)\.(\d+)", descriptor.get(b"Format", b""))
    if not version or tuple(map(int, version.groups())) > (0, 11):
        raise ValueError("%s is damaged, or of a version above v0.11" % os.fsdecode(descriptor_file))
    return descriptor[b"Root"]

@functools.lru_cache(maxsize=32)
def unpack(path):
    """The objects of a segment in a temporary file, and where in it they are: name to (offset, size). Last, what is wrong with it."""
    file, objects, wrong, extension = tempfile.TemporaryFile(), {}, [], path.rpartition(b".tar")[2]
    with going_on(path, later=wrong):  # if it is damaged, the objects before the damage are good
        if extension not in OPENERS:
            raise ValueError("it is to be unpacked by hand, to a file beside it that ends with .tar")
        with OPENERS[extension](path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in filter(tarfile.TarInfo.isreg, tar):
                if member.issparse() or not 0 <= member.size <= 1 << 24:
                    raise ValueError("%r is not an object" % member.name)
                offset = file.tell()
                shutil.copyfileobj(tar.extractfile(member), file)
                objects.setdefault(os.fsencode(member.name), (offset, member.size))
    return file, objects, wrong

def read(text):
    """The bytes that a reference refers to. Not for zero[n], which may be longer than memory."""
    reference = REFERENCE.fullmatch(text.strip())
    if not reference or not reference["segment"]:
        raise ValueError("not a reference to an object: %r" % text[:120])
    segment, name = reference["segment"], reference["segment"] + b"/" + reference["sequence"]
    if segment not in segments:
        raise ValueError("segment %s is missing from the store" % segment.decode())
    file, objects, wrong = unpack(segments[segment])
    if name not in objects:
        raise ValueError("object %s %s" % (name.decode(), "cannot be unpacked: " + wrong[0] if wrong else "is not in its segment"))
    offset, size = objects[name]
    start = int(reference["start"] or 0)
    end = start + int(reference["length"] or size)
    if end > size or reference["exact"] and end != size:
        raise ValueError("object %s has %d bytes, which does not fit the reference" % (name.decode(), size))
    if reference["checksum"] and (name, reference["checksum"]) not in checked:  # once, however many parts of it are read
        file.seek(offset)
        check("object %s is" % name.decode(), [file.read(size)], reference["checksum"])
        checked.add((name, reference["checksum"]))
    file.seek(offset + start)
    return file.read(end - start)

def check(what, chunks, wanted):
    algorithm, checksum = wanted.decode().split("=")
    digest = hashlib.new(algorithm)
    for chunk in chunks:
        digest.update(chunk)
    if digest.hexdigest() != checksum:
        raise ValueError("%s damaged: checksum %s=%s, wanted %s" % (what, algorithm, digest.hexdigest(), wanted.decode()))

def parts(text, separator, depth, later=None):
    """The parts of a text, and in place of each `@reference` those of the text that it stands for, if that is there."""
    for part in text.split(separator):
        if part.startswith(b"@"):
            yield b""  # a stanza never goes on in another text
            with going_on(part[1:46], "part of the metadata log is lost: ", later):
                if depth == 0:
                    raise ValueError("nested too deep")
                yield from parts(read(part[1:]), separator, depth - 1, later)
        else:
            yield part
    yield b""

def stanzas(lines):
    """Makes a dictionary of each stanza. The last line must be blank."""
    stanza, key = {}, None
    for line in lines:
        if line[:1].isspace() and key is not None:
            stanza[key] += b" " + line.strip()
        elif b":" in line:
            key, _, value = line.partition(b":")
            stanza[key] = value.strip()
        elif stanza:
            yield stanza
            stanza, key = {}, None

def integer(value):
    """The number that a value begins with."""
    digits = value.split()[0].lower()
    unsigned = digits.lstrip(b"-")
    return int(digits, 16 if unsigned.startswith(b"0x") else 8 if unsigned.startswith(b"0") else 10)

def go_to(target, directories):
    """Goes into a directory of the target, name by name, each made if missing. A link to one is refused."""
    os.fchdir(target)
    for name in directories:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700)
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        os.fchdir(directory)
        os.close(directory)

def make(target, path, entry, first_links):
    """Makes what an entry says. Of several links to a file, the first is made, and the others are linked to it."""
    *above, name = path.split(b"/")
    if {b"", b".", b".."} & {name, *above}:
        raise ValueError("such a path could lead out of the target")
    if entry[b"type"] == b"d":
        return go_to(target, above + [name])
    go_to(target, above)
    identity = tuple(map(entry.get, (b"inode", b"type", b"checksum", b"size")))
    if identity in first_links:
        with contextlib.suppress(OSError):  # where links are not possible, a copy is made
            return os.link(first_links[identity], name, src_dir_fd=target, follow_symlinks=False)
    if entry[b"type"] in (b"f", b"-"):
        make_file(name, path, entry)
    elif entry[b"type"] == b"l":
        os.symlink(unquote_to_bytes(entry.get(b"target", entry.get(b"contents"))), name)
    else:
        device = os.makedev(*map(integer, entry[b"device"].split(b"/"))) if b"device" in entry else 0
        os.mknod(name, SPECIAL_FILES[entry[b"type"]] | 0o600, device)
    set_attributes(name, path, entry)
    if b"inode" in entry and integer(entry.get(b"links", b"1")) > 1:
        first_links[identity] = path

def make_file(name, path, entry):
    """Writes a file, then reads it to check it. Null bytes and lost blocks are left out: they become holes."""
    descriptor, lost, written = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), [], 0
    try:
        with open(descriptor, "w+b") as file:
            for reference in filter(None, parts(entry[b"data"], None, 3, lost)):
                with going_on(path, later=lost):
                    if not reference.startswith(b"zero"):
                        written += file.write(read(reference))
                        continue
                file.seek(int(REFERENCE.fullmatch(reference)["length"] or 0), os.SEEK_CUR)
            file.truncate()  # makes the hole at the end, if there is one
            if lost:
                raise ValueError(lost[0])
            file.seek(0)
            check("its contents are", iter(lambda: file.read(1 << 20), b""), entry[b"checksum"])
    except KeyboardInterrupt:
        os.unlink(name)
        raise
    except Exception as error:
        left = "it is left out"
        with contextlib.suppress(OSError):
            if written:
                os.link(name, name + b".damaged")
                left = "what could be restored is in %r" % os.fsdecode(name + b".damaged")
        os.unlink(name)
        raise ValueError("%s; %s" % (words(error), left))

def set_attributes(name, path, entry):
    """Owner first, since a new owner takes away capabilities and set-id bits; then extended attributes, since a mode
    can forbid to set them; then mode and times."""
    owner, mode = (integer(entry[b"user"]), integer(entry[b"group"])), integer(entry[b"mode"]) & 0o7777
    with going_on(b"owner of " + path):
        if os.geteuid() == 0:
            os.lchown(name, *owner)
    for word in entry.get(b"xattrs", b"").split():
        with going_on(word + b" of " + path):
            os.setxattr(name, *map(unquote_to_bytes, word.split(b"=", 1)), follow_symlinks=False)
    if (os.lstat(name).st_uid, os.lstat(name).st_gid) != owner:
        mode &= ~(stat.S_ISUID | stat.S_ISGID)  # never lend them to somebody else
    if entry[b"type"] != b"l":
        os.chmod(name, mode)
    nanoseconds = integer(entry[b"mtime"]) * 10**9 + integer(entry.get(b"mtime-nsec", b"0"))
    os.utime(name, ns=(nanoseconds, nanoseconds), follow_symlinks=False)

def main(store, target_path, wanted=None):
    restored, first_links, blocked = [], {}, ()  # paths, with the entries of directories; the first path of each set of links
    with going_on(store):
        root, target = find_root(os.path.abspath(store), wanted), None
        with going_on(target_path):
            with contextlib.suppress(FileExistsError):
                os.makedirs(target_path)
            target = os.open(target_path, os.O_RDONLY | os.O_DIRECTORY)
        if target is None:
            return 1
        os.umask(0o077)  # nobody else reads a file before it has its owner and mode
        for entry in stanzas(parts(b"@" + root, b"\n", 3)):
            path = unquote_to_bytes(entry.get(b"name", entry.get(b"path", b"")))
            if path != b"." and not path.startswith(blocked):  # the target itself is left as it is
                before, is_directory = len(restored), entry.get(b"type") == b"d"
                with going_on(path, "with all below it, is left out: " if is_directory else ""):
                    make(target, path, entry, first_links)
                    restored.append((path, entry if is_directory else None))
                if is_directory and len(restored) == before:
                    blocked += (path + b"/",)
        # Directories last, since a mode can forbid to make files in them and making files changes their times;
        # the deepest first, since a mode can put what is below out of reach.
        for path, entry in sorted(restored, key=lambda item: -item[0].count(b"/")):
            with going_on(path):
                if entry:
                    go_to(target, path.split(b"/")[:-1])
                    set_attributes(path.split(b"/")[-1], path, entry)
        print("%d entries restored" % len(restored))
    return (3 if restored else 1) if problems else 0

if __name__ == "__main__":
    try:
        sys.exit(main(*map(os.fsencode, sys.argv[1:])) if len(sys.argv) in (3, 4) else __doc__)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
