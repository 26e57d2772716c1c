# SPDX-License-Identifier: GPL-2.0-only
"""Time that C can pass: how a machine offers a stretch of it, in which nothing happens but accesses and faults.

Where a machine offers nothing of it (real time, a machine of the user's own) every sampling interval is a turn of the
worker's loop. What happens is the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int64, c_uint64, c_void_p
from typing import Protocol

from damon.model.operations import Stretch
from damon.model.ticks import Ticks
from damon.native.layout import shared


@shared("damon_access")
class NativeAccess(ctypes.Structure):
    """One address space for C: ``struct damon_access``."""

    owner: object  #: what ``space`` points to

    _fields_ = tuple((name, c_void_p) for name in ("space", "mkold", "young", "accessed", "empty"))


@shared("damon_time")
class NativeTime(ctypes.Structure):
    """A stretch of a machine's time for C: ``struct damon_time``."""

    now: int
    limit: int
    due: int
    free_low: int
    free_high: int
    check_ns: int
    late_ns: int
    sleep_ns: int
    tick_ns: int
    first_tick: int
    sleep_ticks: int
    wheel_shift: int

    _fields_ = (
        *((name, c_void_p) for name in ("machine", "advance", "free_pages", "next_event")),
        *((name, c_int64) for name in ("now", "limit", "due")),
        *((name, c_uint64) for name in ("free_low", "free_high")),
        ("sampled", c_void_p),
        *((name, c_int64) for name in ("check_ns", "late_ns", "sleep_ns", "tick_ns")),
        *((name, c_uint64) for name in ("first_tick", "sleep_ticks", "wheel_shift")),
    )

    def set_sleep(self, ticks: Ticks, us: int) -> None:
        """Each sleep takes ``us``, as ``ticks.sleep_end_ns()`` has it."""
        self.sleep_ns, self.late_ns = us * 1000, ticks.late_ns
        self.tick_ns = 0
        if ticks.hz and us >= ticks.upper_us:
            self.tick_ns, self.first_tick = ticks.tick_ns, ticks.jiffies(0)
            self.sleep_ticks, self.wheel_shift = ticks.timeout_ticks(us)


class SampledSpace(Protocol):
    """An address space that may offer itself to C."""

    def native_access(self) -> int | None:
        """The address of its ``NativeAccess``; None while it has to be asked call by call."""


class PassedMachine(Protocol):
    """A machine that may let C pass its time."""

    def begin_stretch(self, us: int, stretch: Stretch) -> int | None:
        """The address of a ``NativeTime``: sleeps of ``us`` each, from now on to the first moment at which another
        thread wakes or the machine needs Python. None: there is none. The calling thread must be the clock's."""

    def end_stretch(self) -> None:
        """Time has passed up to ``NativeTime.now``."""


def as_written(thing: object, *functions: Callable[..., object]) -> bool:
    """Are these still the methods of ``thing``, not a subclass's and not put in their place?"""
    for function in functions:  # noqa: SIM110 (once in each stretch: a generator costs more than all of it)
        if getattr(getattr(thing, function.__name__), "__func__", None) is not function:
            return False
    return True
