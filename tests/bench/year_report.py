"""What came of the year, as a table and as curves."""

import chart
from chart import COLOURS, HEIGHT, MARGIN, WIDTH, Axis, Panel


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def mean_ratio(year, figures) -> float:
    """Store to need, over the nights of the second half on which the need was counted."""
    return mean([figures.store_bytes[night] / needed.total for night, needed in year.needed.items()])


def upload_ratio(year, figures) -> float:
    """What was written after the first backup, against the store that was never cleaned."""
    never = year.stores[0]
    return (figures.uploaded_bytes - figures.first_bytes) / max(1, never.uploaded_bytes - never.first_bytes)


def table(years: list) -> str:
    """A row for each store; sizes in MB of segments. `twice` is what its snapshots need beyond what those of the optimum do."""
    lines = [
        "| segments | cleaned below | store, MB | to optimum | to need, mean | uploaded, MB | to never | segments | expired, MB | twice, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for year in years:
        for figures in year.stores:
            cells = [
                year.segment_size,
                figures.below,
                f"{figures.store_bytes[-1] / 1e6:.1f}",
                f"{figures.store_bytes[-1] / year.optimum_bytes:.3f}",
                f"{mean_ratio(year, figures):.3f}",
                f"{(figures.uploaded_bytes - figures.first_bytes) / 1e6:.1f}",
                f"{upload_ratio(year, figures):.2f}",
                f"{figures.segments[-1]}",
                f"{figures.expired_bytes / 1e6:.1f}",
                f"{(figures.needed.total - year.optimum_bytes) / 1e6:.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        need = year.needed[max(year.needed)]
        counted = f"{need.total / 1e6:.1f} MB needed, of these metadata {need.metadata / 1e6:.1f}"
        lines.append(f"| {year.segment_size} | optimum | {year.optimum_bytes / 1e6:.1f} | 1 | {counted} | | | | | |")
    return "\n".join(lines)


def svg(years: list) -> str:
    """Curves over the thresholds: lines are stores against the optimum, dashes what was uploaded against no cleaning."""
    points = [
        (year, [(float(f.below), f.store_bytes[-1] / year.optimum_bytes, upload_ratio(year, f)) for f in year.stores[1:]])
        for year in years
    ]
    values = [value for _, line in points for point in line for value in point[1:]]
    top = max([1.1, *values]) + 0.05
    panel = Panel(Axis(0, 1), Axis(1, top))
    for tenth in range(11):
        panel.mark_across(tenth / 10, f"{tenth / 10:.1f}")
    step = 0.1 if top < 1.8 else 0.2
    ratio = 1.0
    while ratio <= top:
        panel.mark_up(ratio, f"{ratio:.1f}")
        ratio += step
    panel.text(MARGIN, HEIGHT - 14, "cleaned below this utilization; line: store to optimum, dashes: uploaded to no cleaning")
    for (year, line), colour in zip(points, COLOURS):
        for column in (1, 2):
            panel.curve([(point[0], point[column]) for point in line], colour, is_dashed=column == 2)
        panel.text(WIDTH - MARGIN + 4, panel.y(line[-1][1]) + 4, year.segment_size, colour)
    return chart.svg([panel])
