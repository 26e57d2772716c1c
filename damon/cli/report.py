# SPDX-License-Identifier: GPL-2.0-only
"""``damon report``: a file of records as tables and heatmaps or as JSON; run directories by ``report_runs.py``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from damon.cli.arguments import number
from damon.cli.heatmap import columns, show
from damon.errors import InvalidInput
from damon.records.names import mappings

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
  damon report damon.data -o report.html
  damon report run1
  damon report run1 run2 -o report.html
"""
_COUNT: Final = number(1, 10000, "a count")
#: What is made of runs, and of records as runs.
_PAGES: Final = ("output", "svg", "png", "parquet")


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
    command.add_argument("-o", "--output", metavar="FILE", help="write an HTML page; - for standard output")
    command.add_argument("--svg", metavar="FILE", help="write a picture as SVG")
    command.add_argument("--png", metavar="FILE", help="write a picture as PNG")
    command.add_argument("--parquet", metavar="DIR", help="write the tables of one run as Parquet files")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.add_argument("--rows", type=_COUNT, default=20, metavar="N", help="times in a heatmap (default 20)")
    command.add_argument("--columns", type=_COUNT, metavar="N", help="addresses in a heatmap (default: what fits)")
    command.add_argument("--absolute", action="store_true", help="9 is every sample, not the most that was seen")
    command.set_defaults(function=report)


def report(arguments: argparse.Namespace) -> int:
    """The exit code; 1 if the file's end could not be read."""
    from damon.records import heatmap

    if any(map(os.path.isdir, arguments.file)) or any(getattr(arguments, option) for option in _PAGES):
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
