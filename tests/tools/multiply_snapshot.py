#!/usr/bin/env python3
"""Adds unchanged nights to a store: for each a root segment of its own, a sums file and a descriptor, as pileus would write them.

usage: multiply_snapshot.py STORE COUNT

The first snapshot of the store is told again and again, a day earlier each time, without looking at any tree. For measuring what a
thousand snapshots cost; its segments may have no filter, or bzip2, gzip, or zstd with the `zstd` command. Local state has to be made
anew with `pileus rebuild`.
"""

import datetime
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path


def unfiltered(segment: Path) -> bytes:
    command = {".bz2": ["bzip2", "-dc"], ".gz": ["gzip", "-dc"], ".zst": ["zstd", "-dc"]}.get(segment.suffix, ["cat"])
    return subprocess.run([*command, segment], check=True, capture_output=True).stdout


def root_text(store: Path, reference: str) -> bytes:
    name = reference.split("(")[0]
    segment = next(store.glob(name.split("/")[0] + ".tar*"))
    with tarfile.open(fileobj=io.BytesIO(unfiltered(segment))) as archive:
        return archive.extractfile(name).read()


def segment_of(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(f"{name}/00000000")
        member.size, member.mode = len(data), 0o600
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def main() -> None:
    store, count = Path(sys.argv[1]), int(sys.argv[2])
    first = sorted(store.glob("snapshot-*.lbs"))[0]
    text = first.read_text()
    sums = first.with_suffix(".sha1sums").read_text()
    reference = re.search("^Root: (.*)$", text, re.M).group(1)
    data = root_text(store, reference)
    old_root = reference.split("/")[0]
    needed = re.findall("^    (.*)$", text[text.index("Segments:\n") :], re.M)
    date = datetime.datetime.strptime(re.search(r"^Date: (.*) \+0000$", text, re.M).group(1), "%Y-%m-%d %H:%M:%S")
    stem = first.name[: -len("20261122T033305.lbs")]
    for _ in range(count):
        date -= datetime.timedelta(days=1)
        name = str(uuid.uuid4())
        segment = segment_of(name, data)
        (store / f"{name}.tar").write_bytes(segment)
        line = f"{hashlib.sha1(segment).hexdigest()} *{name}.tar\n"
        all_sums = "".join(sorted([*sums.splitlines(keepends=True), line], key=lambda line: line[42:]))
        root = f"{name}/00000000(sha1={hashlib.sha1(data).hexdigest()})[{len(data)}]"
        descriptor = re.sub("^Root: .*$", f"Root: {root}", text, flags=re.M)
        descriptor = re.sub("^Date: .*$", f"Date: {date:%Y-%m-%d %H:%M:%S} +0000", descriptor, flags=re.M)
        descriptor = re.sub("^Checksums: .*$", f"Checksums: sha1={hashlib.sha1(all_sums.encode()).hexdigest()}", descriptor, flags=re.M)
        head = descriptor[: descriptor.index("Segments:\n")]
        listed = "".join(f"    {segment}\n" for segment in sorted({*needed, name, old_root}))
        night = store / f"{stem}{date:%Y%m%dT%H%M%S}"
        night.with_suffix(".sha1sums").write_text(all_sums)
        night.with_suffix(".lbs").write_text(f"{head}Segments:\n{listed}")


if __name__ == "__main__":
    main()
