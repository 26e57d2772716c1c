# SPDX-License-Identifier: GPL-2.0-only
"""A monitor's snapshots beside the truth of the same time, page by page."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from damon.errors import InvalidInput
from damon.guests.accuracy.run import Ran
from damon.guests.truth.convert import Truth, Window
from damon.guests.truth.maps import FOREVER
from damon.records.names import Mapping
from damon.records.read import Damaged, Record, Snapshot, read
from damon.results.records import Accessed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_PAGE: Final = 4096
#: DAMON's own: a region's age ends where its frequency changes by more than this share of the samples.
_SAME: Final = 0.1
_SUMMED: Final = ("hot", "observed_hot", "both", "used", "observed_used", "regions")
_MEANS: Final = ("idle_error_s", "idle_bias_s", "age_error_s")
#: Parts of a process's pages of which the truth is kept with the run, and the steps of their shares.
_PARTS: Final = 1024
_STEPS: Final = 250


@dataclass(frozen=True)
class Moment:
    """One snapshot. Sizes are in bytes, errors in s.

    ``both`` is hot in truth and as observed; the errors of idle time and age are means over ``pages``, which are there.
    """

    at_s: float
    hot: int
    observed_hot: int
    both: int
    used: int
    observed_used: int
    idle_error_s: float
    idle_bias_s: float
    age_error_s: float
    regions: int
    sample_us: float
    pages: int


@dataclass(frozen=True)
class Least:
    """What counts: memory from the share ``hot`` on is hot, and snapshots from ``after_ns`` after the first begin."""

    hot: float
    after_ns: int = 0


@dataclass
class AreaSums:
    """An area over all snapshots: byte-snapshots, and frequencies summed up over them."""

    bytes: int = 0
    true: float = 0.0
    observed: float = 0.0

    def add(self, there: npt.NDArray[np.bool_], true: Floats, observed: Floats) -> None:
        """The pages of a snapshot that are there."""
        self.bytes += int(there.sum()) * _PAGE
        self.true += float(true[there].sum())
        self.observed += float(observed[there].sum())


@dataclass
class Compared:
    """What came of one run: its snapshots, its areas, and what was accessed in the time of each snapshot."""

    moments: list[Moment] = field(default_factory=list)
    areas: dict[str, AreaSums] = field(default_factory=dict)
    truth: list[Accessed] = field(default_factory=list)
    mappings: list[list[Mapping]] = field(default_factory=list)  #: of each target
    damaged: str | None = None


class _Pages:
    """The pages of one process in truth, by address, and what is known of each at a time."""

    def __init__(self, truth: Truth, pid: int) -> None:
        layout = truth.layout
        numbers = [number for number, space in enumerate(layout.spaces) if space.pid == pid]
        parts, names = [], []
        self._places: dict[int, Ints] = {}
        at = 0
        for number in numbers:
            place = np.zeros(layout.spaces[number].nr_pages, np.int64)
            for area in layout.areas:
                if area.space == number:
                    place[area.first : area.first + area.nr_pages] = np.arange(at, at + area.nr_pages)
                    parts.append(area.address + np.arange(area.nr_pages, dtype=np.int64) * _PAGE)
                    names.append((area.name, at, at + area.nr_pages))
                    at += area.nr_pages
            self._places[number] = place
        if not parts:
            raise InvalidInput(f"truth: process {pid}: was not seen in any look; run it for longer")
        self.areas = names
        self.address = np.concatenate(parts)
        self.order = np.argsort(self.address, kind="stable")
        self.begin, self.end = np.full(at, FOREVER, np.int64), np.zeros(at, np.int64)
        self._stays(truth)
        self.last = np.minimum(self.begin, FOREVER).copy()
        self.before = np.zeros(at)
        self.age = np.zeros(at, np.int64)
        self.began = -1

    def _stays(self, truth: Truth) -> None:
        layout = truth.layout
        for stays in truth.maps.stays.values():
            for stay in stays:
                place = self._places.get(layout.space_of[stay.owner])
                if place is not None:
                    page = place[layout.page_of[stay.owner]]
                    self.begin[page] = min(self.begin[page], stay.begin)
                    self.end[page] = max(self.end[page], stay.end)

    def touched(self, window: Window) -> tuple[Ints, Floats]:
        """Pages and the intervals in which each was accessed."""
        pages, counts = [], []
        for number, place in self._places.items():
            if rows := window.spaces.get(number):
                found = np.array(rows, np.int64)
                pages.append(place[found[:, 0]])
                counts.append(found[:, 1])
        if not pages:
            return np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(pages), np.concatenate(counts).astype(np.float64)


class _Between:
    """The windows of a raw file that lie in a time, whole or in part. Times only grow."""

    def __init__(self, truth: Truth, pages: _Pages) -> None:
        self._rest = truth.windows()
        self._pages = pages
        self._known: deque[tuple[Window, Ints, Floats]] = deque()
        self._over = False

    def frequencies(self, begin: int, end: int) -> Floats | None:
        """The share of the intervals in ``[begin, end)`` in which each page was accessed; None: it is not all known."""
        while not self._over and (not self._known or self._known[-1][0].end_ns < end):
            window = next(self._rest, None)
            if window is None:
                self._over = True
                break
            self._known.append((window, *self._pages.touched(window)))
        while self._known and self._known[0][0].end_ns <= begin:
            self._known.popleft()
        if not self._known or self._known[0][0].begin_ns > begin or self._known[-1][0].end_ns < end:
            return None
        sums, intervals = np.zeros(len(self._pages.address)), 0.0
        for window, pages, counts in self._known:
            low, high = max(window.begin_ns, begin), min(window.end_ns, end)
            if low < high:
                share = (high - low) / (window.end_ns - window.begin_ns)
                intervals += window.intervals * share
                sums[pages] += counts * share
                self._pages.last[pages] = high
        return sums / max(intervals, 1e-9)


def snapshots(path: Path, target: int) -> Iterator[tuple[Record, Snapshot]]:
    """Those of one target that have a begin; raises ``Damaged`` as ``read`` does."""
    for record, snapshot in read(path):
        if record.key.target == target and snapshot.start_ns is not None and snapshot.start_ns < snapshot.end_ns:
            yield record, snapshot


def compare(ran: Ran, hot: float, skip_s: float = 0.0) -> Compared:
    """The snapshots of a run beside the truth.

    Args:
        ran: its files.
        hot: share of the sampling intervals with an access from which on memory is hot.
        skip_s: snapshots that end earlier after the monitor's begin do not count.

    Raises:
        InvalidInput: the files are none, or have nothing in common.
    """
    truth = Truth(ran.raw)
    found = Compared()
    for target, pid in enumerate(ran.pids):
        pages = _Pages(truth, pid)
        least = Least(hot, round(skip_s * 1e9))
        one = Compared(areas=found.areas, truth=found.truth)
        between = _Between(truth, pages)
        try:
            for record, snapshot in snapshots(ran.record, target):
                _add(one, pages, between, record, snapshot, least)
        except Damaged as error:
            found.damaged = str(error)
        found.moments += one.moments
    if not found.moments:
        raise InvalidInput(f"record: {ran.record.name}: has no snapshot in the time of the truth; run it for longer")
    found.moments = _joined(found.moments)
    found.mappings = [
        [(area.address, area.address + area.nr_pages * _PAGE, area.name) for area in truth.layout.areas
         if truth.layout.spaces[area.space].pid == pid]
        for pid in ran.pids
    ]  # fmt: skip
    return found


def _joined(moments: list[Moment]) -> list[Moment]:
    """Those of several processes are one, where they are of one sampling interval."""
    groups: list[list[Moment]] = []
    for moment in sorted(moments, key=lambda one: one.at_s):
        if groups and moment.at_s - groups[-1][0].at_s < moment.sample_us / 1e6:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    return list(map(_sum, groups))


def _sum(moments: list[Moment]) -> Moment:
    pages = sum(one.pages for one in moments)
    sums = {name: sum(getattr(one, name) for one in moments) for name in _SUMMED}
    means = {name: sum(getattr(one, name) * one.pages for one in moments) / max(pages, 1) for name in _MEANS}
    return Moment(at_s=moments[0].at_s, sample_us=moments[0].sample_us, pages=pages, **sums, **means)


def _add(
    found: Compared, pages: _Pages, between: _Between, record: Record, snapshot: Snapshot, least: Least
) -> None:  # fmt: skip
    begin, end = snapshot.start_ns or 0, snapshot.end_ns
    true = between.frequencies(begin, end)
    if true is None or not snapshot.rows:
        return
    sample_us = float(snapshot.sample_us or record.sample_us or 5000)
    aggr_us = (end - begin) / 1000 if snapshot.sample_us else float(record.aggr_us or (end - begin) / 1000)
    if pages.began < 0:  # what came before its begin no monitor knows
        pages.began = begin
        pages.last = np.maximum(pages.last, begin)
    rows = np.array([row[:4] for row in snapshot.rows], np.int64)
    starts, ends = rows[:, 0], rows[:, 1]
    frequency = np.minimum(rows[:, 2] / max(aggr_us // sample_us, 1), 1.0)
    at = np.clip(np.searchsorted(starts, pages.address, "right") - 1, 0, None)
    inside = (pages.address >= starts[at]) & (pages.address < ends[at])
    observed = np.where(inside, frequency[at], 0.0)
    there = (pages.begin <= end) & (pages.end >= end) & inside
    sizes = ends - starts
    true_hot, seen_hot = true >= least.hot, observed >= least.hot
    idle = np.where(true > 0, 0.0, np.maximum(end - np.maximum(pages.last, 0), 0) / 1e9)
    seen_idle = np.where(rows[at, 2] == 0, rows[at, 3] * aggr_us / 1e6, 0.0)
    pages.age = np.where(np.abs(true - pages.before) <= _SAME, pages.age + 1, 0)
    pages.before = true
    ages = np.abs(pages.age - rows[at, 3])[there] * aggr_us / 1e6
    wrong = (seen_idle - idle)[there]
    found.truth.append(_accessed(record, begin, end, pages.address[pages.order], true[pages.order]))
    if end - pages.began < least.after_ns:
        return
    found.moments.append(Moment(
        end / 1e9, int(true_hot.sum()) * _PAGE, int(sizes[frequency >= least.hot].sum()),
        int((true_hot & seen_hot).sum()) * _PAGE, int((true > 0).sum()) * _PAGE, int(sizes[rows[:, 2] > 0].sum()),
        _mean(np.abs(wrong)), _mean(wrong), _mean(ages), len(rows), sample_us, int(there.sum()),
    ))  # fmt: skip
    for name, low, high in pages.areas:
        found.areas.setdefault(name, AreaSums()).add(there[low:high], true[low:high], observed[low:high])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _accessed(record: Record, begin: int, end: int, addresses: Ints, shares: Floats) -> Accessed:
    """The means of parts of a process's pages, which are in order; parts of the same share that touch are one."""
    apart = np.flatnonzero(np.diff(addresses) != _PAGE) + 1
    even = np.arange(0, len(addresses), -(-len(addresses) // _PARTS))
    first = np.union1d(even, apart)
    nr = np.diff(np.append(first, len(addresses)))
    means = np.round(np.add.reduceat(shares, first) / nr * _STEPS) / _STEPS
    new = np.append(True, (means[1:] != means[:-1]) | np.isin(first[1:], apart))
    last = np.append(first[new][1:], len(addresses)) - 1
    starts, ends = addresses[first[new]], addresses[last] + _PAGE
    columns = array("Q", starts.tobytes()), array("Q", ends.tobytes()), array("d", means[new].tobytes())
    return Accessed(record.key, begin, end, *columns)


def as_plain(compared: Compared) -> dict[str, Any]:
    """All of it but the pictures, as plain values."""
    return {
        "snapshots": [moment.__dict__ for moment in compared.moments],
        "areas": {name: sums.__dict__ for name, sums in compared.areas.items()},
    }
