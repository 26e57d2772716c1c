# SPDX-License-Identifier: GPL-2.0-only
"""How large the working set was for what share of the time, and how much memory was idle for how long."""

from __future__ import annotations

from typing import Final

import numpy as np

from damon.report.curves import MIB, Chart, Curve
from damon.report.space import Floats
from damon.results.arrays import Arrays

_POINTS: Final = 101
#: Idle times that are counted, s: ten a decade, from a millisecond to a year.
IDLE: Final = np.concatenate([[0.0], np.logspace(-3, 7.5, 106)])


class Idle:
    """Bytes that were idle for at least each of ``IDLE``, as a mean over the snapshots that were counted."""

    def __init__(self, unit: int) -> None:
        self._unit, self._sum = unit, np.zeros(len(IDLE))
        self._nr, self._times = 0, set[int]()

    def add(self, snapshot: Arrays, aggr_us: float) -> None:
        """Count a snapshot; those of several targets at one time are one."""
        start, end, nr, age = snapshot.regions
        idle = nr == 0
        seconds = np.sort(age[idle] * (aggr_us / 1e6))
        order = np.argsort(age[idle], kind="stable")
        sizes = (end[idle] - start[idle]).astype(np.float64)[order] * self._unit
        above = np.append(np.cumsum(sizes[::-1])[::-1], 0.0)
        self._sum += above[np.searchsorted(seconds, IDLE, side="left")]
        self._times.add(snapshot.time_ns)

    def curve(self, name: str) -> tuple[Curve, ...]:
        """MiB over seconds, up to the longest idle time."""
        if not self._times or not self._sum.any():
            return ()
        mean = self._sum / len(self._times) / MIB
        last = min(int(np.flatnonzero(mean)[-1]) + 2, len(IDLE))
        return (Curve(name, IDLE[:last], mean[:last], float(mean.max())),)


def working_set(name: str, accessed: Floats) -> tuple[Curve, ...]:
    """The size (MiB) that the working set was below for a share (%) of the time, from its sizes (bytes)."""
    if not len(accessed):
        return ()
    share = np.linspace(0, 100, _POINTS)
    sizes = np.percentile(accessed, share) / MIB
    return (Curve(name, share, sizes, float(sizes[-1])),)


def chart_of_idle(curves: tuple[Curve, ...]) -> Chart:
    return Chart("idle", "Idle memory", "MiB", "How much could be reclaimed at which minimum age?", curves)


def chart_of_working_set(curves: tuple[Curve, ...]) -> Chart:
    return Chart("wss-spread", "Working set by share of time", "MiB", "How much memory is needed how often?", curves)
