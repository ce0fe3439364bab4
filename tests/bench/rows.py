"""What is measured: the rows of the table, each a function of a setting that adds its figures to the report.

Every run of pileus must exit with 0, and what it restores from L and V is compared with the source, outside of the measured time: a fast
program that does the wrong thing would be worth nothing.
"""

import os
import re
import shutil
import stat
from pathlib import Path
from typing import Callable

import corpora
from measure import Contender, Failed, Series, must, remove, run_once, say, size_bytes, take_turns
from report import IMAGE_TARGET_BYTES, PEAK_TARGET_BYTES, STORE_TARGET_BYTES, UNCHANGED_TARGET_BYTES, Report
from setting import Setting
from syncs import syncs

HOLES_SECONDS = 61.0

Row = Callable[[str, Setting, Report, int], None]


def first(row: str, setting: Setting, report: Report, runs: int) -> None:
    """A backup into an empty store, with empty local state."""
    contenders = [setting.limit_backup(), setting.backup(fresh=True), *(store.first() for store in setting.peer_stores)]
    series = take_turns(row, contenders, runs)
    report.add_ratio(row, series)
    report.add_series(row, series)
    target_bytes = STORE_TARGET_BYTES.get((setting.corpus.name, setting.codec))
    report.add(row, "store", size_bytes(setting.store), "bytes", target_bytes, size_bytes(setting.archive))
    add_state(row, setting, report)


def unchanged(row: str, setting: Setting, report: Report, runs: int) -> None:
    """A backup of a tree in which nothing has changed since the one before it."""
    setting.ensure_backup()
    setting.corpus.wait_until_settled()
    # A file that was young when it was read is read once more by the next run, by right. Let that be done.
    run_once(setting.backup())
    peers = [store.again("again", settle=True) for store in setting.peer_stores]
    series = take_turns(row, [setting.limit_unchanged(), setting.backup(), *peers], runs)
    report.add_ratio(row, series)
    report.add_series(row, series)
    report.add(row, "store added", series["pileus"].added_bytes, "bytes", UNCHANGED_TARGET_BYTES[setting.corpus.name])
    for figure, name in ("read", "read_bytes"), ("new data", "new_data_bytes"):
        report.add(row, figure, max(run.summary[name] for run in series["pileus"].runs), "bytes", 0)
    add_state(row, setting, report)
    if shutil.which("strace"):
        report.add(row, "source files opened", opened_files(setting), "", 0)
    else:
        report.not_measured[f"{row}, source files opened"] = "the program strace is not here: apt-get install strace"


def restore(row: str, setting: Setting, report: Report, runs: int) -> None:
    """Everything brought back into an empty directory."""
    setting.ensure_archive()
    setting.ensure_backup()
    pileus = setting.restore()
    compared = []

    def compare_once() -> None:
        if not compared and setting.corpus.name == "L":
            corpora.same_tree(setting.corpus.source, setting.restored(), setting.directory)
            compared.append(row)
            say(f"{row}: what was restored is the same as the source")

    pileus.check = compare_once
    peers = [store.restore(setting.target, setting.empty_target) for store in setting.peer_stores]
    series = take_turns(row, [setting.limit_restore(), pileus, *peers], runs)
    remove(setting.target)
    report.add_ratio(row, series)
    report.add_series(row, series)


def image(row: str, setting: Setting, report: Report, _runs: int) -> None:
    """Three nights of one large file, the last two after small changes. Once: a second time would add the same bytes."""
    limit_bytes = None
    for night in range(3):
        if night > 0:
            limit_bytes = corpora.change_image(setting.corpus, night)
        setting.corpus.survey().wait_until_settled()
        peers = [store.again(f"run-{night}") if night else store.first() for store in setting.peer_stores]
        series = take_turns(f"{row}-run-{night}", [setting.backup(fresh=night == 0), *peers], 1)
        report.add_series(f"{row}-run-{night}", series)
        added_bytes = series["pileus"].added_bytes
        report.add(f"{row}-run-{night}", "store added", added_bytes, "decimal bytes", IMAGE_TARGET_BYTES.get(night), limit_bytes)
    run_once(setting.restore())
    must(["cmp", str(setting.corpus.source / "image"), str(setting.restored() / "image")])
    remove(setting.target)
    add_state(f"{row}-run-2", setting, report)


