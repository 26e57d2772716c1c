# SPDX-License-Identifier: GPL-2.0-only
"""The interface of a machine's clock: time, waiting and threads. ``damon.mm.clock`` has the two that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from damon.model.ticks import Ticks


class Event(Protocol):
    """A flag that threads wait for, as ``threading.Event``, on the clock's time."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout_us: int | None = None) -> bool: ...
    def wait_until(self, end_ns: int) -> bool:
        """As ``wait``, to a time of the clock."""


class Thread(Protocol):
    """A running worker."""

    @property
    def name(self) -> str: ...
    @property
    def native_id(self) -> int | None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None:
        """Wait for its end; up to ``timeout`` seconds in real time, which virtual time does not have."""


class Clock(Protocol):
    """Time, waiting and threads of one machine.

    What the machine's kernel reads coarsely, and how its sleeps end, ``ticks`` computes from ``now_ns()``.
    """

    ticks: Ticks

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""

    def jiffies(self) -> int:
        """The number of ticks so far; of milliseconds where there are none."""

    def coarse_ns(self) -> int:
        """The time of the last tick; ``now_ns()`` where there are none."""

    def sleep_us(self, us: int) -> None:
        """Sleep exactly so long, as a program with a high resolution timer does."""

    def sleep_until(self, end_ns: int) -> None:
        """Sleep to a time of the clock, e.g. to ``ticks.sleep_end_ns(now_ns(), us)``."""

    def event(self) -> Event: ...

    def spawn(self, name: str, function: Callable[[], None]) -> Thread:
        """Run ``function`` in a thread called ``name`` (also for the operating system)."""
