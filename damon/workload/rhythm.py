# SPDX-License-Identifier: GPL-2.0-only
"""Rates over the time of day: factors by which accesses are multiplied, constant from change to change."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import msgspec

from damon.workload.generators import Point, RhythmFields
from damon.workload.quantities import parse_duration, parse_time, refusal

MAX_STEPS: Final = 10_000  #: of one period
_STEPS: Final = 48  # of a period, where the file gives no step
#: Factors are whole multiples of 1e-6, so that they do not depend on the C library's sine.
_DIGITS: Final = 6


@dataclass(frozen=True)
class Rhythm:
    """Repeats every ``period_us`` from time 0 on. ``times`` begin with 0; each factor holds until the next time."""

    period_us: int
    times: tuple[int, ...]
    factors: tuple[float, ...]

    def factor(self, t_us: int) -> float:
        """By what a rate is multiplied at ``t_us``."""
        return self.factors[bisect_right(self.times, t_us % self.period_us) - 1]

    def count(self, end_us: int) -> int:
        """At least as many as there are changes before ``end_us``."""
        return (end_us // self.period_us + 1) * len(self.times) if len(self.times) > 1 else 0

    def changes(self, end_us: int) -> list[int]:
        """The times of the changes in (0, ``end_us``)."""
        if len(self.times) == 1:
            return []
        rounds = range(0, end_us, self.period_us)
        return [t for begin in rounds for t in (begin + one for one in self.times) if 0 < t < end_us]


def parse_rhythm(name: str, raw: RhythmFields) -> Rhythm:
    """The rhythm that the file describes; curves are replaced by their means in each step.

    Raises:
        InvalidInput: path, value and remedy.
    """
    field = f"rhythms.{name}"
    period = parse_duration(raw.period, f"{field}.period")
    wave = {key: value for key in ("trough", "peak", "peak_at") if (value := getattr(raw, key)) is not msgspec.UNSET}
    forms = [key for key in ("points", "levels") if getattr(raw, key)] + list(wave)[:1]
    if len(forms) != 1:
        given = " and ".join(forms) or "nothing"
        raise refusal(field, given, "is not one form of a rhythm; give points, levels, or trough and peak")
    if raw.levels:
        if raw.step is not msgspec.UNSET:
            raise refusal(f"{field}.step", raw.step, "has no effect on levels; leave it out")
        return _levels(_points(raw.levels, period, f"{field}.levels"), period)
    step = max(period // _STEPS, 1) if raw.step is msgspec.UNSET else parse_duration(raw.step, f"{field}.step")
    if step > period or period > step * MAX_STEPS:
        why = f"is not a part of the period; give 1/{MAX_STEPS} of it to all of it"
        raise refusal(f"{field}.step", raw.step, why)
    if raw.points:
        return _sampled(_Line(_points(raw.points, period, f"{field}.points"), period), period, step)
    trough, peak = wave.get("trough", 0.0), wave.get("peak", 1.0)
    if trough > peak:
        raise refusal(f"{field}.trough", trough, f"is above the peak, {peak}; give at most that")
    at = parse_time(wave.get("peak_at", period // 2), f"{field}.peak_at")
    return _sampled(_Wave(trough, peak, at, period), period, step)


def _points(raw: list[Point], period: int, field: str) -> list[tuple[int, float]]:
    if len(raw) > MAX_STEPS:
        raise refusal(field, len(raw), f"are too many; give at most {MAX_STEPS}")
    points = [(parse_time(t, f"{field}[{i}][0]"), float(factor)) for i, (t, factor) in enumerate(raw)]
    for i, (t, _) in enumerate(points):
        if t >= period or (i and t <= points[i - 1][0]):
            raise refusal(f"{field}[{i}][0]", raw[i][0], "is not after the one before and within the period; sort them")
    return points


def _built(steps: list[tuple[int, float]], period: int) -> Rhythm:
    """Neighbours with the same factor are one."""
    kept = [steps[0], *(after for before, after in pairwise(steps) if after[1] != before[1])]
    return Rhythm(period, tuple(t for t, _ in kept), tuple(factor for _, factor in kept))


def _levels(points: list[tuple[int, float]], period: int) -> Rhythm:
    """Before the first one the last one holds."""
    return _built(points if not points[0][0] else [(0, points[-1][1]), *points], period)


def _sampled(curve: Any, period: int, step: int) -> Rhythm:
    edges = [*range(0, period, step), period]
    return _built([(a, round(curve.mean(a, b), _DIGITS)) for a, b in pairwise(edges)], period)


@dataclass(frozen=True)
class _Wave:
    """A sine from trough to peak and back in a period."""

    trough: float
    peak: float
    peak_at: int
    period: int

    def mean(self, a: int, b: int) -> float:
        """Of the factor from ``a`` to ``b``."""
        turn = 2 * math.pi / self.period
        first, last = ((t - self.peak_at) * turn for t in (a, b))
        swing = (math.sin(last) - math.sin(first)) / (last - first)
        return max((self.peak + self.trough) / 2 + (self.peak - self.trough) / 2 * swing, 0.0)


class _Line:
    """Straight from point to point, and from the last one to the first of the next period."""

    def __init__(self, points: list[tuple[int, float]], period: int) -> None:
        (first, low), (last, high) = points[0], points[-1]
        self._points = [(last - period, high), *points, (first + period, low)]
        self._times = [t for t, _ in self._points]
        self._sums = [0.0]  # the area below the line up to each point
        for (t, factor), (t2, factor2) in pairwise(self._points):
            self._sums.append(self._sums[-1] + (t2 - t) * (factor + factor2) / 2)

    def _sum(self, t: int) -> float:
        n = min(bisect_right(self._times, t), len(self._times) - 1) - 1
        (begin, low), (end, high) = self._points[n : n + 2]
        return self._sums[n] + (t - begin) * (low + (high - low) * (t - begin) / (end - begin) / 2)

    def mean(self, a: int, b: int) -> float:
        """Of the factor from ``a`` to ``b``."""
        return max((self._sum(b) - self._sum(a)) / (b - a), 0.0)
