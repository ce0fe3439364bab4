#!/usr/bin/env python3
"""Measures pileus against its limits, side by side, and prints which targets are met.

usage: python3 tests/bench/run.py [--only=ROW,...] [--runs=N] [--peers] [--work=DIR] [--store=DIR] ...

It makes its corpora, or says how to get what it needs for them, and leaves out no row without saying so. It exits with 0 when all that was
asked for was measured, be the targets met or missed, with 1 when something was not, with 2 when the command line is wrong.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Python puts no byte code into the source tree.
sys.dont_write_bytecode = True

import corpora
import peers
from corpora import Missing
from measure import Failed, floor_bytes, must, remove, say
from report import Report, machine, version_of
from rows import ROWS
from setting import Setting

PROJECT = Path(__file__).resolve().parents[2]

# What the largest row, restoring M, needs at a time: the store, the limit's tar file, and a million pages with their inodes.
M_FREE_BYTES = 8 * 2**30


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    parser.add_argument("--work", type=Path, default=target / "bench", help="where the corpora are made and kept; M takes 4 GB")
    parser.add_argument("--store", type=Path, default=Path("/dev/shm"), help="where stores and restored trees are made and removed")
    parser.add_argument("--only", default="", help=f"rows, or beginnings of their names, of {', '.join(ROWS)}")
    parser.add_argument("--runs", type=int, default=3, help="how often each contender of a row takes its turn")
    parser.add_argument("--jobs", type=int, default=2, help="threads of pileus and of the limit's codec")
    parser.add_argument("--peers", action="store_true", help="also run the other backup programs that are installed")
    parser.add_argument("--linux", type=Path, help="the tree for L: linux-source-6.1, unpacked")
    parser.add_argument("--sparse-size", type=float, default=200, help="size of the file of S, in GB")
    parser.add_argument("--pileus", type=Path, help="the binary; without this it is built")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.jobs < 1:
        parser.error("--runs and --jobs take at least 1")
    wanted = [name for name in arguments.only.split(",") if name]
    for name in wanted:
        if not any(row.startswith(name) for row in ROWS):
            parser.error(f"--only={name}: no row begins like this, there are {', '.join(ROWS)}")
    arguments.rows = [row for row in ROWS if not wanted or any(row.startswith(name) for name in wanted)]
    return arguments


class Bench:
    """Makes corpora and settings when the first row needs them, and runs the rows."""

    def __init__(self, arguments: argparse.Namespace, pileus: Path, scratch: Path) -> None:
        self.arguments = arguments
        self.pileus = pileus
        self.scratch = scratch
        self.peers = peers.installed() if arguments.peers else []
        self.corpora = {}
        self.settings = {}
        self.report = Report(machine(version_of(pileus), scratch), floor_bytes(), arguments.runs, arguments.jobs)
        if arguments.peers:
            self.report.absent_peers = [peer.program for peer in peers.PEERS if peer not in self.peers]

    def run(self) -> None:
        rows = self.arguments.rows
        for index, row in enumerate(rows):
            corpus, codec, measure = ROWS[row]
            try:
                measure(row, self.setting(corpus, codec), self.report, self.arguments.runs)
            except (Missing, Failed, OSError) as problem:
                say(f"*** {row} IS NOT MEASURED: {problem}")
                self.report.not_measured[row] = str(problem)
                self.forget_setting(corpus, codec)
            if self.arguments.json:
                self.report.write_json(self.arguments.json)
            if not any(ROWS[later][:2] == (corpus, codec) for later in rows[index + 1 :]):
                self.forget_setting(corpus, codec)

    def forget_setting(self, corpus: str, codec: str) -> None:
        """Frees what a setting takes; after a failure also because what it left is not to be built upon."""
        setting = self.settings.pop((corpus, codec), None)
        if setting:
            setting.clear()

    def setting(self, name: str, codec: str) -> Setting:
        if (name, codec) not in self.settings:
            if name not in self.corpora:
                self.corpora[name] = self.make_corpus(name)
                self.report.corpora[name] = self.corpora[name].as_json()
            # The peers have no bzip2, or nobody uses it: they are compared where all use zstd.
            others = self.peers if codec == "zstd" else []
            directory = self.scratch / f"{name}-{codec}"
            self.settings[name, codec] = Setting(self.pileus, self.corpora[name], codec, directory, self.arguments.jobs, others)
        return self.settings[name, codec]

    def make_corpus(self, name: str) -> corpora.Corpus:
        work = self.arguments.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        if name == "L":
            return corpora.linux(work, self.arguments.linux)
        if name == "V":
            return corpora.image(work)
        if name == "S":
            return corpora.sparse(work, int(self.arguments.sparse_size * 1e9))
        free_bytes = shutil.disk_usage(self.scratch).free
        if free_bytes < M_FREE_BYTES:
            raise Missing(f"{self.scratch.parent} has {free_bytes:,} bytes free, M takes {M_FREE_BYTES:,}: give another --store")
        return corpora.million(work)


def build() -> Path:
    """Builds pileus as it is released: figures of a debug build say nothing."""
    say("building pileus")
    must(["cargo", "build", "--release", "--locked"], cwd=PROJECT)
    return Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release" / "pileus"


def main() -> int:
    arguments = parse_arguments()
    try:
        pileus = (arguments.pileus or build()).resolve(strict=True)
        scratch = Path(tempfile.mkdtemp(prefix="pileus-bench-", dir=arguments.store)).resolve()
    except (Failed, OSError) as problem:
        say(f"run.py: {problem}")
        return 2
    try:
        bench = Bench(arguments, pileus, scratch)
        bench.run()
    finally:
        remove(scratch)
    print(bench.report.text())
    return 1 if bench.report.not_measured else 0


if __name__ == "__main__":
    sys.exit(main())
