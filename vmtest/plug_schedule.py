# SPDX-License-Identifier: GPL-2.0-only
"""Memory that is plugged and unplugged at set times beside a command: the ``plug`` steps of a configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from .errors import GuestLost, HarnessError
from .guest import Guest
from .qemu.clock import Clock
from .qemu.monitor import MonitorError
from .specs import Step


class Schedule:
    """Performs a configuration's ``plug`` steps beside a command; a context manager around that command's time.

    Args:
        guest: to plug memory into.
        report: called with one line for each step, also for one that failed or whose time did not come.
    """

    def __init__(self, guest: Guest, report: Callable[[str], object] = lambda _line: None) -> None:
        self._guest = guest
        self._report = report
        self._steps: tuple[Step, ...] = tuple(sorted(guest.config.steps, key=lambda step: step.at))
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed: list[str] = []

    def __enter__(self) -> Schedule:
        if self._steps:
            self._thread = threading.Thread(target=self._perform, name="vmtest-plug", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _perform(self) -> None:
        clock: Clock = self._guest.machine.clock
        begun = clock.now()
        for step in self._steps:
            while (left := begun + step.at - clock.now()) > 0:
                if self._over.wait(min(left, 0.5) if clock.stopped else left):
                    self._report(f"memory {step.text} after {step.at:g} s: not done, the command had ended")
                    break
            else:
                self._one(step)

    def _one(self, step: Step) -> None:
        try:
            if step.bytes > 0:
                change = self._guest.plug_memory(step.bytes, node=step.node)
            else:
                change = self._guest.unplug_memory(-step.bytes, node=step.node)
            self._report(f"after {step.at:g} s: {change.text}")
        except GuestLost:
            pass  # the command reports it
        except (HarnessError, MonitorError, RuntimeError) as error:
            self._report(f"memory {step.text} after {step.at:g} s: {error}")
