"""Makes the trees that are measured: always the same ones, so that figures of two days can be compared.

- **L**, a tree as people have them: the Linux sources of the Debian package linux-source-6.1, 83,731 entries, 1.36 GB.
- **M**, where the cost of a file counts and not that of a byte: a million files of 64 to 1,500 bytes.
- **V**, where a little changes in something large: a 512 MiB image. It is cut from a tar of /usr/lib, so that it has the contents of a
  real disk, and therefore differs from machine to machine; what is overwritten in it, and with what, does not.
- **S**, which is nearly all holes: one file of 200 GB with a hundred pages of data.

L and M are made once and kept. A corpus gets its name by a rename when it is complete, so one that was interrupted is made again.
"""

import errno
import os
import random
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from measure import Failed, must, pipeline, remove, say

TOOLS = Path(__file__).resolve().parent.parent / "tools"
LINUX_PACKAGE = Path("/usr/src/linux-source-6.1.tar.xz")
LINUX_ENTRY_COUNT = 83_731

IMAGE_BYTES = 512 * 2**20
PAGE_BYTES = 4096
PAGES_A_RUN = 200
INSERT_BYTES = 1024
INSERT_AT = 100_000_000

MILLION = 1_000_000
SPARSE_PAGES = 100


class Missing(Exception):
    """A corpus or a program is not here and cannot be made; the text says how to get it."""


