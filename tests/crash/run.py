#!/usr/bin/env python3
"""Crashes and faults at every step: run.py [--program=target/debug/pileus] [--every=N] [--only=power,kill,…] [--runs=backup,prune,…].

Tries backups, prunings and the rest with power lost, the process killed, or a call failing, at each of their steps in turn, and looks
what is left: every earlier snapshot whole, nothing that names what is not there, and the next run fine without help. Prints a table.
Exits with 1 if anything that was promised is not so. `--every=7` tries every seventh point only: the short form that the tests use.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import faults
import kills
import look
import place
import power
import real
import surroundings

KINDS = {"power": power.trials, "kill": kills.trials, "fault": faults.changing, "read": faults.reading, "gone": surroundings.vanishing,
         "filter": surroundings.filters, "clock": surroundings.clocks, "memory": surroundings.memory, "disk": surroundings.disks,
         "real": real.trials}
# Mounts file systems, so only where it is asked for.
ON_DEMAND = {"real"}


class Scenario:
    """A run that is to come to a bad end."""

    def __init__(self, name, base, arguments, again=None, before=(), may_go=()):
        self.name, self.base, self.arguments, self.may_go = name, base, arguments, may_go
        self.again = again or arguments
        self.before = before
        self.writes = arguments[0] not in ("verify", "restore")

    def start(self, root):
        """Makes the place in which the run takes place."""
        place.copy(self.base, root)
        for pattern in self.before:
            for path in root.glob(pattern):
                path.unlink()
        return root


def scenarios(bases):
    """Returns the runs that change something, by name."""
    beside, own = bases
    goes = lambda base: tuple(sorted(base.manifests))[:-1]
    small = [*place.BACKUP, "--checkpoint=1M", "--deduplicate=never", "--reread"]
    prune = ["prune", "--keep-last=1", "--orphan-age=0"]
    found = [
        Scenario("backup", own, place.BACKUP),
        Scenario("checkpoints", beside, small),
        Scenario("anew", beside, place.BACKUP, before=("store/localdb*", "store/statcache*")),
        Scenario("prune", own, prune, may_go=goes(own)),
        Scenario("prune-beside", beside, prune, may_go=goes(beside)),
        Scenario("clean", beside, ["clean", "--below=0.99"]),
        Scenario("rebuild", beside, ["rebuild", "--deep"]),
        Scenario("rebuild-lost", own, ["rebuild"], before=("state/*",)),
    ]
    restore = ["restore", "--target=ROOT/back"]
    found += [Scenario("verify", beside, ["verify", "--level=files"]), Scenario("restore", beside, restore, ["verify"])]
    first = Scenario("first", place.Nothing(beside), place.BACKUP)
    return {scenario.name: scenario for scenario in [first, *found]}


class Table:
    """What was tried, and what was found."""

    def __init__(self, scenarios, options):
        self.scenarios, self.options = scenarios, options
        self.rows, self.failures, self.guard = {}, [], threading.Lock()

    def wants(self, name):
        return not self.options.runs or name in self.options.runs

    def trial(self, kind, name, where, scenario, act):
        """Tries one point in a place of its own."""
        with tempfile.TemporaryDirectory(dir=scenario.base.workshop.directory, prefix="trial-") as directory:
            try:
                code, failure = act(pathlib.Path(directory) / "place"), None
            except Exception as error:  # Whatever goes wrong is a finding, a hanging program too.
                shown = traceback.format_exc()
                if isinstance(error, (look.Broken, subprocess.TimeoutExpired)):
                    shown = str(error)
                code, failure = None, f"{kind} {name} at {where}: {shown}"
        with self.guard:
            row = self.rows.setdefault((kind, name), {"tried": 0, "failed": 0, "codes": {}})
            row["tried"] += 1
            row["codes"][code] = row["codes"].get(code, 0) + 1
            if failure:
                row["failed"] += 1
                self.failures.append(failure)
                print(f"FAILED {failure}", file=sys.stderr, flush=True)

    def show(self):
        print(f"{'fault':8} {'run':14} {'points':>7} {'failed':>7}  exit codes")
        for (kind, name), row in self.rows.items():
            codes = ", ".join(f"{code}: {count}" for code, count in sorted(row["codes"].items(), key=str) if code is not None)
            print(f"{kind:8} {name:14} {row['tried']:7} {row['failed']:7}  {codes}")
        tried = sum(row["tried"] for row in self.rows.values())
        print(f"{tried} points tried, {len(self.failures)} failed")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="target/debug/pileus")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[kind for kind in KINDS if kind not in ON_DEMAND])
    parser.add_argument("--runs", type=lambda text: text.split(","), default=[])
    parser.add_argument("--calls", type=lambda text: text.split(","), help="of faults, only those of these calls, such as fsync,rename")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--directory", help="where places are made; default: the directory for temporary files")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="pileus-crash-") as directory:
        workshop = place.Workshop(directory, pathlib.Path(options.program).resolve())
        table = Table(scenarios(place.make_bases(workshop)), options)
        with ThreadPoolExecutor(options.jobs) as pool:
            # A point may hold the contents of a whole disk: only so many wait.
            room = threading.Semaphore(2 * options.jobs)
            try:
                for point in (point for kind in options.only for point in KINDS[kind](table)):
                    room.acquire()
                    pool.submit(table.trial, *point).add_done_callback(lambda _: room.release())
            except KeyboardInterrupt:
                print("ended early: what follows was not tried to its end")
        table.show()
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(1 if table.failures or not table.rows else 0)


if __name__ == "__main__":
    main()
