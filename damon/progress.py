# SPDX-License-Identifier: GPL-2.0-only
"""Shows that something long is going on: a live line on a terminal, one plain line every half minute elsewhere.

``vmtest/progress.py`` is a link to this file, as neither package imports the other.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

QUIET_SECONDS = 2.0
PLAIN_EVERY_SECONDS = 30.0


class Progress:
    """A context that stays silent for two seconds and then shows a label, a note and the time it takes, on stderr."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._status: Status | None = None
        self._started = time.monotonic()
        self._printed = 0.0
        self._note = ""

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
        elapsed = time.monotonic() - self._started
        if kind is None and elapsed >= QUIET_SECONDS:
            self._line(f"{self.label}: done in {elapsed:.0f} s")

    def update(self, note: str = "") -> None:
        """Shows what is being done now; call it as often as you like."""
        self._note = note or self._note
        now = time.monotonic()
        elapsed = now - self._started
        if elapsed < QUIET_SECONDS:
            return
        text = f"{self.label}: {self._note} ({elapsed:.0f} s)"
        if sys.stderr.isatty():
            if self._status is None:
                from rich.console import Console  # most guests are started with all there, and show nothing

                self._status = Console(stderr=True).status(text)
                self._status.start()
            self._status.update(text)
        elif not self._printed or now - self._printed >= PLAIN_EVERY_SECONDS:
            self._printed = now
            self._line(text)

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
