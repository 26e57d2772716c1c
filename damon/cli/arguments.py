# SPDX-License-Identifier: GPL-2.0-only
"""Parsing of arguments: one-line errors, and the types of values that several commands take."""

from __future__ import annotations

import argparse
from typing import NoReturn

from damon import __version__
from damon.quoting import bounded, quoted

_SEED_MAX = (1 << 64) - 1


class Parser(argparse.ArgumentParser):
    """As argparse's, but a wrong argument costs one line on stderr, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {bounded(message)}; see {self.prog} --help\n")


def add_version(parser: argparse.ArgumentParser) -> None:
    """``--version``, of the distribution."""
    parser.add_argument("--version", action="version", version=f"%(prog)s (pydamon) {__version__}")


def duration(text: str) -> float:
    """Seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1e-6 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no duration: give seconds above 0")
    return seconds


def seed(text: str) -> int:
    """0 to 2**64 - 1."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= _SEED_MAX:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no seed: give a number from 0 to {_SEED_MAX}")
    return number
