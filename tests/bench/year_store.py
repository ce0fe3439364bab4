"""Looks into a store from outside: how many bytes the snapshots that are in it need, and where the others are.

This reads segments, descriptors and metadata logs by docs/format.md, with Python alone, and nothing of local state: what it counts is
to be held against what pileus thinks.
"""

import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

SEGMENT = re.compile(r"([-0-9a-f]{36})\.tar(\.gz)?")
REFERENCE = re.compile(rb"([-0-9a-f]{36})/([0-9a-f]{8})(?:\(\w+=\w+\))?(?:\[(?:(\d+)\+)?=?(\d+)\])?")

Object = tuple[bytes, bytes]


@dataclass
class Segment:
    """A segment's file, opened once: files of a store never change."""

    disk_bytes: int
    data_bytes: int = 0
    lengths: dict[Object, int] = field(default_factory=dict)
    texts: dict[Object, bytes] = field(default_factory=dict)
    """The objects themselves, of a segment of metadata."""


@dataclass
class Needed:
    """What snapshots need, in bytes on disk: of each segment the part of its file that the part of its data is."""

    data: float = 0.0
    metadata: float = 0.0

    @property
    def total(self) -> float:
        return self.data + self.metadata


class StoreReader:
    """Reads one store again and again, as it goes through time."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.segments: dict[bytes, Segment] = {}

    def needed(self) -> Needed:
        """Counts what the snapshots of this moment need; each byte of each object once."""
        self.look()
        ranges: dict[Object, list[tuple[int, int]]] = {}
        visited: set[bytes] = set()
        for descriptor in sorted(self.store.glob("snapshot-*.lbs")):
            root = next(line[6:] for line in descriptor.read_bytes().splitlines() if line.startswith(b"Root: "))
            self.visit(root, ranges, visited)
        used: dict[bytes, int] = {}
        for (segment, _), stretches in ranges.items():
            used[segment] = used.get(segment, 0) + union(stretches)
        needed = Needed()
        for name, data_bytes in used.items():
            segment = self.segments[name]
            disk_bytes = segment.disk_bytes * data_bytes / segment.data_bytes
            if segment.texts:
                needed.metadata += disk_bytes
            else:
                needed.data += disk_bytes
        return needed

    def look(self) -> None:
        """Opens what is new in the store and forgets what is gone."""
        there = {}
        for path in self.store.iterdir():
            match = SEGMENT.fullmatch(path.name)
            if match:
                name = match[1].encode()
                there[name] = self.segments.get(name) or open_segment(path)
        self.segments = there

    def visit(self, reference: bytes, ranges: dict[Object, list[tuple[int, int]]], visited: set[bytes]) -> None:
        """Notes which bytes a part of a log takes itself, and those of all that it leads to."""
        if reference in visited:
            return
        visited.add(reference)
        name, start, end = self.parse(reference)
        ranges.setdefault(name, []).append((start, end))
        if name not in self.segments[name[0]].texts:
            return
        text = self.segments[name[0]].texts[name][start:end]
        if not text.startswith((b"name: ", b"@", b"\n")):
            self.visit_data(text, ranges, visited)
            return
        in_data = False
        for line in text.split(b"\n"):
            if line.startswith(b"@"):
                self.visit(line[1:], ranges, visited)
            elif line.startswith(b"data:") or (in_data and line[:1].isspace()):
                in_data = True
                self.visit_data(line.removeprefix(b"data:"), ranges, visited)
            else:
                in_data = False

    def visit_data(self, references: bytes, ranges: dict[Object, list[tuple[int, int]]], visited: set[bytes]) -> None:
        """A file of many references has them in objects of the log's segments."""
        for word in references.split():
            if not word.startswith(b"zero"):
                self.visit(word.removeprefix(b"@"), ranges, visited)

    def parse(self, reference: bytes) -> tuple[Object, int, int]:
        match = REFERENCE.fullmatch(reference.strip())
        if not match:
            raise ValueError(f"not a reference: {reference!r}")
        name = (match[1], match[2])
        start = int(match[3] or 0)
        end = start + int(match[4]) if match[4] else self.segments[match[1]].lengths[name]
        return name, start, end


def open_segment(path: Path) -> Segment:
    segment = Segment(path.stat().st_size)
    with tarfile.open(path) as tar:
        for member in tar:
            uuid, _, sequence = member.name.partition("/")
            name = (uuid.encode(), sequence.encode())
            segment.lengths[name] = member.size
            segment.data_bytes += member.size
            contents = tar.extractfile(member).read()
            if member.name.endswith("/00000000"):
                is_log = is_of_log(contents)
            if is_log:
                segment.texts[name] = contents
    return segment


def is_of_log(beginning: bytes) -> bool:
    """A piece of a log begins with a field or a reference, or is a list of references. Nothing in the tree that is backed up does."""
    return beginning.startswith(b"name: ") or REFERENCE.match(beginning.removeprefix(b"@")) is not None


def union(stretches: list[tuple[int, int]]) -> int:
    """The number of bytes that are in any of the stretches."""
    total, reached = 0, 0
    for start, end in sorted(stretches):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def segment_bytes(store: Path) -> tuple[int, int]:
    """How many segments there are, and the bytes of their files."""
    sizes = [path.stat().st_size for path in store.iterdir() if SEGMENT.fullmatch(path.name)]
    return len(sizes), sum(sizes)
