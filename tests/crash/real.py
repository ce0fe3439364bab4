"""Power lost on real file systems: the process is killed at a call, and that very moment what its disk holds is taken away and mounted anew.

What the kernel had not written yet is lost, and what is there is found by the file system's own recovery, as after a cut cable. The disk is a
file behind a loop device, so this needs root; a file system whose mkfs is not installed is told and left out.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import time

import kills
import look

MIB = 1 << 20
# What each needs at least, and how it is mounted beside another one with its identity.
FILE_SYSTEMS = {
    "ext4": (64 * MIB, ["mkfs.ext4", "-q", "-F"], "loop"),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q", "-f"], "loop,nouuid"),
    "btrfs": (128 * MIB, ["mkfs.btrfs", "-q", "-f", "--mixed"], "loop"),
}


def trials(table):
    if os.getuid() != 0:
        sys.exit("real file systems can only be mounted by root: leave them out with --only")
    for kind, (size, mkfs, options) in FILE_SYSTEMS.items():
        if not shutil.which(mkfs[0]):
            print(f"not tried: {kind}, since there is no {mkfs[0]}", file=sys.stderr)
            continue
        for scenario in table.scenarios.values():
            if not (table.wants(scenario.name) and scenario.writes):
                continue
            disk = Disk(kind, scenario, size, mkfs, options)
            for number, (call, path) in enumerate(kills.count(scenario), 1):
                if number % table.options.every == 0:
                    yield kind, scenario.name, f"{number} ({call} {path})", scenario, cut(disk, scenario, number)


class Disk:
    """A disk with a file system on which a scenario may begin."""

    def __init__(self, kind, scenario, size, mkfs, options):
        self.options = options
        self.image = scenario.base.workshop.directory / f"{kind}-{scenario.name}"
        with self.image.open("wb") as image:
            image.truncate(size)
        subprocess.run([*mkfs, self.image], check=True, stdout=subprocess.DEVNULL)
        with self.mounted(self.image, self.image.with_suffix(".mounted")) as place:
            scenario.start(place / "place")

    @contextlib.contextmanager
    def mounted(self, image, place):
        place.mkdir()
        subprocess.run(["mount", "-o", self.options, image, place], check=True)
        try:
            yield place
        finally:
            leave(place)
            place.rmdir()


def leave(place):
    """Unmounts; for a moment, a child that another thread starts holds whatever this process has open."""
    for _ in range(100):
        if subprocess.run(["umount", place], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    raise OSError(f"{place} cannot be unmounted")


def copy(image, to):
    subprocess.run(["cp", "--sparse=always", image, to], check=True)


def cut(disk, scenario, number):
    def act(root):
        base, image, left = scenario.base, root.with_name("image"), root.with_name("left")
        copy(disk.image, image)
        with disk.mounted(image, root.with_name("disk")) as place:
            variables = {"BETWEEN_BELOW": str(place / "place"), "BETWEEN_AT": str(number), "BETWEEN_HOW": "kill"}
            ended = base.workshop.run(base.command(place / "place", scenario.arguments), base.nights, variables)
            copy(image, left)
        look.must(ended.returncode in (-9, 0), look.told(ended))
        image.unlink()
        with disk.mounted(left, root.with_name("disk")) as place:
            look.Look(base, place / "place", scenario.may_go).all(scenario.again)
        return ended.returncode
    return act
