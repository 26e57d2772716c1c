# SPDX-License-Identifier: GPL-2.0-only
"""Access by time and address: the snapshots of a context in cells, and some of them region by region.

A cell is the mean share of samples with an access, by bytes and time. The number of cells does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from damon.records.heatmap import Union, close_gaps
from damon.report.asked import MAX_CONTEXTS
from damon.report.space import Floats, Space, spread
from damon.results.arrays import Arrays, Rows, heads
from damon.results.run import Run

#: Targets of a context that are shown.
MAX_TARGETS: Final = 64
#: A snapshot stands for the time since the one before, but not for longer than so many times its own interval.
_LONGEST: Final = 4.0


@dataclass
class Scanned:
    """What is known of a context's snapshots before they are decoded."""

    times: NDArray[np.int64]  #: ns
    ranges: dict[int, list[tuple[int, int]]]  #: of each target


def scan(run: Run) -> dict[int, Scanned]:
    """The contexts that have snapshots, by their numbers."""
    times: dict[int, list[int]] = {}
    unions: dict[tuple[int, int], Union] = {}
    rows = Rows(run)
    for time_ns, context, target, nr, aged in heads(run):
        mine = rows.take(nr)
        if mine is None:
            break
        if context >= MAX_CONTEXTS or target >= MAX_TARGETS:
            continue
        seen = times.setdefault(context, [])
        if not seen or seen[-1] != time_ns:
            seen.append(time_ns)
        if not aged and mine.shape[1]:
            unions.setdefault((context, target), Union()).add(_covered(mine))
    found = {}
    for context, seen in times.items():
        mine_only = {target: close_gaps(union.whole()) for (one, target), union in unions.items() if one == context}
        if mine_only:
            found[context] = Scanned(np.array(sorted(seen), np.int64), mine_only)
    return found


def _covered(regions: NDArray[np.uint64]) -> list[tuple[int, int]]:
    first = np.flatnonzero(np.append(True, regions[0, 1:] != regions[1, :-1]))
    last = np.append(first[1:] - 1, regions.shape[1] - 1)
    return list(zip(regions[0, first].tolist(), regions[1, last].tolist(), strict=True))


@dataclass(frozen=True)
class Intervals:
    """The intervals of a context over time: ``sample_us`` and ``aggr_us`` from each of ``times`` (ns) on."""

    times: NDArray[np.int64]
    sample_us: Floats
    aggr_us: Floats

    def at(self, time_ns: int) -> tuple[float, float]:
        """``sample_us`` and ``aggr_us`` of the aggregation that ended then."""
        if not len(self.times):
            return 5000.0, 100_000.0
        index = min(int(np.searchsorted(self.times, time_ns)), len(self.times) - 1)
        return max(float(self.sample_us[index]), 1.0), max(float(self.aggr_us[index]), 1.0)


@dataclass
class Grid:
    """Cells of equal size: ``share[time, address]`` is 0..1, and NaN where nothing was monitored.

    Args:
        space: the address axis.
        scanned: what the context's snapshots are.
        intervals: of the context.
        shape: cells of time and address at most.
        stride: every so many snapshots one was kept.
    """

    space: Space
    scanned: Scanned
    intervals: Intervals
    shape: tuple[int, int]
    stride: int = 1
    start_ns: int = 0
    end_ns: int = 0
    edges: Floats = field(init=False)

    def __post_init__(self) -> None:
        times = self.scanned.times
        first = int(self.intervals.at(int(times[0]))[1] * 1000) * self.stride
        self.start_ns, self.end_ns = max(int(times[0]) - first, 0), int(times[-1])
        self.end_ns = max(self.end_ns, self.start_ns + 1)
        self.shape = min(self.shape[0], len(times)), self.shape[1]
        self.edges = np.linspace(0.0, self.space.size, self.shape[1] + 1)
        self._sums = np.zeros(self.shape)
        self._weights = np.zeros(self.shape)
        self._bins: dict[int, tuple[int, int]] = {}
        for target in self.space.targets:
            low, high = (np.searchsorted(self.edges, end, side="right") for end in self.space.span(target))
            self._bins[target] = max(int(low) - 1, 0), min(max(int(high), int(low)), self.shape[1])
        self._last: dict[int, tuple[int, Floats, Floats]] = {}

    def add(self, snapshot: Arrays) -> None:
        """The next snapshot of one of the targets."""
        target = snapshot.target
        if target not in self._bins:
            return
        sample_us, aggr_us = self.intervals.at(snapshot.time_ns)
        before, mass, cover = self._last.get(target, (self.start_ns, np.zeros(0), np.zeros(0)))
        low, high = self._bins[target]
        if snapshot.changed or not len(cover):
            start, end, nr, _ = snapshot.regions
            at, to = self.space.at(target, start), self.space.at(target, end)
            edges = self.edges[low : high + 1]
            share = np.minimum(nr.astype(np.float64) / max(aggr_us // sample_us, 1), 1.0)
            mass, cover = spread(at, to, share, edges), spread(at, to, np.ones(len(at)), edges)
        self._last[target] = snapshot.time_ns, mass, cover
        longest = int(_LONGEST * self.stride * aggr_us * 1000)
        begin = max(before, snapshot.time_ns - longest)
        weight = max(snapshot.time_ns - begin, 1) / 1e9
        cells = self._cells(begin, snapshot.time_ns)
        self._sums[cells, low:high] += weight * mass
        self._weights[cells, low:high] += weight * cover

    def _cells(self, begin: int, end: int) -> slice:
        """The cells of time that a snapshot stands for: at least one."""
        scale = self.shape[0] / (self.end_ns - self.start_ns)
        last = self.shape[0] - 1
        first = min(max(round((begin - self.start_ns) * scale), 0), last)
        return slice(first, max(min(round((end - self.start_ns) * scale), last + 1), first + 1))

    @property
    def share(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._weights > 0, self._sums / self._weights, np.nan)

    @property
    def times(self) -> Floats:
        """The edges of the cells of time, ns."""
        return np.linspace(self.start_ns, self.end_ns, self.shape[0] + 1)


class Kept:
    """Snapshots that are shown region by region, evenly in time.

    Args:
        targets: whose snapshots.
        rows: regions at most, unless one snapshot has more.
    """

    def __init__(self, targets: Collection[int], rows: int) -> None:
        self._rows, self._used = rows, 0
        self._numbers = dict.fromkeys(targets, 0)
        self._found: list[tuple[int, Arrays]] = []
        self.stride = 1  #: every so many snapshots one is kept

    def add(self, snapshot: Arrays) -> None:
        """The next snapshot of one of the targets."""
        if snapshot.target not in self._numbers:
            return
        number = self._numbers[snapshot.target]
        self._numbers[snapshot.target] += 1
        if number % self.stride:
            return
        self._used += snapshot.regions.shape[1]
        self._found.append((number, snapshot))
        while self._used > self._rows and len(self._found) > len(self._numbers):
            self.stride *= 2
            self._found = [one for one in self._found if one[0] % self.stride == 0]
            self._used = sum(one.regions.shape[1] for _, one in self._found)

    @property
    def snapshots(self) -> list[Arrays]:
        return [snapshot for _, snapshot in self._found]
