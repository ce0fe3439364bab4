"""Counts what makes a run durable: calls that wait for the disk, and renames, per command and per segment that it writes.

On tmpfs these calls cost nothing, so the other rows hide them. Where the store is on a disk (`--store=DIR`), the time that they took there
is of interest too.
"""

import re
from pathlib import Path

from measure import Contender, Failed, remove, run_once, say, wait_for_next_second
from report import Report
from setting import Setting

CALLS = ("fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "rename", "renameat", "renameat2", "link", "linkat")
SEGMENT = re.compile(r"[-0-9a-f]{36}\.tar.*")


def syncs(row: str, setting: Setting, report: Report, _runs: int) -> None:
    """A first backup, an unchanged one, a prune of the first, a restore and a rebuild, each under strace, which makes them slow."""
    rebuilt = setting.directory / "rebuilt"
    prune = [f"--localdb={setting.state}", "--keep-last=1"]
    commands = {
        "backup, first": setting.backup(fresh=True),
        "backup, unchanged": setting.backup(),
        "prune": Contender("pileus", setting.command("prune", *prune), prepare=wait_for_next_second),
        "restore": setting.restore(),
        "rebuild": Contender("pileus", setting.command("rebuild", f"--localdb={rebuilt}")),
    }
    trace = setting.directory / "trace"
    for name, contender in commands.items():
        if name == "backup, unchanged":
            # What was young when it was first read is read once more; let that be done.
            setting.corpus.wait_until_settled()
            run_once(setting.backup())
        counted = ["strace", "-f", "-c", "-w", "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}", "-o", str(trace)]
        contender.command = [*counted, *contender.command]
        contender.grows = None
        before = set() if name == "backup, first" else segments(setting.store)
        seconds = run_once(contender).seconds
        written = len(segments(setting.store) - before)
        found = calls(trace)
        say(f"{row}: {name}: {written} segments, {', '.join(f'{count} {call}' for call, (count, _) in found.items()) or 'no call'}")
        for call, (count, waited_seconds) in found.items():
            report.add_sync(row, name, written, call, count, waited_seconds, seconds)
    remove(rebuilt, setting.target, trace)


def segments(store: Path) -> set[str]:
    return {path.name for path in store.rglob("*") if SEGMENT.fullmatch(path.name)} if store.exists() else set()


def calls(trace: Path) -> dict[str, tuple[int, float]]:
    """Number of calls and seconds that they took, of the table that strace writes: share, seconds, each, calls, perhaps errors, name."""
    found = {}
    for line in trace.read_text().splitlines():
        words = line.split()
        if words and words[-1] in CALLS:
            found[words[-1]] = (int(words[3]), float(words[1]))
        elif words and words[0] not in ("%", "100.00") and not words[0].startswith("---"):
            raise Failed(f"strace says: {line}")
    return found
