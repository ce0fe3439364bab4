#!/usr/bin/env python3
"""Lives through a year of nights, each with clean, backup and prune, and says how large the store is against what is needed.

usage: python3 tests/bench/year.py [--nights=N] [--below=T,...] [--segment-size=SIZE,...] [--keep=RULE,...] [--json=FILE] ...

The real binary backs up a tree that changes every day (year_tree.py), into a store for each threshold and segment size, with one clock for
all. It takes the time from the system, so libfaketime is needed: apt-get install faketime. The year lies in the future, so that the change
times of files, which are true, lie before the backup that sees them, as in life.
"""

import argparse
import datetime
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

# Python puts no byte code into the source tree.
sys.dont_write_bytecode = True

import year_report
from measure import Failed, remove, say
from year_store import Needed, StoreReader, segment_bytes
from year_tree import Tree

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
PERIODS = {
    "last": lambda day: day,
    "daily": lambda day: day,
    "weekly": lambda day: day.isocalendar()[:2],
    "monthly": lambda day: (day.year, day.month),
    "yearly": lambda day: day.year,
}
NEVER = "never"


def parse_arguments() -> argparse.Namespace:
    project = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", project / "target"))
    library = next((path for path in LIBRARIES if os.path.exists(path)), LIBRARIES[0])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--below", default="0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", help="thresholds; a store that is never cleaned is there in any case")
    parser.add_argument("--segment-size", default="256K,1M,4M")
    parser.add_argument("--keep", default="daily=7,weekly=4,monthly=12", help=f"rules for prune: {', '.join(PERIODS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where tree and stores are made and removed; 2 GB for each segment size")
    parser.add_argument("--pileus", type=Path, default=target / "release" / "pileus", help="the binary")
    parser.add_argument("--faketime", type=Path, default=Path(library), help="libfaketime")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--svg", type=Path, help="a file for the curves")
    arguments = parser.parse_args()
    arguments.rules = dict((name, int(count)) for name, count in (rule.split("=") for rule in arguments.keep.split(",")))
    if not set(arguments.rules) <= set(PERIODS):
        parser.error(f"--keep={arguments.keep}: the rules are {', '.join(PERIODS)}")
    return arguments


@dataclass
class Clock:
    """What time it is for pileus: three in the morning."""

    library: Path
    first: datetime.date = datetime.date(datetime.date.today().year + 2, 1, 1)

    def day(self, night: int) -> datetime.date:
        return self.first + datetime.timedelta(days=night)

    def environment(self, night: int) -> dict[str, str]:
        """File times stay true: libfaketime would move them every night, and nothing would be unchanged."""
        fake = {"FAKETIME": f"@{self.day(night)} 03:00:00", "NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {**os.environ, "LD_PRELOAD": str(self.library), "TZ": "UTC", **fake}


@dataclass
class Figures:
    """What one store went through."""

    segment_size: str
    below: str
    uploaded_bytes: int = 0
    """The segments that were ever written."""
    first_bytes: int = 0
    """Of these, those of the first backup."""
    store_bytes: list[int] = field(default_factory=list)
    """The segments that were there each night after the prune."""
    segments: list[int] = field(default_factory=list)
    descriptor_bytes: int = 0
    """Descriptors and sums files at the end."""
    needed: Needed = field(default_factory=Needed)
    """What its snapshots need at the end; what was written again counts as often as snapshots need it."""
    expired_bytes: int = 0
    """Segments at the end that have expired, and that old snapshots still need."""


class Store:
    """A store with its local state, which is backed up to, cleaned and pruned night after night."""

    def __init__(self, directory: Path, segment_size: str, below: str, arguments: argparse.Namespace) -> None:
        directory.mkdir(parents=True)
        self.store, self.state = directory / "store", directory / "state"
        self.figures = Figures(segment_size, below)
        self.arguments = arguments
        self.reader = StoreReader(self.store)
        self.keeps = [f"--keep-{name}={count}" for name, count in arguments.rules.items()]

    def night(self, tree: Path, environment: dict[str, str]) -> None:
        figures = self.figures
        if figures.below[0].isdigit() and figures.segments:
            self.run(environment, "clean", f"--below={figures.below}")
        summary = self.backup(tree, environment)
        figures.uploaded_bytes += summary["disk_bytes"]
        figures.first_bytes = figures.first_bytes or summary["disk_bytes"]
        self.run(environment, "prune", f"--dest={self.store}", *self.keeps)
        count, disk_bytes = segment_bytes(self.store)
        figures.segments.append(count)
        figures.store_bytes.append(disk_bytes)

    def backup(self, tree: Path, environment: dict[str, str]) -> dict:
        options = [f"--segment-size={self.figures.segment_size}", "--compression=gzip:1", "--jobs=1"]
        return self.run(environment, "backup", f"--dest={self.store}", *options, str(tree))

    def run(self, environment: dict[str, str], verb: str, *options: str) -> dict:
        command = [str(self.arguments.pileus), verb, f"--localdb={self.state}", "--json", *options]
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)} exited with {done.returncode}: {done.stderr or done.stdout}")
        return json.loads(done.stdout.splitlines()[-1])

    def finish(self) -> None:
        files = [path for pattern in ("*.lbs", "*.sha1sums") for path in self.store.glob(pattern)]
        self.figures.descriptor_bytes = sum(path.stat().st_size for path in files)
        self.figures.needed = self.reader.needed()
        connection = sqlite3.connect(self.state / "localdb.sqlite")
        sql = "SELECT coalesce(sum(disk_bytes), 0) FROM segment WHERE expired IS NOT NULL"
        self.figures.expired_bytes = connection.execute(sql).fetchone()[0]
        connection.close()

    def snapshots(self) -> list[str]:
        return sorted(path.name for path in self.store.glob("snapshot-*.lbs"))


