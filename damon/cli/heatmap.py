# SPDX-License-Identifier: GPL-2.0-only
"""Heatmaps in the terminal: what was recorded of a target, as tables and digits."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from damon.cli import output
from damon.quoting import listed
from damon.records.names import Mapping, names_in

if TYPE_CHECKING:
    from damon.records.heatmap import Area, Summary

_COLORS: Final = (232, 17, 18, 19, 54, 89, 124, 160, 202, 220)  # of 256: black, blue, red, yellow
_LABEL: Final = 10
_WIDTH: Final = 80


def columns(arguments: argparse.Namespace) -> int:
    """Addresses of a heatmap: as many as asked for, or as fit."""
    if arguments.columns is None and sys.stdout.isatty():
        return max(shutil.get_terminal_size().columns - _LABEL, 10)
    return int(arguments.columns or _WIDTH - _LABEL)


def show(summary: Summary, known: Sequence[Mapping], absolute: bool) -> None:
    """Tables and heatmaps of one target on standard output; ``known`` are the names of what is where."""
    from damon.records.heatmap import PERCENTILES

    span = (summary.end_ns - summary.start_ns) / 1e9
    intervals = ""
    if summary.sample_us and summary.aggr_us:
        intervals = f", sampled every {summary.sample_us / 1000:g} ms, {summary.aggr_us / 1000:g} ms each"
    print(
        f"kdamond {summary.key.kdamond}, target {summary.key.target}: "
        f"{summary.nr_snapshots} snapshots in {span:g} s{intervals}"
    )
    rows = [
        ("regions", *map(str, summary.percentiles(summary.nr_regions))),
        ("working set", *map(output.size, summary.percentiles(summary.wss))),
    ]
    output.table(("percentile", *map(str, PERCENTILES)), rows)
    cells = [cell for area in summary.areas for row in area.heat for cell in row if cell]
    top = 100.0 if absolute else max(cells, default=100.0)
    if cells:
        most = "every sample" if absolute else f"{top:.3g} % of the samples, the most seen"
        print(f"0 never accessed, 9 in {most}; blank not monitored; seconds, then addresses from left to right")
    for area in summary.areas:
        names = listed(names_in(known, area.start, area.end))
        where = f"0x{area.start:x}-0x{area.end:x} ({output.size(area.end - area.start)})" + (names and f" {names}")
        if any(cell for row in area.heat for cell in row):
            print(where)
            draw(area, span, top)
        else:
            print(f"{where}: no access seen")


def level(percent: float, top: float = 100.0) -> int:
    """0 (never) to 9 (``top`` percent of the samples)."""
    return min(math.ceil(percent / top * 9 - 1e-9), 9)


def draw(area: Area, span: float, top: float) -> None:
    """The heat of one area as coloured digits, a line for each part of ``span`` seconds."""
    from rich.text import Text

    console = output.console()
    for index, row in enumerate(area.heat):
        text = Text(f"{span * index / len(area.heat):>8.2f}s ")
        for percent in row:
            number = None if percent is None else level(percent, top)
            text.append(
                " " if number is None else str(number), "" if number is None else f"on color({_COLORS[number]})"
            )
        output.write(console, text)
