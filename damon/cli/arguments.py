# SPDX-License-Identifier: GPL-2.0-only
"""The types of values that several commands take. What is wrong is refused in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from damon.command.parser import Parser
from damon.errors import InvalidInput
from damon.modules.params import parse_long, parse_ulong
from damon.quoting import quoted
from damon.units import DURATIONS, seconds
from damon.version import __version__

__all__ = ["Parser", "add_modules", "add_pace", "add_version", "duration", "number", "seed"]

_MOST_S = 10**9


def add_version(parser: argparse.ArgumentParser) -> None:
    """``--version``, of the distribution."""
    parser.add_argument("--version", action="version", version=f"%(prog)s (pydamon) {__version__}")


def duration(text: str) -> float:
    """Seconds above 0 of ``90``, ``500ms``, ``5min``, ``1h``."""
    value = seconds(text)
    if value is None or not 1e-6 <= value <= _MOST_S:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not a duration above 0; give seconds, or e.g. {DURATIONS}"
        )
    return float(value)


def number(least: int, most: int, what: str = "a whole number") -> Callable[[str], int]:
    """The type of a whole number in these bounds; decimal, ``0x`` or ``0`` octal."""

    def parse(text: str) -> int:
        try:
            value = parse_long(text) if text.startswith("-") else parse_ulong(text)
        except InvalidInput:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{quoted(text)}: is not {what} from {least} to {most}; give one")
        return value

    return parse


seed = number(0, (1 << 64) - 1, "a seed: give a number")


def add_modules(command: Any) -> None:
    """``--cmdline`` and ``--module``: what is loaded, and with which parameters."""
    command.add_argument("--cmdline", default="", metavar="STRING", help="parameters as on the kernel's command line")
    command.add_argument(
        "--module", action="append", nargs="+", default=[], metavar=("NAME", "param=value"),
        help="load a module with parameters; can be given several times",
    )  # fmt: skip


def add_pace(command: Any, without: str) -> None:
    """``--duration`` and ``--seed``. ``without``: how long it takes where no duration is given."""
    command.add_argument(
        "--duration", type=duration, metavar="S", help=f"seconds, or with a unit, e.g. 500ms, 5min, 1h; {without}"
    )
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="of every random choice (default 0)")
