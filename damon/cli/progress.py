# SPDX-License-Identifier: GPL-2.0-only
"""The live view of a run, on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from damon.cli.output import make_table

_REFRESH_S: Final = 0.25
_LINE_S: Final = 2.0
_ENDLESS_S: Final = 60.0  # between two lines of a run without an end


def _rate(rate: float) -> str:
    """Three digits at least, never a power of ten."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"


class Progress:
    """A live table on a terminal. Elsewhere a line after two seconds, and then one for each tenth of the run, but none
    sooner than two seconds after the last; a run without an end has one a minute.

    Paced by real time, never by the job's own clock.

    Args:
        columns: of the table.
        total: seconds that the run takes, of its own clock; None: it has no end.
        quiet: show nothing.
    """

    def __init__(self, columns: Sequence[str], total: float | None = None, *, quiet: bool = False) -> None:
        self._columns, self._total, self._quiet = columns, total, quiet
        self._begin = time.monotonic()
        self._next = self._begin + _REFRESH_S
        self._tenth = 0  # no line before so many tenths of the run
        self._live: Any = None
        if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        elif not quiet:
            self._next = self._begin + _LINE_S

    def due(self, seconds: float) -> bool:
        """Is it time to show something, ``seconds`` after the run's start?"""
        if self._quiet or time.monotonic() < self._next:
            return False
        return self._live is not None or self._tenths(seconds) >= self._tenth

    def show(self, seconds: float, what: str, rows: Sequence[Sequence[str]]) -> None:
        title = f"{self._how_far(seconds)}: {what}"
        now = time.monotonic()
        if self._live is not None:
            from rich.console import Group
            from rich.text import Text

            table = make_table(self._columns, rows, self._live.console.width)
            self._live.update(Group(Text(title), table), refresh=True)
            self._next = now + _REFRESH_S
            return
        cells = (
            "; " + ", ".join(f"{name} {cell}" for name, cell in zip(self._columns, row, strict=True)) for row in rows
        )
        print(title + "".join(cells), file=sys.stderr, flush=True)
        self._next = now + (_ENDLESS_S if self._total is None else _LINE_S)
        if self._total is not None:
            self._tenth = self._tenths(seconds) + 1

    def _tenths(self, seconds: float) -> int:
        return self._tenth if self._total is None else int(seconds * 10 / self._total + 1e-9)

    def _how_far(self, seconds: float) -> str:
        """``30.0 of 60 s (50 %, 140 s a second, 1 s left)``."""
        rate = seconds / max(time.monotonic() - self._begin, 1e-9)
        if self._total is None:
            return f"{seconds:.1f} s"
        left = max(self._total - seconds, 0) / rate if rate else 0.0
        share = seconds / self._total
        return f"{seconds:.1f} of {self._total:.15g} s ({share:.0%}, {_rate(rate)} s a second, {_clock(left)} left)"

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def _clock(seconds: float) -> str:
    """``42 s``, ``3:20``, ``2:03:20``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
