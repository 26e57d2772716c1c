# SPDX-License-Identifier: GPL-2.0-only
"""``damon report``: a file of records as tables and heatmaps or as JSON; run directories by ``report_runs.py``."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import number
from damon.errors import InvalidInput
from damon.quoting import listed
from damon.records.names import Mapping, mappings, names_in

if TYPE_CHECKING:
    from damon.records.heatmap import Area, Summary

DESCRIPTION = """\
Show what was recorded by `damon record` or `damo record`, or run directories of `damon run --out`: the working set,
how often what was accessed when, and for runs the figures. For several runs, show in what they differ. -o writes a
page with pictures that can be zoomed, which needs no network.
In a heatmap each row is a time and each column an address; 0 is never, 9 the most that was seen (--absolute: every
sample), blank not monitored. Colours follow NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE and TERM.
"""
EPILOG = """\
examples:
  damon report damon.data --json
  damon report run1
  damon report run1 run2 -o report.html
"""
_COLORS: Final = (232, 17, 18, 19, 54, 89, 124, 160, 202, 220)  # of 256: black, blue, red, yellow
_COUNT: Final = number(1, 10000, "a count")
_LABEL: Final = 10
_WIDTH: Final = 80


def add(commands: Any) -> None:
    command = commands.add_parser(
        "report",
        help="show recorded monitoring results",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "file",
        nargs="*",
        default=["damon.data"],
        metavar="FILE",
        help="of records, or run directories (default damon.data)",
    )
    command.add_argument("-o", "--output", metavar="FILE", help="runs: write an HTML page; - for standard output")
    command.add_argument("--svg", metavar="FILE", help="runs: write a picture as SVG")
    command.add_argument("--png", metavar="FILE", help="runs: write a picture as PNG")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.add_argument("--rows", type=_COUNT, default=20, metavar="N", help="times in a heatmap (default 20)")
    command.add_argument("--columns", type=_COUNT, metavar="N", help="addresses in a heatmap (default: what fits)")
    command.add_argument("--absolute", action="store_true", help="9 is every sample, not the most that was seen")
    command.set_defaults(function=report)


def report(arguments: argparse.Namespace) -> int:
    """The exit code; 1 if the file's end could not be read."""
    from damon.records import heatmap

    if any(map(os.path.isdir, arguments.file)):
        from damon.cli import report_runs

        return report_runs.report(arguments)
    name = arguments.file[0]
    path = Path(name)
    if not path.is_file():
        raise InvalidInput(
            f"file: {name!r}: is not a file; give one of `damon record`, or directories of `damon run --out`"
        )
    _check_for_records(arguments)
    result = heatmap.report(path, arguments.rows, columns(arguments))
    if arguments.json:
        print(json.dumps(heatmap.as_object(path, result)))
    else:
        for summary in result.targets:
            show(summary, mappings(path, summary.key.target), arguments.absolute)
        if not result.targets:
            print(f"{name}: no snapshots")
    if result.damaged is not None:
        print(f"damon: {result.damaged}; this is what came before", file=sys.stderr)
        return 1
    return 0


def _check_for_records(arguments: argparse.Namespace) -> None:
    """Refuse what is for run directories."""
    if len(arguments.file) > 1:
        raise InvalidInput(
            f"file: {arguments.file[1]!r}: is one more; give one file of records, or directories of runs"
        )
    given = next((option for option in ("output", "svg", "png") if getattr(arguments, option) is not None), None)
    if given is not None:
        raise InvalidInput(f"--{given}: is for directories of runs; leave it out, or record with damon run --out DIR")


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
