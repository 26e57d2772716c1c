# SPDX-License-Identifier: GPL-2.0-only
"""The machine's time for the kernel's C: what it reads of the clock, sleeps, waits, stretches that C passes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from damon.kernel.library import Library
from damon.model.clock import Event
from damon.model.context import DamonCtx
from damon.model.machine import Machine
from damon.model.operations import Stretch

#: Without ticks a jiffy is a millisecond, and no sleep is rounded.
_HZ_EXACT: Final = 1000
_NEVER: Final = (1 << 64) - 1
_UNBOUNDED: Final = Stretch(_NEVER >> 1, 0, _NEVER)


class Task:
    """A kernel thread of the C: ``struct task_struct``."""

    def __init__(self, address: int, name: str, ctx: DamonCtx, wake: Event) -> None:
        self.address, self.name, self.ctx, self.wake = address, name, ctx, wake
        self.thread: Any = None


class KernelTime:
    """Callbacks of the C that concern time, on the clock of ``machine``.

    Args:
        tasks: the kernel threads of the C, by address.
    """

    def __init__(self, machine: Machine, lib: Library, tasks: Mapping[int, Task]) -> None:
        self._machine, self._lib, self._tasks = machine, lib, tasks
        self._waiting: dict[int, list[Event]] = {}
        self._quiet = False
        callbacks, ticks = lib.callbacks, machine.clock.ticks
        callbacks.hz = ticks.hz or _HZ_EXACT
        callbacks.upper_us = ticks.upper_us if ticks.hz else _NEVER
        callbacks.tick_ns, callbacks.first_tick, callbacks.exact = ticks.tick_ns, ticks.jiffies(0), not ticks.hz

    def update(self) -> None:
        """Give C the time of now."""
        clock, callbacks = self._machine.clock, self._lib.callbacks
        callbacks.now_ns = clock.now_ns()
        callbacks.jiffies = clock.jiffies()
        callbacks.coarse_ns = clock.coarse_ns()
        self._lib.shim_progress()

    def begin_quiet(self, allowed: bool) -> None:
        """Let C pass the machine's time up to what is due next, if it is ``allowed`` and the machine can."""
        begin = getattr(self._machine, "begin_stretch", None)
        time = begin(1, _UNBOUNDED) if begin is not None and allowed else None
        self._lib.callbacks.window += 1
        self._quiet = time is not None
        if self._quiet:
            self._lib.callbacks.total_pages = self._machine.free_mem()[1]
        self._lib.shim_set_quiet(time)

    def end_quiet(self) -> None:
        """The clock is where C is."""
        if self._quiet:
            self._quiet = False
            self._lib.shim_set_quiet(None)
            self._machine.end_stretch()  # type: ignore[attr-defined]

    # Callbacks.

    def sleep(self, address: int, us: int, ticks: int) -> None:
        clock = self._machine.clock
        task = self._tasks.get(address)
        if ticks:
            end, early = clock.ticks.timeout_end_ns(clock.now_ns(), ticks), True
        else:  # on a machine without ticks timeouts come here too
            end, early = clock.now_ns() + max(us, 1) * 1000, not clock.ticks.hz and us >= clock.ticks.upper_us
        if early and task is not None:
            task.wake.wait_until(end)
        else:
            clock.sleep_until(end)

    def wait(self, key: int) -> None:
        event = self._machine.clock.event()
        self._waiting.setdefault(key, []).append(event)
        event.wait()

    def wake(self, key: int) -> None:
        for event in self._waiting.pop(key, ()):
            event.set()
