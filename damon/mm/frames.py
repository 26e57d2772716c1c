# SPDX-License-Identifier: GPL-2.0-only
"""Page frames in a row that are alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameRun:
    """``nr`` page frames from ``pfn`` on, each accessed ``rate`` times a second.

    ``charged``: they are charged to the cgroup in question. ``locked``: by mlock(2), or for another reason unevictable.
    ``mapped``: so many processes map each; 0: it is not known.
    """

    pfn: int
    nr: int
    rate: float
    charged: bool = False
    locked: bool = False
    mapped: int = 0
