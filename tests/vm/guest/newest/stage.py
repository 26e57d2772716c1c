# SPDX-License-Identifier: GPL-2.0-only
"""The registry of this package's checks, and page frames as ranges of physical memory."""

from __future__ import annotations

from collections.abc import Iterable

from tests.vm.guest.checks import Checks
from tests.vm.guest.linux_mm.stage import PAGE, Victim

CHECKS = check = Checks()


def runs(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Page frames as ranges of bytes, in order, frames beside each other as one."""
    found: list[tuple[int, int]] = []
    for frame in sorted(frames):
        start, end = frame * PAGE, (frame + 1) * PAGE
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


def memory_of(*others: Victim) -> list[tuple[int, int]]:
    """The ranges of physical memory that they have, of each its own: frames of two beside each other are not joined."""
    return sorted(span for other in others for span in runs(other.frames()))


def within(spans: Iterable[tuple[int, int]], start: int, end: int) -> int:
    """Bytes of ``[start, end)`` that are in one of ``spans``."""
    return sum(max(0, min(end, high) - max(start, low)) for low, high in spans)
