"""Runs commands one after another and takes down what each of them cost.

A target is a ratio to a limit, and a machine is never equally fast twice. So the contenders of a row take turns (limit, pileus, limit,
pileus, ...), and the median of each is compared: what slows the machine down for a minute slows both.

Peak memory is the kernel's own figure for the child, from wait4. It counts the largest single process of a pipeline. The kernel also counts
what the child was before it became the command, a copy of this program; `floor_bytes` says how much that is, and nothing here may
hold large data in memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable


class Failed(Exception):
    """A command that had to succeed did not; its row cannot be measured."""


@dataclass
class Run:
    """One run of one command."""

    seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int
    added_bytes: int | None = None
    summary: dict = field(default_factory=dict)


@dataclass
class Series:
    """All runs of one contender in one row."""

    contender: str
    runs: list[Run] = field(default_factory=list)
    failure: str = ""
    """Why there are no further runs, for a peer."""

    @property
    def seconds(self) -> float:
        return median([run.seconds for run in self.runs])

    @property
    def cpu_seconds(self) -> float:
        return median([run.user_seconds + run.system_seconds for run in self.runs])

    @property
    def peak_bytes(self) -> int:
        return max(run.peak_bytes for run in self.runs)

    @property
    def added_bytes(self) -> int | None:
        """The most that a run added: a target on bytes holds for every run, not for the middle one."""
        added = [run.added_bytes for run in self.runs if run.added_bytes is not None]
        return max(added) if added else None

    def as_json(self) -> dict:
        seconds = self.seconds if self.runs else None
        runs = [asdict(run) for run in self.runs]
        return {"contender": self.contender, "median_seconds": seconds, "failure": self.failure, "runs": runs}


@dataclass
class Contender:
    """A command that takes its turns in a row."""

    name: str
    command: list[str]
    prepare: Callable[[], None] = lambda: None
    """Runs before each turn, untimed."""
    check: Callable[[], None] = lambda: None
    """Runs after each turn, untimed."""
    grows: Path | None = None
    """The file or directory that the command adds to."""
    accepted: tuple[int, ...] = (0,)
    """Exit codes that are no failure."""
    has_summary: bool = False
    """Whether the last line on standard output is a JSON object."""
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None


def take_turns(row: str, contenders: list[Contender], run_count: int) -> dict[str, Series]:
    """Runs all contenders `run_count` times in turn. A peer that fails gets no further turns; pileus and the limit must not fail."""
    all_series = {contender.name: Series(contender.name) for contender in contenders}
    for _ in range(run_count):
        for contender in contenders:
            series = all_series[contender.name]
            if series.failure:
                continue
            try:
                run = run_once(contender)
            except Failed as failure:
                if contender.name in ("pileus", "limit"):
                    raise
                say(f"*** {row}: {contender.name} FAILED: {failure}")
                series.failure = str(failure)
                continue
            series.runs.append(run)
            say(f"{row}: {contender.name} {run.seconds:.2f} s, {run.peak_bytes / 2**20:.0f} MiB")
    return all_series


def run_once(contender: Contender) -> Run:
    """Prepares and runs a contender, times it, and fails unless it exits with 0."""
    contender.prepare()
    before_bytes = size_bytes(contender.grows) if contender.grows else None
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(
            contender.command,
            stdin=subprocess.DEVNULL,
            stdout=output if contender.has_summary else subprocess.DEVNULL,
            stderr=errors,
            cwd=contender.directory,
            env={**os.environ, **contender.environment},
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in contender.accepted:
            raise Failed(f"{' '.join(contender.command)} exited with {child.returncode}: {tail(errors) or tail(output)}")
        summary = json.loads(tail(output, lines=1)) if contender.has_summary else {}
    added_bytes = size_bytes(contender.grows) - before_bytes if contender.grows else None
    contender.check()
    return Run(seconds, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, added_bytes, summary)


def floor_bytes() -> int:
    """The peak memory of a command that needs none: smaller peaks cannot be told."""
    return run_once(Contender("floor", ["true"])).peak_bytes


def must(command: list[str], **options) -> None:
    """Runs a command that prepares or checks something, and is not measured."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} exited with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")


def pipeline(script: str, *arguments: object) -> list[str]:
    """A shell pipeline as one command, that fails if any part of it fails; `$1` and so on are the arguments."""
    return ["bash", "-o", "pipefail", "-c", script, "bench", *map(str, arguments)]


def remove(*paths: Path) -> None:
    """Removes files and trees. By `rm`: Python's own way is several times slower on a million files."""
    must(["rm", "-rf", "--", *map(str, paths)])


def size_bytes(path: Path) -> int:
    """The sum of the sizes of all files at or below a path, 0 if it is not there."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    with os.scandir(path) as entries:
        return sum(
            size_bytes(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
            for entry in entries
        )


def wait_for_next_second() -> None:
    """Waits, because snapshots are named after the second in which they are made, and two runs may not share one."""
    now = time.time()
    time.sleep(1 - now % 1)


def median(values: list[float]) -> float:
    """The middle value, or the mean of the two in the middle. (The module `statistics` would double our memory, see `floor_bytes`.)"""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def tail(file, lines: int = 5) -> str:
    """The last lines of what a child wrote."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65536))
    return "\n".join(file.read().decode(errors="replace").rstrip("\n").split("\n")[-lines:])


def say(text: str) -> None:
    """Tells how far we are, on standard error; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)
