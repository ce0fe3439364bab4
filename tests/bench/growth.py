#!/usr/bin/env python3
"""Says how time and memory grow with the number of files and of snapshots, and draws it.

usage: python3 tests/bench/growth.py [--files=N,...] [--snapshots=N,...] [--svg=FILE] [--json=FILE] ...

For each number of files a tree like M is backed up, backed up again, restored, and looked at by every command; then a store of one such
tree is given more and more snapshots (tests/tools/multiply_snapshot.py) and looked at again. What has a limit takes turns with it, as
in run.py. It exits with 0 when all was measured, 1 when something was not, 2 when the command line is wrong.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Python puts no byte code into the source tree.
sys.dont_write_bytecode = True

import corpora
import growth_report
from growth_report import FILES, SNAPSHOTS, Growth
from measure import Contender, Failed, must, remove, run_once, say, take_turns
from report import machine, version_of
from run import PROJECT, build
from setting import Setting


def numbers(text: str) -> list[int]:
    found = sorted({int(number) for number in text.split(",")})
    if len(found) < 2 or found[0] < 1:
        raise argparse.ArgumentTypeError("takes at least two numbers, such as 1000,10000")
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    parser.add_argument("--files", type=numbers, default="10000,100000,1000000", help="sizes of trees")
    parser.add_argument("--snapshots", type=numbers, default="10,100,1000", help="sizes of stores")
    parser.add_argument("--snapshot-files", type=int, default=100_000, help="files of the tree whose snapshots are multiplied")
    parser.add_argument("--runs", type=int, default=1, help="how often each contender takes its turn; the median counts")
    parser.add_argument("--jobs", type=int, default=2, help="threads of pileus and of the limit's codec")
    parser.add_argument("--work", type=Path, default=target / "bench", help="where trees are made and kept; 4 KB for each file")
    parser.add_argument("--store", type=Path, default=Path("/dev/shm"), help="where stores and restored trees are made and removed")
    parser.add_argument("--pileus", type=Path, help="the binary; without this it is built")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--svg", type=Path, help="a file for the curves")
    return parser.parse_args()


class Measuring:
    """Measures everything of one tree or store, at one size."""

    def __init__(self, arguments: argparse.Namespace, pileus: Path, scratch: Path, growth: Growth) -> None:
        self.arguments = arguments
        self.pileus = pileus
        self.scratch = scratch
        self.growth = growth

    def setting(self, file_count: int) -> Setting:
        corpus = corpora.small_files(self.arguments.work.resolve(), file_count)
        return Setting(self.pileus, corpus, "zstd", self.scratch / corpus.name, self.arguments.jobs, [])

    def trees(self) -> None:
        for count in self.arguments.files:
            setting = self.setting(count)
            self.turns(FILES, "first backup", count, setting.limit_backup(), setting.backup(fresh=True))
            self.settle(setting)
            self.turns(FILES, "unchanged backup", count, setting.limit_unchanged(), setting.backup())
            self.look(FILES, count, setting)
            self.turns(FILES, "restore", count, setting.limit_restore(), setting.restore())
            setting.clear()

    def stores(self) -> None:
        setting = self.setting(self.arguments.snapshot_files)
        setting.ensure_archive()
        setting.ensure_backup()
        for count in self.arguments.snapshots:
            # Settling makes the last one.
            missing = count - 1 - len(list(setting.store.rglob("snapshot-*.lbs")))
            if missing > 0:
                must([sys.executable, str(corpora.TOOLS / "multiply_snapshot.py"), str(setting.store), str(missing)])
                remove(setting.state)
                must([str(self.pileus), "rebuild", f"--dest={setting.store}", f"--localdb={setting.state}"])
            self.settle(setting)
            self.look(SNAPSHOTS, count, setting)
            self.turns(SNAPSHOTS, "unchanged backup", count, setting.limit_unchanged(), setting.backup())
            self.turns(SNAPSHOTS, "restore", count, setting.limit_restore(), setting.restore())
        setting.clear()

    def settle(self, setting: Setting) -> None:
        """Backs up once more: a file that was young when it was read is read again by right, and what was rebuilt is written anew."""
        setting.corpus.wait_until_settled()
        run_once(setting.backup())

    def look(self, axis: str, count: int, setting: Setting) -> None:
        for contender in setting.looking():
            command, contender.name = contender.name, "pileus"
            limit = setting.limit_verify() if command == "verify --level=sums" else None
            self.turns(axis, command, count, limit, contender)

    def turns(self, axis: str, command: str, count: int, limit: Contender | None, pileus: Contender) -> None:
        contenders = [contender for contender in (limit, pileus) if contender]
        what = f"{command}, {count:,} {axis}"
        try:
            for name, series in take_turns(what, contenders, self.arguments.runs).items():
                self.growth.add(axis, command, name, count, series.seconds, series.peak_bytes)
        except Failed as failure:
            say(f"*** {what} IS NOT MEASURED: {failure}")
            self.growth.not_measured[what] = str(failure)
        if self.arguments.json:
            self.growth.write_json(self.arguments.json)


def main() -> int:
    arguments = parse_arguments()
    try:
        pileus = (arguments.pileus or build()).resolve(strict=True)
        arguments.work.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="pileus-growth-", dir=arguments.store)).resolve()
    except (Failed, OSError) as problem:
        say(f"growth.py: {problem}")
        return 2
    growth = Growth(machine(version_of(pileus), scratch))
    measuring = Measuring(arguments, pileus, scratch, growth)
    try:
        for part in measuring.trees, measuring.stores:
            try:
                part()
            except (corpora.Missing, Failed, OSError) as problem:
                say(f"*** {part.__name__} ARE NOT MEASURED TO THE END: {problem}")
                growth.not_measured[part.__name__] = str(problem)
            remove(*scratch.iterdir())
    finally:
        remove(scratch)
    print(growth_report.text(growth))
    if arguments.svg:
        arguments.svg.write_text(growth_report.svg(growth))
    return 1 if growth.not_measured else 0


if __name__ == "__main__":
    sys.exit(main())
