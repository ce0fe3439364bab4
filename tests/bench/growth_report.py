"""What came of growth.py, as tables and as curves: how much each file or snapshot more costs, and whether that stays the same.

Two figures say it. *Each more* is what the largest size took beyond the smallest, for each file or snapshot of the difference. The
*exponent* is the slope of the straight line through the points where both axes are logarithmic: 1 where twice as many cost twice as
much, above 1 where they cost more than that, near 0 where they cost nothing.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import chart
from chart import COLOURS, MARGIN, Axis, Panel
from measure import floor_bytes
from report import PEAK_TARGET_BYTES, shown

FILES, SNAPSHOTS = "files", "snapshots"
DRAWN = ("first backup", "unchanged backup", "restore", "verify --level=sums", "verify --level=files", "prune --keep-last=1 --dry-run")


@dataclass
class Point:
    count: int
    seconds: float
    peak_bytes: int


@dataclass
class Line:
    """One command, or its limit, at all sizes."""

    axis: str
    command: str
    contender: str
    points: list[Point] = field(default_factory=list)

    def each_more_seconds(self) -> float:
        first, last = self.points[0], self.points[-1]
        return (last.seconds - first.seconds) / max(1, last.count - first.count)

    def exponent(self) -> float:
        """Least squares."""
        pairs = [(math.log(point.count), math.log(max(point.seconds, 1e-4))) for point in self.points]
        means = [sum(values) / len(pairs) for values in zip(*pairs)]
        across = sum((x - means[0]) ** 2 for x, _ in pairs)
        return sum((x - means[0]) * (y - means[1]) for x, y in pairs) / across if across else 0.0


class Growth:
    """All lines so far."""

    def __init__(self, machine: dict) -> None:
        self.machine = machine
        self.floor_bytes = floor_bytes()
        self.lines: dict[tuple[str, str, str], Line] = {}
        self.not_measured: dict[str, str] = {}

    def add(self, axis: str, command: str, contender: str, count: int, seconds: float, peak_bytes: int) -> None:
        line = self.lines.setdefault((axis, command, contender), Line(axis, command, contender))
        line.points.append(Point(count, seconds, peak_bytes))
        # It rises with what is remembered here.
        self.floor_bytes = max(self.floor_bytes, floor_bytes())

    def of(self, axis: str, contender: str = "pileus") -> list[Line]:
        return [line for line in self.lines.values() if (line.axis, line.contender) == (axis, contender)]

    def limit(self, line: Line) -> Line | None:
        return self.lines.get((line.axis, line.command, "limit"))

    def write_json(self, path: Path) -> None:
        lines = [asdict(line) for line in self.lines.values()]
        raw = {"machine": self.machine, "peak_floor_bytes": self.floor_bytes, "lines": lines, "not_measured": self.not_measured}
        path.write_text(json.dumps(raw, indent=1) + "\n")


def text(growth: Growth) -> str:
    machine = growth.machine
    head = (
        f"{machine['pileus']}, {machine['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"load {machine['load']:.2f}, store on {machine['store']}"
    )
    tables = [table(growth, axis) for axis in (FILES, SNAPSHOTS) if growth.of(axis)]
    missing = "\n".join(f"NOT MEASURED  {what}: {reason}" for what, reason in growth.not_measured.items())
    return "\n\n".join(filter(None, [head, *tables, missing]))


def table(growth: Growth, axis: str) -> str:
    """A row for each command, with the limit below it if it has one."""
    lines = growth.of(axis)
    counts = [point.count for point in max(lines, key=lambda line: len(line.points)).points]
    sizes = [f"{count:,}" for count in counts]
    head = ["command", *(f"{size} {axis}" for size in sizes), "each more", "to limit", "exponent", *(f"memory, {size}" for size in sizes)]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        limit = growth.limit(line)
        ratio = ""
        # Where the limit hardly grows, there is nothing to be in proportion to.
        if limit and limit.points[-1].seconds > 1.5 * limit.points[0].seconds:
            ratio = f"{line.each_more_seconds() / limit.each_more_seconds():.2f}"
        rows.append(cells(line.command, line, ratio, growth, counts))
        if limit:
            rows.append(cells(f"limit of {line.command}", limit, "", growth, counts))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cells(name: str, line: Line, ratio: str, growth: Growth, counts: list[int]) -> list[str]:
    points = {point.count: point for point in line.points}
    seconds = [shown(points[count].seconds, "s") if count in points else "" for count in counts]
    peaks = [peak(points[count].peak_bytes, growth) if count in points else "" for count in counts]
    slopes = [f"{line.each_more_seconds() * 1e6:,.1f} µs", ratio, f"{line.exponent():.2f}"]
    return [name, *seconds, *(slopes if len(points) > 1 else [""] * 3), *peaks]


def peak(peak_bytes: int, growth: Growth) -> str:
    below = peak_bytes <= growth.floor_bytes * 1.02
    return ("< " if below else "") + shown(max(peak_bytes, growth.floor_bytes), "bytes")


def svg(growth: Growth) -> str:
    """Time to the left, memory to the right; files above, snapshots below. Lines are pileus, dashes limits."""
    panels = []
    for row, axis in enumerate(axis for axis in (FILES, SNAPSHOTS) if growth.of(axis)):
        drawn = [line for name in DRAWN for line in growth.of(axis) if line.command == name]
        panels += [time_panel(growth, axis, drawn, row * chart.HEIGHT), memory_panel(growth, axis, drawn, row * chart.HEIGHT)]
    return chart.svg(panels)


def time_panel(growth: Growth, axis: str, drawn: list[Line], top: int) -> Panel:
    all_lines = [*drawn, *filter(None, map(growth.limit, drawn))]
    seconds = [max(point.seconds, 1e-3) for line in all_lines for point in line.points]
    panel = Panel(counts_axis(drawn), Axis(decade(min(seconds), math.floor), decade(max(seconds), math.ceil), True), 0, top)
    for power in range(-3, 7):
        if panel.up.low <= 10**power <= panel.up.high:
            panel.mark_up(10**power, f"{10**power:,g} s", room=50)
    mark_counts(panel, drawn)
    panel.text(MARGIN, panel.height - 14, f"time over the number of {axis}; line: pileus, dashes: the limit")
    for number, line in enumerate(drawn):
        panel.curve(times(line), colour(line))
        limit = growth.limit(line)
        if limit:
            panel.curve(times(limit), colour(line), is_dashed=True)
        panel.text(MARGIN + number // 2 * 170, 22 + number % 2 * 16, line.command, colour(line))
    return panel


def memory_panel(growth: Growth, axis: str, drawn: list[Line], top: int) -> Panel:
    high = max(128 * 2**20, *(point.peak_bytes for line in drawn for point in line.points))
    panel = Panel(counts_axis(drawn), Axis(2**23, high, True), chart.WIDTH, top)
    for power in range(23, 31):
        if 2**power <= high:
            panel.mark_up(2**power, f"{2 ** (power - 20)} MiB", room=54)
    mark_counts(panel, drawn)
    mib = lambda count: f"{count / 2**20:.0f} MiB"
    words = f"target {mib(PEAK_TARGET_BYTES)}, less than {mib(growth.floor_bytes)} cannot be told"
    panel.text(MARGIN, panel.height - 14, f"peak memory over the number of {axis}: {words}")
    for line in drawn:
        panel.curve([(point.count, point.peak_bytes) for point in line.points], colour(line))
    return panel


def colour(line: Line) -> str:
    return COLOURS[DRAWN.index(line.command)]


def times(line: Line) -> list[tuple[float, float]]:
    return [(point.count, max(point.seconds, 1e-3)) for point in line.points]


def counts_axis(drawn: list[Line]) -> Axis:
    counts = [point.count for line in drawn for point in line.points]
    return Axis(min(counts), max(counts), True)


def mark_counts(panel: Panel, drawn: list[Line]) -> None:
    for count in sorted({point.count for line in drawn for point in line.points}):
        panel.mark_across(count, f"{count:,}")


def decade(value: float, round_to) -> float:
    return 10.0 ** round_to(math.log10(value))
