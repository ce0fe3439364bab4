"""What came of the year, as a table and as curves."""


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def mean_ratio(year, figures) -> float:
    """Store to need, over the nights of the second half on which the need was counted."""
    return mean([figures.store_bytes[night] / needed.total for night, needed in year.needed.items()])


def table(years: list) -> str:
    """A row for each store; sizes in MB of segments."""
    lines = [
        "| segments | cleaned below | store | to optimum | to need, mean of half a year | uploaded | to never | segments | expired | of need, twice |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for year in years:
        never = year.stores[0]
        last = max(year.needed, default=None)
        for figures in year.stores:
            nightly = figures.uploaded_bytes - figures.first_bytes
            cells = [
                year.segment_size,
                figures.below,
                f"{figures.store_bytes[-1] / 1e6:.1f}",
                f"{figures.store_bytes[-1] / year.optimum_bytes:.3f}",
                f"{mean_ratio(year, figures):.3f}",
                f"{nightly / 1e6:.1f}",
                f"{nightly / (never.uploaded_bytes - never.first_bytes):.2f}",
                f"{figures.segments[-1]}",
                f"{figures.expired_bytes / 1e6:.1f}",
                f"{(figures.needed.total - year.optimum_bytes) / 1e6:.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        counted = f", counted {year.needed[last].total / 1e6:.1f} (metadata {year.needed[last].metadata / 1e6:.1f})" if last else ""
        lines.append(f"| {year.segment_size} | optimum | {year.optimum_bytes / 1e6:.1f}{counted} | | | | | | | |")
    return "\n".join(lines)
