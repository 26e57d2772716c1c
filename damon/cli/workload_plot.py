# SPDX-License-Identifier: GPL-2.0-only
"""A workload as a picture: how often the memory of each area is touched when."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from damon.cli import heatmap as terminal
from damon.cli import output
from damon.records import heatmap
from damon.workload.model import Workload
from damon.workload.rates import LEVELS, Band, bands, level, total_us

_LABEL: Final = 10
_WIDTH: Final = 80
#: The colours of ``damon report``'s levels, from never to most.
_SHADES: Final = ("#f4f4f8", "#d8d8f0", "#b4b4e8", "#9090d8", "#8050b0", "#a02880", "#c82840", "#e85020", "#f8a020",
                  "#ffd800")  # fmt: skip
_COLUMNS: Final = 240  # of time, in an SVG picture
_LEFT: Final = 150
_TOP: Final = 44
_HEIGHT: Final = 360
_LEAST: Final = 16  # of an area
_CELL: Final = 3


def _areas(workload: Workload, times: int) -> list[list[Band]]:
    """The parts of each area of the file."""
    return [list(parts) for _, parts in groupby(bands(workload, times), key=lambda band: band.title)]


def _top(areas: Sequence[Sequence[Band]]) -> float:
    return max((rate for parts in areas for band in parts for rate in band.rates if rate is not None), default=0.0)


def as_object(workload: Workload, times: int) -> dict[str, Any]:
    """The rates for machines; null where a part is not mapped."""
    return {
        "workload": workload.name,
        "seconds": total_us(workload) / 1e6,
        "times": times,
        "areas": [
            {
                "name": parts[0].title,
                "process": parts[0].area.process,
                "kind": parts[0].area.kind.value,
                "parts": [
                    {
                        "offset_bytes": band.offset,
                        "size_bytes": band.area.size,
                        "touches_per_page_second": [None if rate is None else round(rate, 6) for rate in band.rates],
                    }
                    for band in parts
                ],
            }
            for parts in _areas(workload, times)
        ],
    }


def show(workload: Workload, times: int) -> None:
    """A heatmap of each area, as ``damon report`` draws them."""
    areas = _areas(workload, times)
    columns, top = _WIDTH - _LABEL, _top(areas)
    if sys.stdout.isatty():
        columns = max(shutil.get_terminal_size().columns - _LABEL, 10)
    whole = max(sum(band.area.size for band in parts) for parts in areas)
    print(_legend(top))
    print("seconds, then addresses from left to right")
    for parts in areas:
        size = sum(band.area.size for band in parts)
        width = max(columns * size // whole, 1)
        print(f"{parts[0].title} of {parts[0].area.process}, {output.size(size)}")
        heat = [[_percent(cell, top) for cell in row] for row in zip(*_cells(parts, size, width), strict=True)]
        terminal.draw(heatmap.Area(0, size, heat), total_us(workload) / 1e6, 100.0)


def _legend(top: float) -> str:
    return (
        f"0 never, 9 is {top:.3g} touches of a page in a second, the most; each step down is a third of it (0.32); "
        "blank is not mapped"
    )


def _percent(rate: float | None, top: float) -> float | None:
    return None if rate is None else level(rate, top) * 100.0 / LEVELS


def _cells(parts: Sequence[Band], size: int, width: int) -> Iterator[list[float | None]]:
    """For each of ``width`` columns of addresses the rate at each time: means over what is mapped of them."""
    for column in range(width):
        begin, end = size * column // width, size * (column + 1) // width
        shares = [(band, min(band.offset + band.area.size, end) - max(band.offset, begin)) for band in parts]
        rates = []
        for time in range(len(parts[0].rates)):
            here = [(rate, share) for band, share in shares if share > 0 and (rate := band.rates[time]) is not None]
            weight = sum(share for _, share in here)
            rates.append(sum(rate * share for rate, share in here) / weight if weight else None)
        yield rates


def svg(workload: Workload) -> str:
    """The picture as SVG: time from left to right, addresses from top to bottom, equal neighbours in one piece."""
    areas = _areas(workload, _COLUMNS)
    top, seconds = _top(areas), total_us(workload) / 1e6
    whole = sum(band.area.size for parts in areas for band in parts)
    lines, y = list[str](), float(_TOP)
    for parts in areas:
        size = sum(band.area.size for band in parts)
        height = max(_HEIGHT * size / whole, _LEAST)
        name = escape(f"{parts[0].title}, {output.size(size)}")
        lines.append(f'<text x="{_LEFT - 6}" y="{y + min(height / 2, 200) + 4:.1f}" text-anchor="end">{name}</text>')
        for band in parts:
            lines += _strip(band, y + height * band.offset / size, height * band.area.size / size, top)
        y += height + 4
    for n in range(7):
        x = _LEFT + _COLUMNS * _CELL * n // 6
        lines.append(f'<text x="{x}" y="{y + 14:.1f}" text-anchor="middle">{_time(seconds * n / 6)}</text>')
    for n, shade in enumerate(_SHADES):
        x = _LEFT + 24 * n
        lines.append(f'<rect x="{x}" y="{y + 28:.1f}" width="24" height="12" fill="{shade}"/>')
        lines.append(f'<text x="{x + 12}" y="{y + 54:.1f}" text-anchor="middle">{n}</text>')
    lines.append(f'<text x="12" y="{y + 74:.1f}">{escape(_legend(top))}</text>')
    title = escape(f"{workload.name}: touches of each area over time")
    width, height = _LEFT + _COLUMNS * _CELL + 30, y + 86
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" role="img" '
        f'shape-rendering="crispEdges" '
        f'font-family="sans-serif" font-size="12">\n<title>{title}</title>\n<rect width="100%" height="100%" '
        f'fill="white"/>\n<text x="12" y="24" font-size="15">{title}</text>\n'
    )
    return head + "\n".join(lines) + "\n</svg>\n"


def _strip(band: Band, y: float, height: float, top: float) -> Iterator[str]:
    """The rectangles of one part; none where it is not mapped."""
    column = 0
    for shade, run in groupby(None if rate is None else level(rate, top) for rate in band.rates):
        count = len(list(run))
        if shade is not None:
            yield (
                f'<rect x="{_LEFT + column * _CELL}" y="{y:.2f}" width="{count * _CELL}" height="{height:.2f}" '
                f'fill="{_SHADES[shade]}"/>'
            )
        column += count


def _time(seconds: float) -> str:
    """As an axis has it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
