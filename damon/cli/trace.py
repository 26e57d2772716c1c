# SPDX-License-Identifier: GPL-2.0-only
"""``damon trace``: print the trace events of a running damond."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from damon.damond.runtime import default_mount, trace_socket_path
from damon.trace.client import SOCKET_VARIABLE, socket_path, until_signal

DESCRIPTION = """\
Print trace events as they happen, as `perf script` does, or as JSON lines, until Ctrl-C or the end of damond.
Events are damon_aggregated, damon_region_aggregated, damos_before_apply, damos_esz, damon_monitor_intervals_tune and
damos_stat_after_apply_interval.
"""


def add(commands: Any) -> None:
    command = commands.add_parser(
        "trace",
        help="print trace events of a running damond",
        description=DESCRIPTION,
        epilog="example: damon trace -e damos_before_apply -e damos_esz --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "-e", "--event", action="append", default=[], metavar="EVENT", help="only this one; several times for several"
    )
    command.add_argument("--json", action="store_true", help="a JSON object a line")
    command.add_argument("--socket", metavar="PATH", help=f"of the stream (default ${SOCKET_VARIABLE})")
    command.add_argument("--mount", type=Path, metavar="DIR", help="of the damond to ask (default: $DAMOND_MOUNT)")
    command.set_defaults(function=trace)


def trace(arguments: argparse.Namespace) -> int:
    """The exit code."""
    path = arguments.socket
    if not path:
        given = os.environ.get(SOCKET_VARIABLE) and not arguments.mount
        path = socket_path() if given else str(trace_socket_path(arguments.mount or default_mount()))
    with until_signal(path, arguments.event, "json" if arguments.json else "script") as client:
        for lines in client.bunches():
            print("\n".join(lines), flush=True)
    return 0
