# SPDX-License-Identifier: GPL-2.0-only
"""Some pages of a traced area, evenly chosen, and how often each is accessed over time: what stands for all of it.

Of a long trace the windows of a higher level are used, which are sums of 16: rates are means over them then.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from math import exp
from pathlib import Path
from typing import Final

from damon.workload.model import Area, Replay
from damon.workload.tracefile.form import MAX_RUN, ROW_BYTES, TRUTH, TracedArea
from damon.workload.tracefile.reader import Trace

#: Seconds, and touches a second of one page.
Rate = tuple[float, float]
#: Of the area's pages at most, and windows of the trace's part, unless its highest level has more.
MAX_PAGES: Final = 512
MAX_WINDOWS: Final = 512
#: Pages, and windows, of all areas together: many areas have fewer each, but these at least.
_ALL: Final = 1 << 14
_LEAST: Final = 32
_NS: Final = 1e9


@dataclass(frozen=True)
class Sampled:
    """An area's replay, in seconds of the machine; times begin with a round of the trace.

    ``pages`` is how many of the area's each of the chosen ones stands for. ``edges`` are the windows' ends and what
    lies between windows; ``rates[page][n]`` holds from ``edges[n]`` to ``edges[n + 1]``.
    """

    nr_pages: int
    seconds: float  #: of a round
    loop: bool
    mapped: tuple[tuple[float, float], ...]  #: in a round
    edges: array[float]
    rates: tuple[array[float], ...]
    sums: tuple[array[float], ...]  #: touches of a page up to each of ``edges``
    exact: bool = False  #: of an exact capture: each page is touched as often as ``rates`` has it, not at random

    @property
    def weight(self) -> float:
        """The pages that one stands for."""
        return self.nr_pages / len(self.rates)

    def fewer(self, pages: int) -> Sampled:
        """As this, with at most so many of the chosen pages."""
        step = -(-len(self.rates) // max(pages, 1))
        start = step // 2 if step <= len(self.rates) else 0
        return replace(self, rates=self.rates[start::step], sums=self.sums[start::step])

    def lives(self, until: float) -> Iterator[tuple[float, float]]:
        """From when to when the area is mapped, up to ``until``; what goes on in the next round is one time."""
        last: tuple[float, float] | None = None
        for number in range(int(until / self.seconds) + 1 if self.loop else 1):
            begin = number * self.seconds
            for low, high in self.mapped:
                if begin + low >= until:
                    break
                one = begin + low, min(begin + high, until)
                if last is not None and one[0] <= last[1]:
                    last = last[0], one[1]
                else:
                    if last is not None:
                        yield last
                    last = one
        if last is not None:
            yield last

    def stretches(self, page: int, begin: float, end: float) -> Iterator[Rate]:
        """The rates of the chosen page number ``page`` from ``begin`` to ``end``, of which neighbours differ."""
        seconds, rate = 0.0, -1.0
        for duration, one in self._stretches(page, begin, end):
            if one == rate:
                seconds += duration
                continue
            if seconds:
                yield seconds, rate
            seconds, rate = duration, one
        if seconds:
            yield seconds, rate

    def _stretches(self, page: int, begin: float, end: float) -> Iterator[Rate]:
        at = begin
        while at < end:
            within, base = (at % self.seconds, at - at % self.seconds) if self.loop else (at, 0.0)
            if within >= self.seconds:
                yield end - at, 0.0
                return
            number = max(bisect_right(self.edges, within) - 1, 0)
            for n in range(number, len(self.edges) - 1):
                until = min(base + self.edges[n + 1], end)
                if until > at:
                    yield until - at, self.rates[page][n]
                    at = until
                if at >= end:
                    return
            at = max(at, base + self.seconds)  # rounding must not hold it up

    def missed(self, touches: float) -> float:
        """The chance that none of so many touches of a page, by their mean, is made."""
        return max(1.0 - touches, 0.0) if self.exact else exp(-touches)

    def touches(self, page: int, begin: float, end: float) -> float:
        """How often the chosen page number ``page`` is accessed from ``begin`` to ``end`` on average."""
        return self._until(page, end) - self._until(page, begin)

    def _until(self, page: int, at: float) -> float:
        sums, total = self.sums[page], 0.0
        if at <= 0:
            return 0.0
        if self.loop:
            total, at = (at // self.seconds) * sums[-1], at % self.seconds
        if at >= self.seconds:
            return total + sums[-1]
        n = max(bisect_right(self.edges, at) - 1, 0)
        return total + sums[n] + self.rates[page][min(n, len(self.rates[page]) - 1)] * (at - self.edges[n])

    def rate(self, page: int, at: float) -> float:
        """Touches a second at that time."""
        if at >= self.seconds and not self.loop:
            return 0.0
        return self.rates[page][min(bisect_right(self.edges, at % self.seconds) - 1, len(self.edges) - 2)]


def sampled(area: Area, trace: Trace, pages: int = MAX_PAGES, windows: int = MAX_WINDOWS) -> Sampled:
    """What stands for ``area``, which replays ``trace``.

    Args:
        pages: that are chosen at most.
        windows: that the replayed part has at most, if the trace has a level with so few.
    """
    assert area.replay is not None
    replay, traced = area.replay, trace.description.areas[area.replay.area]
    nr_pages = area.size // 4096
    some = min(pages, nr_pages)
    chosen = sorted(
        traced.first + min(int((nr_pages * (2 * n + 1) // (2 * some)) / replay.size_scale), traced.nr_pages - 1)
        for n in range(some)
    )
    scale, length = replay.time_scale / _NS, replay.end_ns - replay.begin_ns
    edges, rates = array("d", [0.0]), [array("d") for _ in chosen]
    level = _level(trace, traced, replay, windows)
    for t0, t1, rows in trace.level_windows(traced.space, level, replay.begin_ns, replay.end_ns):
        begin, end = ((min(max(at - replay.begin_ns, 0), length)) * scale for at in (t0, t1))
        per_second = 1.0 / ((t1 - t0) * scale)
        if begin > edges[-1]:
            _add(edges, rates, begin, [0.0] * len(chosen))
        if end > edges[-1]:
            _add(edges, rates, end, [touches * per_second for touches in _touches(rows, chosen)])
    if edges[-1] < length * scale:
        _add(edges, rates, length * scale, [0.0] * len(chosen))
    sums = tuple(array("d", accumulate(_products(edges, one), initial=0.0)) for one in rates)
    mapped = tuple(
        (max(low - replay.begin_ns, 0) * scale, min(high - replay.begin_ns, length) * scale)
        for low, high in traced.mapped
        if low < replay.end_ns and high > replay.begin_ns
    )
    exact = trace.description.origin == TRUTH
    return Sampled(nr_pages, length * scale, replay.loop, mapped, edges, tuple(rates), sums, exact)


class Traces:
    """Opens each trace once.

    Args:
        areas: of a workload, whose number decides how much of each is looked at.
    """

    def __init__(self, areas: Iterable[Area]) -> None:
        self._traces: dict[str, Trace] = {}
        share = _ALL // max(sum(area.replay is not None for area in areas), 1)
        self._pages, self._windows = (max(min(most, share), _LEAST) for most in (MAX_PAGES, MAX_WINDOWS))

    def sampled(self, area: Area) -> Sampled:
        """What stands for ``area``; see ``sampled()``."""
        assert area.replay is not None
        path = area.replay.path
        if path not in self._traces:
            self._traces[path] = Trace(Path(path))
        return sampled(area, self._traces[path], self._pages, self._windows)


def _add(edges: array[float], rates: list[array[float]], end: float, values: list[float]) -> None:
    edges.append(end)
    for one, value in zip(rates, values, strict=True):
        one.append(value)


def _products(edges: array[float], rates: array[float]) -> Iterator[float]:
    return ((high - low) * rate for low, high, rate in zip(edges, edges[1:], rates, strict=False))


def _level(trace: Trace, traced: TracedArea, replay: Replay, windows: int) -> int:
    """The lowest level that has few enough windows in the replayed part."""
    levels = trace.description.spaces[traced.space].levels
    share = (replay.end_ns - replay.begin_ns) / trace.description.duration_ns
    fine = (number for number, level in enumerate(levels) if level.nr * share <= windows)
    return next(fine, max(len(levels) - 1, 0))


def _touches(rows: bytes, chosen: list[int]) -> list[float]:
    """Touches of each of the pages in the window that has ``rows``."""
    words, counts = array("I", rows), array("f", rows)
    step = ROW_BYTES // 4
    first, runs, each = words[0::step], words[1::step], counts[2::step]
    found = []
    for page in chosen:
        at = bisect_right(first, page) - 1
        found.append(each[at] if at >= 0 and page < first[at] + (runs[at] & MAX_RUN) else 0.0)
    return found
