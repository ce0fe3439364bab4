"""What came of the year, as a table and as curves."""

WIDTH, HEIGHT, MARGIN = 640, 360, 56
COLOURS = ("#1b6ca8", "#c8553d", "#3d8c40", "#8a5aa8")


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
    across = lambda below: MARGIN + below * (WIDTH - 2 * MARGIN)
    up = lambda ratio: HEIGHT - MARGIN - (ratio - 1) / (top - 1) * (HEIGHT - 2 * MARGIN)
    text = lambda x, y, words, colour="#333": f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}">{words}</text>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tenth in range(11):
        parts.append(text(across(tenth / 10) - 8, HEIGHT - MARGIN + 18, f"{tenth / 10:.1f}"))
    step = 0.1 if top < 1.8 else 0.2
    ratio = 1.0
    while ratio <= top:
        y = up(ratio)
        parts.append(f'<path d="M{MARGIN} {y:.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>' + text(MARGIN - 30, y + 4, f"{ratio:.1f}"))
        ratio += step
    parts.append(text(MARGIN, HEIGHT - 14, "cleaned below this utilization; line: store to optimum, dashes: uploaded to no cleaning"))
    for (year, line), colour in zip(points, COLOURS):
        for column, dash in ((1, ""), (2, ' stroke-dasharray="5 4"')):
            path = "L".join(f"{across(point[0]):.1f} {up(point[column]):.1f}" for point in line)
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(text(WIDTH - MARGIN + 4, up(line[-1][1]) + 4, year.segment_size, colour))
    return "\n".join([*parts, "</svg>", ""])
