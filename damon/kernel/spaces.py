# SPDX-License-Identifier: GPL-2.0-only
"""The address spaces of processes, each by the number that the C's ``struct pid`` has, as long as there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from damon.errors import DamonError

if TYPE_CHECKING:
    from damon.model.machine import TargetSpace


@dataclass
class _Held:
    """``pids``: how many ``struct pid`` have its number. ``owned``: it is closed with the last of them."""

    space: TargetSpace
    owned: bool
    pids: int = 1


class Spaces:
    """Those of one engine.

    Args:
        open_process: of the machine: the space of a process id.

    A space that the C has opened is its own. One that a context in Python brings is its describer's until the context
    runs (:meth:`own`), as with the other engine.
    """

    def __init__(self, open_process: Callable[[int], TargetSpace]) -> None:
        self._open = open_process
        self._held: dict[int, _Held] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._held)

    def find_get_pid(self, pid: int) -> int:
        """The number of a space that is open from now on; 0 where there is no such process."""
        try:
            space = self._open(pid)
        except DamonError:
            return 0
        return self._hold(space, owned=True)

    def number(self, space: TargetSpace | None) -> int:
        """For one more ``struct pid``; 0 for physical memory."""
        if space is None:
            return 0
        for number, held in self._held.items():
            if held.space is space:
                held.pids += 1
                return number
        return self._hold(space, owned=False)

    def _hold(self, space: TargetSpace, *, owned: bool) -> int:
        self._last += 1
        self._held[self._last] = _Held(space, owned)
        return self._last

    def own(self, number: int) -> None:
        """A context that has this space runs."""
        if number:
            self._held[number].owned = True

    def get(self, number: int) -> TargetSpace | None:
        held = self._held.get(number)
        return held.space if held is not None else None

    def put(self, number: int) -> None:
        """A ``struct pid`` has been freed."""
        held = self._held[number]
        held.pids -= 1
        if not held.pids:
            del self._held[number]
            if held.owned:
                held.space.close()
