"""Curves as plain SVG: panels with two axes each, side by side or one above the other."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 640, 360, 56
COLOURS = ("#1b6ca8", "#c8553d", "#3d8c40", "#8a5aa8", "#b8860b", "#555555")


@dataclass
class Axis:
    """From the lowest to the highest value."""

    low: float
    high: float
    is_logarithmic: bool = False

    def part(self, value: float) -> float:
        """How far along the axis a value is: 0 at its beginning, 1 at its end."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass
class Panel:
    """A field of curves, which is drawn part by part."""

    across: Axis
    up: Axis
    left: int = 0
    top: int = 0
    width: int = WIDTH
    height: int = HEIGHT

    def __post_init__(self) -> None:
        self.parts = []

    def x(self, value: float) -> float:
        return self.left + MARGIN + self.across.part(value) * (self.width - 2 * MARGIN)

    def y(self, value: float) -> float:
        return self.top + self.height - MARGIN - self.up.part(value) * (self.height - 2 * MARGIN)

    def text(self, x: float, y: float, words: str, colour: str = "#333") -> None:
        """Writes at a place of the panel, in its own coordinates."""
        self.parts.append(f'<text x="{self.left + x:.0f}" y="{self.top + y:.0f}" fill="{colour}">{words}</text>')

    def mark_across(self, value: float, words: str) -> None:
        self.text(self.x(value) - self.left - 8, self.height - MARGIN + 18, words)

    def mark_up(self, value: float, words: str, room: int = 30) -> None:
        """Draws a line at a height, with its name to the left of it."""
        y = self.y(value)
        self.parts.append(f'<path d="M{self.left + MARGIN} {y:.1f}H{self.left + self.width - MARGIN}" stroke="#ddd"/>')
        self.text(MARGIN - room, y - self.top + 4, words)

    def curve(self, points: list[tuple[float, float]], colour: str, is_dashed: bool = False) -> None:
        path = "L".join(f"{self.x(across):.1f} {self.y(up):.1f}" for across, up in points)
        dash = ' stroke-dasharray="5 4"' if is_dashed else ""
        self.parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')


def svg(panels: list[Panel]) -> str:
    """All panels as one picture."""
    width = max(panel.left + panel.width for panel in panels)
    height = max(panel.top + panel.height for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    return "\n".join([*parts, *(part for panel in panels for part in panel.parts), "</svg>", ""])