def kept(clock: Clock, nights: int, rules: dict[str, int]) -> set[int]:
    """The nights whose snapshots the rules keep in the end: the last one of each of the last periods."""
    keep = {nights - 1}
    for name, count in rules.items():
        periods: dict[object, int] = {}
        for night in range(nights):
            periods[PERIODS[name](clock.day(night))] = night
        keep.update(sorted(periods.values())[-count:])
        if len(periods) < count:
            keep.add(0)
    return keep


@dataclass
class Year:
    """All stores of one segment size, which see the same nights."""

    segment_size: str
    stores: list[Figures]
    needed: dict[int, Needed] = field(default_factory=dict)
    """What the kept snapshots needed on some nights, in a store in which nothing was ever stored twice."""
    optimum_bytes: int = 0
    """The segments of a store that was given only the snapshots that are kept in the end."""


def live_through(arguments: argparse.Namespace, clock: Clock, segment_size: str, work: Path) -> Year:
    tree = Tree(work / "tree", arguments.seed)
    make = lambda below: Store(work / below, segment_size, below, arguments)
    stores = [make(below) for below in (NEVER, *filter(None, arguments.below.split(",")))]
    optimum = make("optimum")
    year = Year(segment_size, [store.figures for store in stores])
    keep = kept(clock, arguments.nights, arguments.rules)
    tree.plant()
    for night in range(arguments.nights):
        if night:
            tree.live(night)
        environment = clock.environment(night)
        for store in stores:
            store.night(tree.root, environment)
        if night in keep:
            optimum.backup(tree.root, environment)
        if night >= arguments.nights // 2 and (arguments.nights - 1 - night) % 14 == 0:
            year.needed[night] = stores[0].reader.needed()
        if (night + 1) % 30 == 0:
            sizes = ", ".join(f"{store.figures.below} {store.figures.store_bytes[-1] / 1e6:.1f}" for store in stores)
            say(f"{segment_size}: night {night + 1}, MB: {sizes}")
    for store in stores:
        if store.snapshots() != optimum.snapshots():
            raise Failed(f"the rules keep others than was thought: {store.snapshots()}, not {optimum.snapshots()}")
        store.finish()
    year.optimum_bytes = segment_bytes(optimum.store)[1]
    return year


def main() -> int:
    arguments = parse_arguments()
    for file in (arguments.pileus, arguments.faketime):
        if not file.exists():
            say(f"year.py: {file} is not there: cargo build --release, apt-get install faketime")
            return 2
    start, years = time.time(), []
    for segment_size in arguments.segment_size.split(","):
        work = Path(tempfile.mkdtemp(prefix="pileus-year-", dir=arguments.work))
        try:
            years.append(live_through(arguments, Clock(arguments.faketime), segment_size, work))
        except (Failed, OSError) as problem:
            say(f"year.py: {problem}")
            return 1
        finally:
            remove(work)
        if arguments.json:
            arguments.json.write_text(json.dumps([asdict(year) for year in years], indent=1))
    print(year_report.table(years))
    if arguments.svg:
        arguments.svg.write_text(year_report.svg(years))
    say(f"{time.time() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
