# SPDX-License-Identifier: GPL-2.0-only
"""How few refaults memory that is saved costs, at best; and how much can be saved at the cost of some.

A page that leaves memory right after a touch and comes back at the next one saves its size times the idle time between
both, and costs a refault, whatever its size and the length. So who knows all touches lets pages leave for the longest
idle times: all that are longer than some threshold, the same one for every page of the machine. The threshold decides
how much is saved and what it costs. The curve of both is convex, and its slope is the threshold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import exp, inf, log
from typing import Final

from damon.results.best.lives import lives
from damon.results.best.pages import PAGE, Detail, Idle, add_life
from damon.results.best.traced import add_traced
from damon.workload.model import Kind, Workload
from damon.workload.tracefile.sampled import Traces

#: Refaults, and bytes x seconds saved.
Point = tuple[float, float]
#: Idle times that are shorter are not distinguished.
_SHORTEST_S: Final = 1e-6
_STEPS: Final = 200
_ACCURACY: Final = 1e-4


class Curve:
    """What the threshold makes of some pages."""

    def __init__(self, idle: Idle) -> None:
        self._idle = idle
        self._certain = sorted(idle.certain)
        counts = [idle.certain[seconds] for seconds in self._certain]
        self._counts = [0.0, *accumulate(counts)]
        self._seconds = [0.0, *accumulate(a * b for a, b in zip(counts, self._certain, strict=True))]
        self._known: dict[float, Point] = {}

    def at(self, tau: float) -> Point:
        """When pages leave for each idle time that is longer than ``tau`` seconds."""
        if tau not in self._known:
            found = [(rates.longer_than(tau), pages) for rates, pages in self._idle.random.items()]
            at = bisect_right(self._certain, tau)
            count = sum(pages * one[0] for one, pages in found) + self._counts[-1] - self._counts[at]
            seconds = sum(pages * one[1] for one, pages in found) + self._seconds[-1] - self._seconds[at]
            self._known[tau] = (count, (seconds + self._idle.endless) * PAGE)
        return self._known[tau]


@dataclass(frozen=True)
class Best:
    """The best possible reclaim of a workload over a time.

    Attributes:
        seconds: how long the workload runs.
        idle_byte_seconds: the memory times the time that no touch needs at all: without a refault.
        most_byte_seconds: ... that could be saved at any number of refaults.
    """

    seconds: float
    idle_byte_seconds: float
    most_byte_seconds: float
    _at: Callable[[float], Point]

    def refaults(self, byte_seconds: float) -> float:
        """The fewest that saving so much costs, expected; ``inf`` if so much cannot be saved."""
        if byte_seconds > self.most_byte_seconds * (1 + _ACCURACY):
            return inf
        return _find(self._at, self.seconds, 1, byte_seconds)

    def byte_seconds(self, refaults: float) -> float:
        """The most that can be saved at the cost of so many, expected."""
        return _find(self._at, self.seconds, 0, refaults)


def best_reclaim(workload: Workload, seconds: float) -> Best:
    """The best possible reclaim in the first ``seconds`` of ``workload``, by a policy that knows every touch.

    File pages can always leave. Anonymous ones need swap; all of the run together, they are out no more than the swap
    devices' bytes times ``seconds``. Areas that replay a trace are estimated from some of their pages.

    Raises:
        InvalidInput: a trace cannot be read any more.
    """
    idle = {kind: Idle() for kind in Kind}
    found = [
        (area, life, times)
        for area, some in lives(workload, seconds)
        if not area.locked
        for life, times in some.items()
    ]
    detail = Detail.of((area, life) for area, life, _ in found)
    for area, life, times in found:
        add_life(idle[area.kind], area, life, times, detail)
    traced = [area for area in workload.areas if area.replay is not None]
    traces = Traces(traced)
    for area in traced:
        add_traced(idle[area.kind], traces.sampled(area), area.populate, seconds, len(traced))
    file, anon = Curve(idle[Kind.FILE]).at, Curve(idle[Kind.ANON]).at
    room = sum(device.size for device, _ in workload.machine.swaps) * seconds

    def both(tau: float) -> Point:
        one = file(tau)
        if not room:
            return one
        other = anon(tau)
        if other[1] > room:
            other = full
        return one[0] + other[0], one[1] + other[1]

    full = (_find(anon, seconds, 1, room), room) if room else (0.0, 0.0)
    return Best(seconds, both(seconds)[1], both(0.0)[1], both)


def _find(at: Callable[[float], Point], seconds: float, by: int, target: float) -> float:
    """The point of the curve whose coordinate ``by`` is ``target``: its other one.

    Between two thresholds the curve is above both tangents and below the chord, so their distance bounds the error.
    """
    low, high = seconds, _SHORTEST_S  # thresholds of less, and of more than the target
    less, more = at(low), at(0.0)
    if target <= less[by]:
        return less[1 - by]
    if target >= more[by]:
        return more[1 - by]
    for step in range(_STEPS):
        if by:
            slack = (more[1] - less[1]) / PAGE * (1 / high - 1 / low)
        else:
            slack = (more[0] - less[0]) * PAGE * (low - high)
        if slack <= _ACCURACY * more[1 - by] or low <= high * (1 + 1e-12):
            break
        share = 0.5
        if low < 8 * high and step < _STEPS // 2:  # where the chord meets the target, but never quite at an end
            share = min(max((target - less[by]) / (more[by] - less[by]), 0.05), 0.95)
        tau = exp(log(low) + (log(high) - log(low)) * share)
        here = at(tau)
        if here[by] <= target:
            low, less = tau, here
        else:
            high, more = tau, here
    share = (target - less[by]) / (more[by] - less[by])
    return less[1 - by] + share * (more[1 - by] - less[1 - by])