def memory(row: str, setting: Setting, report: Report, _runs: int) -> None:
    """Peak memory of the commands that no other row runs."""
    setting.ensure_backup()
    for contender in setting.looking():
        try:
            run = run_once(contender)
        except Failed as failure:
            report.not_measured[f"{row}, {contender.name}"] = str(failure)
            continue
        say(f"{row}: {contender.name} {run.seconds:.2f} s, {run.peak_bytes / 2**20:.0f} MiB")
        report.series.append((row, Series(contender.name, [run])))
        report.add(row, f"peak memory, {contender.name}", run.peak_bytes, "bytes", PEAK_TARGET_BYTES)


def sparse(row: str, setting: Setting, report: Report, _runs: int) -> None:
    """One file that is nearly all holes, stored and restored once, since that takes minutes.

    There is no target but for memory: the limit skips holes without a checksum of their zeros, which the format wants.
    """
    image = setting.corpus.source / "image"
    # Holes of a younger file are read, by right.
    setting.corpus.wait_until_settled(HOLES_SECONDS)
    turns = [("first", setting.limit_backup(), setting.backup(fresh=True)), ("restore", setting.limit_restore(), setting.restore())]
    for name, limit, pileus in turns:
        series = take_turns(f"{row}-{name}", [limit, pileus], 1)
        report.add_series(f"{row}-{name}", series)
        report.add(f"{row}-{name}", "time", series["pileus"].seconds, "s", None, series["limit"].seconds)
    corpora.same_sparse(image, setting.restored() / "image")
    say(f"{row}: what was restored is the same as the source")
    report.add(row, "store", size_bytes(setting.store), "bytes", None, size_bytes(setting.archive))
    disk_bytes = [path.stat().st_blocks * 512 for path in (image, setting.restored() / "image")]
    report.add(row, "restored on disk", disk_bytes[1], "bytes", None, disk_bytes[0])
    remove(setting.target)


# Name of the row, corpus, codec, function. In this order, what a row makes is there for those after it.
ROWS: dict[str, tuple[str, str, Row]] = {
    "L-first-zstd": ("L", "zstd", first),
    "L-unchanged": ("L", "zstd", unchanged),
    "L-restore-zstd": ("L", "zstd", restore),
    "L-memory": ("L", "zstd", memory),
    "L-syncs": ("L", "zstd", syncs),
    "L-first-bzip2": ("L", "bzip2", first),
    "L-restore-bzip2": ("L", "bzip2", restore),
    "M-first-zstd": ("M", "zstd", first),
    "M-unchanged": ("M", "zstd", unchanged),
    "M-restore-zstd": ("M", "zstd", restore),
    "M-memory": ("M", "zstd", memory),
    "V": ("V", "zstd", image),
    "S": ("S", "zstd", sparse),
}


def add_state(row: str, setting: Setting, report: Report) -> None:
    report.add(row, "local state", size_bytes(setting.state), "bytes", setting.corpus.state_target_bytes())


def opened_files(setting: Setting) -> int:
    """How many regular files of the source one more backup opens.

    The paths come from the kernel (`-y`: what the new descriptor refers to): pileus opens names relative to a directory's descriptor.
    """
    trace = setting.directory / "trace"
    backup = setting.backup()
    calls = "trace=open,openat,openat2"
    backup.command = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-e", calls, "-o", str(trace), *backup.command]
    run_once(backup)
    source = os.fsencode(setting.corpus.source) + b"/"
    count = 0
    with open(trace, "rb") as lines:
        for line in lines:
            opened = re.search(rb"= \d+<(.*)>$", line.rstrip())
            path = unescaped(opened[1]) if opened else b""
            if path.startswith(source) and stat.S_ISREG(os.lstat(path).st_mode):
                count += 1
    remove(trace)
    return count


def unescaped(text: bytes) -> bytes:
    r"""Undoes how strace writes a name: `\342\200\234`."""
    return text.decode("unicode_escape").encode("latin-1") if b"\\" in text else text