@dataclass
class Corpus:
    """A tree that is backed up."""

    name: str
    source: Path
    entry_count: int = 0
    file_count: int = 0
    source_bytes: int = 0
    newest_seconds: float = 0.0
    is_sparse: bool = False
    """Whether nearly all of it is holes; then they are read by nobody beforehand."""

    def survey(self) -> "Corpus":
        """Counts what is in the tree. Not by `os.walk`, which would hold a million names."""
        self.entry_count, self.file_count, self.source_bytes, self.newest_seconds = 0, 0, 0, 0.0
        waiting = [os.fsencode(self.source)]
        self._count(os.lstat(self.source))
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    self._count(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        return self

    def _count(self, found: os.stat_result) -> None:
        self.entry_count += 1
        if stat.S_ISREG(found.st_mode):
            self.file_count += 1
            self.source_bytes += found.st_size
        self.newest_seconds = max(self.newest_seconds, found.st_ctime)

    def wait_until_settled(self, seconds: float = 2.0) -> None:
        """Waits until nothing has changed for two seconds, or as many: before that a stat cache must not trust what it saw.

        The change time alone decides. A modification time can be set, even to next year.
        """
        time.sleep(min(seconds, max(0.0, self.newest_seconds + seconds - time.time())))

    def warm(self) -> None:
        """Reads everything once, so that no contender is the one that waits for the disk. (tar does not read if it writes to /dev/null.)"""
        tar = "tar --sparse" if self.is_sparse else "tar"
        must(pipeline(f'{tar} -c "$1" 2>/dev/null | cat >/dev/null', self.source))

    def state_target_bytes(self) -> int:
        """How large local state may be: 0.6 % of the source and 200 bytes a file."""
        return int(0.006 * self.source_bytes) + 200 * self.file_count

    def as_json(self) -> dict:
        return {"name": self.name, "entries": self.entry_count, "files": self.file_count, "source_bytes": self.source_bytes}


def linux(work: Path, given: Path | None) -> Corpus:
    """L: the tree that was given, or the Debian package unpacked."""
    if given:
        if not (given / "Makefile").exists() or not (given / "Kbuild").exists():
            raise Missing(f"{given} is not a tree of Linux sources: it has no Makefile and Kbuild")
        source = given.resolve()
    else:
        source = work / "L" / LINUX_PACKAGE.name.removesuffix(".tar.xz")
        if not source.exists():
            if not LINUX_PACKAGE.exists():
                raise Missing(f"{LINUX_PACKAGE} is not here: apt-get install linux-source-6.1, or give an unpacked tree with --linux=DIR")
            make(work / "L", lambda part: must(["tar", "-C", str(part), "-xJf", str(LINUX_PACKAGE)]))
    corpus = Corpus("L", source).survey()
    if corpus.entry_count != LINUX_ENTRY_COUNT:
        say(f"L HAS {corpus.entry_count:,} ENTRIES, not {LINUX_ENTRY_COUNT:,}: targets for the size of its store do not quite fit")
    return corpus


def million(work: Path) -> Corpus:
    """M: a million small files, about 4 GB on disk."""
    return small_files(work, MILLION)


def small_files(work: Path, count: int) -> Corpus:
    """M, or a tree like it of another size."""
    name = "M" if count == MILLION else f"M-{count}"
    if not (work / name).exists():
        make(work / name, lambda part: must([sys.executable, str(TOOLS / "make_million.py"), str(part), str(count)]))
    return Corpus(name, work / name).survey()


def sparse(work: Path, size_bytes: int) -> Corpus:
    """S: made anew each time, which takes no time."""
    remove(work / "S")
    make(work / "S", lambda part: write_sparse(part / "image", size_bytes))
    return Corpus("S", work / "S", is_sparse=True).survey()


def write_sparse(image: Path, size_bytes: int) -> None:
    numbers = random.Random(3)
    with open(image, "wb") as file:
        file.truncate(size_bytes)
        for page in numbers.sample(range(size_bytes // PAGE_BYTES), SPARSE_PAGES):
            file.seek(page * PAGE_BYTES)
            file.write(numbers.randbytes(PAGE_BYTES))


def image(work: Path) -> Corpus:
    """V before its first run: a fresh copy of the image."""
    if not (work / "V.base").exists():
        make(work / "V.base", cut_image)
    remove(work / "V")
    make(work / "V", lambda part: must(["cp", "--reflink=never", str(work / "V.base" / "image"), str(part)]))
    return Corpus("V", work / "V").survey()


def cut_image(part: Path) -> None:
    # `head` closes the pipe early, so tar's exit status says nothing; the size does.
    must(["sh", "-c", 'tar --sort=name -cf - /usr/lib 2>/dev/null | head -c "$1" >"$2"', "bench", str(IMAGE_BYTES), str(part / "image")])
    found_bytes = (part / "image").stat().st_size
    if found_bytes != IMAGE_BYTES:
        raise Missing(f"/usr/lib holds only {found_bytes:,} bytes, the image of V takes {IMAGE_BYTES:,}")


def change_image(corpus: Corpus, run: int) -> int:
    """Changes the image as before run 1 or 2, and returns how many bytes are new. In place, as a virtual machine would."""
    numbers = random.Random(run)
    with open(corpus.source / "image", "r+b") as file:
        for page in numbers.sample(range(IMAGE_BYTES // PAGE_BYTES), PAGES_A_RUN):
            file.seek(page * PAGE_BYTES)
            file.write(numbers.randbytes(PAGE_BYTES))
        if run == 2:
            insert(file, INSERT_AT, numbers.randbytes(INSERT_BYTES))
    return PAGES_A_RUN * PAGE_BYTES + (INSERT_BYTES if run == 2 else 0)


def insert(file, at: int, data: bytes) -> None:
    """Inserts bytes, moving what follows from the end on, a piece at a time: see `measure.floor_bytes`."""
    step = 2**20
    end = file.seek(0, os.SEEK_END)
    while end > at:
        start = max(at, end - step)
        file.seek(start)
        piece = file.read(end - start)
        file.seek(start + len(data))
        file.write(piece)
        end = start
    file.seek(at)
    file.write(data)


def same_sparse(source: Path, restored: Path) -> None:
    """Fails unless two files have the same bytes, of which holes are not read."""
    with open(source, "rb") as one, open(restored, "rb") as other:
        sizes = [os.fstat(file.fileno()).st_size for file in (one, other)]
        same = sizes[0] == sizes[1]
        for start, end in [*data_of(one.fileno()), *data_of(other.fileno())]:
            for at in range(start, end, 2**20):
                count = min(end, at + 2**20) - at
                same = same and os.pread(one.fileno(), count, at) == os.pread(other.fileno(), count, at)
    if not same:
        raise Failed(f"{restored} differs from {source}")


def data_of(file: int):
    """The stretches of a file that are no holes."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def make(directory: Path, fill) -> None:
    """Makes a directory with contents, complete or not at all."""
    say(f"making {directory}")
    part = directory.with_name(directory.name + ".part")
    remove(part)
    part.mkdir(parents=True)
    fill(part)
    part.rename(directory)


def same_tree(source: Path, restored: Path, scratch: Path) -> None:
    """Fails unless both trees have the same manifest: contents, owners, modes, times, links, extended attributes."""
    manifests = []
    for name, tree in ("source", source), ("restored", restored):
        manifests.append(scratch / f"manifest-of-{name}")
        must(pipeline('"$1" "$2" "$3" >"$4"', sys.executable, TOOLS / "tree_manifest.py", tree, manifests[-1]))
    compared = pipeline('diff "$1" "$2" | head -n 6 >&2', *manifests)
    try:
        must(compared)
    except Failed as failure:
        raise Failed(f"what was restored differs from {source}: {failure}") from failure
    remove(*manifests)
