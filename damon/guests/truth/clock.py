# SPDX-License-Identifier: GPL-2.0-only
"""The guest's monotonic clock at times of QEMU's: both note the marks that the guest executes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from damon.errors import InvalidInput

#: A mark whose place in the guest's time is known to this, or to a few times the best one's.
_SURE_NS: Final = 100_000
_TIMES: Final = 4


class GuestClock:
    """Guest time of the machine's time, by linear interpolation between marks.

    Args:
        host: the machine's time of each mark.
        guest: guest times before and after each mark.

    Attributes:
        error_ns: by how much a time can be wrong.

    Raises:
        InvalidInput: they have no mark in common.
    """

    def __init__(self, host: Mapping[int, int], guest: Mapping[int, tuple[int, int]]) -> None:
        found = [
            (after - before, host[mark], (before + after) // 2)
            for mark, (before, after) in guest.items()
            if mark in host and before <= after
        ]
        if not found:
            raise InvalidInput("truth: it has no mark of the guest's time; record for longer")
        limit = max(_SURE_NS, _TIMES * min(width for width, _, _ in found))
        sure = sorted((at, time) for width, at, time in found if width <= limit)
        self._at = [at for at, _ in sure]
        self._offset = [time - at for at, time in sure]
        self.error_ns = max(width for width, _, _ in found if width <= limit) // 2 + self._bend()

    def _bend(self) -> int:
        """By how much a mark is beside the line through its neighbours, at most."""
        most = 0
        for number in range(1, len(self._at) - 1):
            a, b, c = self._at[number - 1 : number + 2]
            x, y, z = self._offset[number - 1 : number + 2]
            most = max(most, abs(y - x - (z - x) * (b - a) // max(c - a, 1)))
        return most

    def guest(self, host_ns: int) -> int:
        """Guest time in ns."""
        number = bisect_right(self._at, host_ns)
        if number in (0, len(self._at)):
            return host_ns + self._offset[min(number, len(self._at) - 1)]
        a, b = self._at[number - 1], self._at[number]
        x, y = self._offset[number - 1], self._offset[number]
        return host_ns + x + (y - x) * (host_ns - a) // max(b - a, 1)
