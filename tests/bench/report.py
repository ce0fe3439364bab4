"""Holds the measured figures to their targets, as tables for people and as JSON for programs.

The targets stand here and nowhere else. Those for seconds are ratios to the limit, so that they hold on any machine; those for bytes hold
as they are. A bench has no verdict on the whole: a missed target is a line to explain, not an error.
"""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from measure import Series

KIB = 2**10
MIB = 2**20

RATIO_TARGET = 1.0
PEAK_TARGET_BYTES = 64 * MIB
STORE_TARGET_BYTES = {("L", "zstd"): 195 * MIB, ("L", "bzip2"): 160 * MIB}
UNCHANGED_TARGET_BYTES = {"L": 24 * KIB, "M": 256 * KIB}
IMAGE_TARGET_BYTES = {1: 1_300_000, 2: 1_400_000}


@dataclass
class Finding:
    """One figure of pileus. Without a target it is only told."""

    row: str
    what: str
    measured: float
    unit: str
    target: float | None = None
    limit: float | None = None
    target_is_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        return self.measured / self.limit if self.limit else None

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        judged = self.ratio if self.target_is_ratio else self.measured
        return "met" if judged is not None and judged <= self.target else "missed"


@dataclass
class Report:
    """What was found so far."""

    machine: dict
    floor_bytes: int
    runs: int
    jobs: int
    corpora: dict = field(default_factory=dict)
    series: list[tuple[str, Series]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    absent_peers: list[str] = field(default_factory=list)
    syncs: list[dict] = field(default_factory=list)

    def add_sync(self, row: str, command: str, segments: int, call: str, count: int, waited_seconds: float, seconds: float) -> None:
        """Takes how often a command made a call, and how long all of these took of its time."""
        sync = {"row": row, "command": command, "segments": segments, "call": call, "count": count}
        self.syncs.append({**sync, "waited_seconds": waited_seconds, "seconds": seconds})

    def add_series(self, row: str, all_series: dict[str, Series]) -> None:
        self.series += [(row, series) for series in all_series.values()]
        self.add(row, "peak memory", all_series["pileus"].peak_bytes, "bytes", PEAK_TARGET_BYTES)

    def add_ratio(self, row: str, all_series: dict[str, Series]) -> None:
        measured, limit = all_series["pileus"].seconds, all_series["limit"].seconds
        self.findings.append(Finding(row, "time", measured, "s", RATIO_TARGET, limit, target_is_ratio=True))

    def add(self, row: str, what: str, measured: float, unit: str, target: float | None = None, limit: float | None = None) -> None:
        self.findings.append(Finding(row, what, measured, unit, target, limit))

    def text(self) -> str:
        """The tables."""
        parts = [self.head(), self.table_of_targets(), self.table_of_runs()]
        if self.syncs:
            parts.append(self.table_of_syncs())
        if self.absent_peers:
            parts.append(f"Peers that are not installed: {', '.join(self.absent_peers)}")
        if self.not_measured:
            parts.append("\n".join(f"NOT MEASURED  {row}: {reason}" for row, reason in self.not_measured.items()))
        return "\n\n".join(parts)

    def head(self) -> str:
        machine = self.machine
        lines = [
            f"{machine['pileus']}, {machine['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
            f"load {machine['load']:.2f}; {self.runs} runs, {self.jobs} jobs, store on {machine['store']}"
        ]
        for corpus in self.corpora.values():
            lines.append(f"{corpus['name']}: {corpus['entries']:,} entries, {corpus['files']:,} files, {corpus['source_bytes']:,} bytes")
        return "\n".join(lines)

    def table_of_targets(self) -> str:
        rows = [["row", "figure", "limit", "pileus", "ratio", "target", ""]]
        for finding in self.findings:
            if finding.target is None:
                target = ""
            elif finding.target_is_ratio:
                target = f"≤ {finding.target:.1f} × limit"
            else:
                target = f"≤ {shown(finding.target, finding.unit)}"
            limit = "" if finding.limit is None else shown(finding.limit, finding.unit)
            ratio = "" if finding.ratio is None else f"{finding.ratio:.2f}"
            is_peak = finding.what.startswith("peak memory")
            measured = self.peak(finding.measured) if is_peak else shown(finding.measured, finding.unit)
            rows.append([finding.row, finding.what, limit, measured, ratio, target, finding.verdict])
        return aligned(rows)

    def table_of_runs(self) -> str:
        rows = [["row", "contender", "median", "fastest", "slowest", "processor", "peak memory", "added"]]
        for row, series in self.series:
            if not series.runs:
                rows.append([row, series.contender, "failed", *[""] * 5])
                continue
            seconds = [run.seconds for run in series.runs]
            times = [shown(value, "s") for value in (series.seconds, min(seconds), max(seconds), series.cpu_seconds)]
            added = "" if series.added_bytes is None else shown(series.added_bytes, "bytes")
            rows.append([row, series.contender, *times, self.peak(series.peak_bytes), added])
        return aligned(rows)

    def table_of_syncs(self) -> str:
        rows = [["row", "command", "call", "count", "segments", "a segment", "waited", "of, under strace"]]
        for sync in self.syncs:
            each = f"{sync['count'] / sync['segments']:.2f}" if sync["segments"] else ""
            counts = [sync["call"], str(sync["count"]), str(sync["segments"]), each]
            rows.append([sync["row"], sync["command"], *counts, shown(sync["waited_seconds"], "s"), shown(sync["seconds"], "s")])
        return aligned(rows)

    def peak(self, peak_bytes: int) -> str:
        """Peak memory, as far as it can be told."""
        below = peak_bytes <= self.floor_bytes * 1.02
        return "< " + shown(self.floor_bytes, "bytes") if below else shown(peak_bytes, "bytes")

    def write_json(self, path: Path) -> None:
        raw = {
            "machine": self.machine,
            "runs": self.runs,
            "jobs": self.jobs,
            "peak_floor_bytes": self.floor_bytes,
            "corpora": self.corpora,
            "findings": [{**asdict(finding), "ratio": finding.ratio, "verdict": finding.verdict} for finding in self.findings],
            "series": [{"row": row, **series.as_json()} for row, series in self.series],
            "not_measured": self.not_measured,
            "absent_peers": self.absent_peers,
            "syncs": self.syncs,
        }
        path.write_text(json.dumps(raw, indent=1) + "\n")


def version_of(pileus: Path) -> str:
    return subprocess.run([pileus, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def machine(version: str, store: Path) -> dict:
    """What the figures depend on; `store` is where stores are made."""
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "pileus": version,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "store": subprocess.run(["stat", "-f", "-c", "%T", store], capture_output=True, text=True).stdout.strip(),
    }


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.3f} s" if value < 1 else f"{value:.2f} s"
    if unit == "decimal bytes":
        return f"{value / 1e6:,.2f} MB"
    if unit != "bytes":
        return f"{value:,.0f} {unit}".rstrip()
    if value < 10 * KIB:
        return f"{value:,.0f} B"
    return f"{value / KIB:,.1f} KiB" if value < MIB else f"{value / MIB:,.2f} MiB"


def aligned(rows: list[list[str]]) -> str:
    """Columns side by side: words to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
