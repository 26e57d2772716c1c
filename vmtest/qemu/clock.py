# SPDX-License-Identifier: GPL-2.0-only
"""The time of a guest that may be paused: a command's limit does not run while the guest stands still."""

from __future__ import annotations

import threading
import time


class Clock:
    """Monotonic seconds less those of pauses. Any thread may use it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._paused = 0.0
        self._since: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        return self._since is not None

    def need_running(self) -> None:
        """Raises RuntimeError while the guest is paused: it would not answer."""
        if self.stopped:
            raise RuntimeError("the guest is paused; call resume() first")

    def now(self) -> float:
        """Seconds; only differences mean something."""
        with self._guard:
            return (self._since if self._since is not None else time.monotonic()) - self._paused

    def stop(self) -> None:
        """Stands still from now on."""
        with self._guard:
            if self._since is None:
                self._since = time.monotonic()

    def go(self) -> None:
        """Goes on."""
        with self._guard:
            if self._since is not None:
                self._paused += time.monotonic() - self._since
                self._since = None
