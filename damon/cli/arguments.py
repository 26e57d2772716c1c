# SPDX-License-Identifier: GPL-2.0-only
"""The types of values that several commands take. What is wrong is refused in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from damon import __version__
from damon.command.parser import Parser
from damon.errors import InvalidInput
from damon.modules.params import parse_long, parse_ulong
from damon.quoting import quoted
from damon.units import DURATIONS, seconds

__all__ = ["Parser", "add_version", "duration", "number", "seed"]

_MOST_S = 10**9


def add_version(parser: argparse.ArgumentParser) -> None:
    """``--version``, of the distribution."""
    parser.add_argument("--version", action="version", version=f"%(prog)s (pydamon) {__version__}")


def duration(text: str) -> float:
    """Seconds above 0 of ``90``, ``500ms``, ``5min``, ``1h``."""
    value = seconds(text)
    if value is None or not 1e-6 <= value <= _MOST_S:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not a duration above 0: write seconds, or e.g. {DURATIONS}"
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
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not {what} from {least} to {most}")
        return value

    return parse


seed = number(0, (1 << 64) - 1, "a seed: give a number")
