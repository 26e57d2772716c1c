# SPDX-License-Identifier: GPL-2.0-only
"""Pictures as SVG, by hand: text, lines, and heatmaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

Heat = Sequence[Sequence[float | None]]
#: Columns and rows of a heatmap, white to dark red; colours between them.
COLDEST, HOTTEST = (255, 247, 236), (127, 0, 0)
STEPS: Final = 32


def text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    """One line of text at a place in pixels."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def svg(width: int, height: int, parts: Sequence[str]) -> str:
    """A picture of some pixels, on white."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([f"{head} {style}>", background, *parts, "</svg>"]) + "\n"


def _colour(step: int) -> str:
    mixed = (round(cold + (hot - cold) * step / STEPS) for cold, hot in zip(COLDEST, HOTTEST, strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)


def heatmap(heat: Heat, most: float, left: int, top: int, wide: int, high: int) -> list[str]:
    """Rows of cells, ``wide`` times ``high`` pixels each, in a frame; ``most`` is the darkest. What was never accessed
    stays white."""
    places: dict[int, list[str]] = defaultdict(list)
    for nr, row in enumerate(heat):
        begin = 0
        steps = [-(-min(cell, most) * STEPS // most) if cell else 0 for cell in row]
        for column in range(1, len(steps) + 1):
            if column < len(steps) and steps[column] == steps[begin]:
                continue
            width = (column - begin) * wide
            places[int(steps[begin])].append(f"M{left + begin * wide} {top + nr * high}h{width}v{high}h-{width}z")
            begin = column
    parts = [f'<path fill="{_colour(step)}" d="{"".join(places[step])}"/>' for step in sorted(places) if step]
    size = f'width="{max(map(len, heat)) * wide}" height="{len(heat) * high}"'
    return [*parts, f'<rect x="{left}" y="{top}" {size} fill="none" stroke="#888"/>']
